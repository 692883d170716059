from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps.executors import Done
from mlptrain.sweeps.folder import SweepFolder, is_run_of
from mlptrain.sweeps.trials import Result, Trial
from mlptrain.sweeps.worker import run_task
from tests.sweeps.made import task


@pytest.fixture
def finished() -> tuple[Trial, Result]:
    """A trial and its result."""
    one = task(0)
    done = run_task(one)
    assert isinstance(done, Done)
    return one.trials[0], done.results[0]


@pytest.mark.parametrize(
    ("keep", "needed", "stored"),
    [("all", False, True), ("best", True, True), ("best", False, False), ("none", True, False)],
)
def test_keep_decides_about_run_folders(
    tmp_path: Path, finished: tuple[Trial, Result], keep: str, needed: bool, stored: bool
) -> None:
    folder = SweepFolder(tmp_path, keep)
    folder.store(*finished, needed=needed)
    assert is_run_of(folder.run(0), finished[1]) == stored
    folder.prune([0], [])
    assert folder.run(0).exists() == (keep == "all")


def test_best_is_a_copy_with_its_own_path(tmp_path: Path, finished: tuple[Trial, Result]) -> None:
    folder = SweepFolder(tmp_path)
    assert folder.publish(finished[1]) is None
    folder.store(*finished, needed=True)
    for _ in range(2):
        assert folder.publish(finished[1]) == tmp_path / "best"
    folder.tidy()
    assert folder.publish(finished[1]) == tmp_path / "best", "found without the original"
    assert json.loads((tmp_path / "best/metrics.json").read_text())["run"] == str(tmp_path / "best")
    assert folder.runs(0) == {0: str(tmp_path / "best")}
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_folders_that_cannot_be_written_are_an_error(tmp_path: Path, finished: tuple[Trial, Result]) -> None:
    (tmp_path / "trials").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        SweepFolder(tmp_path).store(*finished, needed=True)
