"""``history.csv``: one row an epoch, every number to all its digits."""

from __future__ import annotations

import math
from pathlib import Path

from mlptrain.config.values import shown
from mlptrain.errors import DataError
from mlptrain.system.files import reason
from mlptrain.training.reports import EpochReport

COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")

HEADING = ",".join(COLUMNS) + "\n"

MAX_BYTES = 256 * 1024 * 1024  # two million epochs


def row_of(report: EpochReport) -> str:
    """An epoch's line; a cell is empty where there is no finite number."""
    values = [getattr(report, column) for column in COLUMNS[:-1]]
    return ",".join([*map(_cell, values), f"{report.seconds:.4f}"]) + "\n"


def _cell(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(value)


def read_history(path: Path, epochs: int = 0, steps: int = 0) -> tuple[EpochReport, ...]:
    """The epochs of a history, of a run of ``epochs`` with ``steps`` each where that is known.

    An empty cell is None in the columns that may be empty, else NaN.

    Raises
    ------
    DataError
        Missing, unreadable or damaged, with the line.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MB; this is no history of a run")
    lines = content.decode(errors="replace").split("\n")
    if lines[0] + "\n" != HEADING:
        raise DataError(f"{path}:1: begins with {shown(lines[0])}; expected {HEADING.strip()}")
    if lines[-1]:
        raise DataError(f"{path}:{len(lines)}: the last row is cut short; continue the run with --resume")
    return tuple(_report(path, number, line, epochs, steps) for number, line in enumerate(lines[1:-1], start=1))


def _report(path: Path, number: int, line: str, epochs: int, steps: int) -> EpochReport:
    cells = line.split(",")
    try:
        epoch = int(cells[0])
        if epoch != number or len(cells) != len(COLUMNS):
            raise ValueError
        loss, accuracy, val_loss, val_accuracy, rate, seconds = (float(cell) if cell else None for cell in cells[1:])
    except ValueError:
        wanted = f"epoch {number} in {len(COLUMNS)} columns of numbers"
        raise DataError(f"{path}:{number + 1}: {shown(line)}; expected {wanted}") from None
    known = [math.nan if value is None else value for value in (loss, accuracy, rate, seconds)]
    return EpochReport(epoch, epochs, steps, known[0], known[1], val_loss, val_accuracy, known[2], known[3])
