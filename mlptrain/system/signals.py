"""Signals that ask a run to end: the first is noted, so that the step in progress can end; a second ends it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupted(KeyboardInterrupt):
    """A signal ended the work; ``str(error)`` says what was kept and how to go on.

    A KeyboardInterrupt, so that whatever handles Ctrl-C handles a terminal that closed, too.
    """

    def __init__(self, number: int, text: str = "") -> None:
        super().__init__(text or f"interrupted by {signal.Signals(number).name}")
        self.signal = number

    @property
    def exit_code(self) -> int:
        """128 and the signal's number, as a shell counts: 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP."""
        return 128 + self.signal


class Signals:
    """While it is entered, the first signal sets ``received`` and calls ``halt``, a second raises `Interrupted`.

    Only the main thread can do this; elsewhere nothing changes. A signal that is ignored (as under nohup) stays
    ignored, and one that the surrounding program handles itself stays with it.
    """

    def __init__(self, halt: Callable[[], object] = lambda: None) -> None:
        self._halt = halt
        self.received: int | None = None
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
            raise Interrupted(number)
        self.received = number
        self._halt()


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Every signal of `SIGNALS` raises `Interrupted` while the block runs, so that what is open is closed again."""
    before = _install(_raise)
    try:
        yield
    finally:
        _restore(before)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Interrupted(number)


def _install(handler: Any) -> dict[int, Any]:
    """Handle the signals that have their usual meaning, or ours, by ``handler``; the handlers before that."""
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
