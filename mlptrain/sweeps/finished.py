"""Sweep folders read back: the leaderboard of a sweep that has ended, for plots and reports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mlptrain.config.yaml import read_yaml
from mlptrain.errors import DataError
from mlptrain.runs.files import BEST, LEADERBOARD, SWEEP
from mlptrain.sweeps.leaderboard import Row, read_leaderboard
from mlptrain.sweeps.spec import DEFAULT_METRIC, Metric


@dataclass(frozen=True)
class SweepView:
    """The leaderboard of a sweep folder: ``ranked`` rows from the best, and ``failed`` ones, which have no metric."""

    path: Path
    keys: tuple[str, ...]
    metric: Metric
    ranked: tuple[Row, ...]
    failed: tuple[Row, ...]

    @property
    def best(self) -> Path | None:
        """The run folder of the best trial; None if it was not kept."""
        folder = self.path / BEST
        return folder if folder.is_dir() else None


def view_sweep(path: Path) -> SweepView:
    """Read a sweep folder.

    Raises
    ------
    DataError
        The leaderboard is missing or damaged, or has no ranked trial.
    """
    metric = _metric(path / SWEEP)
    board = read_leaderboard(path / LEADERBOARD, metric)
    ranked = sorted(filter(_is_ranked, board.rows), key=lambda row: row.rank or 0)
    if not ranked:
        raise DataError(
            f"{path / LEADERBOARD}: no trial has a {metric.name}, so there is nothing to plot\n"
            "hint: run the sweep with smaller learning rates"
        )
    failed = tuple(row for row in board.rows if not _is_ranked(row))
    return SweepView(path, board.keys, metric, tuple(ranked), failed)


def _is_ranked(row: Row) -> bool:
    return row.rank is not None and row.figure is not None and math.isfinite(row.figure)


def _metric(path: Path) -> Metric:
    """Return the metric of a sweep file; the default if the file is missing, as for collected runs."""
    given = read_yaml(path).values.get("metric") if path.is_file() else None
    if not isinstance(given, dict):
        return DEFAULT_METRIC
    return Metric(**{key: str(given.get(key, value)) for key, value in vars(DEFAULT_METRIC).items()})
