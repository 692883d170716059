"""What continuing exactly takes: the state of each part, network by network, as flat dicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

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
