"""Pictures of other sizes: NumPy alone, each axis by itself."""

from __future__ import annotations

import numpy as np


def block_means(pixels: np.ndarray, longest: int) -> np.ndarray:
    """``pixels`` (height, width) reduced to at most ``longest`` a side by means of square blocks.

    Bytes become [0, 1]. What is left over at the right and lower edge, less than a block, is cut off.
    """
    step = -(-max(pixels.shape) // longest)
    step = max(1, min(step, *pixels.shape))
    height, width = (size // step for size in pixels.shape)
    blocks = pixels[: height * step, : width * step].reshape(height, step, width, step)
    scale = 255 if pixels.dtype == np.uint8 else 1
    means: np.ndarray = blocks.mean(axis=(1, 3), dtype=np.float32) / np.float32(scale)
    return means


def resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """``pixels`` at another size, linearly between pixels when enlarged and averaged when reduced."""
    rows, columns = weights(pixels.shape[0], height), weights(pixels.shape[1], width)
    across = np.einsum("hw,vw->hv", pixels, columns)  # einsum, not BLAS, whose threads cost more than they save here
    result: np.ndarray = np.einsum("uh,hv->uv", rows, across)
    return result


def weights(source: int, target: int) -> np.ndarray:
    """The matrix (target, source) that resamples an axis: triangles as wide as the coarser of the two grids."""
    step = source / target
    centres = (np.arange(target) + 0.5) * step - 0.5
    distances = np.abs(np.arange(source) - centres[:, np.newaxis]) / max(1.0, step)
    matrix = np.maximum(1 - distances, 0)
    scaled: np.ndarray = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return scaled


def smoothed(pixels: np.ndarray) -> np.ndarray:
    """Each pixel with its neighbours in the weights 1 2 1, along both axes."""
    for _ in range(2):
        padded = np.pad(pixels, ((1, 1), (0, 0)), mode="edge")
        pixels = ((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4).T
    return pixels
