"""Plots of learning curves: loss and accuracy of one run, or of several runs together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mlptrain.reporting.plots.style import DASHES, INK, MARKERS, MUTED, SERIES, new_figure
from mlptrain.reporting.text import shortened
from mlptrain.runs.diagnosis import LearningCurves

MAX_MARKERS = 25  # per curve

HALF_WIDTH = 46  # characters of a label, of which two fit side by side


def draw_curves(history: LearningCurves, *, narrow: bool = False) -> Figure:
    """Draw loss and accuracy of a run per epoch, in training and validation, and mark the lowest validation loss."""
    figure, panels = _panels(narrow)
    every = max(1, len(history.epochs) // MAX_MARKERS)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        for index, (label, prefix) in enumerate((("training", ""), ("validation", "val_"))):
            values = getattr(history, prefix + name)
            if values:
                axes.plot(
                    history.epochs,
                    values,
                    color=SERIES[index],
                    linestyle=DASHES[index],
                    marker=MARKERS[index],
                    markersize=4,
                    markevery=every,
                    label=label,
                )
        _finish(axes, name, history)
    if history.validated:
        lowest = history.best
        panels[0].annotate(
            f"lowest: {history.val_loss[lowest]:.3g}, epoch {history.epochs[lowest]}",
            (history.epochs[lowest], history.val_loss[lowest]),
            xytext=(0.5, 0.62),
            textcoords="axes fraction",
            ha="center",
            arrowprops={"arrowstyle": "->", "color": MUTED},
        )
    panels[0].legend(loc="upper right")
    return figure


def draw_comparison(histories: Sequence[LearningCurves], labels: Sequence[str], *, narrow: bool = False) -> Figure:
    """Draw loss and accuracy of several runs, a colour and marker for each; validation is solid, training dotted."""
    columns = 2 if len(labels) > 1 and max(map(len, labels)) <= HALF_WIDTH and not narrow else 1
    figure, panels = _panels(narrow, 0.24 * -(-len(labels) // columns))
    handles = []
    for index, (history, label) in enumerate(zip(histories, labels, strict=True)):
        style: dict[str, Any] = {
            "color": SERIES[index % len(SERIES)],
            "marker": MARKERS[(index + index // 8) % len(MARKERS)],
        }
        every = (index % 3, max(1, len(history.epochs) // 8))
        for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
            values = getattr(history, f"val_{name}")
            if values:
                axes.plot(history.epochs, values, markevery=every, markersize=5, **style)
            axes.plot(
                history.epochs, getattr(history, name), linestyle=(0, (1, 1.5)), linewidth=1.1, markevery=every,
                markersize=3 if values else 5, **style,
            )  # fmt: skip
        ended = f" (diverged in epoch {history.diverged})" if history.diverged is not None else ""
        handles.append(
            Line2D(
                [], [], label=shortened(label, HALF_WIDTH if narrow else 2 * HALF_WIDTH) + ended, markersize=5, **style
            )
        )
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        _finish(axes, name, None)
    kinds = [
        Line2D([], [], color=INK, label="validation"),
        Line2D([], [], color=INK, linestyle=(0, (1, 1.5)), linewidth=1.1, label="training"),
    ]
    panels[0].legend(handles=kinds, loc="upper right")
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def _panels(narrow: bool, below: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure with two panels, stacked if ``narrow``, and ``below`` inches for a legend."""
    figure = new_figure(4.8, 6.2 + below) if narrow else new_figure(9, 3.8 + below)
    return figure, list(figure.subplots(2, 1) if narrow else figure.subplots(1, 2))


def _finish(axes: Axes, name: str, history: LearningCurves | None) -> None:
    """Set title and axes, and mark the epoch in which the run diverged."""
    axes.set_title(name)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.margins(x=0.03)
    if name == "loss":
        axes.set_ylim(bottom=0)
    if history is not None and history.diverged is not None:
        axes.axvline(history.diverged, color=SERIES[1], linestyle=DASHES[2])
        axes.text(history.diverged, 0.5, "diverged ", rotation=90, ha="right", va="center",
                  transform=axes.get_xaxis_transform())  # fmt: skip
