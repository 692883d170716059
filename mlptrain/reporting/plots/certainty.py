"""Plots of a network's confidence: its worst mistakes, and its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from mlptrain.engine.arrays import Bytes, Floats, Integers
from mlptrain.models.inspection import Calibration
from mlptrain.reporting.plots.images import ImageGrid
from mlptrain.reporting.plots.panels import Panels
from mlptrain.reporting.plots.style import DASHES, MARKERS, MUTED, SERIES, plain_numbers
from mlptrain.reporting.text import shortened

FEW_IMAGES = 10
"""Images of a bin below which its accuracy may be off by more than 0.15, one standard error."""

_PERFECT: dict[str, Any] = {"color": MUTED, "linestyle": DASHES[1], "linewidth": 1.2}

_MANY: dict[str, Any] = {"color": SERIES[0], "linestyle": "none", "marker": MARKERS[0]}

_FEW: dict[str, Any] = {**_MANY, "markerfacecolor": "none"}


def mistake_images(
    images: Bytes | Floats, true: Sequence[str], predicted: Sequence[str], confidence: Sequence[float]
) -> ImageGrid:
    """Return images (n, height, width), dark on white, each with its true label, predicted label and confidence."""
    captions = [
        f"{shortened(label, 13)}\n→ {shortened(wrong, 8)} ({output:.0%})"
        for label, wrong, output in zip(true, predicted, confidence, strict=True)
    ]
    return ImageGrid(images, captions, 12, "gray_r", (0, 255), lines=2)


def calibration_panels(calibration: Calibration) -> Panels:
    """Return accuracy over confidence in bins beside the diagonal of perfect calibration, and the images per bin."""
    counts = calibration.counts
    legend = [("perfect calibration", _PERFECT), ("this network", _MANY)]
    if ((counts > 0) & (counts < FEW_IMAGES)).any():
        legend.append((f"bin with fewer than {FEW_IMAGES} images", _FEW))
    return Panels([[partial(_draw_accuracy, calibration), partial(_draw_counts, counts)]], 4.7, 3.4, legend)


def _draw_accuracy(calibration: Calibration, axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], **_PERFECT)
    few = calibration.counts < FEW_IMAGES
    for chosen, style in ((few & (calibration.counts > 0), _FEW), (~few, _MANY)):
        x, y = calibration.confidence[chosen], calibration.accuracy[chosen]
        axes.vlines(x, np.minimum(x, y), np.maximum(x, y), color=SERIES[1], linewidth=1.2)
        axes.plot(x, y, clip_on=False, zorder=3, **style)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_title("accuracy")


def _draw_counts(counts: Integers, axes: Axes) -> None:
    bins = len(counts)
    middles = ((np.arange(bins) + 0.5) / bins)[counts > 0]
    counts = counts[counts > 0]
    colors = [SERIES[0] if count >= FEW_IMAGES else "none" for count in counts]
    axes.bar(middles, counts, width=0.85 / bins, color=colors, edgecolor=SERIES[0])
    for x, count in zip(middles, counts, strict=True):
        axes.annotate(f"{count:,}", (x, count), (0, 2), textcoords="offset points", ha="center", fontsize=8)
    axes.set_yscale("symlog", linthresh=1)
    plain_numbers(axes.yaxis)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 2 * int(counts.max()))
    axes.set_xlabel("confidence")
    axes.set_title("images per bin")
