"""``history.csv`` and ``layers.csv``: metrics per epoch and statistics per epoch and layer, in full precision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from itertools import groupby, takewhile
from operator import itemgetter
from pathlib import Path

from mlptrain.config.values import shown
from mlptrain.engine.layers import LayerStatistics
from mlptrain.errors import DataError
from mlptrain.system.files import reason
from mlptrain.training.reports import EpochReport, LayersReport

COLUMNS = tuple(field.name for field in fields(EpochReport) if field.name not in ("epochs", "steps", "member"))
"""The columns: the metrics of an `EpochReport` after its number. A new field of the report is a new column."""

REQUIRED = ("epoch", "loss", "accuracy", "learning_rate", "seconds")
"""Columns that every history has, with a number in every row except that of an epoch that diverged."""

HEADING = ",".join(COLUMNS) + "\n"

LAYER_COLUMNS = ("epoch", "layer", *LayerStatistics._fields)

LAYER_HEADING = ",".join(LAYER_COLUMNS) + "\n"

MAX_BYTES = 256 * 1024 * 1024  # two million epochs

_HINT = "hint: rebuild the file from the checkpoint with --resume, or replace the run with --overwrite"


def row_of(report: EpochReport) -> str:
    """Return the line of an epoch; a cell is empty if its value is None or not finite."""
    return ",".join(_cell(name, getattr(report, name)) for name in COLUMNS) + "\n"


def layer_rows_of(report: LayersReport) -> str:
    """Return the lines of an epoch, one per layer; a cell is empty if its value is None or not finite."""
    rows = (
        zip(LAYER_COLUMNS, (report.epoch, layer, *values), strict=True) for layer, values in enumerate(report.layers, 1)
    )
    return "".join(",".join(_cell(name, value) for name, value in row) + "\n" for row in rows)


def _cell(name: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.4f}" if name == "seconds" else repr(value)


def report_of(epoch: int, values: Mapping[str, float | None], epochs: int = 0, steps: int = 0) -> EpochReport:
    """Return the report of an epoch from its values by column; a missing one is None, or NaN if it is required."""
    known = {name: values.get(name) for name in COLUMNS if name != "epoch"}
    numbers = {name: math.nan if value is None and name in REQUIRED else value for name, value in known.items()}
    return EpochReport(epoch=epoch, epochs=epochs, steps=steps, **numbers)  # type: ignore[arg-type]


def read_history(path: Path, epochs: int = 0, steps: int = 0) -> tuple[EpochReport, ...]:
    """Read the epochs of a history; ``epochs`` and ``steps`` are those of the run, for the reports.

    Columns that the version that wrote the file did not know may be missing. An empty cell becomes NaN in a required
    column, None in the others.

    Raises
    ------
    DataError
        The file is missing, unreadable, or damaged; the message has the line.
    """
    return tuple(_reports(path, epochs, steps))


def _reports(path: Path, epochs: int, steps: int) -> Iterator[EpochReport]:
    """Yield the reports one by one."""
    rows = _rows(path, _HINT)
    _, heading = next(rows)
    names = heading.split(",")
    if names != [name for name in COLUMNS if name in names] or not set(REQUIRED) <= set(names):
        raise DataError(f"{path}:1: expected the columns {HEADING.strip()} (got {shown(heading)})\n{_HINT}")
    for number, line in rows:
        yield _report(path, number, line, names, epochs, steps)


def finished_epochs(path: Path, epochs: int = 0) -> tuple[EpochReport, ...]:
    """Return the epochs of a history, before the first row that diverged or is damaged; none if it is missing."""
    found = []
    with suppress(DataError):
        for report in takewhile(lambda report: math.isfinite(report.loss), _reports(path, epochs, 0)):
            found.append(report)
    return tuple(found)


def _rows(path: Path, hint: str) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line, that of the heading first.

    Raises
    ------
    DataError
        The file is missing, unreadable or too large, or, after the other lines, the last one is cut short.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}\n{hint}") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MB\n{hint}")
    heading, *lines = content.decode(errors="replace").split("\n")
    yield 1, heading
    yield from enumerate(lines[:-1], start=2)
    if not lines or lines[-1]:
        raise DataError(f"{path}:{len(lines) + 1}: the last row is cut short\n{hint}")


def _report(path: Path, number: int, line: str, names: list[str], epochs: int, steps: int) -> EpochReport:
    try:
        cells = dict(zip(names, line.split(","), strict=True))
        if int(cells.pop("epoch")) != number - 1:
            raise ValueError
        values = {name: float(cell) if cell else None for name, cell in cells.items()}
    except ValueError:
        expected = f"epoch {number - 1} in {len(names)} columns of numbers"
        raise DataError(f"{path}:{number}: expected {expected} (got {shown(line)})\n{_HINT}") from None
    return report_of(number - 1, values, epochs, steps)


_OPTIONAL = ("saturated", "dead")  # columns in which an empty cell means that the layer has no such value

_LAYERS_HINT = "hint: delete the file; the run is then shown without the statistics of its layers"


def read_layers(path: Path) -> tuple[LayersReport, ...]:
    """Read the reports in ``layers.csv``; none if there is no such file, as in runs of 0.1.

    An empty cell of ``saturated`` or ``dead`` becomes None, one of another column NaN.

    Raises
    ------
    DataError
        The file is unreadable or damaged; the message has the line.
    """
    return tuple(_layer_reports(path)) if path.exists() else ()


def layers_until(path: Path, epoch: int) -> tuple[LayersReport, ...]:
    """Return the reports in ``layers.csv`` up to ``epoch`` and before the first damaged row."""
    reports = []
    with suppress(DataError):
        for report in takewhile(lambda report: report.epoch <= epoch, _layer_reports(path)):
            reports.append(report)
    return tuple(reports)


def _layer_reports(path: Path) -> Iterator[LayersReport]:
    """Yield the reports one by one; every epoch has the layers of the first, in their order."""
    rows = _rows(path, _LAYERS_HINT)
    _, heading = next(rows)
    if heading + "\n" != LAYER_HEADING:
        expected = LAYER_HEADING.strip()
        raise DataError(f"{path}:1: expected the columns {expected} (got {shown(heading)})\n{_LAYERS_HINT}")
    last, depth = -1, 0
    parsed = ((number, *_layer_row(path, number, line)) for number, line in rows)
    for epoch, group in groupby(parsed, key=itemgetter(1)):
        numbers, _, layers, statistics = zip(*group, strict=True)
        depth = depth or len(layers)
        if epoch <= last or layers != tuple(range(1, depth + 1)):
            expected = f"layers 1 to {depth} of an epoch after {last}"
            raise DataError(f"{path}:{numbers[0]}: expected {expected} (got {epoch})\n{_LAYERS_HINT}")
        last = epoch
        yield LayersReport(epoch, statistics)


def _layer_row(path: Path, number: int, line: str) -> tuple[int, int, LayerStatistics]:
    try:
        epoch, layer, *cells = line.split(",")
        named = zip(LayerStatistics._fields, cells, strict=True)
        values = [float(cell) if cell else None if name in _OPTIONAL else math.nan for name, cell in named]
        return int(epoch), int(layer), LayerStatistics._make(values)
    except ValueError:
        expected = f"{len(LAYER_COLUMNS)} columns of numbers"
        raise DataError(f"{path}:{number}: expected {expected} (got {shown(line)})\n{_LAYERS_HINT}") from None
