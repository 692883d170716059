"""Plots of hidden units: first-layer weights as images, and the mean activation of each unit per class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlptrain.models.inspection import strongest_classes
from mlptrain.reporting.plots.images import draw_images
from mlptrain.reporting.plots.style import HEAT, new_figure, remove_frame
from mlptrain.reporting.text import shortened


def draw_weights(
    weights: np.ndarray,
    shape: tuple[int, int],
    units: np.ndarray,
    activations: np.ndarray,
    names: Sequence[str],
    *,
    narrow: bool = False,
) -> Figure:
    """Draw the incoming weights (out, in) of first-layer ``units`` as images, each on its own scale around 0.

    The caption is the unit and the two classes with the highest mean activation in ``activations`` (out, classes).
    """
    best = strongest_classes(activations[units])
    captions = [
        f"#{unit}: {', '.join(shortened(names[label], 6) for label in pair)}"
        for unit, pair in zip(units, best, strict=True)
    ]
    return draw_images(_scaled(weights[units]).reshape(-1, *shape), captions, 5 if narrow else 10, HEAT, limits=(-1, 1))


def draw_class_weights(
    weights: np.ndarray, shape: tuple[int, int], names: Sequence[str], *, narrow: bool = False
) -> Figure:
    """Draw the weights (classes, in) of a network without hidden layers as images, each on its own scale around 0."""
    captions = [shortened(name, 12) for name in names]
    return draw_images(_scaled(weights).reshape(-1, *shape), captions, 4 if narrow else 5, HEAT, limits=(-1, 1))


def _scaled(weights: np.ndarray) -> np.ndarray:
    """Return weights (units, in) divided by the largest absolute value of each unit."""
    rows = weights.astype(np.float64)
    scaled: np.ndarray = rows / np.maximum(np.abs(rows).max(axis=1, keepdims=True), 1e-300)
    return scaled


def draw_activations(
    layers: Sequence[np.ndarray],
    units: Sequence[np.ndarray],
    names: Sequence[str],
    counts: Sequence[int],
    *,
    narrow: bool = False,
) -> Figure:
    """Draw the mean activations (units, classes) of hidden layers with a row per unit, sorted by the strongest class.

    ``units`` are the numbers of the rows, and ``counts`` the numbers of units per layer.
    """
    columns = 1 if narrow else min(3, len(layers))
    rows = -(-len(layers) // columns)
    longest = max(len(layer) for layer in layers)
    figure = new_figure(max(4.6, 3.4 * columns), rows * min(9.0, 1.6 + 0.17 * longest))
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    labels = [shortened(name, 8) for name in names]
    rotate = 0 if max(map(len, labels)) <= 3 else 60
    for index, (axes, layer, numbers) in enumerate(zip(panels, layers, units, strict=False)):
        order = np.lexsort((-np.nan_to_num(layer).max(axis=1), strongest_classes(layer, 1)[:, 0]))
        image = axes.imshow(layer[order], cmap=HEAT, aspect="auto")
        axes.set_xticks(range(len(labels)), labels, rotation=rotate)
        axes.set_yticks(range(len(order)), [str(numbers[i]) for i in order], fontsize=7)
        shown = (
            f"{len(numbers)} of {counts[index]:,} units" if len(numbers) < counts[index] else f"{len(numbers)} units"
        )
        axes.set_title(f"hidden layer {index + 1}: {shown}")
        axes.set_xlabel("true label")
        axes.set_ylabel("unit")
        remove_frame(axes)
        figure.colorbar(image, ax=axes, shrink=0.6, label="mean activation").outline.set_visible(False)
    for axes in panels[len(layers) :]:
        axes.remove()
    return figure
