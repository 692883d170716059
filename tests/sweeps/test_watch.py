"""Watching a sweep, in the process that trains it: its driver and the watch take turns."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import mlptrain
from mlptrain.datasets.dataset import data_folder
from mlptrain.errors import DataError
from mlptrain.runs.files import JOURNAL
from mlptrain.sweeps import watch
from mlptrain.sweeps.collect import collect
from mlptrain.sweeps.driver import Driver
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.reports import SweepEnd, SweepStart, TrialEnd, Watched
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.watch import SweepStop, watch_sweep
from mlptrain.system.lock import LOCK, locked
from tests.runs.made import begun, quick
from tests.sweeps.made import Inline, drive, spec

SPACE = "parameters: {learning_rate: {values: [0.1, 0.3, 1.0, 2.0]}, epochs: {value: 1}}\n"


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SETTLED_SECONDS", "GONE_SECONDS"):
        monkeypatch.setattr(watch, name, 0.0)


def watched(path: Path) -> Iterator[Any]:
    return watch_sweep(path, path.parent, poll_seconds=0.0)


def driver(sweep: Spec, path: Path, **options: Any) -> Driver:
    """Return a driver that trains one trial at a time."""
    path.mkdir(parents=True)
    folder = SweepFolder(path)
    folder.begin(sweep)
    return Driver(sweep, folder, lambda: Inline(1), data_folder(), stacked=False, **options)


def test_a_sweep_that_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "s"
    expected, _ = drive(spec(tmp_path, SPACE), path)
    before = {p: p.stat().st_mtime_ns for p in (path, *path.rglob("*"))}
    start, end, stop = watched(path)
    assert before == {p: p.stat().st_mtime_ns for p in (path, *path.rglob("*"))}
    assert (start.trials, start.done, start.keys) == (4, 4, ("learning_rate",))
    assert [row.trial for row in end.board.rows] == [row.trial for row in expected.board.rows]
    assert end.best == expected.best and end.ranked
    assert shlex.split(end.command)[3:] == shlex.split(expected.command)[3:]
    assert stop == SweepStop(path, "complete", 4, 4)


def test_trials_appear_when_they_have_ended(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with closing(driver(spec(tmp_path, SPACE), path).run()) as reports:
        with locked(path):
            watching = watched(path)
            next(reports)
            assert next(watching).done == 0
            assert next(watching).training == 0
            trained = next(report for report in reports if isinstance(report, TrialEnd))
            seen = next(report for report in watching if not isinstance(report, Watched))
            assert isinstance(seen, TrialEnd) and seen.result.metrics == trained.result.metrics and seen.done == 1
            progress = next(watching)
            assert (progress.done, progress.total, progress.training) == (1, 4, 0)
            assert progress.left is not None and progress.since is not None and len(progress.board.rows) == 1
            for _ in reports:
                pass
        left = [type(report) for report in watching if not isinstance(report, Watched)]
        assert left == [TrialEnd, TrialEnd, TrialEnd, SweepEnd, SweepStop]


def test_a_sweep_that_was_killed_and_the_command_that_resumes_it(tmp_path: Path) -> None:
    path = tmp_path / "runs/s"
    with closing(driver(spec(tmp_path, SPACE), path).run()) as reports:
        next(report for report in reports if isinstance(report, TrialEnd))
    (path / LOCK).touch()
    *_, stop = watch_sweep(path, tmp_path / "runs", poll_seconds=0.0)
    assert (stop.state, stop.done, stop.total) == ("stale lock", 1, 4)
    (command,) = stop.commands
    words = ["mlptrain", "sweep", f"{path}/sweep.yaml", "--resume", "--run", "s", "--runs-dir", str(tmp_path / "runs")]
    assert shlex.split(command) == words


def test_shards_are_one_sweep(tmp_path: Path) -> None:
    sweep, path = spec(tmp_path, SPACE), tmp_path / "s"
    for _ in driver(sweep, path / "shard-3-of-4", shard=(3, 4)).run():
        pass
    with closing(driver(sweep, path / "shard-1-of-4", shard=(1, 4)).run()) as reports:
        next(reports)
        with locked(path / "shard-1-of-4"):
            watching = watched(path)
            start, progress = next(watching), next(watching)
    assert (start.trials, start.done) == (4, 1)
    assert [(part.name, part.state, part.ended) for part in progress.parts] == [
        ("shard 1", "running", 0),
        ("shard 3", "complete", 1),
    ]
    *_, end, stop = watched(path)
    assert not end.ranked and (stop.state, stop.done, stop.total) == ("interrupted", 1, 4)
    assert shlex.split(stop.commands[0])[-4:-2] == ["--shard", "1/4"] and len(stop.commands) == 1


def test_shards_that_have_not_begun_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    drive(spec(tmp_path, SPACE), path / "shard-1-of-2", shard=(1, 2))
    *_, stop = watched(path)
    assert (stop.state, stop.done, stop.total, stop.commands) == ("interrupted", 2, 4, ())


def test_the_runs_of_a_job_array(tmp_path: Path) -> None:
    trials = tmp_path / "s/trials"
    for number, rate in enumerate(("0.1", "0.5")):
        mlptrain.train(quick(f"learning_rate={rate}"), run=f"{number:04d}", runs_dir=trials)
    begun(trials / "0002")
    with locked(trials / "0002"):
        watching = watched(tmp_path / "s")
        start, progress = next(watching), next(watching)
        mlptrain.train(quick("learning_rate=1"), run="0003", runs_dir=trials)
        new = next(watching)
    assert (start.trials, start.done) == (3, 2) and progress.left is None
    assert sorted(row.trial for row in progress.board.rows) == [0, 1]
    assert isinstance(new, TrialEnd) and new.result.trial == 3
    *_, stop = watching
    assert (stop.state, stop.done, stop.total) == ("interrupted", 3, 4)


def test_a_sweep_that_is_replaced_or_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s"
    drive(spec(tmp_path, SPACE), path)
    with locked(path):
        watching = watched(path)
        assert next(watching).done == 4 and isinstance(next(watching), Watched)
    shutil.rmtree(path)
    drive(spec(tmp_path, SPACE.replace("0.3, ", "")), path)
    assert [type(report) for report in watching if not isinstance(report, Watched)] == [SweepStart, SweepEnd, SweepStop]
    shutil.rmtree(path)
    assert [*watched(path)] == [SweepStop(path, None, 0, None)]


def test_collected_runs(tmp_path: Path) -> None:
    mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    collection = collect([str(tmp_path / "a")], run="all", runs_dir=tmp_path)
    start, end, stop = watched(tmp_path / "all")
    assert start.trials is None and stop.state == "complete"
    assert end.board.rows[0].figure == collection.result.leaderboard.rows[0].figure


def test_a_damaged_journal_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s"
    drive(spec(tmp_path, SPACE), path)
    (path / JOURNAL).write_text("x\n")
    with pytest.raises(DataError):
        list(watched(path))
