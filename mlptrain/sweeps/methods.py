"""The method of a sweep: the trials that it trains, in waves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from mlptrain.sweeps import samplers
from mlptrain.sweeps.leaderboard import rank
from mlptrain.sweeps.samplers import Point
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.tpe import tpe
from mlptrain.sweeps.trials import PAUSED, Result, Trial, Wave, Waves, trials_of


def halving(spec: Spec, points: Iterable[Point]) -> Waves:
    """Successive halving on epochs: rungs at min_iter, min_iter·eta, ..., after each the best 1/eta of the points."""
    live = [trial for number, point in enumerate(points) for trial in trials_of(spec, number, point)]
    until, dropped = spec.halving.min_iter, tuple[Trial, ...]()
    while any(trial.config.epochs > until for trial in live):
        results = yield Wave(tuple(live), until, dropped)
        kept = survivors(spec, [results[trial.number] for trial in live])
        paused = [trial for trial in live if results[trial.number].status == PAUSED]
        live = [trial for trial in paused if trial.point in kept]
        dropped = tuple(trial for trial in paused if trial.point not in kept)
        until *= spec.halving.eta
    if live or dropped:
        yield Wave(tuple(live), None, dropped)


def survivors(spec: Spec, results: Sequence[Result]) -> set[int]:
    """The best 1/eta of the points, at least one; a point is as good as the mean of its repeats."""
    board = rank((), spec.metric, spec.repeat, results)
    points = {result.trial: result.point for result in results}
    ranked = [points[row.trial] for row in board.rows if row.rank is not None]
    return set(ranked[: max(1, len(board.rows) // spec.halving.eta)])


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
