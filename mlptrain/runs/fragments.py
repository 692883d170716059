"""The HTML fragment of a run: its metrics and learning curves side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlptrain.system.html import line_chart, row, table
from mlptrain.system.text import keras_number
from mlptrain.training.reports import EpochReport

SPLITS = {"training": "", "validation": "val_", "test": "test_"}
"""The splits, and the prefix of the names of their metrics."""


def metrics_and_curves(metrics: Mapping[str, Any], history: Sequence[EpochReport], epochs: int = 0) -> str:
    """Return a table of loss and accuracy, and a chart of each, on an axis of at least ``epochs`` epochs.

    The table has the splits that have been measured; other keys of ``metrics`` are ignored.
    """
    rows = [
        [split, *(_number(metrics.get(f"{prefix}{name}")) for name in ("loss", "accuracy"))]
        for split, prefix in SPLITS.items()
        if metrics.get(f"{prefix}loss") is not None
    ]
    charts = (
        line_chart({name: [getattr(report, name) for report in history] for name in names}, best, epochs)
        for names, best in ((("loss", "val_loss"), min), (("accuracy", "val_accuracy"), max))
    )
    return row(table(("", "loss", "accuracy"), rows) if rows else "", *charts)


def _number(value: object) -> str:
    """Return a value of a file that may have been edited; a dash if it is not a number."""
    return keras_number(value) if isinstance(value, int | float) else "–"
