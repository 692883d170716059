"""Signals that end a run: the first lets the step in progress finish, a second stops it at once.

`_train_epochs` in ``runs/train.py`` writes a checkpoint between the two.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """Work that a signal stopped; ``str(error)`` names what was saved and how to resume.

    A KeyboardInterrupt, so that code that handles Ctrl-C also handles SIGTERM and a closed terminal.
    """

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text or f"interrupted by {signal.Signals(number).name}")
        self.signal = number

    @property
    def exit_code(self) -> int:
        """128 plus the number of the signal, as in a shell: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.signal


class Signals:
    """A context in which the first signal sets ``received`` and calls ``halt``, and a second raises `Interrupted`.

    ``repeated`` is True after the second signal. Without effect outside the main thread. A signal that is ignored (as
    under nohup) or that the calling program handles keeps its handler.
    """

    def __init__(self, halt: Callable[[], object] = lambda: None) -> None:
        self._halt = halt
        self.received: int | None = None
        self.repeated = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self._before = _install(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _restore(self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.repeated = True
            raise Interrupted(number)
        self.received = number
        self._halt()


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Let every signal of `SIGNALS` raise `Interrupted` while the block runs, so that ``finally`` clauses run."""
    before = _install(_raise)
    try:
        yield
    finally:
        _restore(before)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _install(handler: Any) -> dict[int, Any]:
    """Set ``handler`` for the signals that have their default handler or `_raise`; return the previous handlers."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {}
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _raise):
            before[number] = signal.signal(number, handler)
    return before


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
