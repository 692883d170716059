"""Resampling and smoothing of grey images."""

from __future__ import annotations

import numpy as np

from mlptrain.engine.arrays import Bytes, Floats


def block_means(pixels: Bytes | Floats, longest: int) -> Floats:
    """Return the means of square blocks of ``pixels`` (height, width), so that no side is longer than ``longest``.

    Bytes are scaled to [0, 1]. Incomplete blocks at the right and lower edges are dropped. An image narrower than a
    block has blocks of its own width instead, and may stay longer than ``longest``.
    """
    step = -(-max(pixels.shape) // longest)
    step = max(1, min(step, *pixels.shape))
    height, width = (size // step for size in pixels.shape)
    blocks = pixels[: height * step, : width * step].reshape(height, step, width, step)
    scale = 255 if pixels.dtype == np.uint8 else 1
    means: Floats = blocks.mean(axis=(1, 3), dtype=np.float32) / np.float32(scale)
    return means


def resize(pixels: Floats, height: int, width: int) -> Floats:
    """Return ``pixels`` at another size: interpolated linearly if it is larger, averaged if it is smaller."""
    rows, columns = resampling_matrix(pixels.shape[0], height), resampling_matrix(pixels.shape[1], width)
    across = np.einsum("hw,vw->hv", pixels, columns)  # not BLAS: starting its threads takes longer
    result: Floats = np.einsum("uh,hv->uv", rows, across)
    return result


def resampling_matrix(source: int, target: int) -> Floats:
    """Return the matrix (target, source) that resamples an axis.

    Each row is a triangle around the centre of a target pixel, with a half width of one pixel of the coarser grid, and
    sums to 1.
    """
    step = source / target
    centres = (np.arange(target) + 0.5) * step - 0.5
    distances = np.abs(np.arange(source) - centres[:, np.newaxis]) / max(1.0, step)
    matrix = np.maximum(1 - distances, 0)
    scaled: Floats = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def smooth(pixels: Floats) -> Floats:
    """Return ``pixels`` convolved with the weights 1/4, 1/2, 1/4 along both axes."""
    for _ in range(2):
        padded = np.pad(pixels, ((1, 1), (0, 0)), mode="edge")
        pixels = ((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4).T
    return pixels
