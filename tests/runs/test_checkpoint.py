from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlptrain.errors import DataError
from mlptrain.models.npz import write_npz
from mlptrain.runs import checkpoint as module
from mlptrain.runs.checkpoint import (
    Checkpoint,
    Saver,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)
from mlptrain.training.reports import EpochReport

STATE = {"epoch": 2, "step": 3, "order": "{}", "rate": math.inf, "none": None, "stack.w": np.arange(3.0, dtype="f4")}

HISTORY = (
    EpochReport(1, 5, 7, 0.1 + 0.2, 0.5, 0.3, 0.25, 0.1, 1.5),
    EpochReport(2, 5, 7, 0.25, 0.75, None, None, 0.05, 2.5),
)

MADE = Checkpoint({"seed": 1, "data": "x"}, STATE, HISTORY, ({"epoch": 1, "changed": {"seed": [0, 1]}},))


# ---- states --------------------------------------------------------------------------------------------


def test_a_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    state = {"w": np.arange(6.0).reshape(2, 3), "epoch": 3, "rng": {"a": [1, 2]}, "none": None, "inf": math.inf}
    save_state(tmp_path / "s.npz", state)
    read = load_state(tmp_path / "s.npz")
    np.testing.assert_array_equal(read.pop("w"), state.pop("w"))
    assert read == state


def text(value: str) -> NDArray[np.uint8]:
    return np.frombuffer(value.encode(), np.uint8)


@pytest.mark.parametrize(
    "arrays",
    [
        {"w": np.zeros(3)},
        {"scalars": np.array("{")},
        {"scalars": np.array("[" * 100_000)},
        {"scalars": np.array("[1]")},
        {"scalars": np.zeros(3)},
        {"plain": np.zeros(3)},
        {"plain": np.zeros(2, np.uint8), "origin": np.zeros(2, np.uint8)},
        {
            "format": text('"mlptrain checkpoint 1"'),
            **{key: text("[]") for key in ("origin", "plain", "forced")},
            "history": np.zeros((0, 8)),
        },
    ],
    ids=["no values", "torn", "nested", "list", "numbers", "0.1 without the rest", "0.1 damaged", "0.1 without keys"],
)
def test_a_damaged_state_is_an_error_with_the_hint(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    write_npz(tmp_path / "s.npz", arrays)
    with pytest.raises(DataError, match=r"s.npz: not a usable checkpoint: .+\nhint: wait$"):
        load_state(tmp_path / "s.npz", "wait")


# ---- checkpoints ---------------------------------------------------------------------------------------


def test_a_checkpoint_is_read_as_it_was_saved(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", MADE)
    loaded = load_checkpoint(tmp_path / "c.npz")
    np.testing.assert_array_equal(loaded.state["stack.w"], STATE["stack.w"])
    assert loaded.state["stack.w"].dtype == np.float32
    assert {**loaded.state, "stack.w": 0} == {**STATE, "stack.w": 0}
    assert (loaded.origin, loaded.history, loaded.forced) == (MADE.origin, HISTORY, MADE.forced)


def test_a_checkpoint_before_the_first_epoch(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.npz", Checkpoint({}, {"epoch": 0}))
    assert load_checkpoint(tmp_path / "c.npz") == Checkpoint({}, {"epoch": 0}, (), ())


def test_equal_checkpoints_give_equal_bytes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a.npz", MADE)
    save_checkpoint(tmp_path / "b.npz", MADE)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_checkpoint_of_an_older_version_may_lack_an_optional_column(tmp_path: Path) -> None:
    change(tmp_path / "c.npz", {"history.val_loss": None})
    assert [report.val_loss for report in load_checkpoint(tmp_path / "c.npz").history] == [None, None]


def change(path: Path, values: Any) -> None:
    """Save the checkpoint with some values of its state replaced; None leaves one out."""
    save_checkpoint(path, MADE)
    save_state(path, {key: value for key, value in (load_state(path) | values).items() if value is not None})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": None}, "format"),
        ({"format": "mlptrain checkpoint 3"}, "format"),
        ({"origin": None}, "origin"),
        ({"origin": [1]}, "origin"),
        ({"forced": {"a": 1}}, "changes"),
        ({"forced": [1]}, "changes"),
        ({"history.loss": None}, "columns"),
        ({"history.strange": np.zeros(2)}, "columns"),
        ({"history.loss": np.zeros(3)}, "no loss"),
        ({"history.loss": np.zeros((2, 1))}, "no loss"),
        ({"history.loss": np.zeros(2, "f4")}, "no loss"),
        ({"history.loss": 1.0}, "no loss"),
        ({"history.epochs": np.zeros(2)}, "no epoch 1"),
        ({"history.epochs": np.full(2, np.inf)}, "no epoch 1"),
        ({"history.steps": np.array([1, np.nan])}, "no epoch 2"),
    ],
    ids=str,
)
def test_a_damaged_checkpoint_is_an_error_with_a_hint(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    change(tmp_path / "c.npz", values)
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / "c.npz")
    message, hint = str(caught.value).split("\n")
    assert message.startswith(f"{tmp_path / 'c.npz'}: not a usable checkpoint: ") and words in message
    assert hint.startswith("hint: ") and "--overwrite" in hint


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match="not a usable checkpoint"):
        load_checkpoint(tmp_path / "c.npz")


