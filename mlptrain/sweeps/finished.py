"""What a sweep folder holds, read for those who show it: its metric, and a row a trial of the leaderboard."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mlptrain.config.yaml import read_yaml
from mlptrain.errors import DataError
from mlptrain.sweeps.folder import BEST, SWEEP
from mlptrain.sweeps.leaderboard import LEADERBOARD, Line, read_leaderboard


@dataclass(frozen=True)
class TrialRow(Line):
    """A line of the leaderboard with its ``score``, the sweep's metric (nan: none)."""

    score: float


@dataclass(frozen=True)
class SweepView:
    """A sweep as it lies in its folder; ``ranked`` trials from the best on, ``lost`` ones without a score."""

    path: Path
    keys: tuple[str, ...]
    metric: str
    goal: str
    ranked: tuple[TrialRow, ...]
    lost: tuple[TrialRow, ...]

    @property
    def best(self) -> Path | None:
        """The run folder of the best trial, where it was kept."""
        folder = self.path / BEST
        return folder if folder.is_dir() else None


def find_sweep(name: str, runs_dir: Path) -> Path | None:
    """The folder of a sweep: a path, or a name under ``runs_dir``; None where no leaderboard lies there."""
    for path in (Path(name), runs_dir / name):
        try:
            if (path / LEADERBOARD).is_file():
                return path
        except OSError:
            continue
    return None


def view_sweep(path: Path) -> SweepView:
    """Read a sweep folder.

    Raises
    ------
    DataError
        The leaderboard cannot be read, is not one, or holds no trial with a score.
    """
    metric, goal = _metric(path / SWEEP)
    board = path / LEADERBOARD
    table = read_leaderboard(board)
    if metric not in table.figures:
        raise DataError(f"{board}:1: expected a column {metric} after status; the sweep is ranked by it")
    trials = [TrialRow(**vars(line), score=line.figures.get(metric, math.nan)) for line in table.lines]
    ranked = [trial for trial in trials if trial.rank is not None and math.isfinite(trial.score)]
    if not ranked:
        raise DataError(f"{board}: no trial with a {metric}; nothing to draw")
    ranked.sort(key=lambda trial: trial.rank or 0)
    lost = tuple(trial for trial in trials if trial not in ranked)
    return SweepView(path, table.keys, metric, goal, tuple(ranked), lost)


def _metric(path: Path) -> tuple[str, str]:
    """Name and goal of the sweep's metric; a collected sweep without a file has the default."""
    metric = read_yaml(path).values.get("metric") if path.is_file() else None
    if not isinstance(metric, dict):
        return "val_accuracy", "maximize"
    return str(metric.get("name", "val_accuracy")), str(metric.get("goal", "maximize"))
