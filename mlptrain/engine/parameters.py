"""The parameters of K networks of one architecture, and the blocks of them that update rules work on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

Weights = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]
"""The weights (out, in) and the biases (out,) of each layer of one network."""


@dataclass(frozen=True)
class Architecture:
    """Layer sizes from input to output and the functions between them, common to K networks.

    With ``batch_norm`` the weighted inputs of the hidden layers are normalised before the activation.
    """

    layers: tuple[int, ...]
    activation: str
    output: str
    loss: str
    batch_norm: bool = False

    @property
    def parameter_count(self) -> int:
        """The number of weights, biases and gains of one network."""
        gains = sum(self.layers[1:-1]) if self.batch_norm else 0
        return gains + sum(out * (inputs + 1) for inputs, out in pairwise(self.layers))


class Parameters:
    """The parameters of K networks, or their gradients or optimizer state, in one flat array.

    ``flat`` contains all weights, then all biases, then the gains of batch normalisation. ``weights[l]``
    ``(K, out, in)``, ``biases[l]`` and ``gains[l]`` ``(K, out, 1)`` are views of it, and ``arrays`` lists all of
    them in this order. ``weight_entries`` is the number of weights.
    """

    def __init__(self, architecture: Architecture, members: int, dtype: np.dtype) -> None:
        layers = architecture.layers
        depth = len(layers) - 1
        shapes = [(members, out, inputs) for inputs, out in pairwise(layers)]
        shapes += [(members, out, 1) for out in layers[1:]]
        shapes += [(members, out, 1) for out in layers[1:-1] if architecture.batch_norm]
        self.flat = empty_aligned((sum(map(math.prod, shapes)),), dtype)
        self.flat[:] = 0
        self.arrays = split_views(self.flat, shapes)
        self.weights, self.biases = self.arrays[:depth], self.arrays[depth : 2 * depth]
        self.gains = self.arrays[2 * depth :]
        self.weight_entries = sum(weights.size for weights in self.weights)


class Statistics:
    """The running means and variances of the normalised layers of K networks, in one flat array.

    ``means[l]`` and ``variances[l]`` ``(K, out, 1)`` are views of ``flat``; ``arrays`` lists all means, then all
    variances.
    """

    def __init__(self, architecture: Architecture, members: int, dtype: np.dtype) -> None:
        shapes = [(members, out, 1) for out in architecture.layers[1:-1] if architecture.batch_norm]
        self.flat = np.zeros(2 * sum(map(math.prod, shapes)), dtype)
        self.arrays = split_views(self.flat, shapes * 2)
        self.means, self.variances = self.arrays[: len(shapes)], self.arrays[len(shapes) :]
        for variance in self.variances:
            variance[:] = 1


def split_views(flat: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Return views of consecutive pieces of ``flat`` (n,), one of each shape."""
    views, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        views.append(flat[start:end].reshape(shape))
        start = end
    return views


CACHE_LINE_BYTES = 64


def empty_aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an uninitialised array that begins at the start of a cache line.

    ``np.empty`` begins at any multiple of 16 bytes. BLAS kernels for small matrices read whole cache lines of their
    operands: with aligned ones W·x of 784-30-10 at batch 10 takes 5.5 µs instead of 6 to 7.
    """
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + CACHE_LINE_BYTES, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE_BYTES
    return raw[start : start + size].view(dtype).reshape(shape)


# A rule that passes several times over a block finds it in the core's second-level cache: four arrays take 1 MB in
# float32.
BLOCK_ENTRIES = 65_536


class Block(NamedTuple):
    """The same entries of several tensors, and ``scratch`` of their shape; ``is_weight`` if all are weights."""

    arrays: tuple[np.ndarray, ...]
    scratch: np.ndarray
    is_weight: bool


def make_blocks(tensors: Sequence[Parameters], *, uniform: bool, separate_weights: bool = False) -> list[Block]:
    """Divide ``tensors`` (parameters, gradients, optimizer state) into blocks that share one scratch buffer.

    If a rule applies the same numbers to all K networks (``uniform``), a block is a slice of the flat arrays, and
    with ``separate_weights`` none contains both weights and other parameters. Otherwise a block is the array
    ``(K, ...)`` of one layer, to which numbers ``(K, 1, 1)`` broadcast.
    """
    first = tensors[0]
    if uniform:
        size, weights = first.flat.size, first.weight_entries
        starts = [*range(0, size, BLOCK_ENTRIES)]
        if separate_weights:
            starts = [*range(0, weights, BLOCK_ENTRIES), *range(weights, size, BLOCK_ENTRIES)]
        slices = [slice(start, end) for start, end in pairwise([*starts, size])]
        pieces = [(tuple(tensor.flat[piece] for tensor in tensors), piece.stop <= weights) for piece in slices]
    else:
        layers = zip(*(tensor.arrays for tensor in tensors), strict=True)
        pieces = [(arrays, index < len(first.weights)) for index, arrays in enumerate(layers)]
    buffer = np.empty(max(arrays[0].size for arrays, _ in pieces), first.flat.dtype)
    return [Block(arrays, buffer[: arrays[0].size].reshape(arrays[0].shape), is_weight) for arrays, is_weight in pieces]
