"""Paper and ink in a photograph: the sheet, the brightness of the paper, and the ink on it."""

from __future__ import annotations

import numpy as np

from mlptrain.engine.arrays import Floats
from mlptrain.handwriting.marks import label_components
from mlptrain.handwriting.resampling import block_means, resize, smooth

PAPER_CELLS = 48  # cells along the longer side of the grid on which the brightness of the paper is estimated

SHEET_CELLS = 96  # cells along the longer side of the grid on which the sheet is located

MIN_BRIGHTNESS = 0.08  # assumed for darker paper, so that noise does not become ink

MEDIAN_WINDOW = 0.55  # side of the window of the running median, as a share of the shorter side of the grid

FIT_ITERATIONS = 12

MIN_CONTRAST = 0.15  # contrast between sheet and table

MIN_SHARE = 0.08  # share of the image that the sheet covers

MIN_FILL = 0.7  # share of its bounding box that the sheet covers; a digit covers less

MIN_ASPECT = 0.4  # shorter side of the sheet divided by the longer one


def extract_ink(grey: Floats) -> Floats:
    """Return the contrast of each pixel of ``grey`` (height, width), in [0, 1], with the paper around it.

    Ink is positive and paper is about 0, for dark ink and for chalk: strokes cover fewer pixels and deviate further
    than anything else, so that the deviations are skewed towards the ink. They are amplified where the paper is dark.
    """
    paper = _paper(grey)
    brightness = np.maximum(paper, MIN_BRIGHTNESS)
    deviation: Floats = smooth(grey - paper) * (float(np.median(brightness)) / brightness)
    return _with_positive_skew(deviation)


def _with_positive_skew(deviation: Floats) -> Floats:
    """Return ``deviation`` with the sign that makes its third moment positive."""
    return -deviation if (deviation**3).sum() < 0 else deviation


def _paper(grey: Floats) -> Floats:
    """Return the brightness that each pixel would have without ink.

    A quadratic surface models gradients and vignettes, and a running median of the residuals models shadows. Both
    ignore strokes, which cover less than half of the cells.
    """
    cells = block_means(grey, PAPER_CELLS)
    surface = fit_surface(cells)
    paper = np.clip(surface + _running_median(cells - surface), cells.min(), cells.max())
    return resize(paper, *grey.shape)


def fit_surface(cells: Floats) -> Floats:
    """Return the values at ``cells`` of the quadratic surface that fits them best.

    The fit is repeated with Cauchy weights 1 / (1 + (r / 2s)²) of the residuals r, where s is the median of |r|.
    """
    height, width = cells.shape
    y, x = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij"))
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    values, weight = cells.ravel().astype(np.float64), np.ones(cells.size)
    fitted = values
    for _ in range(FIT_ITERATIONS):
        # einsum, because starting the threads of BLAS takes longer than six unknowns
        matrix = np.einsum("n,ni,nj->ij", weight, basis, basis) + 1e-9 * np.eye(basis.shape[1])
        coefficients = np.linalg.solve(matrix, np.einsum("n,n,ni->i", weight, values, basis))
        fitted = np.einsum("ni,i->n", basis, coefficients)
        residuals = np.abs(values - fitted)
        scale = max(float(np.median(residuals)), 1e-3)
        weight = 1 / (1 + (residuals / (2 * scale)) ** 2)
    return fitted.reshape(height, width)


def _running_median(cells: Floats) -> Floats:
    """Return the median of a square window around each cell, with cells reflected at the edges."""
    reach = max(1, min(int(min(cells.shape) * MEDIAN_WINDOW / 2), min(cells.shape) - 1))
    padded = np.pad(cells, reach, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    return np.stack([np.median(row.reshape(len(row), -1), axis=1) for row in windows])


def find_sheet(grey: Floats) -> tuple[slice, slice] | None:
    """Return the rows and columns of the sheet of paper on a table in ``grey`` (height, width), in [0, 1], or None."""
    cells = block_means(grey, SHEET_CELLS)
    deviation = _with_positive_skew(cells - fit_surface(cells))
    contrast = float(np.percentile(deviation, 100 * (1 - MIN_SHARE / 2)))
    if contrast < MIN_CONTRAST:
        return None
    labels = label_components(deviation > contrast / 2)
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    rows, columns = np.nonzero(labels == largest)
    top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
    height, width = bottom - top, right - left
    inside = top > 0 and left > 0 and bottom < cells.shape[0] and right < cells.shape[1]
    narrow = min(height, width) < MIN_ASPECT * max(height, width)
    if not inside or narrow or len(rows) < max(MIN_FILL * height * width, MIN_SHARE * cells.size):
        return None
    step = grey.shape[0] // cells.shape[0]
    margin = 1 + max(height, width) // 30  # the edges of the sheet, which may be slightly rotated
    return (
        slice(int(top + margin) * step, int(bottom - margin) * step),
        slice(int(left + margin) * step, int(right - margin) * step),
    )
