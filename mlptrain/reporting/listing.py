"""The table of the runs and sweeps in a folder, which needs neither NumPy nor Rich."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from pathlib import Path, PurePath
from typing import Any

from mlptrain.config.values import short
from mlptrain.reporting.text import GAP, column, duration, joined, shortened
from mlptrain.runs.listing import RUN, SWEEP_KIND, Row
from mlptrain.runs.selection import differing_keys
from mlptrain.runs.status import COMPLETE
from mlptrain.system.text import csv_cell, keras_number

MAX_NAME = 28  # characters

NOTE_WIDTH = 30  # characters for the differences, before other columns are left out

COLUMN_OF = {"dataset": "dataset", "hidden": "network"}
"""Columns that show a config key."""

DROPPED = ("time", "when", "dataset", "network")
"""Columns that a narrow table leaves out, in this order; before them a dataset or a network that all runs share."""


def listing_lines(rows: Sequence[Row], width: int) -> list[str]:
    """Return a heading and a line per row of at most ``width`` characters.

    The last column has the keys in which the runs differ. If they do not fit, it has only the values that are not the
    most frequent one. A folder that cannot be read has the reason after its state.
    """
    columns: dict[str, list[str]] = {
        "name": column("name", (shortened(row.name, MAX_NAME) for row in rows), left=True),
        "state": column("state", (row.state or "-" for row in rows), left=True),
        "when": column("when", (_when(row.started) for row in rows), left=True),
        "dataset": column("dataset", (_dataset(row) for row in rows), left=True),
        "network": column("network", map(_network, rows), left=True),
        "epochs": column("epochs", map(_progress, rows)),
        "val_acc": column("val_acc", (_number(row.metrics.get("val_accuracy")) for row in rows)),
        "test_acc": column("test_acc", (_number(row.metrics.get("test_accuracy")) for row in rows)),
        "time": column("time", (_time(row.metrics.get("seconds")) for row in rows)),
    }
    heading, notes = _notes(rows, width, COLUMN_OF)
    wanted = min(NOTE_WIDTH, max(map(len, (heading, *notes))))
    shared = [name for name in ("dataset", "network") if len({cell.strip() for cell in columns[name][1:]} - {""}) == 1]
    common = []
    for name in (*shared, *DROPPED):
        if len(joined([*columns.values()])[0]) + len(GAP) + wanted <= width:
            break
        cells = columns.pop(name, [])
        if cells and name in shared:
            common.append(f"{name} {next(cell.strip() for cell in cells[1:] if cell.strip())}")
    heading, notes = _notes(rows, width, {key for key, name in COLUMN_OF.items() if name in columns})
    lines = joined([*columns.values(), column(heading, notes, left=True)])
    for index, row in enumerate(rows, start=1):
        if row.problem is not None:
            lines[index] = GAP.join([columns["name"][index], columns["state"][index], row.problem])
    return [*(shortened(line.rstrip(), width) for line in lines), *([f"all: {', '.join(common)}"] if common else [])]


def _notes(rows: Sequence[Row], width: int, shown: Collection[str]) -> tuple[str, list[str]]:
    """Return the heading and the cells of the last column: differences, or the keys that a sweep varies.

    The keys ``shown`` have a column of their own.
    """
    keys = [key for key in differing_keys(rows) if key not in shown]

    def notes(shows: Callable[[str, Any], bool]) -> list[str]:
        return [_note(row, [key for key in keys if key in row.config and shows(key, row.config[key])]) for row in rows]

    every = notes(lambda key, value: True)
    if max(map(len, every), default=0) <= width // 2:
        return "what differs" if keys else "", every
    counts = {key: Counter(short(row.config[key]) for row in rows if key in row.config) for key in keys}
    most = {key: counts[key].most_common(1)[0][0] for key in keys}
    return "what differs from most", notes(lambda key, value: short(value) != most[key])


def _note(row: Row, keys: Sequence[str]) -> str:
    if row.kind == SWEEP_KIND:
        return f"varies {', '.join(row.varied)}" if row.varied else ""
    return " ".join(f"{key}={short(row.config[key])}" for key in keys)


def _when(started: float | None) -> str:
    if started is None:
        return ""
    moment = datetime.fromtimestamp(started)
    return f"{moment:%m-%d %H:%M}" if moment.year == datetime.now().year else f"{moment:%Y-%m-%d}"


def _dataset(row: Row) -> str:
    return PurePath(str(row.config.get("dataset") or "")).name


def _network(row: Row) -> str:
    if row.layers is not None:
        return "-".join(map(str, row.layers))
    hidden = row.config.get("hidden")
    return f"?-{'-'.join(map(str, [*hidden, '?']))}" if isinstance(hidden, list) else ""


def _progress(row: Row) -> str:
    """Return ``20`` for a complete run, ``7/20`` for another one, and the same with "trials" for a sweep."""
    if row.progress is None:
        return ""
    done, planned = row.progress
    count = str(done) if row.state == COMPLETE or planned is None else f"{done}/{planned}"
    return count if row.kind == RUN else f"{count} trial{'s' * (count != '1')}"


def _number(value: float | None) -> str:
    return "" if value is None else keras_number(value)


def _time(seconds: float | None) -> str:
    return "" if not seconds else duration(seconds)


def csv_rows(rows: Sequence[Row]) -> list[list[str]]:
    """Return a heading and the cells of each row: the columns of the JSON output and the keys in which runs differ."""
    keys = [key for key in differing_keys(rows) if key not in COLUMN_OF]
    names = [*Row("", Path(), RUN).plain()]
    lines = [[*row.plain().values(), *map(row.config.get, keys)] for row in rows]
    return [[*names, *keys], *([_cell(value) for value in line] for line in lines)]


def _cell(value: Any) -> str:
    return csv_cell(value) if isinstance(value, str) else "" if value is None else short(value)
