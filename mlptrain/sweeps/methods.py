"""The method of a sweep: which trials it trains, and in which waves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from mlptrain.sweeps import samplers
from mlptrain.sweeps.halving import halving
from mlptrain.sweeps.samplers import Point
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.tpe import tpe
from mlptrain.sweeps.trials import trials_of
from mlptrain.sweeps.waves import Wave, Waves

WINDOW = 1024
"""Points of a grid or a random search that are made, planned and trained at a time."""


def waves(spec: Spec, shard: tuple[int, int] | None = None) -> Waves:
    """The waves of a sweep; of a shard (I, N), which counts from 1, every Nth point from the Ith.

    Raises
    ------
    ConfigError
        The values of a point do not go together.
    """
    if spec.method == "tpe":
        return tpe(spec)
    if spec.method == "halving":
        return halving(spec, points_of(spec))
    numbered: Iterable[tuple[int, Point]] = enumerate(points_of(spec))
    if shard is not None:
        first, every = shard
        numbered = ((number, point) for number, point in numbered if number % every == first - 1)
    return _windows(spec, numbered)


def points_of(spec: Spec) -> Iterable[Point]:
    """The points of a method that does not wait for results, made one at a time."""
    if spec.run_cap is not None:
        return samplers.random(spec.space, spec.seed, spec.run_cap)
    return samplers.grid(spec.space)


def _windows(spec: Spec, numbered: Iterable[tuple[int, Point]]) -> Waves:
    source = iter(numbered)
    while window := list(islice(source, WINDOW)):
        yield Wave(tuple(trial for number, point in window for trial in trials_of(spec, number, point)))
