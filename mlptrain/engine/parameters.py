"""The parameters of K networks of one architecture, and the blocks of them that update rules work on.

Hidden layers may differ in size between the networks. Then arrays have the largest sizes, and the entries beyond those
of a network are padding: parameters, gradients and optimizer states that are 0 at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from mlptrain.engine.arrays import Floats

Shape = tuple[int, ...]
"""The sizes of the layers of a network, or of the axes of an array."""

Weights = tuple[Sequence[Floats], Sequence[Floats]]
"""The weights (out, in) and the biases (out,) of each layer of one network."""


@dataclass(frozen=True)
class Architecture:
    """Layer sizes from input to output and the functions between them, common to K networks.

    If networks differ in the sizes of their hidden layers, ``layers`` has the largest ones. With ``batch_norm`` the
    weighted inputs of the hidden layers are normalised before the activation.
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


class Tensors:
    """Numbers of K networks in one flat array: ``arrays`` are views ``(K, ...)`` of consecutive pieces of ``flat``.

    ``sizes[k]`` are the layer sizes of network k, by default those of the architecture. ``shapes(layers, batch_norm)``
    are the shapes of the arrays of one network.
    """

    def __init__(
        self,
        architecture: Architecture,
        members: int,
        dtype: np.dtype,
        sizes: Sequence[Shape] | None,
        shapes: Callable[[Shape, bool], list[tuple[int, int]]],
    ) -> None:
        stacked = [(members, *shape) for shape in shapes(architecture.layers, architecture.batch_norm)]
        self.architecture, self.sizes = architecture, sizes or [architecture.layers] * members
        self._shapes = shapes
        self.flat = empty_aligned((sum(map(math.prod, stacked)),), dtype)
        self.flat[:] = 0
        self.arrays = split_views(self.flat, stacked)

    def member(self, member: int) -> list[Floats]:
        """Return views of the arrays of one network, without padding."""
        shapes = self._shapes(self.sizes[member], self.architecture.batch_norm)
        return [array[member][:rows, :columns] for array, (rows, columns) in zip(self.arrays, shapes, strict=True)]

    def read(self, member: int) -> Floats:
        """Return a copy (n,) of the entries of one network, array by array."""
        views = self.member(member)
        return np.concatenate([view.ravel() for view in views]) if views else np.empty(0)

    def write(self, member: int, entries: Floats) -> None:
        """Set the entries of one network, in the order of `read`."""
        views = self.member(member)
        for view, values in zip(views, split_views(entries, [view.shape for view in views]), strict=True):
            view[...] = values


def _parameter_shapes(layers: Shape, batch_norm: bool) -> list[tuple[int, int]]:
    shapes = [(out, inputs) for inputs, out in pairwise(layers)]
    shapes += [(out, 1) for out in layers[1:]]
    return shapes + [(out, 1) for out in layers[1:-1] if batch_norm]


def _statistics_shapes(layers: Shape, batch_norm: bool) -> list[tuple[int, int]]:
    return [(out, 1) for out in layers[1:-1] if batch_norm] * 2


class Parameters(Tensors):
    """The parameters of K networks, or their gradients or optimizer state: at first all 0.

    ``flat`` contains all weights, then all biases, then the gains of batch normalisation: ``weights[l]``
    ``(K, out, in)``, ``biases[l]`` and ``gains[l]`` ``(K, out, 1)``. ``weight_entries`` is the number of weights.
    """

    def __init__(
        self, architecture: Architecture, members: int, dtype: np.dtype, sizes: Sequence[Shape] | None = None
    ) -> None:
        super().__init__(architecture, members, dtype, sizes, _parameter_shapes)
        depth = len(architecture.layers) - 1
        self.weights, self.biases = self.arrays[:depth], self.arrays[depth : 2 * depth]
        self.gains = self.arrays[2 * depth :]
        self.weight_entries = sum(weights.size for weights in self.weights)


class Statistics(Tensors):
    """The running means (at first 0) and variances (at first 1) of the normalised layers of K networks.

    ``flat`` contains all ``means[l]`` ``(K, out, 1)``, then all ``variances[l]``.
    """

    def __init__(
        self, architecture: Architecture, members: int, dtype: np.dtype, sizes: Sequence[Shape] | None = None
    ) -> None:
        super().__init__(architecture, members, dtype, sizes, _statistics_shapes)
        layers = len(self.arrays) // 2
        self.means, self.variances = self.arrays[:layers], self.arrays[layers:]
        for variance in self.variances:
            variance[:] = 1


def split_views(flat: Floats, shapes: Sequence[tuple[int, ...]]) -> list[Floats]:
    """Return views of consecutive pieces of ``flat`` (n,), one of each shape."""
    views, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        views.append(flat[start:end].reshape(shape))
        start = end
    return views


CACHE_LINE_BYTES = 64


def empty_aligned(shape: tuple[int, ...], dtype: np.dtype) -> Floats:
    """Return an uninitialised array that begins at the start of a cache line.

    ``np.empty`` begins at any multiple of 16 bytes. BLAS kernels for small matrices read whole cache lines of their
    operands: with aligned ones W·x of 784-30-10 at batch 10 takes 5.5 µs instead of 6 to 7.
    """
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + CACHE_LINE_BYTES, np.uint8)
    start = -raw.ctypes.data % CACHE_LINE_BYTES
    return raw[start : start + size].view(dtype).reshape(shape)


def lean(array: Floats) -> Floats:
    """Return ``array`` without its model axis if that has length 1, otherwise ``array`` itself.

    Two dimensions allow ``np.dot``, which starts a product in 0.6 µs instead of the 1.1 of ``np.matmul``. At batch 10
    that is a third of the time that a step of 784-30-10 spends outside its products.
    """
    return array[0] if len(array) == 1 else array


# A rule that passes several times over a block finds it in the core's second-level cache: four arrays take 1 MB in
# float32.
BLOCK_ENTRIES = 65_536


class Block(NamedTuple):
    """The same entries of several tensors, and ``scratch`` of their shape; ``is_weight`` if all are weights."""

    arrays: tuple[Floats, ...]
    scratch: Floats
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
