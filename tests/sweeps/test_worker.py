"""What runs in a worker, here in this process: its errors as words, its states, and its end of the pipe."""

from __future__ import annotations

import threading
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps import processes
from mlptrain.sweeps import worker as stacks
from mlptrain.sweeps.executors import Advanced, Broken, Done, Task
from mlptrain.sweeps.worker import run_task
from tests.made import config


def task(**values) -> Task:
    values = {"hidden": (4,), "subset": 120, "epochs": 2, "batch_size": 20, **values}
    return Task(7, (config(**values, seed=0, batch_seed=0),), "no-data", 1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory for the stack; use --no-stack"),
        (KeyError("x"), "KeyError: 'x'"),
        (DataError("no data"), "no data"),
    ],
)
def test_what_goes_wrong_comes_back_as_words(monkeypatch, error, words):
    def fail(task, on_epochs):
        raise error

    monkeypatch.setattr(stacks, "train_stack", fail)
    event = run_task(task())
    assert isinstance(event, Broken) and event.stack == 7 and words in event.message


@pytest.fixture
def quiet_process(monkeypatch):
    """`serve` in a thread: signals are the main thread's, and the parent's end is not to be this process's."""
    monkeypatch.setattr(processes.signal, "signal", lambda number, handler: None)
    monkeypatch.setattr(processes, "_end_with_parent", lambda: None)


def test_a_worker_answers_each_task_and_ends_with_its_pipe(quiet_process):
    ours, theirs = Pipe()
    thread = threading.Thread(target=processes.serve, args=(theirs,))
    thread.start()
    ours.send(task())
    first, second = ours.recv(), ours.recv()
    assert first == Advanced(7, 1) and isinstance(second, Done)
    ours.close()
    thread.join(60)
    assert not thread.is_alive()
    theirs.close()


def test_a_worker_whose_answer_nobody_hears_ends(quiet_process, monkeypatch):
    ours, theirs = Pipe()
    ours.send(task())
    ours.close()
    processes.serve(theirs)
    theirs.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [(None, "closed its pipe"), (-9, "ended by SIGKILL"), (-99, "exit code -99"), (3, "exit code 3")],
)
def test_how_a_worker_ended(code, words):
    assert words in processes._reason(code)


def test_a_worker_ends_when_its_parent_has(monkeypatch):
    ended = []
    monkeypatch.setattr(processes.os, "_exit", ended.append)
    monkeypatch.setattr(processes.multiprocessing, "parent_process", lambda: None)
    processes._end_with_parent()
    assert ended == []
    ours, theirs = Pipe()
    monkeypatch.setattr(processes.multiprocessing, "parent_process", lambda: SimpleNamespace(sentinel=theirs))
    ours.close()
    processes._end_with_parent()
    theirs.close()
    assert ended == [1]
