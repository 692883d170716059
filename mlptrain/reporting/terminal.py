"""Who shows a run while it goes: the interface, and the choice of live table, plain lines or silence."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TextIO

from rich.console import Console

if TYPE_CHECKING:
    from rich.console import Console


def is_terminal(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that can move its cursor; no variable but TERM has a say in it."""
    try:
        return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    except ValueError:  # closed
        return False


def make_console(stream: TextIO, *, no_color: bool = False) -> Console:
    """A Rich console on ``stream`` which writes escape codes only where ``stream`` itself is a terminal.

    Everything is said explicitly, because Rich left alone takes FORCE_COLOR for a terminal (and animates into
    pipes), takes the window of standard input for that of ``stream``, and exits with 1 on a closed pipe,
    which raises BrokenPipeError here.
    """
    from rich.console import Console, ConsoleDimensions

    class StreamConsole(Console):
        @property
        def size(self) -> ConsoleDimensions:
            return ConsoleDimensions(*window(stream))

        @size.setter
        def size(self, new_size: tuple[int, int]) -> None:
            raise AttributeError("the window has the size that it has")

        def on_broken_pipe(self) -> None:
            raise  # Rich calls this while it handles the BrokenPipeError

    terminal = is_terminal(stream)
    return StreamConsole(
        file=stream,
        force_terminal=terminal,
        force_interactive=terminal,
        force_jupyter=False,
        color_system="auto" if terminal else None,
        no_color=no_color or os.environ.get("NO_COLOR", "") != "",
        highlight=False,
        markup=False,
        emoji=False,
    )


def window(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of the window that ``stream`` shows in at this moment; 80 x 24 where there is none."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    return columns or 80, rows or 24


# Dots of a braille character by (column, row), as bits above U+2800.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], columns: int) -> str:
    """Values as one line of at most ``columns`` bars, from the lowest to the highest; the means of what shares one.

    What is not finite leaves a gap.
    """
    count = min(columns, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    groups = [[v for v in values[a:b] if math.isfinite(v)] for a, b in pairwise(edges)]
    means = [sum(group) / len(group) if group else math.nan for group in groups]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = high - low if high - low > 1e-9 * max(abs(low), abs(high)) else 1.0
    return "".join(BARS[round((mean - low) / span * 7)] if math.isfinite(mean) else " " for mean in means)


def curve(xs: Sequence[float], ys: Sequence[float], columns: int, rows: int, *, unicode: bool = True) -> list[str]:
    """The points of a curve, joined, as ``rows`` lines of ``columns`` characters, the largest y on top.

    ``xs`` rise. With ``unicode`` each character holds 2 × 4 dots (braille), else one asterisk.
    """
    across, down = (2, 4) if unicode else (1, 1)
    width, height = columns * across, rows * down
    low, high = min(ys), max(ys)
    left, right = xs[0], xs[-1]
    span_x, span_y = (right - left) or 1.0, (high - low) or 1.0
    places = [
        (round((x - left) / span_x * (width - 1)), round((high - y) / span_y * (height - 1)))
        for x, y in zip(xs, ys, strict=True)
    ]
    cells = [[0] * columns for _ in range(rows)]
    for (x0, y0), (x1, y1) in zip(places, places[1:] or places, strict=False):
        length = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(length + 1):
            x, y = round(x0 + (x1 - x0) * step / length), round(y0 + (y1 - y0) * step / length)
            cells[y // down][x // across] |= _DOTS[x % 2][y % 4] if unicode else 1
    if unicode:
        return ["".join(chr(0x2800 + cell) if cell else " " for cell in line) for line in cells]
    return ["".join("*" if cell else " " for cell in line) for line in cells]
