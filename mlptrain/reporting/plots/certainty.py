"""How sure a network is: its worst mistakes, and whether it is right as often as it is sure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlptrain.models.inspection import Calibration
from mlptrain.reporting.plots.images import draw_images
from mlptrain.reporting.plots.style import DASHES, MARKERS, MUTED, SERIES, new_figure, plain_numbers, shortened


def draw_mistakes(
    images: np.ndarray,
    truths: Sequence[str],
    guesses: Sequence[str],
    confidence: Sequence[float],
    *,
    narrow: bool = False,
) -> Figure:
    """Images (n, height, width) that were mistaken, dark ink on white, with truth, guess and confidence."""
    captions = [
        f"is {shortened(truth, 10)}\nread {shortened(guess, 8)} {sure:.0%}"
        for truth, guess, sure in zip(truths, guesses, confidence, strict=True)
    ]
    return draw_images(images, captions, 4 if narrow else 6, "gray_r", lines=2, limits=(0, 255))


def draw_calibration(calibration: Calibration, *, narrow: bool = False) -> Figure:
    """Accuracy over confidence in bins, beside the diagonal of a perfectly calibrated network; below, how many."""
    figure = new_figure(4.6, 4.8) if narrow else new_figure(5.2, 5.2)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    bins = len(calibration.counts)
    there = calibration.counts > 0
    upper.plot([0, 1], [0, 1], color=MUTED, linestyle=DASHES[1], linewidth=1.2, label="as sure as right")
    x, y = calibration.confidence[there], calibration.accuracy[there]
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
