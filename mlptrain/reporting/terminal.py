"""The terminal, or the notebook in its place: consoles on a stream, progress bars, and charts drawn in characters."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TextIO

from mlptrain.reporting.text import wrapped
from mlptrain.system.text import can_print, printable, printable_lines

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.live import Live
    from rich.text import Text

# Rich is imported within functions: a run that prints plain lines starts 50 ms sooner without it.


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether ``stream`` is a terminal that can move its cursor; of the environment TERM and GIT_PAGER matter.

    The output of ``!mlptrain train`` in a notebook is a terminal for the command, but the notebook shows lines that
    were overwritten. Kernels set TERM and GIT_PAGER to values that together no terminal has.
    """
    term = os.environ.get("TERM", "").lower()
    in_notebook = term == "xterm-color" and os.environ.get("GIT_PAGER") == "cat"
    try:
        return stream is not None and stream.isatty() and term not in ("dumb", "unknown") and not in_notebook
    except ValueError:  # closed
        return False


def notebook_shell() -> Any:
    """Return the IPython shell of the notebook that this program runs in, else None; IPython is not imported."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell if hasattr(shell, "kernel") else None


def make_console(stream: TextIO, *, no_color: bool = False) -> Console:
    """Return a Rich console on ``stream`` that writes escape codes only if ``stream`` itself is a terminal.

    Every option is explicit. By default Rich takes FORCE_COLOR for a terminal and animates into pipes, takes the size
    of the window of standard input for that of ``stream``, and exits with 1 on a closed pipe, where this console
    raises BrokenPipeError. The console is safe: whatever is printed, only its own styles become escape codes.
    """
    from rich.console import Console, ConsoleDimensions
    from rich.segment import Segment

    class StreamConsole(Console):
        @property
        def size(self) -> ConsoleDimensions:
            return ConsoleDimensions(*window(stream))

        @size.setter
        def size(self, new_size: tuple[int, int]) -> None:
            raise AttributeError("the size of a window cannot be set")

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable_lines(text, self.encoding), style, control)

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
    """Return columns and rows of the window that shows ``stream``; 80 x 24 if there is none."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    return columns or 80, rows or 24


def print_line(console: Console, line: str, style: str = "", *, cut: bool = True) -> None:
    """Print a line, cut at the edge of the window; without ``cut`` the terminal wraps it."""
    from rich.text import Text

    text = Text(printable(line, console.encoding), style)
    if cut:
        console.print(text, no_wrap=True, overflow="ellipsis" if can_print("…", console.encoding) else "crop")
    else:
        console.print(text, soft_wrap=True)


def print_phrases(console: Console, phrases: Sequence[str], style: str = "") -> None:
    """Print phrases separated by commas, in as many lines as the window needs."""
    for line in wrapped([printable(phrase, console.encoding) for phrase in phrases], console.width):
        print_line(console, line, style)


def start_live(console: Console, *, transient: bool = False) -> Live:
    """Start a part of the terminal that is redrawn, below other output; a ``transient`` one disappears at its end."""
    from rich.live import Live

    live = Live(console=console, auto_refresh=False, transient=transient, **redirections())
    live.start()
    return live


def redirections() -> dict[str, Any]:
    """Return Rich's options to print other output above a live part, if it would have gone to a terminal anyway."""
    return {"redirect_stdout": is_terminal(sys.stdout), "redirect_stderr": is_terminal(sys.stderr)}


def progress_bar(done: float, total: float, width: int, encoding: str) -> Text:
    """Return a bar of ``width`` characters for ``done`` of ``total``."""
    from rich.text import Text

    full, empty = "━─" if can_print("━─", encoding) else "=."
    filled = min(width, int(width * done / total))
    return Text().append(full * filled, "green").append(empty * (width - filled), "dim")


# Dots of a braille character by (column, row), as bits above U+2800.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], columns: int) -> str:
    """Return values as one line of at most ``columns`` bars, from the lowest to the highest value.

    Values that share a column are averaged; those that are not finite leave a gap.
    """
    count = min(columns, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    groups = [[v for v in values[a:b] if math.isfinite(v)] for a, b in pairwise(edges)]
    means = [sum(group) / len(group) if group else math.nan for group in groups]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = high - low if high - low > 1e-9 * max(abs(low), abs(high)) else 1.0
    return "".join(BARS[round((mean - low) / span * 7)] if math.isfinite(mean) else " " for mean in means)


def line_chart(xs: Sequence[float], ys: Sequence[float], columns: int, rows: int, *, braille: bool = True) -> list[str]:
    """Return the polygon through points with rising ``xs`` as ``rows`` lines of ``columns`` characters.

    The largest y is on top. A braille character holds 2 × 4 dots; without braille each character is one asterisk.
    """
    across, down = (2, 4) if braille else (1, 1)
    width, height = columns * across, rows * down
    low, high = min(ys), max(ys)
    left, right = xs[0], xs[-1]
    span_x, span_y = (right - left) or 1.0, (high - low) or 1.0
    points = [
        (round((x - left) / span_x * (width - 1)), round((high - y) / span_y * (height - 1)))
        for x, y in zip(xs, ys, strict=True)
    ]
    cells = [[0] * columns for _ in range(rows)]
    for (x0, y0), (x1, y1) in zip(points, points[1:] or points, strict=False):
        length = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(length + 1):
            x, y = round(x0 + (x1 - x0) * step / length), round(y0 + (y1 - y0) * step / length)
            cells[y // down][x // across] |= _DOTS[x % 2][y % 4] if braille else 1
    if braille:
        return ["".join(chr(0x2800 + cell) if cell else " " for cell in line) for line in cells]
    return ["".join("*" if cell else " " for cell in line) for line in cells]
