from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mlptrain.system.signals import SIGNALS, Interrupted, Signals, as_exceptions, terminal_signals_blocked


@pytest.fixture(autouse=True)
def usual_handlers() -> Iterator[None]:
    """Set the handlers of a fresh interpreter, and restore those of the test runner afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_is_recorded_and_second_raises(number: Any) -> None:
    with Signals() as signals:
        assert signals.received is None
        signal.raise_signal(number)
        assert signals.received == number
        with pytest.raises(Interrupted) as caught:
            signal.raise_signal(number)
    assert caught.value.signal == number and caught.value.exit_code == 128 + number


@pytest.mark.parametrize("early", [False, True])
def test_the_first_signal_raises_within_raising(early: bool) -> None:
    with Signals() as signals:
        with signals.raising():
            pass
        if early:
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGTERM"), signals.raising():
            signal.raise_signal(signal.SIGTERM if not early else signal.SIGINT)
        assert signals.received == signal.SIGTERM and not signals.repeated


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be blocked")
def test_ctrl_c_waits_for_the_end_of_the_block_and_never_reaches_processes_started_in_it() -> None:
    code = "from signal import *; raise_signal(SIGINT); raise_signal(SIGHUP); print('alive')"
    with pytest.raises(KeyboardInterrupt), terminal_signals_blocked():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        signal.raise_signal(signal.SIGINT)
    assert done.stdout == b"alive\n"


def test_second_signal_may_be_another_one() -> None:
    with Signals() as signals, pytest.raises(Interrupted, match="SIGTERM"):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert signals.received == signal.SIGINT


def test_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with Signals():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    with pytest.raises(KeyboardInterrupt), as_exceptions():
        raise KeyboardInterrupt
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_raise_interrupted_within_as_exceptions(number: Any) -> None:
    with pytest.raises(Interrupted) as caught, as_exceptions():
        signal.raise_signal(number)
    assert caught.value.exit_code == 128 + number
    assert isinstance(caught.value, KeyboardInterrupt)


def test_first_signal_is_recorded_within_as_exceptions() -> None:
    with as_exceptions():
        with Signals() as signals:
            signal.raise_signal(signal.SIGTERM)
        assert signals.received == signal.SIGTERM
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)


def test_ignored_signals_and_other_handlers_are_kept() -> None:
    seen = []

    def handler(number: Any, frame: Any) -> None:
        seen.append(number)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, handler)
    with as_exceptions(), Signals() as signals:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        assert signals.received is None
    assert seen == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN and signal.getsignal(signal.SIGTERM) is handler


def test_other_threads_change_no_handler() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen: list[Any] = []

    def work() -> None:
        with Signals() as signals, as_exceptions():
            seen.append([signal.getsignal(number) for number in SIGNALS])
            seen.append(signals.received)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, None]


def test_message_names_the_signal_unless_given() -> None:
    assert str(Interrupted(signal.SIGHUP)) == "interrupted by SIGHUP"
    assert str(Interrupted(signal.SIGINT, "kept")) == "kept"


def test_hangup_is_ignored_under_nohup() -> None:
    code = """
import os, signal
from mlptrain.system.signals import Signals
with Signals() as signals:
    os.kill(os.getpid(), signal.SIGHUP)
    print(signals.received)
"""
    done = subprocess.run(["nohup", sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "None\n"), os.fsdecode(done.stderr)
