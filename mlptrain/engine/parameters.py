"""Arrays that begin where the processor's cache lines do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

LINE = 64
"""Bytes of a cache line."""


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of this shape without content that begins at a cache line.

    ``np.empty`` begins at any multiple of 16 bytes, from run to run another. BLAS kernels for small matrices read
    whole lines straight from the operands: W·x of 784-30-10 at batch 10 takes 5.5 µs where all begin at a line, 6 to 7
    elsewhere, of 784-15-10 at batch 64 15.3 and 16.9, an update of 24,000 weights 2.1 and 2.5.
    """
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


State = dict[str, Any]
"""Arrays (n,), and numbers, texts and None as JSON holds them, by name; the names do not depend on the progress."""


def entries_of(arrays: Sequence[np.ndarray], member: int) -> np.ndarray:
    """A copy of row ``member`` of arrays (K, ...), one after another (n,)."""
    return np.concatenate([array[member].ravel() for array in arrays]) if arrays else np.empty(0)


def put_entries(arrays: Sequence[np.ndarray], member: int, entries: np.ndarray) -> None:
    """Write row ``member`` of arrays (K, ...), as `entries_of` gives it."""
    start = 0
    for array in arrays:
        row = array[member]
        row[...] = entries[start : start + row.size].reshape(row.shape)
        start += row.size


def under(name: str, state: State) -> State:
    """A part's state as it stands in that of the whole: ``name.key``."""
    return {f"{name}.{key}": value for key, value in state.items()}


def part(name: str, state: State) -> State:
    """What `under` put there."""
    return {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")}


Weights = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]
"""The weights (out, in) and the biases (out,) of each layer of one network."""


@dataclass(frozen=True)
class Architecture:
    """What K networks have in common: layer sizes from input to output, and the functions between them.

    With ``batch_norm`` the weighted inputs of the hidden layers are normalised before the activation.
    """

    layers: tuple[int, ...]
    activation: str
    output: str
    loss: str
    batch_norm: bool = False

    @property
    def parameters(self) -> int:
        """Weights, biases and gains of one network."""
        gains = sum(self.layers[1:-1]) if self.batch_norm else 0
        return gains + sum(out * (inputs + 1) for inputs, out in pairwise(self.layers))


class Parameters:
    """The parameters of K networks, or their gradients: one flat array, and each as a view of it.

    ``flat`` holds all weights, then all biases, then the gains of batch normalisation; ``weights[l]`` is
    ``(K, out, in)``, ``biases[l]`` and ``gains[l]`` ``(K, out, 1)``. An update that is the same for every
    entry is one operation on ``flat``; ``weight_entries`` of them are weights.
    """

    def __init__(self, architecture: Architecture, members: int, dtype: np.dtype) -> None:
        layers = architecture.layers
        shapes = [(members, out, inputs) for inputs, out in pairwise(layers)]
        shapes += [(members, out, 1) for out in layers[1:]]
        shapes += [(members, out, 1) for out in layers[1:-1] if architecture.batch_norm]
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        depth = len(layers) - 1
        self.flat = aligned((ends[-1],), dtype)
        self.flat[:] = 0
        self.weight_entries = int(ends[depth - 1])
        views = [part.reshape(shape) for part, shape in zip(np.split(self.flat, ends[:-1]), shapes, strict=True)]
        self.weights, self.biases, self.gains = views[:depth], views[depth : 2 * depth], views[2 * depth :]

    @property
    def arrays(self) -> list[np.ndarray]:
        """Every view, in the order of ``flat``, each with the model axis first."""
        return self.weights + self.biases + self.gains


class Statistics:
    """The running means and variances of the normalised layers of K networks, as views of one flat array."""

    def __init__(self, architecture: Architecture, members: int, dtype: np.dtype) -> None:
        shapes = [(members, out, 1) for out in architecture.layers[1:-1] if architecture.batch_norm] * 2
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes], dtype=int)
        self.flat = np.zeros(ends[-1] if shapes else 0, dtype)
        parts = np.split(self.flat, ends[:-1]) if shapes else []
        views = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        self.means, self.variances = views[: len(views) // 2], views[len(views) // 2 :]
        for variance in self.variances:
            variance[:] = 1

    @property
    def arrays(self) -> list[np.ndarray]:
        """Every view, in the order of ``flat``, each with the model axis first."""
        return self.means + self.variances


# Entries of a piece. A rule of several passes finds them in a core's second-level cache each time: four arrays
# take 1 MB in float32.
BLOCK = 65_536


class Block(NamedTuple):
    """A piece of each of several tensors, entry for entry; ``is_weight`` where it holds weights alone."""

    arrays: tuple[np.ndarray, ...]
    is_weight: bool


def blocks(tensors: Sequence[Parameters], *, uniform: bool, apart: bool = False) -> list[Block]:
    """The pieces of ``tensors`` (parameters, their gradients, their state, all of one shape).

    Where all K networks take the same numbers (``uniform``) these are runs of the flat arrays, of which none holds
    weights and others together where they are to be kept ``apart``; else the arrays ``(K, ...)`` of each layer, with
    which numbers ``(K, 1, 1)`` broadcast.
    """
    if not uniform:
        depth = len(tensors[0].weights)
        layers = zip(*(tensor.arrays for tensor in tensors), strict=True)
        return [Block(tuple(arrays), index < depth) for index, arrays in enumerate(layers)]
    size, weights = tensors[0].flat.size, tensors[0].weight_entries
    starts = [*range(0, weights, BLOCK), *range(weights, size, BLOCK)] if apart else range(0, size, BLOCK)
    ends = [*starts[1:], size]
    return [
        Block(tuple(tensor.flat[start:end] for tensor in tensors), end <= weights)
        for start, end in zip(starts, ends, strict=True)
    ]
