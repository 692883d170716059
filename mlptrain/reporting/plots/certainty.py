"""Plots of a network's confidence: its worst mistakes, and its calibration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlptrain.models.inspection import Calibration
from mlptrain.reporting.plots.images import draw_images
from mlptrain.reporting.plots.style import DASHES, MARKERS, MUTED, SERIES, new_figure, plain_numbers
from mlptrain.reporting.text import shortened


def draw_mistakes(
    images: np.ndarray,
    true: Sequence[str],
    predicted: Sequence[str],
    confidence: Sequence[float],
    *,
    narrow: bool = False,
) -> Figure:
    """Draw images (n, height, width), dark on white, each with its true label, predicted label and confidence."""
    captions = [
        f"{shortened(label, 13)}\n→ {shortened(wrong, 8)} ({output:.0%})"
        for label, wrong, output in zip(true, predicted, confidence, strict=True)
    ]
    return draw_images(images, captions, 4 if narrow else 6, "gray_r", lines=2, limits=(0, 255))


def draw_calibration(calibration: Calibration, *, narrow: bool = False) -> Figure:
    """Draw accuracy over confidence in bins beside the diagonal of perfect calibration; below, the number of images."""
    figure = new_figure(4.6, 4.8) if narrow else new_figure(5.2, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    bins = len(calibration.counts)
    filled = calibration.counts > 0
    upper.plot([0, 1], [0, 1], color=MUTED, linestyle=DASHES[1], linewidth=1.2, label="perfect calibration")
    x, y = calibration.confidence[filled], calibration.accuracy[filled]
    upper.vlines(x, np.minimum(x, y), np.maximum(x, y), color=SERIES[1], linewidth=1.2)
    upper.plot(x, y, color=SERIES[0], marker=MARKERS[0], label="this network")
    upper.set_xlim(0, 1)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("accuracy")
    upper.set_title(f"expected calibration error {calibration.error:.4f}")
    upper.legend(loc="upper left")
    lower.bar((np.arange(bins) + 0.5) / bins, calibration.counts, width=0.9 / bins, color=SERIES[0])
    lower.set_yscale("symlog", linthresh=1)
    plain_numbers(lower.yaxis)
    lower.set_ylabel("images")
    lower.set_xlabel("confidence")
    return figure
