"""``history.csv``: one row per epoch, with every number in full precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from mlptrain.config.values import shown
from mlptrain.errors import DataError
from mlptrain.system.files import reason
from mlptrain.training.reports import EpochReport

COLUMNS = tuple(field.name for field in fields(EpochReport) if field.name not in ("epochs", "steps", "member"))
"""The columns: the metrics of an `EpochReport` after its number. A new field of the report is a new column."""

REQUIRED = ("epoch", "loss", "accuracy", "learning_rate", "seconds")
"""Columns that every history has, with a number in every row except that of an epoch that diverged."""

HEADING = ",".join(COLUMNS) + "\n"

MAX_BYTES = 256 * 1024 * 1024  # two million epochs

_HINT = "hint: rebuild the file from the checkpoint with --resume, or replace the run with --overwrite"


def row_of(report: EpochReport) -> str:
    """Return the line of an epoch; a cell is empty if its value is None or not finite."""
    return ",".join(_cell(name, getattr(report, name)) for name in COLUMNS) + "\n"


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
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}\n{_HINT}") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MB\n{_HINT}")
    heading, *lines = content.decode(errors="replace").split("\n")
    names = heading.split(",")
    if names != [name for name in COLUMNS if name in names] or not set(REQUIRED) <= set(names):
        raise DataError(f"{path}:1: expected the columns {HEADING.strip()} (got {shown(heading)})\n{_HINT}")
    if not lines or lines[-1]:
        raise DataError(f"{path}:{len(lines) + 1}: the last row is cut short\n{_HINT}")
    return tuple(_report(path, number, line, names, epochs, steps) for number, line in enumerate(lines[:-1], start=1))


def _report(path: Path, number: int, line: str, names: list[str], epochs: int, steps: int) -> EpochReport:
    try:
        cells = dict(zip(names, line.split(","), strict=True))
        if int(cells.pop("epoch")) != number:
            raise ValueError
        values = {name: float(cell) if cell else None for name, cell in cells.items()}
    except ValueError:
        expected = f"epoch {number} in {len(names)} columns of numbers"
        raise DataError(f"{path}:{number + 1}: expected {expected} (got {shown(line)})\n{_HINT}") from None
    return report_of(number, values, epochs, steps)
