"""Plots of many small images, each with a caption."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

from mlptrain.engine.arrays import Bytes, Floats
from mlptrain.reporting.plots.style import new_figure, remove_frame

SIDE = 0.76  # inches of an image in a file


@dataclass(frozen=True)
class ImageGrid:
    """Images (n, height, width) in rows of ``columns``, with captions of up to ``lines`` lines above them."""

    images: Bytes | Floats
    captions: Sequence[str]
    columns: int
    cmap: str
    limits: tuple[float, float]
    lines: int = 1

    def __call__(self, *, narrow: bool = False) -> Figure:
        """Return all images in one figure."""
        count, height, width = self.images.shape
        columns = min(self.columns, count)
        rows = -(-count // columns)
        gap, head = max(2, round(0.1 * width)), max(1, round(height * (0.02 + 0.22 * self.lines)))
        step_y, step_x = height + head + 1, width + gap
        canvas = np.full((rows * step_y, columns * step_x - gap), np.nan)
        figure = new_figure(columns * step_x / width * SIDE + 0.2, rows * step_y / height * SIDE + 0.2)
        axes = figure.subplots()
        for index, (image, caption) in enumerate(zip(self.images, self.captions, strict=True)):
            top, left = index // columns * step_y + head, index % columns * step_x
            canvas[top : top + height, left : left + width] = image
            axes.text(left + width / 2 - 0.5, top - 1, caption, ha="center", va="bottom", fontsize=8, linespacing=1.05)
        axes.imshow(canvas, cmap=self.cmap, vmin=self.limits[0], vmax=self.limits[1])
        axes.set_xticks([])
        axes.set_yticks([])
        remove_frame(axes)
        return figure

    def png(self, index: int) -> bytes:
        """Return an image as a PNG file with one pixel per number."""
        stream, metadata = io.BytesIO(), dict[str, Any](Software=None)
        low, high = self.limits
        imsave(stream, self.images[index], low, high, self.cmap, format="png", metadata=metadata)
        return stream.getvalue()
