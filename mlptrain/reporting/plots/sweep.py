"""Plots of a sweep: its metric against each parameter, parallel coordinates, and a rate × batch heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mlptrain.config.values import flow
from mlptrain.reporting.plots.style import (
    HEAT,
    INK,
    MUTED,
    PAPER,
    SERIES,
    ink_on,
    new_figure,
    plain_numbers,
    remove_frame,
)
from mlptrain.reporting.text import shortened
from mlptrain.sweeps.finished import SweepView

LOG_RATIO = 20  # of the largest to the smallest value, from which an axis is logarithmic

MAX_CATEGORIES = 6  # distinct numbers, up to which an axis has one tick per value

RATE_BINS = 6  # of a heat map with many learning rates


def draw_parameters(sweep: SweepView, *, narrow: bool = False) -> Figure:
    """Draw the metric over each varied parameter, with a point per trial and a star for the best."""
    columns = 1 if narrow else 2 if len(sweep.keys) == 4 else min(3, len(sweep.keys))
    rows = -(-len(sweep.keys) // columns)
    figure = new_figure(max(4.5, 3.8 * columns), 3.1 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    scores = [trial.figures[sweep.metric.name] for trial in sweep.ranked]
    for axes, key in zip(panels, sweep.keys, strict=False):
        xs, failed = _positions(axes, sweep, key)
        axes.scatter(xs, scores, s=26, color=SERIES[0], alpha=0.75, edgecolor=PAPER, linewidth=0.5)
        axes.scatter(xs[:1], scores[:1], s=150, marker="*", color=SERIES[1], edgecolor=INK, linewidth=0.6, zorder=3)
        if failed:  # an empty line with this transform breaks the layout
            floor = axes.get_xaxis_transform()
            axes.plot(
                failed, [0.02] * len(failed), linestyle="none", marker="x", color=MUTED, transform=floor, clip_on=False
            )
        axes.set_xlabel(shortened(key, 30))
    for index in range(0, len(sweep.keys), columns):
        panels[index].set_ylabel(shortened(sweep.metric.name, 30))
    for axes in panels[len(sweep.keys) :]:
        axes.remove()
    return figure


def _positions(axes: Axes, sweep: SweepView, key: str) -> tuple[list[float], list[float]]:
    """Return the positions of ranked and failed trials on the axis of a parameter: its numbers, or one per category."""
    ranked = [trial.values[key] for trial in sweep.ranked]
    failed = [trial.values[key] for trial in sweep.failed]
    if _is_continuous(ranked + failed):
        if _is_logarithmic(ranked + failed):
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        return [float(value) for value in ranked], [float(value) for value in failed]
    kinds = distinct(ranked + failed)
    labels = [shortened(flow(kind), 14) for kind in kinds]
    axes.set_xticks(range(len(kinds)), labels, rotation=30 if max(map(len, labels)) > 6 else 0, ha="center")
    axes.set_xlim(-0.5, len(kinds) - 0.5)
    axes.grid(False, axis="x")
    # Equal values are spread out, the same way in every plot.
    shifts = [0.36 * (index * 0.618 % 1) - 0.18 if index else 0.0 for index in range(len(ranked))]
    positions = [kinds.index(value) + shift for value, shift in zip(ranked, shifts, strict=True)]
    return positions, [float(kinds.index(value)) for value in failed]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_continuous(values: Sequence[Any]) -> bool:
    """Return whether values are positions on an axis of numbers, rather than categories."""
    return all(map(_is_number, values)) and len(set(values)) > MAX_CATEGORIES


def _is_logarithmic(numbers: Sequence[float]) -> bool:
    return min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_RATIO


def distinct(values: Sequence[Any]) -> list[Any]:
    """Return the distinct values in order: numbers by size, lists by their numbers, the rest by their text."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)

    def order(value: Any) -> tuple[int, Any]:
        if _is_number(value):
            return 0, value
        if isinstance(value, list) and all(map(_is_number, value)):
            return 1, value
        return 2, flow(value)

    return sorted(found, key=order)


