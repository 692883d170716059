"""The leaderboard: trials (or, with ``repeat``, points) from the best to the worst, and its CSV file."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mlptrain.config.values import short
from mlptrain.config.yaml import parse_value
from mlptrain.errors import ConfigError, DataError
from mlptrain.sweeps.space import fingerprint
from mlptrain.sweeps.spec import DEFAULT_METRIC, Metric
from mlptrain.sweeps.trials import HALVED, Result, trial_name
from mlptrain.system.files import reason, write_text_atomic
from mlptrain.system.html import fragment, note, table
from mlptrain.system.text import csv_cell, csv_line, csv_text, keras_number
from mlptrain.training.reports import METRIC_NAMES

MAX_ROWS = 20  # rows that a notebook shows


@dataclass(frozen=True)
class Row:
    """A trial, or with ``repeat`` a point, of the leaderboard.

    Attributes
    ----------
    rank
        Position from 1; None if there is no metric to rank it by.
    trial
        Number of the trial, or of the point's first one.
    values
        Values of the varied keys.
    status
        Status of the trial, or of the point's first one that did not fail.
    figure, deviation
        The metric by which trials are ranked, the mean over a point's trials that did not fail, and their standard
        deviation.
    figures
        All metrics that are known, by name.
    epochs, seconds
        Epochs trained, at most, and training time, in all.
    repeats
        Number of trials that did not fail.
    best_trial
        Number of the point's best trial; read from a file, the same as ``trial``.
    run
        Run folder of the best trial; empty if it was not kept.
    """

    rank: int | None
    trial: int
    values: Mapping[str, Any]
    status: str
    figure: float | None
    deviation: float | None
    figures: Mapping[str, float]
    epochs: int | None
    seconds: float
    repeats: int
    best_trial: int
    run: str = ""


@dataclass(frozen=True)
class Leaderboard:
    """Rows from the best to the worst, those without a rank last; ``keys`` are the varied ones.

    ``hidden`` is the number of further rows, which are not in ``rows``.
    """

    keys: tuple[str, ...]
    metric: Metric
    repeat: int
    rows: tuple[Row, ...]
    hidden: int = 0

    @property
    def best(self) -> Row | None:
        """The first row; None if no row has a rank."""
        return self.rows[0] if self.rows and self.rows[0].rank is not None else None

    def __repr__(self) -> str:
        if self.best is None:
            return f"Leaderboard(rows={len(self.rows)}, best=None)"
        best = f"best={dict(self.best.values)}, {self.metric.name}={self.best.figure:.4f}"
        return f"Leaderboard(rows={len(self.rows)}, {best})"

    def _repr_html_(self) -> str:
        """Return the first rows, for notebooks."""
        rows = [
            [
                "–" if row.rank is None else str(row.rank),
                trial_name(row.trial),
                row.status if row.figure is None else keras_number(row.figure),
                *([_shown(row.deviation)] if self.repeat > 1 else []),
                *(short(row.values.get(key)) for key in self.keys),
                _shown(row.figures.get("test_accuracy")),
                f"{row.seconds:.1f}",
            ]
            for row in self.rows[:MAX_ROWS]
        ]
        deviation = ["±"] if self.repeat > 1 else []
        heads = ["rank", "trial", self.metric.name, *deviation, *self.keys, "test_accuracy", "seconds"]
        more = len(self.rows) - len(rows) + self.hidden
        return fragment("Leaderboard", table(heads, rows), *([note(f"{more:,} more rows")] if more else []))

    def with_runs(self, runs: Mapping[int, str]) -> Leaderboard:
        """Return a copy whose rows have their run folders, given by trial."""
        pairs = ((row, runs.get(row.best_trial, "")) for row in self.rows)
        return replace(self, rows=tuple(row if row.run == run else replace(row, run=run) for row, run in pairs))


class Standings:
    """The ranking of a sweep in progress, to which results are added in a time that hardly grows with their number.

    Rows are ranked by the metric; with successive halving by the epochs trained, and then by the metric. Ties are in
    the order of the trials.
    """

    def __init__(self, keys: Sequence[str], metric: Metric, repeat: int, results: Iterable[Result] = ()) -> None:
        self._keys, self._metric, self._repeat = tuple(keys), metric, repeat
        self._points: dict[int, list[Result]] = {}
        self._incomplete: set[int] = set()
        self._rows: list[Row] = []
        self._halving = False
        self.add(*results)

    def add(self, *results: Result) -> None:
        """Add results, one per trial at most."""
        if not self._halving and any(result.status == HALVED for result in results):
            self._halving = True
            self._rows.sort(key=self._order)
        for result in sorted(results, key=lambda result: result.trial):
            found = self._points.setdefault(result.point, [])
            if found:
                del self._rows[bisect_left(self._rows, self._order(_row(self._metric, found)), key=self._order)]
            insort(found, result, key=lambda each: each.trial)
            insort(self._rows, _row(self._metric, found), key=self._order)
            (self._incomplete.discard if len(found) == self._repeat else self._incomplete.add)(result.point)

    def _order(self, row: Row) -> tuple[bool, int, float, int]:
        if row.figure is None:
            return True, 0, 0.0, row.trial
        return False, -(row.epochs or 0) if self._halving else 0, -self._metric.sign * row.figure, row.trial

    def board(self, limit: int | None = None) -> Leaderboard:
        """Return the leaderboard, or its first ``limit`` rows."""
        shown = enumerate(self._rows[:limit], start=1)
        rows = tuple(row if row.figure is None else replace(row, rank=number) for number, row in shown)
        return Leaderboard(self._keys, self._metric, self._repeat, rows, len(self._rows) - len(rows))

    def contenders(self) -> set[int]:
        """Return the trials that can be the best one in the end: that of the best point, and all of points to come."""
        found = {result.trial for point in self._incomplete for result in self._points[point]}
        ranked = (row for row in self._rows if row.figure is not None)
        best = next((row for row in ranked if row.trial // self._repeat not in self._incomplete), None)
        return found if best is None else found | {best.best_trial}


def rank(keys: Sequence[str], metric: Metric, repeat: int, results: Iterable[Result]) -> Leaderboard:
    """Return the leaderboard of results; see `Standings`."""
    return Standings(keys, metric, repeat, results).board()


def _row(metric: Metric, results: Sequence[Result]) -> Row:
    """Return the row of one point, without its rank."""
    ranked = [r for r in results if not r.failed and _finite(r.metrics.get(metric.name)) is not None]
    values = {r.trial: float(r.metrics[metric.name]) for r in ranked}
    first = results[0]
    means = {name: _mean([r.metrics.get(name) for r in ranked]) for name in METRIC_NAMES}
    return Row(
        rank=None,
        trial=first.trial,
        values=first.values,
        status=ranked[0].status if ranked else first.status,
        figure=fmean(values.values()) if ranked else None,
        deviation=stdev(values.values()) if len(ranked) > 1 else None,
        figures={name: mean for name, mean in means.items() if mean is not None},
        epochs=max((r.metrics.get("epochs") or 0 for r in ranked), default=None),
        seconds=sum(r.metrics.get("seconds") or 0.0 for r in results),
        repeats=len(ranked),
        best_trial=max(values, key=lambda trial: metric.sign * values[trial], default=first.trial),
    )


@dataclass(frozen=True)
class ValueSummary:
    """The rows of a grid with one value of a key: ``mean`` and ``best`` metric, None if all of them ``failed``."""

    key: str
    value: Any
    mean: float | None
    best: float | None
    failed: int


def summarise_values(keys: Sequence[str], metric: Metric, rows: Iterable[Row]) -> list[ValueSummary]:
    """Return a summary per key and value; empty unless the rows are a complete grid of at least two keys.

    Only there the means can be compared, because each is over the same values of the other keys and, without halving,
    over the same number of epochs.
    """
    ordered = sorted(rows, key=lambda row: row.trial)
    if any(row.status == HALVED for row in ordered):
        return []
    groups: dict[str, dict[str, list[Row]]] = {key: {} for key in keys}
    for row, (key, values) in product(ordered, groups.items()):
        values.setdefault(fingerprint({key: row.values.get(key)}), []).append(row)
    points = {fingerprint({key: row.values.get(key) for key in keys}) for row in ordered}
    counts = [len(values) for values in groups.values()]
    if len(counts) < 2 or min(counts) < 2 or len(points) != math.prod(counts):
        return []
    return [_summary(key, metric, found) for key, values in groups.items() for found in values.values()]


def _summary(key: str, metric: Metric, rows: Sequence[Row]) -> ValueSummary:
    metrics = [row.figure for row in rows if row.figure is not None]
    best = max(metrics, key=lambda value: metric.sign * value, default=None)
    mean = fmean(metrics) if metrics else None
    return ValueSummary(key, rows[0].values.get(key), mean, best, len(rows) - len(metrics))


def _shown(value: float | None) -> str:
    return "" if value is None else keras_number(value)


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _mean(values: Sequence[Any]) -> float | None:
    """Return the mean of the values, None if one of them is not a finite number."""
    finite = [number for number in map(_finite, values) if number is not None]
    return fmean(finite) if finite and len(finite) == len(values) else None


def write_leaderboard(path: Path, board: Leaderboard) -> None:
    """Write ``leaderboard.csv``.

    Raises
    ------
    DataError
        The file cannot be written.
    """
    repeated = ["repeats", f"{board.metric.name}_sd"] if board.repeat > 1 else []
    keys = map(csv_cell, board.keys)
    lines = [["rank", "trial", "run", *keys, "status", "epochs", *METRIC_NAMES, "seconds", *repeated]]
    for row in board.rows:
        lines.append(
            [
                _cell(row.rank),
                str(row.trial),
                csv_cell(row.run),
                *(short(row.values.get(key)) for key in board.keys),
                row.status,
                _cell(row.epochs),
                *(_cell(row.figures.get(name)) for name in METRIC_NAMES),
                f"{row.seconds:.4f}",
                *([str(row.repeats), _cell(row.deviation)] if repeated else []),
            ]
        )
    write_text_atomic(path, "".join(f"{csv_line(line)}\n" for line in lines))


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def read_leaderboard(path: Path, metric: Metric = DEFAULT_METRIC) -> Leaderboard:
    """Read a ``leaderboard.csv`` that was ranked by this metric.

    Raises
    ------
    DataError
        The file is missing, damaged, or no leaderboard with this metric.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
            head, *lines = list(csv.reader(stream)) or [[]]
    except (OSError, csv.Error) as error:
        why = reason(error) if isinstance(error, OSError) else "not a CSV file"
        raise DataError(
            f"{path}: cannot be read: {why}\nhint: run the sweep again, or rank its runs with --collect"
        ) from error
    if head[:3] != ["rank", "trial", "run"] or "status" not in head or metric.name not in head[head.index("status") :]:
        raise DataError(f"{path}:1: not a leaderboard\nexpected rank,trial,run,...,status,...,{metric.name},...")
    keys, columns = [csv_text(cell) for cell in head[3 : head.index("status")]], head[head.index("status") + 1 :]
    rows = []
    for number, cells in enumerate(lines, start=2):
        try:
            rows.append(_parsed(keys, columns, metric, cells))
        except (ValueError, ConfigError):
            text = ",".join(cells)[:60]
            raise DataError(f"{path}:{number}: expected the columns of line 1 (got {text!r})") from None
    return Leaderboard(tuple(keys), metric, max((row.repeats for row in rows), default=1), tuple(rows))


def _parsed(keys: Sequence[str], columns: Sequence[str], metric: Metric, cells: Sequence[str]) -> Row:
    """Return a line of the file as a row; a key may have the name of a column, so the cells count by position."""
    (rank, trial, run), (status, *numbers) = cells[:3], cells[3 + len(keys) :]
    values = {key: parse_value(cell) if cell else None for key, cell in zip(keys, cells[3:], strict=False)}
    known = {name: float(cell) for name, cell in zip(columns, numbers, strict=True) if cell}
    epochs, deviation = known.pop("epochs", None), known.pop(f"{metric.name}_sd", None)
    return Row(
        rank=int(rank) if rank else None,
        trial=int(trial),
        values=values,
        status=status,
        figure=known.get(metric.name),
        deviation=deviation,
        epochs=None if epochs is None else int(epochs),
        seconds=known.pop("seconds", 0.0),
        repeats=int(known.pop("repeats", 1 if rank else 0)),
        figures=known,
        best_trial=int(trial),
        run=csv_text(run),
    )
