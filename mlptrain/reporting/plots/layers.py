"""Plot of the statistics of layers: a panel for each statistic, with a line for each layer over the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter

from mlptrain.engine.arrays import Floats
from mlptrain.engine.layers import LayerStatistics
from mlptrain.reporting.plots.panels import Panels
from mlptrain.reporting.plots.style import DASHES, MARKERS, MUTED, SERIES, STEPS, plain_numbers
from mlptrain.training.reports import LayersReport

USUAL_RATIO = 1e-3  # update per step in relation to the weights, a rule of thumb

MAX_MARKERS = 8  # per line

COLUMNS = 4

MANY_DECADES = 1e3  # ratio of the largest to the smallest value, from which a tick per decade is enough

_TITLES = {
    "z_mean": "z, mean",
    "z_sd": "z, standard deviation",
    "a_mean": "a, mean",
    "a_sd": "a, standard deviation",
    "saturated": "saturated activations",
    "dead": "dead units",
    "gradient_norm": "norm of the gradient",
    "weight_norm": "norm of the weights",
    "update_ratio": "update / weights",
}

_LOGARITHMIC = ("gradient_norm", "update_ratio")


def layer_statistics(reports: Sequence[LayersReport]) -> Panels:
    """Return a panel for each statistic that has values, from the initial weights (epoch 0) to the last epoch."""
    values = np.array([report.layers for report in reports], np.float64)  # (epochs, layers, statistics), None is NaN
    drawn = [index for index in range(values.shape[2]) if np.isfinite(values[:, :, index]).any()]
    epochs = [report.epoch for report in reports]
    panels = [partial(_draw, LayerStatistics._fields[index], epochs, values[:, :, index]) for index in drawn]
    rows = [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    last = values.shape[1]
    names = [f"layer {number}" + (" (output)" if number == last else "") for number in range(1, last + 1)]
    return Panels(rows, 2.5, 2.1, [(name, _style(layer)) for layer, name in enumerate(names)])


def _style(layer: int) -> dict[str, Any]:
    return {
        "color": SERIES[layer % len(SERIES)],
        "linestyle": DASHES[layer % len(DASHES)],
        "marker": MARKERS[layer % len(MARKERS)],
        "markersize": 3.5,
        "linewidth": 1.4,
    }


def _draw(name: str, epochs: Sequence[int], values: Floats, axes: Axes) -> None:
    """Draw a statistic (epochs, layers)."""
    for layer, line in enumerate(values.T):
        axes.plot(epochs, line, markevery=max(1, len(epochs) // MAX_MARKERS), **_style(layer))
    axes.set_title(_TITLES[name], fontsize=9)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1, steps=STEPS))
    axes.set_xlabel("epoch", fontsize=8)
    positive = values[values > 0]
    if name in _LOGARITHMIC and len(positive) and (ratio := positive.max() / positive.min()) > 10:
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3) if ratio < MANY_DECADES else (1,), numticks=6))
        plain_numbers(axes.yaxis)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=STEPS))
    if name in ("saturated", "dead"):
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    if name == "update_ratio":
        axes.axhline(USUAL_RATIO, color=MUTED, linewidth=1, zorder=0)
