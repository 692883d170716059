"""The API of sweeps, as a script calls it, and where a sweep's folder lies."""

from __future__ import annotations

import os
import signal

import pytest

import mlptrain
from mlptrain.errors import DataError, UsageError
from mlptrain.sweeps import sweep as session
from mlptrain.sweeps.reports import SweepEnd, SweepStart, TrialEnd
from tests.sweeps.made import Inline, spec

SPACE = "parameters: {learning_rate: {values: [0.1, 0.5]}, hidden: {values: [[3], [4]]}}\n"


@pytest.fixture(autouse=True)
def inline(monkeypatch, tmp_path):
    """Trains in this process, in a folder of its own; what it does in others is for the executors' tests."""
    monkeypatch.chdir(tmp_path)
    made = []

    def make(count):
        made.append(Inline(count))
        return made[-1]

    monkeypatch.setattr(session, "Processes", make)
    return made


def test_a_sweep_file_gives_a_leaderboard_and_the_best(tmp_path, inline):
    spec(tmp_path, SPACE)
    reports = []
    result = mlptrain.sweep(tmp_path / "sweep.yaml", ["epochs=1"], workers=3, on_report=reports.append)
    assert [executor.workers for executor in inline] == [3] and inline[0].closed
    assert str(result.folder) == "runs/sweep-001" and result.trials == 4 and result.failed == ()
    assert [row.rank for row in result.leaderboard.rows] == [1, 2, 3, 4]
    assert isinstance(reports[0], SweepStart) and reports[-1] is result.end and isinstance(result.end, SweepEnd)
    assert result.best is not None and result.importances is not None
    best = result.leaderboard.rows[0]
    assert result.best["config"]["learning_rate"] == best.values["learning_rate"]
    assert result.best["metrics"]["val_accuracy"] == best.figure and result.best["config"]["epochs"] == 1
    assert result.summary() == {"sweep": "runs/sweep-001", "trials": 4, "failed": 0, "best": result.best}


def test_a_config_and_spaces_and_a_spec_do_as_well(tmp_path, inline):
    sweep = spec(tmp_path, SPACE)
    first = session.sweep(tmp_path / "base.yaml", ["learning_rate=0.1,0.5", "hidden=[3],[4]"], run="a", threads=1)
    second = session.sweep(sweep, runs_dir="elsewhere")
    assert str(second.folder) == "elsewhere/base-001"
    figures = [[row.figure for row in result.leaderboard.rows] for result in (first, second)]
    assert figures[0] == figures[1]


def test_the_latest_is_the_one_to_go_on_with(tmp_path, inline):
    sweep = spec(tmp_path, SPACE)
    for _ in range(2):
        session.sweep(sweep, stem="s")
    again = session.sweep(sweep, stem="s", resume=True)
    assert again.folder.name == "s-002" and len(inline) == 2 and again.trials == 4
    assert session.sweep(sweep, stem="new", resume=True).folder.name == "new-001", "none was begun"


def test_shards_lie_in_one_folder(tmp_path):
    result = session.sweep(spec(tmp_path, SPACE), stem="s", shard=(2, 2))
    assert str(result.folder) == "runs/s/shard-2-of-2" and [row.trial for row in result.leaderboard.rows] != []
    assert {row.trial for row in result.leaderboard.rows} == {1, 3}


def test_repeats_are_in_the_summary(tmp_path):
    result = session.sweep(spec(tmp_path, "repeat: 2\n" + SPACE))
    best = result.leaderboard.rows[0]
    assert result.best is not None
    assert result.best["repeats"] == {
        "metric": "val_accuracy",
        "count": 2,
        "mean": best.figure,
        "sd": best.deviation,
    }


def test_fail_fast_leaves_the_rest(tmp_path):
    base = "hidden: []\noutput: linear\nloss: mse\nsubset: 120\nepochs: 1\nbatch_size: 20\n"
    sweep = spec(tmp_path, "parameters: {learning_rate: {values: [1e30, 0.1]}}\n", base=base)
    result = session.sweep(sweep, run="s", stacked=False, fail_fast=True, workers=1)
    assert [one.status for one in result.failed] == ["diverged"] and result.trials == 1
    assert result.best is None and result.summary()["best"] is None
    assert session.sweep(sweep, run="s", stacked=False, resume=True).trials == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"keep": "some"}, "--keep some"),
        ({"executor": "ray"}, "--executor ray"),
        ({"scheduler": "tcp://x:1"}, "give --executor dask as well"),
        ({"shard": (0, 2)}, "--shard 0/2"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_folder_is_made(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        session.sweep(spec(tmp_path, SPACE), **options)
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_something_else_or_none_at_all(tmp_path):
    sweep = spec(tmp_path, SPACE)
    (tmp_path / "runs/other").mkdir(parents=True)
    (tmp_path / "runs/other/file").touch()
    with pytest.raises(UsageError, match="exists already and is no sweep"):
        session.sweep(sweep, run="other")
    (tmp_path / "flat").touch()
    with pytest.raises(DataError, match="cannot be written"):
        session.sweep(sweep, run="s", runs_dir="flat")


def test_dask_makes_its_cluster_when_the_first_stack_is_there(tmp_path, monkeypatch):
    from mlptrain.sweeps import cluster

    made = []

    def make(*arguments):
        made.append(arguments)
        return Inline()

    monkeypatch.setattr(cluster, "Cluster", make)
    monkeypatch.setattr(cluster, "find_spec", lambda name: True)
    sweep = spec(tmp_path, SPACE)
    session.sweep(sweep, run="a", executor="dask", workers=2)
    session.sweep(sweep, run="b", executor="dask", scheduler="tcp://127.0.0.1:8786")
    assert made == [(None, 2, 1), ("tcp://127.0.0.1:8786", None, 1)]


def test_a_signal_ends_it_with_what_is_done_and_how_to_go_on(tmp_path):
    sweep = spec(tmp_path, SPACE)

    def interrupt(report):
        if isinstance(report, TrialEnd):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt) as caught:
        session.sweep(sweep, run="s", workers=1, on_report=interrupt)
    words = str(caught.value.args[-1] if caught.value.args else caught.value)
    assert "of 4 trials done; runs/s keeps them" in words and "go on with --resume --run s" in words
    assert session.sweep(sweep, run="s", resume=True).trials == 4
