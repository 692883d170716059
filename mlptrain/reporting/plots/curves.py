"""Plots of learning curves: loss and accuracy of one run, or of several runs together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from mlptrain.reporting.plots.panels import Panels
from mlptrain.reporting.plots.style import DASHES, INK, MARKERS, SERIES, STEPS
from mlptrain.runs.diagnosis import LearningCurves
from mlptrain.system.text import keras_number

MAX_MARKERS = 25  # per curve

MAX_RISE = 10  # times the first loss; larger losses would flatten the curves

SIZE = (4.7, 3.4)  # inches of a panel

METRICS = ("loss", "accuracy")

_KINDS = {"training": "", "validation": "val_"}

_LOWEST: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 11,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 1.6,
}

_DIVERGED: dict[str, Any] = {"color": SERIES[1], "linestyle": DASHES[2]}

_DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1.5)), "linewidth": 1.1}


def learning_curves(history: LearningCurves) -> Panels:
    """Return loss and accuracy of a run per epoch, in training and validation, with the lowest validation loss."""
    legend = [(kind, _style(index)) for index, kind in enumerate(_KINDS) if getattr(history, _KINDS[kind] + "loss")]
    if history.validated:
        lowest = history.best
        value, epoch = keras_number(history.val_loss[lowest]), history.epochs[lowest]
        legend.append((f"lowest validation loss: {value} in epoch {epoch}", _LOWEST))
    if history.diverged is not None:
        legend.append((f"diverged in epoch {history.diverged}", _DIVERGED))
    return Panels([[partial(_draw_metric, history, name) for name in METRICS]], *SIZE, legend)


def _style(index: int) -> dict[str, Any]:
    return {"color": SERIES[index], "linestyle": DASHES[index], "marker": MARKERS[index], "markersize": 4}


def _draw_metric(history: LearningCurves, name: str, axes: Axes) -> None:
    every = max(1, len(history.epochs) // MAX_MARKERS)
    for index, prefix in enumerate(_KINDS.values()):
        if values := getattr(history, prefix + name):
            axes.plot(history.epochs, values, markevery=every, **_style(index))
    if history.validated:
        lowest = history.best
        axes.plot(history.epochs[lowest], getattr(history, f"val_{name}")[lowest], zorder=3, **_LOWEST)
    if history.diverged is not None:
        axes.axvline(history.diverged, **_DIVERGED)
    _finish(axes, name, [history])


def compared_curves(histories: Sequence[LearningCurves], labels: Sequence[str]) -> Panels:
    """Return loss and accuracy of several runs, a colour and marker for each; validation is solid, training dotted."""
    legend: list[tuple[str, dict[str, Any]]] = []
    for index, (history, label) in enumerate(zip(histories, labels, strict=True)):
        ended = f" (diverged in epoch {history.diverged})" if history.diverged is not None else ""
        legend.append((label + ended, _run_style(index)))
    legend += [("validation", {"color": INK}), ("training", {"color": INK, **_DOTTED})]
    return Panels([[partial(_compare_metric, histories, name) for name in METRICS]], *SIZE, legend)


def _run_style(index: int) -> dict[str, Any]:
    marker = MARKERS[(index + index // len(SERIES)) % len(MARKERS)]
    return {"color": SERIES[index % len(SERIES)], "marker": marker, "markersize": 5}


def _compare_metric(histories: Sequence[LearningCurves], name: str, axes: Axes) -> None:
    for index, history in enumerate(histories):
        every = (index % 3, max(1, len(history.epochs) // 8))
        style = _run_style(index)
        if validation := getattr(history, f"val_{name}"):
            axes.plot(history.epochs, validation, markevery=every, **style)
            style["markersize"] = 3
        axes.plot(history.epochs, getattr(history, name), markevery=every, **style, **_DOTTED)
    _finish(axes, name, histories)


def _finish(axes: Axes, name: str, histories: Sequence[LearningCurves]) -> None:
    """Set title and axes; losses far above those of the first epoch are left out, and the title counts them."""
    title = name
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=STEPS))
    axes.margins(x=0.03)
    if name == "loss":
        axes.set_ylim(bottom=0)
        values = [value for history in histories for value in (*history.loss, *history.val_loss)]
        limit = MAX_RISE * median(history.loss[0] for history in histories)
        above = sum(value > limit for value in values)
        if above and limit:
            axes.set_ylim(top=1.05 * max(value for value in values if value <= limit))
            title += f" ({above} larger {'value is' if above == 1 else 'values are'} not shown)"
    axes.set_title(title)
