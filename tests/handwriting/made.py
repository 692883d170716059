"""Synthetic photographs that the tests of handwriting share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def seven(size: int = 100) -> np.ndarray:
    """Return the coverage (size, size) in [0, 1] of a digit 7 with thick strokes that fills 80 % of the image."""
    y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    bar = (abs(y - 0.16) < 0.06) & (x > 0.25) & (x < 0.75)
    stem = (abs(x - (0.69 - 0.45 * (y - 0.16))) < 0.06) & (y > 0.1) & (y < 0.9)
    return (bar | stem).astype(np.float32)


def scene(
    height: int, width: int, top: int, left: int, *, ink: float = 0.15, paper: float = 0.8, size: int = 100
) -> NDArray[np.float64]:
    """Return a 7 on paper with some noise, float32 in [0, 1]."""
    grey = np.full((height, width), paper, np.float32)
    grey[top : top + size, left : left + size] += (ink - paper) * seven(size)
    grey += np.random.default_rng(0).normal(0, 0.01, grey.shape).astype(np.float32)
    return np.clip(grey, 0, 1)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return the correlation of two images."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
