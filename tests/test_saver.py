from __future__ import annotations

import threading

import pytest

from mlptrain import saver as module
from mlptrain.checkpoint import Checkpoint, load_checkpoint
from mlptrain.errors import DataError
from mlptrain.saver import Saver


class Disk:
    """A disk that can be held up, or be full; ``written`` are the epochs of what was written."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.started = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None

    def save(self, path, checkpoint):
        self.started.set()
        assert self.free.wait(10)
        if self.error is not None:
            raise self.error
        self.written.append(checkpoint.state["epoch"])


@pytest.fixture
def disk(monkeypatch):
    made = Disk()
    monkeypatch.setattr(module, "save_checkpoint", made.save)
    return made


def at(epoch):
    return lambda: Checkpoint({}, {"epoch": epoch})


def test_what_is_handed_over_is_written(tmp_path, disk):
    with Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        saver.flush()
        assert disk.written == [1]
        saver.save(at(2))
    assert disk.written == [1, 2], "what waits is written in the end"


def test_training_does_not_wait_and_only_the_newest_is_written(tmp_path, disk):
    disk.free.clear()
    with Saver(tmp_path / "c.npz", 60) as saver:
        for epoch in range(1, 6):
            saver.save(at(epoch))
            if epoch == 1:
                assert disk.started.wait(10)
        disk.free.set()
        saver.flush()
    assert disk.written == [1, 5]


def test_it_is_due_after_so_many_seconds(tmp_path, disk):
    now = [100.0]
    with Saver(tmp_path / "c.npz", 60, clock=lambda: now[0]) as saver:
        assert not saver.due
        now[0] = 160.0
        assert saver.due
        saver.save(at(1))
        assert not saver.due


def test_a_write_that_fails_raises_in_the_training_thread(tmp_path, disk):
    disk.error = DataError("full")
    with pytest.raises(DataError, match="full"), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        saver.flush()
    with pytest.raises(DataError, match="full"), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
    with pytest.raises(DataError, match="full"), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        while saver._error is None:
            pass
        saver.save(at(2))


def test_the_error_that_ends_the_run_is_not_hidden_by_another(tmp_path, disk):
    disk.error = DataError("full")
    with pytest.raises(ZeroDivisionError), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        raise ZeroDivisionError


def test_what_waits_when_an_error_ends_the_run_is_written(tmp_path, disk):
    with pytest.raises(ZeroDivisionError), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        raise ZeroDivisionError
    assert disk.written == [1]


def test_a_complete_run_needs_no_more(tmp_path, disk):
    disk.error = DataError("full")
    disk.free.clear()
    with Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        assert disk.started.wait(10)
        saver.save(at(2))
        saver.drop()
        disk.free.set()
    assert disk.written == []


def test_an_interruption_does_not_wait_for_a_slow_disk(tmp_path, disk, monkeypatch):
    monkeypatch.setattr(module, "PARTING", 0.01)
    disk.free.clear()
    with pytest.raises(KeyboardInterrupt), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        assert disk.started.wait(10)
        saver.save(at(2))
        raise KeyboardInterrupt
    disk.free.set()
    saver._thread.join(10)
    assert disk.written == [1]


def test_the_file_is_a_checkpoint(tmp_path):
    with Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(7))
    assert load_checkpoint(tmp_path / "c.npz") == at(7)()
