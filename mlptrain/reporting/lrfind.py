"""The learning-rate range test for people: a chart of the loss over the rate, and the suggested rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console

from mlptrain.reporting.terminal import line_chart
from mlptrain.system.text import can_print
from mlptrain.training.lrfind import RangeTest

ROWS = 12

LABEL = 8  # characters left of the axis

MAX_WIDTH = 100  # characters

CEILING = 1.5  # times the first loss; larger losses only show that training diverges, and would flatten the rest


def render_range_test(result: RangeTest, console: Console) -> None:
    """Draw the smoothed loss over the rate, mark the suggested rate below it, and print it for a config."""
    if len(result.rates) > 1:
        _draw(result, console)
    if result.suggestion is None:
        console.print("the loss did not fall at any rate: check the data, the initial weights and the loss")
        return
    console.print(f"suggested learning_rate={result.suggestion:g}", style="bold")
    console.print("this is a tenth of the rate with the lowest smoothed loss")
    reason = "the loss exceeded four times its minimum" if result.stopped else "this was the highest rate"
    console.print(f"stopped at {result.rates[-1]:.2g}: {reason}")


def _draw(result: RangeTest, console: Console) -> None:
    columns = max(20, min(console.width, MAX_WIDTH) - LABEL - 2)
    braille = can_print("⣿│└─┬▲", console.encoding)
    vertical, corner, mark = ("│", "└", "▲") if braille else ("|", "+", "^")
    logs = [math.log10(rate) for rate in result.rates]
    losses = [min(loss, CEILING * result.smoothed[0]) for loss in result.smoothed]
    top, bottom = max(losses), min(losses)
    for row, line in enumerate(line_chart(logs, losses, columns, ROWS, braille=braille)):
        label = f"{top - (top - bottom) * row / (ROWS - 1):.3f}" if row % 4 == 3 or row == 0 else ""
        console.print(f"{label:>{LABEL}}{vertical}{line}")
    console.print(f"{'':{LABEL}}{corner}{_axis(logs, columns, braille)}")
    console.print(f"{'':{LABEL + 1}}{_tick_labels(logs, columns)}")
    if result.suggestion is not None:
        column = _column(math.log10(result.suggestion), logs, columns)
        console.print(f"{'':{LABEL + 1 + column}}{mark}", style="bold green")


def _column(log: float, logs: Sequence[float], columns: int) -> int:
    """Return the column of a rate's logarithm."""
    return max(0, min(columns - 1, round((log - logs[0]) / (logs[-1] - logs[0]) * (columns - 1))))


def _decades(logs: Sequence[float]) -> range:
    return range(math.ceil(logs[0] - 1e-9), math.floor(logs[-1] + 1e-9) + 1)


def _axis(logs: Sequence[float], columns: int, unicode: bool) -> str:
    """Return the axis with a tick mark at each power of ten."""
    line = ["─" if unicode else "-"] * columns
    for decade in _decades(logs):
        line[_column(decade, logs, columns)] = "┬" if unicode else "+"
    return "".join(line)


def _tick_labels(logs: Sequence[float], columns: int) -> str:
    """Return the powers of ten below their tick marks, without those that would touch or be cut."""
    line, free = [" "] * columns, 0
    for decade in _decades(logs):
        column, text = _column(decade, logs, columns), f"1e{decade}"
        if column >= free and column + len(text) <= columns:
            line[column : column + len(text)] = text
            free = column + len(text) + 1
    return "".join(line).rstrip()
