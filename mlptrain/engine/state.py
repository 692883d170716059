"""The state of training as flat dicts, from which training resumes with the same results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlptrain.engine.parameters import split_views

State = dict[str, Any]
"""Arrays (n,), and JSON's numbers, strings and None, by name; the names do not depend on the progress of training."""


def read_member(arrays: Sequence[np.ndarray], member: int) -> np.ndarray:
    """Return a copy (n,) of row ``member`` of every array (K, ...), in their order."""
    return np.concatenate([array[member].ravel() for array in arrays]) if arrays else np.empty(0)


def write_member(arrays: Sequence[np.ndarray], member: int, entries: np.ndarray) -> None:
    """Write ``entries`` from `read_member` into row ``member`` of every array."""
    rows = [array[member] for array in arrays]
    for row, values in zip(rows, split_views(entries, [row.shape for row in rows]), strict=True):
        row[...] = values


def add_prefix(name: str, state: State) -> State:
    """Return the state with ``name.`` in front of every key."""
    return {f"{name}.{key}": value for key, value in state.items()}


def select_prefix(name: str, state: State) -> State:
    """Return the entries whose keys begin with ``name.``, without that prefix."""
    return {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")}