class Disk:
    """A disk that can be blocked or full; ``written`` has the epochs of the checkpoints that were written."""

    def __init__(self) -> None:
        self.written: list[int] = []
        self.started = threading.Event()
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None

    def save(self, path: Path, checkpoint: Any) -> None:
        self.started.set()
        assert self.free.wait(10)
        if self.error is not None:
            raise self.error
        self.written.append(checkpoint.state["epoch"])


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Disk()
    monkeypatch.setattr(module, "save_checkpoint", made.save)
    return made


def at(epoch: Any) -> Callable[[], Checkpoint]:
    return lambda: Checkpoint({}, {"epoch": epoch})


def test_a_checkpoint_that_is_handed_over_is_written(tmp_path: Path, disk: Any) -> None:
    with Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        saver.flush()
        assert disk.written == [1]
        saver.save(at(2))
    assert disk.written == [1, 2], "what waits is written at the end"


def test_training_does_not_wait_and_only_the_newest_checkpoint_is_written(tmp_path: Path, disk: Any) -> None:
    disk.free.clear()
    with Saver(tmp_path / "c.npz", 60) as saver:
        for epoch in range(1, 6):
            saver.save(at(epoch))
            if epoch == 1:
                assert disk.started.wait(10)
        disk.free.set()
        saver.flush()
    assert disk.written == [1, 5]


def test_a_checkpoint_is_due_after_the_given_seconds(tmp_path: Path, disk: Any) -> None:
    now = [100.0]
    with Saver(tmp_path / "c.npz", 60, clock=lambda: now[0]) as saver:
        assert not saver.due
        now[0] = 160.0
        assert saver.due
        saver.save(at(1))
        assert not saver.due


def test_a_write_that_fails_raises_in_the_training_thread(tmp_path: Path, disk: Any) -> None:
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


def test_the_error_that_ends_the_run_is_not_hidden_by_a_failed_write(tmp_path: Path, disk: Any) -> None:
    disk.error = DataError("full")
    with pytest.raises(ZeroDivisionError), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        raise ZeroDivisionError


def test_what_waits_when_an_error_ends_the_run_is_written(tmp_path: Path, disk: Any) -> None:
    with pytest.raises(ZeroDivisionError), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        raise ZeroDivisionError
    assert disk.written == [1]


def test_nothing_is_written_after_drop(tmp_path: Path, disk: Any) -> None:
    disk.error = DataError("full")
    disk.free.clear()
    with Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        assert disk.started.wait(10)
        saver.save(at(2))
        saver.drop()
        disk.free.set()
    assert disk.written == []


def test_an_interruption_does_not_wait_for_a_slow_disk(
    tmp_path: Path, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PARTING_SECONDS", 0.01)
    disk.free.clear()
    with pytest.raises(KeyboardInterrupt), Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(1))
        assert disk.started.wait(10)
        saver.save(at(2))
        raise KeyboardInterrupt
    disk.free.set()
    saver._thread.join(10)
    assert disk.written == [1]


def test_the_saver_writes_a_checkpoint(tmp_path: Path) -> None:
    with Saver(tmp_path / "c.npz", 60) as saver:
        saver.save(at(7))
    assert load_checkpoint(tmp_path / "c.npz") == at(7)()
