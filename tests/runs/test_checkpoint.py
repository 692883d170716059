from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest

from mlptrain.errors import DataError
from mlptrain.models.npz import read_npz, write_npz
from mlptrain.runs import checkpoint as module
from mlptrain.runs.checkpoint import Checkpoint, Saver, load_checkpoint, save_checkpoint
from mlptrain.training.reports import EpochReport

STATE = {"epoch": 2, "step": 3, "order": "{}", "rate": math.inf, "none": None, "stack.w": np.arange(3.0, dtype="f4")}

HISTORY = (
    EpochReport(1, 5, 7, 0.1 + 0.2, 0.5, 0.3, 0.25, 0.1, 1.5),
    EpochReport(2, 5, 7, 0.25, 0.75, None, None, 0.05, 2.5),
)

MADE = Checkpoint({"seed": 1, "data": "x"}, STATE, HISTORY, ({"epoch": 1, "changed": {"seed": [0, 1]}},))


def put(path, **arrays):
    """The checkpoint with some of its arrays replaced; None leaves one out."""
    save_checkpoint(path, MADE)
    whole = read_npz(path, 10**6) | arrays
    write_npz(path, {key: array for key, array in whole.items() if array is not None})


def text(value):
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def test_what_is_saved_is_loaded(tmp_path):
    save_checkpoint(tmp_path / "c.npz", MADE)
    loaded = load_checkpoint(tmp_path / "c.npz")
    np.testing.assert_array_equal(loaded.state["stack.w"], STATE["stack.w"])
    assert loaded.state["stack.w"].dtype == np.float32
    assert {**loaded.state, "stack.w": 0} == {**STATE, "stack.w": 0}
    assert (loaded.origin, loaded.history, loaded.forced) == (MADE.origin, HISTORY, MADE.forced)


def test_before_the_first_epoch(tmp_path):
    save_checkpoint(tmp_path / "c.npz", Checkpoint({}, {"epoch": 0}))
    assert load_checkpoint(tmp_path / "c.npz") == Checkpoint({}, {"epoch": 0}, (), ())


def test_equal_checkpoints_give_equal_bytes(tmp_path):
    save_checkpoint(tmp_path / "a.npz", MADE)
    save_checkpoint(tmp_path / "b.npz", MADE)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"format": None}, "no format in it"),
        ({"format": text("mlptrain checkpoint 2")}, "its format is not"),
        ({"format": np.zeros(3)}, "no format in it"),
        ({"origin": text([])}, "its origin is not a dict"),
        ({"plain": np.frombuffer(b"{", np.uint8)}, "its plain is not JSON"),
        ({"plain": np.frombuffer(b"[" * 100_000, np.uint8)}, "its plain is not JSON"),
        ({"forced": text([1])}, "not a list of changes"),
        ({"history": None}, "no history"),
        ({"history": np.zeros((2, 3))}, "no history"),
        ({"history": np.zeros((2, 8))}, "no epoch 1"),
        ({"history": np.full((1, 8), np.inf)}, "no epoch 1"),
        ({"history": np.full((1, 8), np.nan)}, "no epoch 1"),
        ({"history": np.zeros((2, 8), "f4")}, "no history"),
    ],
)
def test_damage_says_what_to_do(tmp_path, arrays, words):
    put(tmp_path / "c.npz", **arrays)
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / "c.npz")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'c.npz'}: not a usable checkpoint: ") and words in message
    assert message.endswith("\ntrain from the beginning with --overwrite") and message.count("\n") == 1


def test_no_archive_at_all(tmp_path):
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"not a usable checkpoint: damaged, or not a NumPy archive"):
        load_checkpoint(tmp_path / "c.npz")


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
