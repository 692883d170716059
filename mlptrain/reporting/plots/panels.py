"""Plots of several panels: one figure in a file, and on a page an image per panel, which the browser arranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlptrain.reporting.plots.style import new_figure
from mlptrain.reporting.text import shortened

SAMPLE = (0.42, 0.2)  # inches of a line in the legend on a page

LETTERS_PER_INCH = 11

_SAMPLE_LETTERS = 7  # as wide as the sample of a line beside its label


@dataclass(frozen=True)
class Panels:
    """Panels in rows, each ``width`` by ``height`` inches, with a legend outside of them.

    The ``legend`` has the label and the style of each kind of line.
    """

    rows: Sequence[Sequence[Callable[[Axes], None]]]
    width: float
    height: float
    legend: Sequence[tuple[str, Mapping[str, Any]]] = ()

    def __call__(self, *, narrow: bool = False) -> Figure:
        """Return all panels in one figure, with the legend below."""
        columns = max(map(len, self.rows))
        width = columns * self.width
        letters = int(width * LETTERS_PER_INCH)
        labels = [shortened(label, letters - _SAMPLE_LETTERS) for label, _ in self.legend]
        widths = [len(label) + _SAMPLE_LETTERS for label in labels]
        across = len(labels) if sum(widths) <= letters else max(1, letters // max(widths))
        figure = new_figure(width, len(self.rows) * self.height + 0.24 * -(-len(labels) // max(1, across)))
        every = figure.subplots(len(self.rows), columns, squeeze=False)
        for row, places in zip(self.rows, every, strict=True):
            for panel, axes in zip(row, places, strict=False):
                panel(axes)
            for axes in places[len(row) :]:
                axes.remove()
        if labels:
            handles = [
                Line2D([], [], label=label, **style) for label, (_, style) in zip(labels, self.legend, strict=True)
            ]
            figure.legend(handles=handles, loc="outside lower center", ncols=min(across, len(handles)))
        return figure

    def draw_panel(self, panel: Callable[[Axes], None], *, narrow: bool = False) -> Figure:
        """Return one panel as a figure."""
        figure = new_figure(self.width, self.height)
        panel(figure.subplots())
        return figure


def draw_sample(style: Mapping[str, Any], *, narrow: bool = False) -> Figure:
    """Draw a line in a style, for the legend on a page."""
    figure = Figure(figsize=SAMPLE)
    figure.add_artist(Line2D([0.06, 0.5, 0.94], [0.5, 0.5, 0.5], **{"markevery": [1], **style}))
    return figure
