"""The plot of a confusion matrix: a heat map of the mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mlptrain.reporting.plots.style import HEAT, INK, STEPS, ink_on, new_figure, remove_frame
from mlptrain.reporting.text import shortened


def draw_confusion(confusion: Sequence[Sequence[int]], names: Sequence[str], *, narrow: bool = False) -> Figure:
    """Draw a row per true label and a column per predicted label, with counts in the cells.

    The colour of a mistake is its share of the row. The diagonal has no colour: next to the correct predictions all
    mistakes would look alike.
    """
    counts = np.array(confusion)
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    np.fill_diagonal(share, np.nan)
    size = len(counts)
    top = max(0.01, float(np.nanmax(share, initial=0.0)))
    figure = new_figure(*((0.9 + 0.4 * size, 0.9 + 0.38 * size) if narrow else (1.6 + 0.58 * size, 1.2 + 0.5 * size)))
    axes = figure.subplots()
    image = axes.imshow(share, cmap=HEAT, vmin=0, vmax=top, aspect="auto")
    for true in range(size):
        for predicted in range(size):
            count = counts[true, predicted]
            if true == predicted:
                axes.text(predicted, true, f"{count}", ha="center", va="center", color=INK, weight="bold")
            elif count:
                color = ink_on(share[true, predicted] / top)
                axes.text(predicted, true, f"{count}", ha="center", va="center", color=color)
    labels = [shortened(name, 12) for name in names]
    rotate = 0 if max(map(len, labels)) <= 3 else 45
    axes.set_xticks(range(size), labels, rotation=rotate, ha="right" if rotate else "center")
    axes.set_yticks(range(size), labels)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    remove_frame(axes)
    below: dict[str, Any] = {"location": "bottom", "aspect": 40} if narrow else {}
    bar = figure.colorbar(
        image, ax=axes, shrink=0.7, **below, format=PercentFormatter(1), ticks=MaxNLocator(5, steps=STEPS)
    )
    bar.set_label("share of the images with this true label")
    bar.outline.set_visible(False)
    return figure
