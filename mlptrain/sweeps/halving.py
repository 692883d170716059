"""Method halving: many trials for a few epochs, then fewer and fewer of them for more and more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlptrain.sweeps.leaderboard import Result, rank
from mlptrain.sweeps.samplers import Point
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import Trial, trials_of
from mlptrain.sweeps.waves import PAUSED, Wave, Waves


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
