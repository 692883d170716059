"""A sheet of paper that lies whole in the picture, on a table of another brightness."""

from __future__ import annotations

import numpy as np

from mlptrain.handwriting.light import smooth_surface
from mlptrain.handwriting.marks import connected
from mlptrain.handwriting.resampling import block_means

GRID = 96
"""Cells of the longer side on which a sheet is looked for."""

_CONTRAST = 0.15  # between sheet and table, at least
_SHARE = 0.08  # of the picture, at least
_FULL = 0.7  # of its box that a sheet fills, at least, and no digit
_SLIMMEST = 0.4  # of its longer side is a sheet's shorter side


def find_sheet(picture: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns within the sheet in ``picture`` (height, width), in [0, 1]; None where there is none."""
    cells = block_means(picture, GRID)
    deviation = cells - smooth_surface(cells)
    if (deviation**3).sum() < 0:
        deviation = -deviation
    contrast = float(np.percentile(deviation, 100 * (1 - _SHARE / 2)))
    if contrast < _CONTRAST:
        return None
    labels = connected(deviation > contrast / 2)
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    rows, columns = np.nonzero(labels == largest)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    height, width = bottom - top, right - left
    inside = top > 0 and left > 0 and bottom < cells.shape[0] and right < cells.shape[1]
    slim = min(height, width) < _SLIMMEST * max(height, width)
    if not inside or slim or len(rows) < max(_FULL * height * width, _SHARE * cells.size):
        return None
    step = picture.shape[0] // cells.shape[0]
    rim = 1 + max(height, width) // 30  # the sheet's edges, and what of them is askew
    return (
        slice(int(top + rim) * step, int(bottom - rim) * step),
        slice(int(left + rim) * step, int(right - rim) * step),
    )
