"""The state of a paused trial as a NumPy archive: its arrays, and its other values as JSON text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mlptrain.errors import DataError
from mlptrain.models.npz import read_npz, write_npz
from mlptrain.sweeps.executors import State

MAX_BYTES = 4 * 2**30

_SCALARS = "scalars"


def save_state(path: Path, state: State) -> None:
    """Write a state, whole or not at all."""
    arrays = {key: value for key, value in state.items() if isinstance(value, np.ndarray)}
    scalars = {key: value for key, value in state.items() if key not in arrays}
    write_npz(path, {**arrays, _SCALARS: np.array(json.dumps(scalars))})


def load_state(path: Path) -> State:
    """Read a state.

    Raises
    ------
    DataError
        It is damaged.
    """
    arrays: State = dict(read_npz(path, MAX_BYTES))
    try:
        scalars = json.loads(str(arrays.pop(_SCALARS)))
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no state of a trial; remove it, and the trial begins again") from error
    return {**arrays, **scalars}
