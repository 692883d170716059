"""The style of all plots, and their files; the same data gives the same bytes.

Lines differ in colour, dash and marker, so that they can be told apart in grey and by colour-blind readers. The
colours are those of Okabe and Ito (2008); heat maps use cividis (Nuñez, Anderton & Renslow 2018), whose lightness
increases evenly.
"""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter

from mlptrain.system.files import write_atomic
from mlptrain.system.text import printable_lines

INK, MUTED, GRID, PAPER = "#1b1f24", "#5c6670", "#d8dde3", "#fefefe"

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b6f76", "#a6761d")

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))

HEAT = "cividis"

STEPS = (1, 2, 5, 10)  # between ticks

FORMATS = ("png", "svg")

DPI = 120

_SETTINGS: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "text.parse_math": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.1,
    "image.interpolation": "nearest",
    "savefig.facecolor": "white",
    "svg.hashsalt": "mlptrain",
}


class Draw(Protocol):
    """A function that draws a plot; ``narrow`` is the shape for a page that is also read on a phone."""

    def __call__(self, *, narrow: bool) -> Figure:
        """Return the figure."""


class _NotebookFigure(Figure):
    """A figure that notebooks display even if pyplot, which registers figures with them, is not imported."""

    def _repr_png_(self) -> bytes:
        return _encoded(self, "png")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure with a size in inches, without a window or global state."""
    return _NotebookFigure(figsize=(width, height), layout="constrained")


@contextmanager
def _style(*, inline: bool) -> Iterator[None]:
    settings: Any = {**_SETTINGS, "svg.fonttype": "none" if inline else "path"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks is drawn as a box
        yield


def drawn(draw: Draw, heading: tuple[str, str] | None, *, inline: bool = False) -> Figure:
    """Return the figure of a plot; ``heading`` is a title and a text to print above it."""
    with _style(inline=inline):
        figure = draw(narrow=inline)
        if heading is not None:
            _head(figure, *heading)
    return figure


def _encoded(figure: Figure, form: str, *, inline: bool = False) -> bytes:
    metadata: dict[str, Any] = {"Software": None} if form == "png" else {"Date": None, "Creator": None, "Type": None}
    stream = io.BytesIO()
    with _style(inline=inline):
        figure.savefig(stream, format=form, dpi=DPI, metadata=metadata, transparent=inline)
    content = stream.getvalue()
    return content if form == "png" else printable_lines(content.decode()).encode()


def rendered(draw: Draw, form: str, *, heading: tuple[str, str] | None = None, inline: bool = False) -> bytes:
    """Return a plot as a png or svg file, without date or version.

    ``inline`` svg is narrow and transparent, and keeps its text as text.
    """
    return _encoded(drawn(draw, heading, inline=inline), form, inline=inline)


def _head(figure: Figure, title: str, text: str) -> None:
    """Make room above a figure and print its title and explanation there."""
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(text, int(width * 13.5))
    head = 0.42 + 0.17 * len(lines)
    figure.set_size_inches(width, height + head)
    layout = figure.get_layout_engine()
    assert isinstance(layout, ConstrainedLayoutEngine)
    layout.set(rect=(0, 0, 1, height / (height + head)))
    top = 1 - 0.08 / (height + head)
    figure.text(0.1 / width, top, title, fontsize=13, weight="bold", va="top")
    figure.text(0.1 / width, top - 0.27 / (height + head), "\n".join(lines), fontsize=9, color=MUTED, va="top")


def save(draw: Draw, path: Path, heading: tuple[str, str]) -> None:
    """Write a plot in the format of the file's suffix, completely or not at all."""
    content = rendered(draw, path.suffix[1:].lower(), heading=heading)
    write_atomic(path, lambda stream: stream.write(content))


def plain_numbers(axis: Axis) -> None:
    """Write the powers of ten of a logarithmic axis as 0.01, 1 or 100."""
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def remove_frame(axes: Axes) -> None:
    """Remove grid, frame and tick marks, but not the tick labels."""
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def ink_on(fraction: float) -> str:
    """Return a colour that can be read on the heat map at ``fraction`` of its range."""
    return "#ffffff" if math.isnan(fraction) or fraction < 0.55 else "#000000"
