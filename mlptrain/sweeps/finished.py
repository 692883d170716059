"""Sweep folders read back, also while the sweep is running, for plots and reports."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from mlptrain.config.config import Config
from mlptrain.config.yaml import read_yaml
from mlptrain.runs.files import BEST, JOURNAL, LEADERBOARD, SWEEP
from mlptrain.sweeps.folder import SweepFolder, is_run_of
from mlptrain.sweeps.importance import importances, importances_of
from mlptrain.sweeps.journal import read_record
from mlptrain.sweeps.leaderboard import Leaderboard, Row, rank, read_leaderboard
from mlptrain.sweeps.spec import DEFAULT_METRIC, Metric, Spec
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import HALVED, PAUSED, Result, trial_of
from mlptrain.sweeps.watch import shard_of


@dataclass(frozen=True)
class SweepView:
    """The content of a sweep folder.

    Attributes
    ----------
    path
        The folder.
    board
        The leaderboard. Trials that are paused until their next rung are on it too.
    failed
        Trials that diverged or failed.
    importances
        See `mlptrain.sweeps.importance.importances`.
    best
        Run folder of the best trial; None if it was not kept.
    ended, trials
        Number of trials that have ended, and of all trials; of a shard, those that are planned so far.
    spec, config
        The sweep, and the config of its best trial; None without a journal, as for collected runs.
    """

    path: Path
    board: Leaderboard
    failed: tuple[Result, ...]
    importances: dict[str, float] | None
    best: Path | None
    ended: int
    trials: int
    spec: Spec | None = None
    config: Config | None = None

    @property
    def ranked(self) -> tuple[Row, ...]:
        """The rows that have a rank, from the best."""
        return tuple(row for row in self.board.rows if row.rank is not None)

    @property
    def scores(self) -> list[float]:
        """The metrics of the ranked rows."""
        return [row.figure for row in self.board.rows if row.figure is not None]


def view_sweep(path: Path) -> SweepView:
    """Read the journal of a sweep folder or, if there is none, the leaderboard.

    Raises
    ------
    ConfigError, DataError
        The sweep file, the journal or the leaderboard is missing or damaged.
    """
    return _view_journal(path) if (path / JOURNAL).is_file() else _view_leaderboard(path)


def _view_journal(path: Path) -> SweepView:
    spec = read_sweep(path / SWEEP)
    record = read_record(path / JOURNAL, spec, retry=False)
    results = record.latest
    paused = {trial for trial, result in results.items() if result.status == PAUSED}
    # Paused trials have trained for fewer epochs than those that continued, so they are ranked like halved ones.
    halved = (replace(r, status=HALVED) if r.trial in paused else r for r in results.values())
    board = rank(spec.space.varied, spec.metric, spec.repeat, halved)
    board = replace(board, rows=tuple(replace(r, status=PAUSED) if r.trial in paused else r for r in board.rows))
    best, config = None, None
    if board.best is not None:
        result = results[board.best.best_trial]
        config = trial_of(spec, result).config
        runs = (path / BEST, SweepFolder(path).run(result.trial))
        best = next((run for run in runs if is_run_of(run, result)), None)
    planned = len({trial for plan in record.plans for stack in plan.stacks for trial in stack.trials})
    whole = (spec.points or 0) * spec.repeat if shard_of(path) is None else 0
    return SweepView(
        path,
        board,
        tuple(result for result in results.values() if result.failed),
        importances_of(board.keys, spec.metric.name, record.compared),
        best,
        len(record.results),
        max(planned, whole),
        spec,
        config,
    )


def _view_leaderboard(path: Path) -> SweepView:
    metric = _metric(path / SWEEP)
    board = read_leaderboard(path / LEADERBOARD, metric)
    ranked = sorted((row for row in board.rows if _is_ranked(row)), key=lambda row: row.rank or 0)
    failed = [replace(row, rank=None, figure=None) for row in board.rows if not _is_ranked(row)]
    shares = importances(board.keys, ((row.values, row.figure) for row in ranked if row.figure is not None))
    best = path / BEST
    return SweepView(
        path,
        replace(board, rows=(*ranked, *failed)),
        tuple(Result(row.trial, row.trial, "", row.values, row.status) for row in failed),
        shares,
        best if best.is_dir() else None,
        len(board.rows),
        len(board.rows),
    )


def _is_ranked(row: Row) -> bool:
    return row.rank is not None and row.figure is not None and math.isfinite(row.figure)


def _metric(path: Path) -> Metric:
    """Return the metric of a sweep file; the default if the file is missing, as for collected runs."""
    given = read_yaml(path).values.get("metric") if path.is_file() else None
    if not isinstance(given, dict):
        return DEFAULT_METRIC
    return Metric(**{key: str(given.get(key, value)) for key, value in vars(DEFAULT_METRIC).items()})
