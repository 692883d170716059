from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.exercises import progress
from mlptrain.exercises.kinds import make_exercise
from mlptrain.exercises.progress import add_result, progress_file, read_progress, unsolved_seed

ALL = [item.id for item in make_exercise("neuron", "1").items]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(progress, "progress_file", lambda: tmp_path / "mlptrain" / "exercises.json")
    return tmp_path / "mlptrain"


def test_results_are_kept_and_added() -> None:
    assert read_progress() == {}
    add_result(make_exercise("neuron", "1"), ["a"])
    add_result(make_exercise("neuron", "x"), [])
    add_result(make_exercise("neuron", "1"), ["z"])
    results = read_progress()["neuron"]
    assert list(results) == ["x", "1"], "the latest is the last"
    assert results["1"].correct == ("z", "a") and results["1"].total == len(ALL) and not results["1"].is_solved


def test_the_next_seed_is_the_first_that_is_not_solved() -> None:
    assert unsolved_seed({}) == "1"
    for seed in ("1", "3", "x"):
        add_result(make_exercise("neuron", seed), ALL)
    assert unsolved_seed(read_progress()["neuron"]) == "2"
    add_result(make_exercise("neuron", "2"), ALL[:-1])
    assert unsolved_seed(read_progress()["neuron"]) == "2"


DAMAGED = [b"", b"{", b"[1]", b'{"neuron": 1}', b'{"neuron": {"1": {"correct": 1}}}', b"\xff", b"[" * 100_000]
DAMAGED += [
    b'{"neuron": {"1": {"correct": [], "total": Infinity}}}',
    b'{"neuron": {"1": {"correct": [], "total": null}}}',
]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_file_is_no_progress_and_is_replaced(folder: Path, data: bytes) -> None:
    folder.mkdir()
    (folder / "exercises.json").write_bytes(data)
    assert read_progress() == {}
    add_result(make_exercise("neuron", "1"), ALL)
    assert read_progress()["neuron"]["1"].is_solved


def test_a_folder_that_cannot_be_written_is_an_error(folder: Path) -> None:
    folder.write_text("not a folder")
    assert read_progress() == {}
    with pytest.raises(DataError):
        add_result(make_exercise("neuron", "1"), ALL)


def test_the_file_is_in_the_data_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert progress_file().name == "exercises.json"
