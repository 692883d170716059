"""The curves of a run that has ended, a line of bars each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from mlptrain.reporting.chart import BARS, sparkline
from mlptrain.reporting.plain import keras_number, printable
from mlptrain.reports import EpochReport

FEWEST = 3  # epochs that make a curve
WIDEST = 48
_LABEL = 12
_FIELDS = ("loss", "val_loss", "accuracy", "val_accuracy")


def render_curves(history: Sequence[EpochReport], console: Console) -> None:
    """Draw loss and accuracy over the epochs, each from its lowest to its highest, with the first and last figure.

    Nothing is drawn of fewer than `FEWEST` epochs, or where the console cannot write the bars.
    """
    if len(history) < FEWEST or printable(BARS, console.encoding) != BARS:
        return
    lines = []
    for field in _FIELDS:
        values = [value for report in history if (value := getattr(report, field)) is not None]
        if len(values) == len(history):
            figures = f"{keras_number(values[0])} → {keras_number(values[-1])}"
            columns = max(1, min(WIDEST, console.width - _LABEL - len(figures) - 5))
            line = Text(f"{field:{_LABEL}}  ").append(sparkline(values, columns), "cyan").append(f"  {figures}")
            lines.append(line)
    console.print(Text("\n").join(lines), no_wrap=True, overflow="crop")
