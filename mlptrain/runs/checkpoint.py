"""``checkpoint.npz``: all that a run is continued from, to the same bytes as if it had never been interrupted."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mlptrain.config.values import shown
from mlptrain.errors import DataError
from mlptrain.models.npz import read_npz, write_npz
from mlptrain.training.reports import EpochReport

FORMAT = "mlptrain checkpoint 1"

MAX_BYTES = 64 * 1024**3

_STATE = "state."

_COUNTS = ("epochs", "steps")

_FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")


@dataclass(frozen=True)
class Checkpoint:
    """A run between two steps.

    ``origin`` is what decides its result, by dotted key (config, data, split, versions, threads); ``state`` the
    trainer's, arrays (n,) and plain values; ``history`` its finished epochs; ``forced`` where it was continued with
    another origin, and what had changed.
    """

    origin: Mapping[str, Any]
    state: Mapping[str, Any]
    history: tuple[EpochReport, ...] = ()
    forced: tuple[Mapping[str, Any], ...] = ()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint.npz``, whole or not at all.

    Raises
    ------
    DataError
        It cannot be written; the one before stays.
    """
    plain = {key: value for key, value in checkpoint.state.items() if not isinstance(value, np.ndarray)}
    texts = {
        "format": FORMAT,
        "origin": dict(checkpoint.origin),
        "plain": plain,
        "forced": [dict(change) for change in checkpoint.forced],
    }
    arrays = {key: np.frombuffer(json.dumps(value).encode(), np.uint8) for key, value in texts.items()}
    arrays["history"] = _table(checkpoint.history)
    arrays |= {_STATE + key: checkpoint.state[key] for key in checkpoint.state.keys() - plain.keys()}
    write_npz(path, dict(sorted(arrays.items())))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read ``checkpoint.npz``; whether its state fits the network is for the trainer to say.

    Raises
    ------
    DataError
        Missing, damaged, or of another version; the message says what to do.
    """
    try:
        arrays = read_npz(path, MAX_BYTES)
    except DataError as error:
        raise unusable(path, str(error).removeprefix(f"{path}: ")) from error
    if _parsed(path, arrays, "format", str) != FORMAT:
        raise unusable(path, f"its format is not {FORMAT!r}")
    forced = _parsed(path, arrays, "forced", list)
    if not all(isinstance(change, dict) for change in forced):
        raise unusable(path, "what was forced is not a list of changes")
    state = _parsed(path, arrays, "plain", dict)
    state |= {key.removeprefix(_STATE): array for key, array in arrays.items() if key.startswith(_STATE)}
    return Checkpoint(_parsed(path, arrays, "origin", dict), state, _history(path, arrays), tuple(forced))


def unusable(path: Path, why: str) -> DataError:
    """The error for a checkpoint from which nothing can be continued."""
    reason = why.splitlines()[0] if why else "it does not fit"
    return DataError(f"{path}: not a usable checkpoint: {reason}\ntrain from the beginning with --overwrite")


def _parsed(path: Path, arrays: Mapping[str, np.ndarray], key: str, kind: type) -> Any:
    """The JSON text under ``key``, which holds a value of this kind."""
    array = arrays.get(key)
    if array is None or array.dtype != np.uint8:
        raise unusable(path, f"no {key} in it")
    try:
        value = json.loads(array.tobytes())
    except (ValueError, RecursionError) as error:
        raise unusable(path, f"its {key} is not JSON") from error
    if not isinstance(value, kind):
        raise unusable(path, f"its {key} is not a {kind.__name__}")
    return value


def _table(history: Sequence[EpochReport]) -> np.ndarray:
    """The history as numbers (epochs, 8), a row an epoch; NaN where there is none."""
    rows = [
        [math.nan if (value := getattr(report, name)) is None else value for name in (*_COUNTS, *_FIGURES)]
        for report in history
    ]
    return np.array(rows, np.float64).reshape(len(rows), len(_COUNTS) + len(_FIGURES))


def _history(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[EpochReport, ...]:
    """What `_table` put there."""
    table = arrays.get("history")
    columns = len(_COUNTS) + len(_FIGURES)
    if table is None or table.dtype != np.float64 or table.ndim != 2 or table.shape[1] != columns:
        raise unusable(path, "no history in it")
    history = []
    for number, (epochs, steps, *figures) in enumerate(table.tolist(), start=1):
        if not (epochs >= number and steps >= 1 and math.isfinite(epochs + steps)):
            raise unusable(path, f"its history has no epoch {number}")
        loss, accuracy, val_loss, val_accuracy, rate, seconds = figures
        validated = [None if math.isnan(value) else value for value in (val_loss, val_accuracy)]
        history.append(
            EpochReport(number, int(epochs), int(steps), loss, accuracy, validated[0], validated[1], rate, seconds)
        )
    return tuple(history)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What differs between two origins: each key with its value then and now, null where there was none."""
    keys = list(dict.fromkeys([*now, *before]))
    return {key: [before.get(key), now.get(key)] for key in keys if before.get(key) != now.get(key)}


def described(changed: Mapping[str, list[Any]]) -> str:
    """The changes in words: ``learning_rate was 0.5 and is 0.1, ...``; three of them at most."""
    words = [f"{key} was {shown(then)} and is {shown(now)}" for key, (then, now) in changed.items()]
    return ", ".join(words[:3]) + (f" (and {len(words) - 3} more)" if len(words) > 3 else "")


PARTING = 1.0  # seconds that a write under way is given when the run is ended at once


class Saver:
    """Writes the newest of the checkpoints that it is given to ``path``; those it had no time for are skipped.

    Each is a copy that nobody changes any more; there are two at most. A write that failed raises its error at the
    next call.
    """

    def __init__(self, path: Path, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """``seconds`` is the time after which a checkpoint within an epoch is due."""
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
        self._thread.join(PARTING if at_once else None)
        if kind is None:
            self._raise()

    def drop(self) -> None:
        """Write nothing more, for the run is complete; whether a last write failed has no meaning any more."""
        with self._changed:
            self._waiting, self._dropped = None, True

    @property
    def due(self) -> bool:
        """Whether so much time has passed since the last checkpoint that another should be handed over."""
        return self._clock() - self._last >= self._seconds

    def save(self, snapshot: Callable[[], Checkpoint]) -> None:
        """Have the checkpoint that ``snapshot`` makes written soon; one that still waits is let go before.

        Raises
        ------
        DataError
            An earlier one could not be written.
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
            It could not be.
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
            except Exception as caught:  # raised where training is, a bug as well
                error = caught
            with self._changed:
                checkpoint = None  # as large as the network with its optimiser's state, and of no use any more
                self._writing, self._error = False, error or self._error
                self._changed.notify_all()
