"""Watching a run, in the process that trains it: its generator and that of the watch take turns."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mlptrain
from mlptrain.errors import ConfigError, DivergedError
from mlptrain.runs import watch
from mlptrain.runs.files import CONFIG, HISTORY
from mlptrain.runs.watch import RunEnd, RunFound, watch_run
from mlptrain.system.lock import LOCK
from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Progress
from tests.runs.made import partly_trained, quick, small


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SETTLED_SECONDS", 0.0)
    monkeypatch.setattr(watch, "GONE_SECONDS", 0.0)


def watched(path: Path, **options: Any) -> Iterator[Any]:
    return watch_run(path, poll_seconds=0.0, **options)


def kinds(reports: Iterator[Any]) -> list[type]:
    """Return the types of the reports, without the progress."""
    return [type(report) for report in reports if not isinstance(report, Progress)]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the size and the time of change of everything in a folder, and of the folder."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in (folder, *folder.rglob("*"))}


def test_a_complete_run_is_shown_without_a_change_of_its_folder(tmp_path: Path) -> None:
    trained = mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    before = files(tmp_path)
    found, outcome, end = watched(tmp_path / "a")
    assert files(tmp_path) == before
    assert isinstance(found, RunFound) and found.history[-1].val_loss == trained.history[-1].val_loss
    assert outcome.test_accuracy == trained.metrics["test_accuracy"]
    assert end == RunEnd(tmp_path / "a", "complete", 2)


@pytest.mark.parametrize("layers", [False, True])
def test_epochs_appear_when_their_rows_are_written(tmp_path: Path, layers: bool) -> None:
    with closing(mlptrain.run(quick("epochs=3"), run="a", runs_dir=tmp_path)) as reports:
        next(reports)
        watching = watched(tmp_path / "a", layers=layers)
        assert next(watching).history == ()
        waiting = next(watching)
        assert isinstance(waiting, Progress) and (waiting.epoch, waiting.epochs, waiting.steps) == (1, 3, 0)
        for number in (1, 2):
            trained = next(report for report in reports if isinstance(report, EpochReport))
            seen = next(report for report in watching if not isinstance(report, Progress))
            assert (seen.epoch, seen.epochs, seen.loss) == (number, 3, trained.loss)
            if layers:
                assert isinstance(following := next(watching), LayersReport) and following.epoch == number
        for _ in reports:
            pass
    assert kinds(watching) == [EpochReport, *([LayersReport] if layers else []), Outcome, RunEnd]


def test_a_row_that_is_being_written_is_shown_later(tmp_path: Path) -> None:
    with closing(mlptrain.run(quick("epochs=3"), run="a", runs_dir=tmp_path)) as reports:
        next(report for report in reports if isinstance(report, EpochReport))
        history = tmp_path / "a" / HISTORY
        whole = history.read_text()
        history.write_text(whole[:-3])
        watching = watched(tmp_path / "a")
        assert next(watching).history == () and isinstance(next(watching), Progress)
        history.write_text(whole)
        assert next(watching).epoch == 1


@pytest.mark.parametrize(("lock", "state"), [(False, "interrupted"), (True, "stale lock")])
def test_the_end_of_a_run_that_stopped(tmp_path: Path, lock: bool, state: str) -> None:
    partly_trained(tmp_path)
    if lock:
        (tmp_path / "a" / LOCK).touch()
    *_, end = watched(tmp_path / "a")
    assert end == RunEnd(tmp_path / "a", state, 0)


def test_the_end_of_a_run_that_diverged(tmp_path: Path) -> None:
    with pytest.raises(DivergedError):
        mlptrain.train(quick("learning_rate=1e30", "activation=relu", "hidden=5,5"), run="a", runs_dir=tmp_path)
    assert kinds(watched(tmp_path / "a")) == [RunFound, RunEnd]


def test_a_run_that_is_deleted_and_one_that_replaces_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "GONE_SECONDS", 60.0)
    monkeypatch.setattr(
        "mlptrain.runs.watch.time.sleep", lambda seconds: mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    )
    with closing(mlptrain.run(small(), run="a", runs_dir=tmp_path)) as reports:
        next(reports)
        watching = watch_run(tmp_path / "a")
        assert isinstance(next(watching), RunFound) and isinstance(next(watching), Progress)
    shutil.rmtree(tmp_path / "a")
    assert [*map(type, watching)] == [RunFound, Outcome, RunEnd], "trained again while the watch sleeps"
    monkeypatch.undo()
    monkeypatch.setattr(watch, "GONE_SECONDS", 0.0)
    assert [*watched(tmp_path / "gone")] == [RunEnd(tmp_path / "gone", None, 0)]


def test_a_damaged_config_is_an_error(tmp_path: Path) -> None:
    mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    (tmp_path / "a" / CONFIG).write_text("epochs: x\n")
    with pytest.raises(ConfigError):
        next(watched(tmp_path / "a"))
