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

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""A closed terminal is SIGHUP, a closed console of Windows SIGBREAK."""


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

    ``repeated`` is True after the second signal. Within `raising` the first one raises too. Without effect outside the
    main thread. A signal that is ignored (as under nohup) or that the calling program handles keeps its handler.
    """

    def __init__(self, halt: Callable[[], object] = lambda: None) -> None:
        self._halt = halt
        self.received: int | None = None
        self.repeated = False
        self._raising = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        self._before = _install(self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _restore(self._before)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let a signal that has arrived, or arrives while the block runs, raise `Interrupted`."""
        self._raising = True
        try:
            if self.received is not None:
                raise Interrupted(self.received)
            yield
        finally:
            self._raising = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self.repeated = True
            raise Interrupted(number)
        self.received = number
        self._halt()
        if self._raising:
            raise Interrupted(number)


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Let every signal of `SIGNALS` raise `Interrupted` while the block runs, so that ``finally`` clauses run."""
    before = _install(_raise)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def terminal_signals_blocked() -> Iterator[None]:
    """Keep Ctrl-C and SIGHUP, which a terminal sends to every process, from the processes that the block starts.

    Otherwise they would end with a traceback while they import their modules, and the process in which multiprocessing
    tracks its resources would end at SIGHUP. This process receives the signals after the block. Without effect on
    Windows.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # takes 9 ms, and most commands start no process

    from_terminal = [signal.SIGINT, getattr(signal, "SIGHUP", signal.SIGINT)]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, from_terminal)
    resource_tracker.ensure_running()  # multiprocessing starts it with the first process, and then unblocks SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
