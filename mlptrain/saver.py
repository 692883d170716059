"""Checkpoints written on a thread of their own, so that training does not wait for the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from mlptrain.checkpoint import Checkpoint, save_checkpoint

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
        """Write what waits; after an interruption nothing new is begun and a slow disk not waited for."""
        at_once = kind is not None and issubclass(kind, KeyboardInterrupt)
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
