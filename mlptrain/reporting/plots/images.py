"""Plots of many small images, each with a caption."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlptrain.reporting.plots.style import new_figure, remove_frame


def draw_images(
    images: np.ndarray, captions: Sequence[str], columns: int, cmap: str, *, lines: int = 1, limits: tuple[float, float]
) -> Figure:
    """Draw ``images`` (n, height, width) in rows of ``columns``, captions of up to ``lines`` lines above them."""
    count, height, width = images.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    gap, head = max(2, round(0.1 * width)), max(1, round(height * (0.02 + 0.22 * lines)))
    step_y, step_x = height + head + 1, width + gap
    canvas = np.full((rows * step_y, columns * step_x - gap), np.nan)
    figure = new_figure(columns * step_x / width * 0.82, rows * step_y / height * 0.74)
    axes = figure.subplots()
    for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
        top, left = index // columns * step_y + head, index % columns * step_x
        canvas[top : top + height, left : left + width] = image
        axes.text(left + width / 2 - 0.5, top - 1, caption, ha="center", va="bottom", fontsize=8, linespacing=1.05)
    axes.imshow(canvas, cmap=cmap, vmin=limits[0], vmax=limits[1])
    axes.set_xticks([])
    axes.set_yticks([])
    remove_frame(axes)
    return figure
