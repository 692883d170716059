"""The worker's end of the pipe, in a thread of the test; ``test_executors.py`` starts processes."""

from __future__ import annotations

import threading
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest

from mlptrain.sweeps import processes
from mlptrain.sweeps.executors import Advanced, Done
from tests.sweeps.made import task


@pytest.fixture
def quiet_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `serve` run in a thread, without signal handlers and without ending this process."""
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    monkeypatch.setattr(processes, "_end_with_parent", lambda: None)


def test_workers_answer_each_task_and_end_with_their_pipe(quiet_process: None) -> None:
    ours, theirs = Pipe()
    thread = threading.Thread(target=processes.serve, args=(theirs,))
    thread.start()
    ours.send(task(7))
    first, second = ours.recv(), ours.recv()
    assert first == Advanced(7, 1) and isinstance(second, Done)
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
    theirs.close()


def test_workers_end_if_nobody_receives_their_answer(quiet_process: None) -> None:
    ours, theirs = Pipe()
    ours.send(task(7))
    ours.close()
    processes.serve(theirs)
    theirs.close()


@pytest.mark.parametrize(
    ("code", "text"),
    [(None, "closed its pipe"), (-9, "ended by SIGKILL"), (-99, "exit code -99"), (3, "exit code 3")],
)
def test_exit_codes_are_described(code: int | None, text: str) -> None:
    assert text in processes._reason(code)


def test_workers_end_with_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("multiprocessing.parent_process", lambda: None)
    processes._end_with_parent()
    assert ended == []
    ours, theirs = Pipe()
    monkeypatch.setattr("multiprocessing.parent_process", lambda: SimpleNamespace(sentinel=theirs))
    ours.close()
    processes._end_with_parent()
    theirs.close()
    assert ended == [1]
