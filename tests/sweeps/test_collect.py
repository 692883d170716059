"""What --collect makes of run folders, ``trials/``, sweeps and shards."""

from __future__ import annotations

import json
import shutil

import pytest

import mlptrain
from mlptrain.config.config import load_config
from mlptrain.errors import UsageError
from mlptrain.sweeps.collect import collect
from mlptrain.sweeps.leaderboard import read_leaderboard
from tests.sweeps.made import drive, spec

SPACE = "parameters: {learning_rate: {values: [0.1, 0.5]}, loss: {values: [mse, cross_entropy]}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(name: str, *overrides: str):
    settings = load_config(None, ["hidden=[4]", "subset=120", "epochs=1", "batch_size=20", *overrides])
    return mlptrain.train(settings, run=name)


def test_runs_without_a_sweep_are_ranked_by_what_they_differ_in(tmp_path):
    for name, rate in (("a", 0.1), ("b", 0.5), ("c", 0.9)):
        train(name, f"learning_rate={rate}", "loss=mse" if name == "c" else "loss=cross_entropy")
    (tmp_path / "runs/a/metrics.json").unlink()
    found = collect(["runs/a", "runs/b", "runs/c"]).result
    assert str(found.folder) == "runs/collected-001" and found.leaderboard.keys == ("output", "loss", "learning_rate")
    assert [(one.trial, one.message) for one in found.failed] == [(0, "runs/a: has not finished, or diverged")]
    assert found.best is not None and found.best["run"] == "runs/collected-001/best"
    lines = read_leaderboard(found.folder / "leaderboard.csv").lines
    assert [line.rank for line in lines] == [1, 2, None] and lines[2].values["learning_rate"] == 0.1
    assert {line.run for line in lines[:2]} == {"runs/b", "runs/c"}
    assert found.end.collected and found.end.seconds == pytest.approx(
        sum(row.seconds for row in found.leaderboard.rows)
    )


def test_a_folder_of_runs_is_ranked_where_it_lies_or_where_it_is_asked(tmp_path):
    train("s/trials/0000", "learning_rate=0.1")
    train("s/trials/0001", "learning_rate=0.5")
    for given in ("runs/s", "runs/s/trials"):
        assert str(collect([given]).result.folder) == "runs/s"
    assert str(collect(["runs/s/trials/0000", "runs/s/trials/0001"]).result.folder) == "runs/s"
    assert str(collect(["runs/s"], run="named").result.folder) == "runs/named"
    assert (tmp_path / "runs/named/best/model.npz").is_file()


def test_runs_of_a_sweep_are_numbered_as_its_trials_and_what_is_missing_is_named(tmp_path):
    sweep = spec(tmp_path, SPACE)
    drive(sweep, tmp_path / "whole", keep="all")
    shutil.copytree(tmp_path / "whole/trials", tmp_path / "part/trials")
    shutil.rmtree(tmp_path / "part/trials/0002")
    found = collect(["sweep.yaml", "part"])
    assert found.missing == (2,) and found.result.trials == 3
    assert {row.trial for row in found.result.leaderboard.rows} == {0, 1, 3}
    assert found.result.leaderboard.keys == ("learning_rate", "loss")
    train("other", "learning_rate=0.7")
    with pytest.raises(UsageError, match="runs/other: is no trial of this sweep"):
        collect(["sweep.yaml", "part", "runs/other"])


def test_sweeps_and_shards_are_read_from_their_journals(tmp_path):
    sweep = spec(tmp_path, SPACE)
    for number in (1, 2):
        drive(sweep, tmp_path / f"s/shard-{number}-of-2", shard=(number, 2))
    found = collect(["s"])
    assert found.missing == () and found.result.trials == 4 and str(found.result.folder) == "s"
    assert json.loads((tmp_path / "s/best/metrics.json").read_text())["run"] == "s/best"
    assert collect(["s/shard-1-of-2"]).missing == (1, 3)
    drive(spec(tmp_path, SPACE.replace("0.5", "0.7")), tmp_path / "t")
    with pytest.raises(UsageError, match="t: is another sweep than the others"):
        collect(["s", "t"])


def test_a_sweep_without_models_has_a_leaderboard_and_no_best(tmp_path):
    drive(spec(tmp_path, SPACE), tmp_path / "s", keep="none")
    found = collect(["s"]).result
    assert found.best is not None and found.best["run"] is None and not (tmp_path / "s/best").exists()
    assert all(line.run == "" for line in read_leaderboard(tmp_path / "s/leaderboard.csv").lines)


def test_where_all_have_failed_there_is_no_best(tmp_path):
    train("a")
    (tmp_path / "runs/a/metrics.json").unlink()
    found = collect(["runs/a"]).result
    assert found.best is None and found.leaderboard.best is None and len(found.failed) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name the folders to collect"),
        (["sweep.yaml"], "name the folders to collect"),
        (["empty", "sweep.yaml"], "sweep.yaml is no folder"),
        (["a.yaml", "b.yaml", "empty"], "b.yaml is no folder"),
        (["empty"], "no run in empty"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=words):
        collect(arguments)
