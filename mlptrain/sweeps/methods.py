"""Methods: the waves of trials that grid, random, halving and tpe train."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from mlptrain.sweeps.leaderboard import rank
from mlptrain.sweeps.space import Point
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.tpe import tpe
from mlptrain.sweeps.trials import PAUSED, Result, Trial, Wave, Waves, trials_of

WINDOW = 1024
"""Number of points per wave of a grid or a random search, which bounds the memory and the time for planning."""


def waves(spec: Spec, shard: tuple[int, int] | None = None) -> Waves:
    """Yield the waves of a sweep, or of its shard (I, N): every Nth point, starting with the Ith, counted from 1.

    Raises
    ------
    UsageError
        The method is tpe and Optuna is not installed.
    ConfigError
        The values of a point contradict each other.
    """
    if spec.method == "tpe":
        return tpe(spec)
    if spec.method == "halving":
        return _halving(spec)
    first, every = shard or (1, 1)
    return _windows(spec, points_of(spec, first - 1, every))


def points_of(spec: Spec, start: int = 0, step: int = 1) -> Iterator[tuple[int, Point]]:
    """Yield numbers and points of a grid or, with a ``run_cap``, of a random sample: every ``step``-th from ``start``.

    A point of a grid is computed from its number; those of a sample are drawn one after another.
    """
    if spec.run_cap is None:
        return ((number, spec.space.point(number)) for number in range(start, spec.points or 0, step))
    numbered = enumerate(spec.space.sample(spec.seed, spec.run_cap))
    return (item for item in numbered if item[0] >= start and (item[0] - start) % step == 0)


def _windows(spec: Spec, points: Iterable[tuple[int, Point]]) -> Waves:
    """Yield waves of up to `WINDOW` points, each trained to its end."""
    source = iter(points)
    while window := list(islice(source, WINDOW)):
        yield Wave(tuple(trial for number, point in window for trial in trials_of(spec, number, point)))


def _halving(spec: Spec) -> Waves:
    """Yield the waves of successive halving (Jamieson and Talwalkar 2016).

    Waves end after min_iter, min_iter·eta, min_iter·eta², ... epochs; after each the best 1/eta of the points continue.
    """
    active = [trial for number, point in points_of(spec) for trial in trials_of(spec, number, point)]
    until, dropped = spec.halving.min_iter, tuple[Trial, ...]()
    while any(trial.config.epochs > until for trial in active):
        results = yield Wave(tuple(active), until, dropped)
        kept = _survivors(spec, [results[trial.number] for trial in active])
        paused = [trial for trial in active if results[trial.number].status == PAUSED]
        active = [trial for trial in paused if trial.point in kept]
        dropped = tuple(trial for trial in paused if trial.point not in kept)
        until *= spec.halving.eta
    if active or dropped:
        yield Wave(tuple(active), None, dropped)


def _survivors(spec: Spec, results: Sequence[Result]) -> set[int]:
    """Return the best 1/eta of the points, at least one; the metric of a point is the mean over its repeats."""
    board = rank((), spec.metric, spec.repeat, results)
    points = {result.trial: result.point for result in results}
    ranked = [points[row.trial] for row in board.rows if row.rank is not None]
    return set(ranked[: max(1, len(board.rows) // spec.halving.eta)])
