"""The figures of a run epoch by epoch, from its reports or from ``history.csv``."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlptrain.errors import DataError
from mlptrain.files import reason
from mlptrain.reports import EpochReport
from mlptrain.runs import COLUMNS, HISTORY


@dataclass(frozen=True)
class History:
    """A column a figure, an entry a finished epoch; ``val_`` columns are empty where nothing was validated.

    ``diverged`` is the epoch in which the loss was no finite number any more, None where that did not happen.
    """

    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    val_loss: tuple[float, ...]
    val_accuracy: tuple[float, ...]
    diverged: int | None = None

    @property
    def validated(self) -> bool:
        """Whether every epoch has validation figures."""
        return bool(self.val_loss)


def history_of(reports: Sequence[EpochReport]) -> History:
    """The history that a run's epoch reports tell."""
    return _history([(r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy) for r in reports])


def read_history(folder: Path) -> History:
    """Read ``history.csv`` of a run folder; a last row without figures is the epoch that diverged.

    Raises
    ------
    DataError
        The file is missing, or a row is not what ``mlptrain train`` writes.
    """
    path = folder / HISTORY
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}; train the run again") from error
    except UnicodeDecodeError:
        raise DataError(f"{path}: not text; expected the rows that mlptrain train writes") from None
    if not lines or lines[0] != ",".join(COLUMNS):
        raise DataError(f"{path}:1: expected the columns {','.join(COLUMNS)}; train the run again")
    rows: list[tuple[int, float | None, float | None, float | None, float | None]] = []
    for number, cells in enumerate(csv.reader(lines[1:]), start=2):
        try:
            if len(cells) != len(COLUMNS):
                raise ValueError
            figures = [float(cell) if cell else None for cell in cells[1:5]]
            rows.append((int(cells[0]), figures[0], figures[1], figures[2], figures[3]))
        except ValueError:
            text = ",".join(cells)[:60]
            raise DataError(f"{path}:{number}: {text!r}; expected {','.join(COLUMNS)} as numbers") from None
    return _history(rows)


def _history(rows: Sequence[tuple[int, float | None, float | None, float | None, float | None]]) -> History:
    diverged = next((row[0] for row in rows if row[1] is None or not math.isfinite(row[1])), None)
    kept = [row for row in rows if row[1] is not None and row[2] is not None and math.isfinite(row[1])]
    columns = [tuple(value for row in kept if (value := row[index]) is not None) for index in range(1, 5)]
    validated = len(columns[2]) == len(columns[3]) == len(kept)
    loss, accuracy, val_loss, val_accuracy = columns if validated else [*columns[:2], (), ()]
    return History(tuple(row[0] for row in kept), loss, accuracy, val_loss, val_accuracy, diverged)
