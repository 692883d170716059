"""The learning-rate range test for people: the loss over the rate as a picture, and the rate suggested."""

from __future__ import annotations

import math

from rich.console import Console

from mlptrain.reporting.terminal import line_chart
from mlptrain.training.lrfind import RangeTest

ROWS = 12

LABEL = 8


def render_range_test(result: RangeTest, console: Console) -> None:
    """Draw the smoothed loss over the rate, with the suggested rate marked below, and say what to do with it."""
    columns = max(20, min(console.size.width, 100) - LABEL - 2)
    logs = [math.log10(rate) for rate in result.rates]
    unicode = (console.encoding or "").lower().startswith("utf")
    if len(logs) > 1:
        # What lies far above the start says nothing but that it diverged; it would flatten the rest.
        ceiling = 1.5 * result.smoothed[0]
        lines = line_chart(logs, [min(loss, ceiling) for loss in result.smoothed], columns, ROWS, braille=unicode)
        top, bottom = min(max(result.smoothed), ceiling), min(result.smoothed)
        corner = "└" if unicode else "+"
        for row, line in enumerate(lines):
            label = f"{top - (top - bottom) * row / (ROWS - 1):{LABEL - 1}.3f}" if row % 4 == 3 or row == 0 else ""
            console.print(f"{label:>{LABEL}}{'│' if unicode else '|'}{line}", style=None)
        console.print(f"{'':{LABEL}}{corner}{_axis(logs, columns, unicode)}")
        console.print(f"{'':{LABEL + 1}}{_ticks(logs, columns)}")
        if result.suggestion is not None:
            place = _place(math.log10(result.suggestion), logs, columns)
            console.print(f"{'':{LABEL + 1}}{' ' * place}{'▲' if unicode else '^'}", style="bold green")
    if result.suggestion is None:
        console.print("the loss did not fall at any rate: check the data, the initial weights and the loss")
        return
    console.print(f"suggested learning_rate={result.suggestion:g}", style="bold")
    reason = "the loss passed four times its best" if result.stopped else "the highest rate was reached"
    console.print(f"a tenth of the rate at which the smoothed loss is lowest; {reason} at {result.rates[-1]:.2g}")


def _place(log: float, logs: list[float], columns: int) -> int:
    """The column of a rate's logarithm."""
    return max(0, min(columns - 1, round((log - logs[0]) / (logs[-1] - logs[0]) * (columns - 1))))


def _decades(logs: list[float]) -> range:
    return range(math.ceil(logs[0] - 1e-9), math.floor(logs[-1] + 1e-9) + 1)


def _axis(logs: list[float], columns: int, unicode: bool) -> str:
    line = ["─" if unicode else "-"] * columns
    for decade in _decades(logs):
        line[_place(decade, logs, columns)] = "┬" if unicode else "+"
    return "".join(line)


def _ticks(logs: list[float], columns: int) -> str:
    """Powers of ten below their marks, left out where they would touch or be cut."""
    line, free = [" "] * columns, 0
    for decade in _decades(logs):
        place, text = _place(decade, logs, columns), f"1e{decade}"
        if place >= free and place + len(text) <= columns:
            line[place : place + len(text)] = text
            free = place + len(text) + 1
    return "".join(line).rstrip()
