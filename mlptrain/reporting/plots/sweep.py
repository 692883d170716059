"""Plots of a sweep: its metric against each parameter, parallel coordinates, and a rate × batch heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from mlptrain.engine.arrays import Floats, Indices, Integers
from mlptrain.reporting.plots.scale import Scale, distinct, metric_scale, number_label, parameter_scale
from mlptrain.reporting.plots.style import HEAT, INK, MUTED, PAPER, SERIES, ink_on, new_figure, remove_frame
from mlptrain.reporting.text import shortened
from mlptrain.sweeps.finished import SweepView

MAX_RATES = 8  # columns of a heat map, beyond which learning rates share bins

COLUMNS = 3  # of the plots of the parameters

FAILED = -0.1  # height of trials that diverged or failed

MAX_TICKS = 20  # tick labels of a vertical axis

PANEL = 34  # characters of the tick labels of a parameter's plot


def draw_parameters(sweep: SweepView, *, narrow: bool = False) -> Figure:
    """Draw the metric over each varied parameter, with a point per trial and a star for the best."""
    keys = sweep.board.keys
    columns = 1 if narrow else min(COLUMNS, len(keys))
    rows = -(-len(keys) // columns)
    figure = new_figure(max(5.5, 3.8 * columns), 3.0 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    metric, _ = metric_scale(sweep.scores, sweep.board.metric)
    heights = [metric.place(score) for score in sweep.scores]
    for axes, key in zip(panels, keys, strict=False):
        scale = scale_of(sweep, key)
        xs = scale.spread([trial.values[key] for trial in sweep.ranked])
        inside = [(x, y) for x, y in zip(xs, heights, strict=True) if 0 <= y <= 1]
        axes.scatter(*zip(*inside, strict=True), s=26, color=SERIES[0], alpha=0.75, edgecolor=PAPER, linewidth=0.5)
        for marker, edge, clipped in (
            ("v", 0, [x for x, y in zip(xs, heights, strict=True) if y < 0]),
            ("^", 1, [x for x, y in zip(xs, heights, strict=True) if y > 1]),
        ):
            if clipped:
                axes.scatter(clipped, [edge] * len(clipped), s=34, marker=marker, facecolor=PAPER, edgecolor=SERIES[0])
        axes.scatter(xs[:1], heights[:1], s=150, marker="*", color=SERIES[1], edgecolor=INK, linewidth=0.6, zorder=3)
        if sweep.failed:
            places = scale.spread([trial.values[key] for trial in sweep.failed])
            axes.scatter(places, [FAILED] * len(places), s=30, marker="x", color=MUTED, linewidth=1.3)
        labels = scale.labels(PANEL * COLUMNS / columns)
        axes.set_xticks([at for at, _, _ in labels], ["\n" * row + label for _, label, row in labels])
        axes.set_xlim(-0.04, 1.04)
        axes.grid(not scale.categories, axis="x")
        axes.set_xlabel(shortened(key, 40))
    for index in range(0, len(keys), columns):
        panels[index].set_ylabel(shortened(sweep.board.metric.name, 30))
    _label_heights(panels[0], metric, bool(sweep.failed))
    for axes in panels[len(keys) :]:
        axes.remove()
    return figure


def scale_of(sweep: SweepView, key: str) -> Scale:
    """Return the axis of a parameter, which has the values of all trials, also of those that failed."""
    return parameter_scale([row.values[key] for row in sweep.board.rows])


def _label_heights(axes: Axes, metric: Scale, failed: bool) -> None:
    """Label the vertical axis of the metric, with a tick for failed trials below its lowest value."""
    ticks = [*([(FAILED, "failed")] if failed else []), *metric.ticks]
    axes.set_yticks([at for at, _ in ticks], [label for _, label in ticks])
    axes.set_ylim(FAILED - 0.06 if failed else -0.06, 1.08)


def draw_parallel(sweep: SweepView, *, narrow: bool = False) -> Figure:
    """Draw a line per trial through its parameters to its metric; the darker the better, and the best is thick."""
    keys = [*sweep.board.keys, sweep.board.metric.name]
    figure = new_figure(max(4.8, (1.1 if narrow else 1.45) * len(keys) + 0.8), 4.2)
    axes = figure.subplots()
    metric, _ = metric_scale(sweep.scores, sweep.board.metric)
    scales = [*(scale_of(sweep, key) for key in sweep.board.keys), metric]
    heights = [*np.clip([metric.place(score) for score in sweep.scores[::-1]], 0, 1), *[FAILED] * len(sweep.failed)]
    values = [row.values for row in sweep.ranked[::-1]] + [trial.values for trial in sweep.failed]
    lines = [
        [*(scale.place(own[key]) for key, scale in zip(sweep.board.keys, scales, strict=False)), height]
        for own, height in zip(values, heights, strict=True)
    ]
    count = len(sweep.ranked)
    colors = matplotlib.colormaps[f"{HEAT}_r"](np.linspace(0.05, 1, count))
    points = [list(enumerate(line)) for line in lines]
    axes.add_collection(LineCollection(points[count:], colors=MUTED, linestyles=(0, (2, 2)), linewidths=1.2))
    axes.add_collection(LineCollection(points[:count], colors=colors, linewidths=1.5, alpha=0.85))
    axes.plot(lines[count - 1], color=SERIES[1], linewidth=3.4, zorder=3)
    for x, scale in enumerate(scales):
        axes.plot([x, x], [0, 1], color=MUTED, linewidth=1, zorder=2.5)
        failed = [(FAILED, "failed")] if sweep.failed and scale is metric else []
        for height, label in [*scale.ticks_up_to(MAX_TICKS), *failed]:
            axes.text(x + 0.04, height, shortened(label, 14), fontsize=8, va="center", zorder=4,
                      bbox={"facecolor": PAPER, "alpha": 0.8, "linewidth": 0, "pad": 0.8})  # fmt: skip
    rows = 1 if len(keys) <= 6 else 2
    axes.set_xticks(range(len(keys)), ["\n" * (x % rows) + shortened(key, 26) for x, key in enumerate(keys)])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(keys) - 0.5)
    axes.set_ylim(FAILED - 0.06 if sweep.failed else -0.04, 1.04)
    remove_frame(axes)
    return figure


def draw_rate_by_batch(sweep: SweepView, *, narrow: bool = False) -> Figure:
    """Draw the best metric of the trials at each learning rate (in bins if there are many) and batch size."""
    cells = rate_by_batch(sweep)
    figure = new_figure(1.2 + (0.62 if narrow else 0.95) * len(cells.best[0]), 1.2 + 0.55 * len(cells.sizes))
    axes = figure.subplots()
    axes.imshow(cells.goodness, cmap=HEAT, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(cells.best):
        if cells.counts[row, column]:
            count = f"\n{cells.counts[row, column]} trials" if cells.counts[row, column] > 1 and not narrow else ""
            color = ink_on(cells.goodness[row, column])
            axes.text(column, row, f"{value:.4f}{count}", ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks([at - 0.5 for at, _ in cells.rates], [label for _, label in cells.rates], fontsize=9)
    axes.set_yticks(range(len(cells.sizes)), cells.sizes)
    axes.set_xlabel("learning_rate")
    axes.set_ylabel("batch_size")
    remove_frame(axes)
    return figure


@dataclass(frozen=True)
class RateByBatch:
    """The trials of a sweep by learning rate (columns) and batch size (rows).

    Attributes
    ----------
    rates
        Positions and labels of the columns or, if trials with similar rates share a column, of their edges; a column is
        1 wide.
    sizes
        Labels of the rows.
    best, goodness, counts
        The best metric of each cell, NaN if it is empty, its position from the worst (0) to the best (1) cell, with
        outliers at 0, and the number of trials.
    """

    rates: tuple[tuple[float, str], ...]
    sizes: tuple[str, ...]
    best: Floats
    goodness: Floats
    counts: Integers


def rate_by_batch(sweep: SweepView) -> RateByBatch:
    """Return the best metric for each learning rate and batch size."""
    rates = [float(row.values["learning_rate"]) for row in sweep.ranked]
    batches = [row.values["batch_size"] for row in sweep.ranked]
    sizes, (edges, labels) = distinct(batches), _rate_bins(rates)
    best, counts = np.full((len(sizes), len(edges)), np.nan), np.zeros((len(sizes), len(edges)), int)
    good = sweep.board.metric.sign > 0
    better = np.fmax if good else np.fmin
    for rate, batch, score in zip(rates, batches, sweep.scores, strict=True):
        cell = sizes.index(batch), int(np.searchsorted(edges, rate, "right")) - 1
        best[cell] = better(best[cell], score)
        counts[cell] += 1
    scale, _ = metric_scale(best[counts > 0].tolist(), sweep.board.metric)
    places = np.clip(scale.place(best), 0, 1)
    shift = 0.0 if len(labels) > len(edges) else 0.5
    columns = tuple((index + shift, label) for index, label in enumerate(labels))
    return RateByBatch(columns, tuple(map(str, sizes)), best, places if good else 1 - places, counts)


def _rate_bins(rates: Sequence[float]) -> tuple[Indices, list[str]]:
    """Return the lower edges of bins, and the names of the bins: one per learning rate if there are few.

    Else the names are those of the round edges between which the bins are, one more than there are bins.
    """
    different = sorted(set(rates))
    if len(different) <= MAX_RATES:
        return np.array(different), [*map(number_label, different)]
    first, last = math.floor(math.log10(different[0])), math.floor(math.log10(different[-1])) + 1
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        edges = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in multiples]
        used = [pair for pair in pairwise(edges) if pair[1] > different[0] and pair[0] <= different[-1]]
        if len(used) <= MAX_RATES:
            break
    return np.array([low for low, _ in used]), [*map(number_label, (*(low for low, _ in used), used[-1][1]))]
