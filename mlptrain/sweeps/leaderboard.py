"""The leaderboard: trials (or, with ``repeat``, points) from the best to the worst, and its CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mlptrain.config.yaml import parse_value
from mlptrain.errors import ConfigError, DataError
from mlptrain.sweeps.spec import Metric
from mlptrain.sweeps.trials import HALVED, Result, short
from mlptrain.system.files import reason, write_text_atomic

LEADERBOARD = "leaderboard.csv"

FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")


@dataclass(frozen=True)
class Row:
    """A line of the leaderboard: ``figure`` is the metric, a mean with ``deviation`` where a point was repeated.

    ``trial`` is the trial, or the first of the point; ``best_trial`` the best of the point.
    """

    rank: int | None
    trial: int
    best_trial: int
    values: Mapping[str, Any]
    status: str
    epochs: int | None
    figures: Mapping[str, float | None]
    figure: float | None
    deviation: float | None
    repeats: int
    seconds: float


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the best to the worst, failed ones last; ``keys`` are the varied ones."""

    keys: tuple[str, ...]
    metric: Metric
    repeat: int
    rows: tuple[Row, ...]

    @property
    def best(self) -> Row | None:
        """The first row, or None where no trial has finished."""
        return self.rows[0] if self.rows and self.rows[0].rank is not None else None


def rank(keys: Sequence[str], metric: Metric, repeat: int, results: Iterable[Result]) -> Leaderboard:
    """Rank results by the metric (the mean of a point's finished repeats); what halving let train longer comes first.

    Ties are in the order of their trials.
    """
    points: dict[int, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.trial):
        points.setdefault(result.point, []).append(result)
    rows = [_row(metric, results) for results in points.values()]

    def order(row: Row) -> tuple[bool, int, float, int]:
        if row.figure is None:
            return True, 0, 0.0, row.trial
        epochs = (row.epochs or 0) if halving else 0
        return False, -epochs, -metric.sign * row.figure, row.trial

    halving = any(row.status == HALVED for row in rows)
    ranked = sorted(rows, key=order)
    numbered = [
        row if row.figure is None else Row(**{**vars(row), "rank": number}) for number, row in enumerate(ranked, 1)
    ]
    return Leaderboard(tuple(keys), metric, repeat, tuple(numbered))


def _row(metric: Metric, results: list[Result]) -> Row:
    """One point's results as a row."""
    first = results[0]
    usable = [r for r in results if not r.failed and _finite(r.metrics.get(metric.name)) is not None]
    measured = [float(r.metrics[metric.name]) for r in usable]
    seconds = sum(r.metrics.get("seconds") or 0.0 for r in results)
    if not usable:
        return Row(None, first.trial, first.trial, first.values, first.status, None, {}, None, None, 0, seconds)
    best = max(usable, key=lambda r: metric.sign * float(r.metrics[metric.name]))
    return Row(
        None,
        first.trial,
        best.trial,
        first.values,
        usable[0].status,
        max(r.metrics.get("epochs") or 0 for r in usable),
        {name: _mean([r.metrics.get(name) for r in usable]) for name in FIGURES},
        fmean(measured),
        stdev(measured) if len(measured) > 1 else None,
        len(usable),
        seconds,
    )


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _mean(values: Sequence[Any]) -> float | None:
    known = [number for number in map(_finite, values) if number is not None]
    return fmean(known) if known and len(known) == len(values) else None


def columns(board: Leaderboard) -> list[str]:
    """The columns of ``leaderboard.csv``."""
    repeated = ["repeats", f"{board.metric.name}_sd"] if board.repeat > 1 else []
    return ["rank", "trial", "run", *board.keys, "status", "epochs", *FIGURES, "seconds", *repeated]


def write_leaderboard(path: Path, board: Leaderboard, runs: Mapping[int, str]) -> None:
    """Write ``leaderboard.csv``; ``runs`` are the run folders that are kept, by trial."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns(board))
    for row in board.rows:
        repeated = [row.repeats, _cell(row.deviation)] if board.repeat > 1 else []
        writer.writerow(
            [
                _cell(row.rank),
                row.trial,
                runs.get(row.best_trial, ""),
                *(short(row.values.get(key)) for key in board.keys),
                row.status,
                _cell(row.epochs),
                *(_cell(row.figures.get(name)) for name in FIGURES),
                f"{row.seconds:.4f}",
                *repeated,
            ]
        )
    write_text_atomic(path, stream.getvalue())


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


@dataclass(frozen=True)
class Line:
    """A line of a ``leaderboard.csv``; ``figures`` are the numbers in the columns after ``status`` that are not empty.

    A key may have the name of a figure (``loss``), so the two are kept apart.
    """

    rank: int | None
    trial: str
    run: str
    values: Mapping[str, Any]
    status: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Table:
    """A ``leaderboard.csv``: its varied keys, the columns after ``status``, and its lines."""

    keys: tuple[str, ...]
    figures: tuple[str, ...]
    lines: tuple[Line, ...]


def read_leaderboard(path: Path) -> Table:
    """Read a ``leaderboard.csv``.

    Raises
    ------
    DataError
        It cannot be read, or is no leaderboard.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; finish the sweep, or --collect its runs") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = reason(error) if isinstance(error, OSError) else "not a CSV file"
        raise DataError(f"{path}: cannot be read: {why}; run the sweep again, or --collect its runs") from error
    head = rows[0] if rows else []
    if head[:3] != ["rank", "trial", "run"] or "status" not in head:
        raise DataError(f"{path}:1: expected rank,trial,run, the varied keys, status and figures")
    at = head.index("status")
    keys, figures = tuple(head[3:at]), tuple(head[at + 1 :])
    lines = []
    for number, cells in enumerate(rows[1:], start=2):
        try:
            if len(cells) != len(head):
                raise ValueError
            lines.append(_line(keys, figures, cells))
        except (ValueError, ConfigError):
            raise DataError(f"{path}:{number}: {','.join(cells)[:60]!r}; expected the columns of line 1") from None
    return Table(keys, figures, tuple(lines))


def _line(keys: Sequence[str], figures: Sequence[str], cells: Sequence[str]) -> Line:
    """The cells of a line, told apart by their position."""
    (rank, trial, run), (status, *numbers) = cells[:3], cells[3 + len(keys) :]
    values = {key: parse_value(cell) if cell else None for key, cell in zip(keys, cells[3:], strict=False)}
    known = {name: float(cell) for name, cell in zip(figures, numbers, strict=True) if cell}
    return Line(int(rank) if rank else None, trial, run, values, status, known)
