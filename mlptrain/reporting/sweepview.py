"""What a sweep folder holds, read for those who show it: its metric, and a row a trial of the leaderboard."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlptrain.errors import ConfigError, DataError
from mlptrain.files import reason
from mlptrain.yamlfile import parse_value, read_yaml

LEADERBOARD, SWEEP, BEST = "leaderboard.csv", "sweep.yaml", "best"
_BEFORE, _AFTER = ("rank", "trial", "run"), "status"
_FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy", "seconds")


@dataclass(frozen=True)
class TrialRow:
    """A row of the leaderboard: the varied values, the figures, and ``score``, the sweep's metric (nan: none)."""

    rank: int | None
    trial: str
    values: Mapping[str, Any]
    figures: Mapping[str, float]
    status: str
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
    try:
        with board.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "not text"
        raise DataError(f"{board}: cannot be read: {why}; run the sweep again") from error
    head = rows[0] if rows else []
    if tuple(head[:3]) != _BEFORE or _AFTER not in head or metric not in head[head.index(_AFTER) :]:
        raise DataError(f"{board}:1: expected rank,trial,run, the varied keys, status and figures with {metric}")
    keys, figures = tuple(head[3 : head.index(_AFTER)]), head[head.index(_AFTER) :]
    trials = []
    for number, cells in enumerate(rows[1:], start=2):
        try:
            if len(cells) != len(head):
                raise ValueError
            varied, rest = cells[3 : 3 + len(keys)], cells[3 + len(keys) :]
            trials.append(
                _trial(
                    cells[0],
                    cells[1],
                    dict(zip(keys, varied, strict=True)),
                    dict(zip(figures, rest, strict=True)),
                    metric,
                )
            )
        except (ValueError, ConfigError):
            raise DataError(f"{board}:{number}: {','.join(cells)[:60]!r}; expected the columns of line 1") from None
    ranked = [trial for trial in trials if trial.rank is not None and math.isfinite(trial.score)]
    if not ranked:
        raise DataError(f"{board}: no trial with a {metric}; nothing to draw")
    ranked.sort(key=lambda trial: trial.rank or 0)
    lost = tuple(trial for trial in trials if trial not in ranked)
    return SweepView(path, keys, metric, goal, tuple(ranked), lost)


def _metric(path: Path) -> tuple[str, str]:
    """Name and goal of the sweep's metric; a collected sweep without a file has the default."""
    metric = read_yaml(path).values.get("metric") if path.is_file() else None
    if not isinstance(metric, dict):
        return "val_accuracy", "maximize"
    return str(metric.get("name", "val_accuracy")), str(metric.get("goal", "maximize"))


def _trial(rank: str, name: str, values: Mapping[str, str], rest: Mapping[str, str], metric: str) -> TrialRow:
    """A row from its cells; a key may have the name of a figure (``loss``), so the two are kept apart."""
    figures = {key: float(rest[key]) for key in _FIGURES if rest.get(key)}
    parsed = {key: parse_value(text) if text else None for key, text in values.items()}
    return TrialRow(int(rank) if rank else None, name, parsed, figures, rest[_AFTER], figures.get(metric, math.nan))
