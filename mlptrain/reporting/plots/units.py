"""Plots of hidden units: first-layer weights as images, and the mean activation of each unit per class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from mlptrain.engine.arrays import Floats, Indices
from mlptrain.models.inspection import strongest_classes
from mlptrain.reporting.plots.images import ImageGrid
from mlptrain.reporting.plots.panels import Panels
from mlptrain.reporting.plots.style import HEAT, remove_frame
from mlptrain.reporting.text import shortened

PANEL_UNITS = 16

_SCALE = {"lowest mean of the layer": 0.0, "halfway": 0.5, "highest mean": 1.0}
"""The legend of the colours: labels, and fractions of the range."""


def weight_images(
    weights: Floats, shape: tuple[int, int], units: Indices, activations: Floats, names: Sequence[str]
) -> ImageGrid:
    """Return the incoming weights (out, in) of first-layer ``units`` as images, each on its own scale around 0.

    The caption is the unit and the two classes with the highest mean activation in ``activations`` (out, classes).
    """
    best = strongest_classes(activations[units])
    captions = [
        f"#{unit}: {', '.join(shortened(names[label], 6) for label in pair)}"
        for unit, pair in zip(units, best, strict=True)
    ]
    return ImageGrid(_scaled(weights[units]).reshape(-1, *shape), captions, 10, HEAT, (-1, 1))


def class_weight_images(weights: Floats, shape: tuple[int, int], names: Sequence[str]) -> ImageGrid:
    """Return the weights (classes, in) of a network without hidden layers as images, each on its own scale around 0."""
    return ImageGrid(_scaled(weights).reshape(-1, *shape), [shortened(name, 12) for name in names], 10, HEAT, (-1, 1))


def _scaled(weights: Floats) -> Floats:
    """Return weights (units, in) divided by the largest absolute value of each unit."""
    rows = weights.astype(np.float64)
    scaled: Floats = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-300)
    return scaled


def mean_activations(
    layers: Sequence[Floats], units: Sequence[Indices], names: Sequence[str], counts: Sequence[int]
) -> Panels:
    """Return the mean activations (units, classes) of hidden layers, a row of panels for each layer.

    The columns of a panel are units, sorted by the class with the highest mean. ``units`` are their numbers, and
    ``counts`` the numbers of units per layer.
    """
    labels = [shortened(name, 8) for name in names]
    across = math.ceil(max(map(len, layers)) / PANEL_UNITS)
    rows = []
    for number, (layer, numbers, count) in enumerate(zip(layers, units, counts, strict=True), start=1):
        order = np.lexsort((-np.nan_to_num(layer).max(axis=1), strongest_classes(layer, 1)[:, 0]))
        limits = float(np.nanmin(layer)), float(np.nanmax(layer))
        shown = f"{len(numbers)} of {count:,} units" if len(numbers) < count else f"{count:,} units"
        title = f"hidden layer {number}: {shown}, {limits[0]:.2f} to {limits[1]:.2f}"
        parts = np.array_split(order, min(across, len(order)))
        rows.append(
            [
                partial(_draw_activations, layer[part].T, numbers[part], labels, limits, "" if index else title)
                for index, part in enumerate(parts)
            ]
        )
    if across == 1:
        rows = [[panel for row in rows for panel in row]]
    colors = matplotlib.colormaps[HEAT]
    legend = [
        (label, {"color": colors(fraction), "linestyle": "none", "marker": "s", "markersize": 10})
        for label, fraction in _SCALE.items()
    ]
    longest = max(map(len, labels))
    return Panels(rows, 4.3 + 0.08 * longest, 0.9 + 0.2 * len(labels), legend)


def _draw_activations(
    means: Floats, units: Indices, labels: Sequence[str], limits: tuple[float, float], title: str, axes: Axes
) -> None:
    """Draw means (classes, units) within the ``limits`` of the layer."""
    axes.imshow(means, cmap=HEAT, aspect="auto", vmin=limits[0], vmax=limits[1])
    axes.set_xticks(range(len(units)), [str(unit) for unit in units], fontsize=7)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_title(title)
    axes.set_xlabel("unit", fontsize=8)
    remove_frame(axes)
