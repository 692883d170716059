"""From a grey photograph to ink: the light taken away, dark on light and light on dark made the same."""

from __future__ import annotations

import numpy as np

from mlptrain.handwriting.marks import connected
from mlptrain.handwriting.resampling import block_means, resized, smoothed

GRID = 48
"""Cells of the longer side on which the light is estimated."""

DARKEST = 0.08
"""Brightness below which paper is not brightened further: noise would become ink."""

_MEDIAN_WINDOW = 0.55

_FITS = 12


def ink_of(grey: np.ndarray) -> np.ndarray:
    """How far each pixel of ``grey`` (height, width), in [0, 1], stands out from the paper around it.

    Ink is positive, paper about 0, whatever was darker in the photograph: the side to which the deviations from
    the paper are skewed is the ink, because strokes are fewer and deviate further than anything else. Where less
    light falls, deviations are enlarged as paper is darker there.
    """
    paper = _paper(grey)
    floor = np.maximum(paper, DARKEST)
    deviation: np.ndarray = smoothed(grey - paper) * (float(np.median(floor)) / floor)
    if (deviation**3).sum() < 0:
        np.negative(deviation, out=deviation)
    return deviation


def _paper(grey: np.ndarray) -> np.ndarray:
    """The brightness that each pixel would have without ink.

    A curved surface through most of the cells of a coarse grid (gradients, vignettes), then the median of what
    it leaves within about half the picture (shadows): strokes fill less than half of either.
    """
    coarse = block_means(grey, GRID)
    surface = smooth_surface(coarse)
    light = np.clip(surface + _median(coarse - surface), coarse.min(), coarse.max())
    return resized(light, *grey.shape)


def smooth_surface(cells: np.ndarray) -> np.ndarray:
    """The quadratic surface through ``cells``; those that deviate count less and less (Cauchy weights)."""
    height, width = cells.shape
    y, x = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"))
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    values, weight = cells.ravel().astype(np.float64), np.ones(cells.size)
    fitted = values
    for _ in range(_FITS):
        # Normal equations by einsum: BLAS would wake threads for six unknowns.
        matrix = np.einsum("n,ni,nj->ij", weight, basis, basis) + 1e-9 * np.eye(basis.shape[1])
        coefficients = np.linalg.solve(matrix, np.einsum("n,n,ni->i", weight, values, basis))
        fitted = np.einsum("ni,i->n", basis, coefficients)
        distance = np.abs(values - fitted)
        scale = max(float(np.median(distance)), 1e-3)
        weight = 1 / (1 + (distance / (2 * scale)) ** 2)
    return fitted.reshape(height, width)


def _median(cells: np.ndarray) -> np.ndarray:
    """The median of a square window around each cell, reflected at the edges."""
    reach = max(1, min(int(min(cells.shape) * _MEDIAN_WINDOW / 2), min(cells.shape) - 1))
    padded = np.pad(cells, reach, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    return np.stack([np.median(row.reshape(len(row), -1), axis=1) for row in windows])


GRID_sheet = 96
"""Cells of the longer side on which a sheet is looked for."""

_CONTRAST = 0.15  # between sheet and table, at least

_SHARE = 0.08  # of the picture, at least

_FULL = 0.7  # of its box that a sheet fills, at least, and no digit

_SLIMMEST = 0.4  # of its longer side is a sheet's shorter side


def find_sheet(picture: np.ndarray) -> tuple[slice, slice] | None:
    """Rows and columns within the sheet in ``picture`` (height, width), in [0, 1]; None where there is none."""
    cells = block_means(picture, GRID_sheet)
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
