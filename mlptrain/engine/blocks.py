"""The parameters of K networks cut into pieces for an update that is the same for every entry of a piece."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlptrain.engine.network import Parameters

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