def draw_parallel(sweep: SweepView, *, narrow: bool = False) -> Figure:
    """Draw a line per trial through its parameters to its metric; the brighter the better, and the best is thick."""
    keys = [*sweep.keys, sweep.metric.name]
    figure = new_figure(max(4.8, (1.2 if narrow else 1.7) * len(keys) + 1.2), 4.2)
    axes = figure.subplots()
    scores = [trial.figures[sweep.metric.name] for trial in sweep.ranked]
    low, high = min(scores), max(scores)
    sign = sweep.metric.sign
    norm = Normalize(min(sign * low, sign * high), max(sign * low, sign * high))
    columns = [_axis([trial.values[key] for trial in sweep.ranked]) for key in sweep.keys]
    columns.append(_axis(scores))
    colors = matplotlib.colormaps[HEAT]
    for index in reversed(range(len(scores))):
        line = [column[0][index] for column in columns]
        color = colors(norm(sign * scores[index]))
        axes.plot(line, color=color, linewidth=3.4 if index == 0 else 1.5, alpha=1 if index == 0 else 0.8)
    best = [column[0][0] for column in columns]
    axes.plot(best, linestyle="none", marker="*", markersize=13, color=SERIES[1], markeredgecolor=INK, zorder=4)
    for x, (_, ticks) in enumerate(columns):
        axes.axvline(x, color=MUTED, linewidth=1)
        for height, label in ticks:
            axes.text(x + 0.03, height, label, fontsize=8, va="center",
                      bbox={"facecolor": PAPER, "alpha": 0.75, "linewidth": 0, "pad": 1})  # fmt: skip
    axes.set_xticks(range(len(keys)), [shortened(key, 18) for key in keys])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(keys) - 0.6)
    remove_frame(axes)
    mappable = ScalarMappable(Normalize(low, high), HEAT if sign == 1 else f"{HEAT}_r")
    figure.colorbar(mappable, ax=axes, label=shortened(sweep.metric.name, 30), shrink=0.8).outline.set_visible(False)
    return figure


def _axis(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Return heights in [0, 1] of the values of one axis, and its tick labels."""
    if _is_continuous(values):
        logarithmic = _is_logarithmic(values)
        scaled = [math.log(value) if logarithmic else float(value) for value in values]
        low, high = min(scaled), max(scaled)
        shown = [low + (high - low) * step / 4 for step in range(5)]
        ticks = [(step / 4, f"{math.exp(at) if logarithmic else at:.3g}") for step, at in enumerate(shown)]
        return [(value - low) / (high - low) for value in scaled], ticks
    kinds = distinct(values)
    heights = {index: index / (len(kinds) - 1) if len(kinds) > 1 else 0.5 for index in range(len(kinds))}
    ticks = [(heights[index], shortened(flow(kind), 14)) for index, kind in enumerate(kinds)]
    return [heights[kinds.index(value)] for value in values], ticks


def draw_rate_by_batch(sweep: SweepView, *, narrow: bool = False) -> Figure:
    """Draw the best metric of the trials at each learning rate (in bins if there are many) and batch size."""
    rates = [float(trial.values["learning_rate"]) for trial in sweep.ranked]
    batches = [trial.values["batch_size"] for trial in sweep.ranked]
    edges, names = _rate_bins(rates)
    sizes = distinct(batches)
    best = np.full((len(sizes), len(names)), np.nan)
    counts = np.zeros(best.shape, int)
    good = sweep.metric.sign > 0
    better = np.fmax if good else np.fmin
    for rate, batch, trial in zip(rates, batches, sweep.ranked, strict=True):
        cell = sizes.index(batch), int(np.clip(np.searchsorted(edges, rate, "right") - 1, 0, len(names) - 1))
        best[cell] = better(best[cell], trial.figures[sweep.metric.name])
        counts[cell] += 1
    figure = new_figure(1.9 + (0.75 if narrow else 0.95) * len(names), 1.5 + 0.55 * len(sizes))
    axes = figure.subplots()
    low, high = float(np.nanmin(best)), float(np.nanmax(best))
    image = axes.imshow(best, cmap=HEAT if good else f"{HEAT}_r", vmin=low, vmax=max(high, low + 1e-9), aspect="auto")
    for (row, column), value in np.ndenumerate(best):
        if not math.isnan(value):
            fraction = (value - low) / max(high - low, 1e-9)
            count = f"\n{counts[row, column]} trials" if counts[row, column] > 1 else ""
            color = ink_on(fraction if good else 1 - fraction)
            axes.text(column, row, f"{value:.3g}{count}", ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=20 if len(names) > 4 else 0, fontsize=8)
    axes.set_yticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlabel("learning_rate")
    axes.set_ylabel("batch_size")
    remove_frame(axes)
    label = f"best {shortened(sweep.metric.name, 30)}"
    figure.colorbar(image, ax=axes, label=label, shrink=0.8).outline.set_visible(False)
    return figure


def _rate_bins(rates: Sequence[float]) -> tuple[np.ndarray, list[str]]:
    """Return lower edges and names of bins: one per learning rate if these are few, else of equal logarithmic width."""
    different = sorted(set(rates))
    if len(different) <= RATE_BINS + 2:
        return np.array(different), [f"{rate:.3g}" for rate in different]
    edges = np.geomspace(different[0], different[-1], RATE_BINS + 1)
    return edges[:-1], [f"{low:.2g} to {high:.2g}" for low, high in pairwise(edges)]
