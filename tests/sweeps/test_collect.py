from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import pytest

import mlptrain
from mlptrain.config.config import load_config, plain_values
from mlptrain.errors import UsageError
from mlptrain.runs.train import TrainResult
from mlptrain.sweeps.collect import collect
from mlptrain.sweeps.leaderboard import read_leaderboard
from tests.sweeps.made import BASE, drive, spec

SPACE = "parameters: {learning_rate: {values: [0.1, 0.5]}, loss: {values: [mse, cross_entropy]}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(name: str, *overrides: str) -> TrainResult:
    settings = load_config(None, ["hidden=[4]", "subset=120", "epochs=1", "batch_size=20", *overrides])
    return mlptrain.train(settings, run=name)


def test_runs_without_a_sweep_are_ranked_with_the_keys_in_which_they_differ(tmp_path: Path) -> None:
    for name, rate in (("a", 0.1), ("b", 0.5), ("c", 0.9)):
        train(name, f"learning_rate={rate}", "loss=mse" if name == "c" else "loss=cross_entropy")
    (tmp_path / "runs/a/metrics.json").unlink()
    found = collect(["runs/a", "runs/b", "runs/c"]).result
    assert str(found.folder) == "runs/collected-001" and found.leaderboard.keys == ("output", "loss", "learning_rate")
    assert [one.trial for one in found.failed] == [0] and "runs/a" in (found.failed[0].message or "")
    assert found.best is not None and found.best["run"] == "runs/collected-001/best"
    rows = read_leaderboard(found.folder / "leaderboard.csv").rows
    assert [row.rank for row in rows] == [1, 2, None] and rows[2].values["learning_rate"] == 0.1
    assert {row.run for row in rows[:2]} == {"runs/b", "runs/c"}
    assert found.end.collected and found.end.seconds == pytest.approx(
        sum(row.seconds for row in found.leaderboard.rows)
    )


def test_the_leaderboard_is_written_to_the_sweep_folder_or_a_given_one(tmp_path: Path) -> None:
    train("s/trials/0000", "learning_rate=0.1")
    train("s/trials/0001", "learning_rate=0.5")
    for given in ("runs/s", "runs/s/trials"):
        assert str(collect([given]).result.folder) == "runs/s"
    assert str(collect(["runs/s/trials/0000", "runs/s/trials/0001"]).result.folder) == "runs/s"
    assert str(collect(["runs/s"], run="named").result.folder) == "runs/named"
    assert (tmp_path / "runs/named/best/model.npz").is_file()


def test_runs_of_a_sweep_have_its_numbers_and_missing_ones_are_listed(tmp_path: Path) -> None:
    sweep = spec(tmp_path, SPACE)
    drive(sweep, tmp_path / "whole", keep="all")
    shutil.copytree(tmp_path / "whole/trials", tmp_path / "part/trials")
    shutil.rmtree(tmp_path / "part/trials/0002")
    found = collect(["sweep.yaml", "part"])
    assert (found.missing, found.first_missing) == (1, (2,)) and found.result.trials == 3
    assert {row.trial for row in found.result.leaderboard.rows} == {0, 1, 3}
    assert found.result.leaderboard.keys == ("learning_rate", "loss")
    train("other", "learning_rate=0.7")
    with pytest.raises(UsageError, match="runs/other"):
        collect(["sweep.yaml", "part", "runs/other"])


def test_sweeps_and_shards_are_read_from_their_journals(tmp_path: Path) -> None:
    sweep = spec(tmp_path, SPACE)
    for number in (1, 2):
        drive(sweep, tmp_path / f"s/shard-{number}-of-2", shard=(number, 2))
    found = collect(["s"])
    assert found.missing == 0 and found.result.trials == 4 and str(found.result.folder) == "s"
    assert json.loads((tmp_path / "s/best/metrics.json").read_text())["run"] == "s/best"
    assert collect(["s/shard-1-of-2"]).first_missing == (1, 3)
    drive(spec(tmp_path, SPACE.replace("0.5", "0.7")), tmp_path / "t")
    with pytest.raises(UsageError, match="t: "):
        collect(["s", "t"])


def test_a_sweep_without_models_has_no_best_folder(tmp_path: Path) -> None:
    drive(spec(tmp_path, SPACE), tmp_path / "s", keep="none")
    found = collect(["s"]).result
    assert found.best is not None and found.best["run"] is None and not (tmp_path / "s/best").exists()
    assert all(row.run == "" for row in read_leaderboard(tmp_path / "s/leaderboard.csv").rows)


def test_a_run_of_a_vast_grid_is_found_by_its_number(tmp_path: Path) -> None:
    text = "parameters: {seed: {min: 0, max: 999999999}, split_seed: {min: 0, max: 999999999}}\n"
    train("s/trials/5000000007", "seed=5", "split_seed=7", "batch_seed=0")
    spec(tmp_path, text, base=BASE.replace("epochs: 2", "epochs: 1"))
    found = collect(["sweep.yaml", "runs/s"])
    assert [row.trial for row in found.result.leaderboard.rows] == [5_000_000_007]
    assert (found.missing, found.first_missing) == (10**18 - 1, tuple(range(8)))


def test_the_best_trial_has_the_command_that_trains_its_config(tmp_path: Path) -> None:
    drive(spec(tmp_path, SPACE), tmp_path / "s")
    train("a")
    for folder in ("s", "runs/a"):
        found = collect([folder]).result
        name, command, path, *keys = shlex.split(found.end.command or "")
        assert (name, command) == ("mlptrain", "train") and found.best is not None
        assert plain_values(load_config(Path(path), keys).resolve()) == found.best["config"]


def test_failed_runs_have_no_best(tmp_path: Path) -> None:
    train("a")
    (tmp_path / "runs/a/metrics.json").unlink()
    found = collect(["runs/a"]).result
    assert found.best is None and found.leaderboard.best is None and len(found.failed) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--collect"),
        (["sweep.yaml"], "--collect"),
        (["empty", "sweep.yaml"], "sweep.yaml"),
        (["a.yaml", "b.yaml", "empty"], "b.yaml"),
        (["empty"], "empty"),
    ],
)
def test_invalid_arguments(tmp_path: Path, arguments: list[str], problem: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=problem):
        collect(arguments)
