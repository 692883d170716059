"""Plot of the statistics of layers: a panel for each statistic, with a line for each layer over the epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, PercentFormatter

from mlptrain.engine.layers import LayerStatistics
from mlptrain.reporting.plots.style import DASHES, MARKERS, MUTED, SERIES, new_figure, plain_numbers
from mlptrain.training.reports import LayersReport

USUAL_RATIO = 1e-3  # update per step in relation to the weights, a rule of thumb

MAX_MARKERS = 12  # per line

_TITLES = {
    "z_mean": "z, mean",
    "z_sd": "z, standard deviation",
    "a_mean": "a, mean",
    "a_sd": "a, standard deviation",
    "saturated": "saturated activations",
    "dead": "dead units",
    "gradient_norm": "norm of the gradient",
    "weight_norm": "norm of the weights",
    "update_ratio": "update / weights per step",
}

_LOGARITHMIC = ("gradient_norm", "update_ratio")


def draw_layers(reports: Sequence[LayersReport], *, narrow: bool = False) -> Figure:
    """Draw each statistic that has values, from the initial weights (epoch 0) to the last epoch."""
    values = np.array([report.layers for report in reports], np.float64)  # (epochs, layers, statistics), None is NaN
    drawn = [index for index in range(values.shape[2]) if np.isfinite(values[:, :, index]).any()]
    columns = 2 if narrow else 4
    rows = math.ceil(len(drawn) / columns)
    figure = new_figure(4.8 if narrow else 12, (2.1 if narrow else 2.5) * rows + 0.4)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    epochs = [report.epoch for report in reports]
    for index, axes in zip(drawn, panels, strict=False):
        _draw_panel(axes, LayerStatistics._fields[index], epochs, values[:, :, index])
    for axes in panels[len(drawn) :]:
        axes.remove()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3 if narrow else 8))
    return figure


def _draw_panel(axes: Axes, name: str, epochs: Sequence[int], values: np.ndarray) -> None:
    """Draw a statistic (epochs, layers)."""
    every = max(1, len(epochs) // MAX_MARKERS)
    for layer, line in enumerate(values.T):
        axes.plot(
            epochs,
            line,
            color=SERIES[layer % len(SERIES)],
            linestyle=DASHES[layer % len(DASHES)],
            marker=MARKERS[layer % len(MARKERS)],
            markersize=3.5,
            markevery=every,
            linewidth=1.4,
            label=f"layer {layer + 1}",
        )
    axes.set_title(_TITLES[name], fontsize=9.5)
    axes.tick_params(labelsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", fontsize=8)
    if name in _LOGARITHMIC and (values > 0).any():
        axes.set_yscale("log", nonpositive="mask")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
        plain_numbers(axes.yaxis)
    if name in ("saturated", "dead"):
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    if name == "update_ratio":
        axes.axhline(USUAL_RATIO, color=MUTED, linewidth=1, zorder=0)
