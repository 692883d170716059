"""Checkpoints: the state of a run between two steps in ``checkpoint.npz``, and the thread that writes the file.

`_train_epochs` in ``runs/train.py`` decides when one is written; `RunFolder.finish` deletes that of a complete run.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlptrain.engine.state import State, add_prefix, select_prefix
from mlptrain.errors import DataError
from mlptrain.models.npz import read_npz, write_npz
from mlptrain.runs.history import COLUMNS, REQUIRED, report_of
from mlptrain.training.reports import EpochReport

FORMAT = "mlptrain checkpoint 2"

MAX_BYTES = 64 * 1024**3

HINT = "train from the beginning with --overwrite"

_VALUES = "scalars"  # the member of an archive with the values that are not arrays


def save_state(path: Path, state: State) -> None:
    """Write a state as a NumPy archive, whole or not at all: its arrays by name, its other values as one JSON text.

    Raises
    ------
    DataError
        It cannot be written; the file that was there stays.
    """
    arrays = {key: value for key, value in sorted(state.items()) if isinstance(value, np.ndarray)}
    values = {key: value for key, value in sorted(state.items()) if key not in arrays}
    write_npz(path, {**arrays, _VALUES: np.array(json.dumps(values))})


def load_state(path: Path, hint: str = HINT) -> State:
    """Read a state: one that `save_state` wrote, a checkpoint of 0.1, or the state of a trial of 0.1.

    Raises
    ------
    DataError
        The file is missing or damaged; ``hint`` says what to do.
    """
    try:
        arrays = read_npz(path, MAX_BYTES)
        if "plain" in arrays:
            return _state_of_0_1(arrays)
        values = json.loads(str(arrays.pop(_VALUES)))
        if not isinstance(values, dict):
            raise ValueError("its values are not a JSON object")
        return {**arrays, **values}
    except DataError as error:
        raise unusable(path, str(error).removeprefix(f"{path}: "), hint) from error
    except KeyError as error:
        raise unusable(path, f"it has no {error.args[0]}", hint) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise unusable(path, f"its values cannot be read ({error})", hint) from error


def _state_of_0_1(arrays: Mapping[str, NDArray[Any]]) -> State:
    """Return a checkpoint of 0.1, whose values are JSON texts as bytes and whose history is one table."""
    values = {key: json.loads(arrays[key].tobytes()) for key in ("origin", "plain", "forced", "format")}
    if values.pop("format") != "mlptrain checkpoint 1" or not isinstance(values["plain"], dict):
        raise ValueError("unknown format")
    columns = ("epochs", "steps", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
    history = dict(zip(columns, arrays["history"].T, strict=True))
    state = {key: array for key, array in arrays.items() if key.startswith("state.")}
    return {
        "format": FORMAT,
        **state,
        **add_prefix("state", values.pop("plain")),
        **add_prefix("history", history),
        **values,
    }


@dataclass(frozen=True)
class Checkpoint:
    """A run between two steps.

    ``origin`` is everything that decides the result, by key (config, data, split, versions, threads); ``state`` is
    the trainer's; ``history`` has the finished epochs. ``forced`` has the changes of the origin that ``--force``
    accepted, each with its epoch and step.
    """

    origin: Mapping[str, Any]
    state: State
    history: tuple[EpochReport, ...] = ()
    forced: tuple[Mapping[str, Any], ...] = ()


_HISTORY = ("epochs", "steps", *COLUMNS[1:])


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint.npz``, whole or not at all.

    Raises
    ------
    DataError
        It cannot be written; the previous one stays.
    """
    history = {
        name: np.array([getattr(report, name) for report in checkpoint.history], np.float64)  # None becomes NaN
        for name in _HISTORY
    }
    state = {
        "format": FORMAT,
        "origin": dict(checkpoint.origin),
        "forced": list(checkpoint.forced),
        **add_prefix("history", history),
        **add_prefix("state", checkpoint.state),
    }
    save_state(path, state)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read ``checkpoint.npz``; `Trainer.restore` checks whether its state fits the network.

    Raises
    ------
    DataError
        The file is missing, damaged, or of another version.
    """
    state = load_state(path)
    origin, forced = state.get("origin"), state.get("forced")
    if state.get("format") != FORMAT:
        raise unusable(path, f"its format is not {FORMAT!r}")
    if not (isinstance(origin, dict) and isinstance(forced, list) and all(isinstance(one, dict) for one in forced)):
        raise unusable(path, "its origin or one of its forced changes is not a JSON object")
    return Checkpoint(
        origin, select_prefix("state", state), _history(path, select_prefix("history", state)), tuple(forced)
    )


def unusable(path: Path, why: str, hint: str = HINT) -> DataError:
    """Return the error for a checkpoint that cannot be resumed from."""
    reason = why.splitlines()[0] if why else "it does not fit"
    return DataError(f"{path}: not a usable checkpoint: {reason}\nhint: {hint}")


def _history(path: Path, columns: State) -> tuple[EpochReport, ...]:
    """Return the reports from their values by column, (epochs,) each; NaN becomes None."""
    count = np.size(columns.get("epochs", ()))
    for name, column in columns.items():
        if not isinstance(column, np.ndarray) or column.dtype != np.float64 or column.shape != (count,):
            raise unusable(path, f"its history has no {name} for each of {count} epochs")
    if not {"epochs", "steps", *REQUIRED[1:]} <= columns.keys() <= set(_HISTORY):
        raise unusable(path, "its history has other columns")
    reports = []
    for number, row in enumerate(zip(*(column.tolist() for column in columns.values()), strict=True), start=1):
        values = {name: None if math.isnan(value) else value for name, value in zip(columns, row, strict=True)}
        epochs, steps = values.pop("epochs"), values.pop("steps")
        if epochs is None or steps is None or not (number <= epochs < math.inf and 1 <= steps < math.inf):
            raise unusable(path, f"its history has no epoch {number}")
        reports.append(report_of(number, values, int(epochs), int(steps)))
    return tuple(reports)


PARTING_SECONDS = 1.0  # time that an interrupted run waits for a write in progress


class Saver:
    """A thread that writes checkpoints to ``path`` while training continues.

    Only the newest checkpoint waits; a newer one replaces it. At most two exist, the one that is written and the one
    that waits. The error of a failed write is raised at the next call.
    """

    def __init__(self, path: Path, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``seconds`` after a checkpoint the next one is due, also within an epoch."""
        self._path = path
        self._seconds = seconds
        self._clock = clock
        self._last = clock()
        self._changed = threading.Condition()
        self._waiting: Checkpoint | None = None
        self._writing = False
        self._closed = False
        self._dropped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)

    def __enter__(self) -> Saver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits; after an interruption start no new write, and do not wait for a slow disk."""
        at_once = kind is not None and not issubclass(kind, Exception)
        with self._changed:
            self._closed = True
            if at_once:
                self._waiting = None
            self._changed.notify_all()
        self._thread.join(PARTING_SECONDS if at_once else None)
        if kind is None:
            self._raise()

    def drop(self) -> None:
        """Write nothing more because the run is complete; a failed write no longer matters."""
        with self._changed:
            self._waiting, self._dropped = None, True

    @property
    def due(self) -> bool:
        """True if it is time for another checkpoint."""
        return self._clock() - self._last >= self._seconds

    def save(self, snapshot: Callable[[], Checkpoint]) -> None:
        """Hand over the checkpoint that ``snapshot`` makes; one that still waits is dropped first, to free its memory.

        Raises
        ------
        DataError
            An earlier checkpoint could not be written.
        """
        with self._changed:
            self._raise()
            self._waiting = None
        checkpoint = snapshot()
        with self._changed:
            self._waiting = checkpoint
            self._last = self._clock()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until the newest checkpoint is written.

        Raises
        ------
        DataError
            It could not be written.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is None and not self._writing)
            self._raise()

    def _raise(self) -> None:
        if self._error is not None and not self._dropped:
            error, self._error = self._error, None
            raise error

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._closed)
                checkpoint, self._waiting = self._waiting, None
                if checkpoint is None:
                    return
                self._writing = True
            error: BaseException | None = None
            try:
                save_checkpoint(self._path, checkpoint)
            except Exception as caught:  # a bug too is raised in the training thread
                error = caught
            with self._changed:
                checkpoint = None  # frees its memory, as much as network and optimizer state take
                self._writing, self._error = False, error or self._error
                self._changed.notify_all()
