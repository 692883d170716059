"""The function `mlptrain.sweep`, and the folders that it uses."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

import mlptrain
from mlptrain.errors import DataError, UsageError
from mlptrain.sweeps import sweep as sweeping
from mlptrain.sweeps.reports import SweepEnd, SweepStart, TrialEnd
from tests.sweeps.made import Inline, spec

SPACE = "parameters: {learning_rate: {values: [0.1, 0.5]}, hidden: {values: [[3], [4]]}}\n"


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Train in this process, in a folder of its own; return the executors that were made."""
    monkeypatch.chdir(tmp_path)
    made = []

    def make(count: int) -> Any:
        made.append(Inline(count))
        return made[-1]

    monkeypatch.setattr(sweeping, "Processes", make)
    return made


def test_sweep_files_give_a_leaderboard_and_the_best_trial(tmp_path: Path, inline: list[Any]) -> None:
    spec(tmp_path, SPACE)
    reports: list[Any] = []
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
    assert re.fullmatch(r"SweepResult\(folder='runs/sweep-001', trials=4, leaderboard=Leaderboard\(.*\)", repr(result))
    html = result._repr_html_()
    assert all(text in html for text in ("runs/sweep-001", f"{best.figure:.4f}", "mlptrain train", "importance"))


def test_configs_with_spaces_and_specs_are_sources_too(tmp_path: Path, inline: list[Any]) -> None:
    sweep = spec(tmp_path, SPACE)
    first = sweeping.run_sweep(tmp_path / "base.yaml", ["learning_rate=0.1,0.5", "hidden=[3],[4]"], run="a", threads=1)
    second = sweeping.run_sweep(sweep, runs_dir="elsewhere")
    assert str(second.folder) == "elsewhere/base-001"
    assert [row.figure for row in first.leaderboard.rows] == [row.figure for row in second.leaderboard.rows]


def test_resume_continues_the_latest_sweep(tmp_path: Path, inline: list[Any]) -> None:
    sweep = spec(tmp_path, SPACE)
    for _ in range(2):
        sweeping.run_sweep(sweep, stem="s")
    again = sweeping.run_sweep(sweep, stem="s", resume=True)
    assert again.folder.name == "s-002" and len(inline) == 2 and again.trials == 4
    assert sweeping.run_sweep(sweep, stem="new", resume=True).folder.name == "new-001"


def test_shards_are_in_the_folder_of_the_sweep(tmp_path: Path) -> None:
    result = sweeping.run_sweep(spec(tmp_path, SPACE), stem="s", shard=(2, 2))
    assert str(result.folder) == "runs/s/shard-2-of-2"
    assert {row.trial for row in result.leaderboard.rows} == {1, 3}


def test_repeats_are_in_the_summary(tmp_path: Path) -> None:
    result = sweeping.run_sweep(spec(tmp_path, "repeat: 2\n" + SPACE))
    best = result.leaderboard.rows[0]
    assert result.best is not None
    assert result.best["repeats"] == {
        "metric": "val_accuracy",
        "count": 2,
        "mean": best.figure,
        "sd": best.deviation,
    }


def test_fail_fast_stops_the_sweep(tmp_path: Path) -> None:
    base = "hidden: []\noutput: linear\nloss: mse\nsubset: 120\nepochs: 1\nbatch_size: 20\n"
    sweep = spec(tmp_path, "parameters: {learning_rate: {values: [1e30, 0.1]}}\n", base=base)
    result = sweeping.run_sweep(sweep, run="s", stacked=False, fail_fast=True, workers=1)
    assert [one.status for one in result.failed] == ["diverged"] and result.trials == 1
    assert result.best is None and result.summary()["best"] is None
    assert sweeping.run_sweep(sweep, run="s", stacked=False, resume=True).trials == 2


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"keep": "some"}, "--keep some"),
        ({"executor": "ray"}, "--executor ray"),
        ({"scheduler": "tcp://x:1"}, "--executor dask"),
        ({"executor": "dask", "scheduler": "garbage"}, "garbage"),
        ({"executor": "dask", "scheduler": "tcp://x"}, "tcp://x"),
        ({"executor": "dask", "scheduler": "tcp://x:99999"}, "tcp://x:99999"),
        ({"executor": "dask", "scheduler": "http://x:8787/status"}, "http://x:8787/status"),
        ({"shard": (0, 2)}, "--shard 0/2"),
    ],
)
def test_invalid_options_are_refused_before_a_folder_is_made(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        sweeping.run_sweep(spec(tmp_path, SPACE), **options)
    assert not (tmp_path / "runs").exists()


def test_other_folders_are_refused(tmp_path: Path) -> None:
    sweep = spec(tmp_path, SPACE)
    (tmp_path / "runs/other").mkdir(parents=True)
    (tmp_path / "runs/other/file").touch()
    with pytest.raises(UsageError, match="runs/other"):
        sweeping.run_sweep(sweep, run="other")
    (tmp_path / "flat").touch()
    with pytest.raises(DataError, match="cannot be written"):
        sweeping.run_sweep(sweep, run="s", runs_dir="flat")


def test_dask_starts_a_local_cluster_or_uses_a_running_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlptrain.sweeps import cluster

    made = []

    def make(*arguments: Any) -> Any:
        made.append(arguments)
        return Inline()

    monkeypatch.setattr(cluster, "Cluster", make)
    monkeypatch.setattr(cluster, "check_scheduler", lambda address: None)
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: True)
    sweep = spec(tmp_path, SPACE)
    sweeping.run_sweep(sweep, run="a", executor="dask", workers=2)
    sweeping.run_sweep(sweep, run="b", executor="dask", scheduler="tcp://127.0.0.1:8786")
    assert made == [(None, 2, 1), ("tcp://127.0.0.1:8786", None, 1)]


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"run": "runs/s"}, "runs/s/sweep.yaml --resume --run s --workers 1"),
        ({}, "runs/base-001/sweep.yaml --resume --run base-001 --workers 1"),
        (
            {"shard": (1, 2), "keep": "all", "stacked": False},
            "runs/base/shard-1-of-2/sweep.yaml --resume --run base --shard 1/2 --workers 1 --keep all --no-stack",
        ),
    ],
)
def test_signals_stop_the_sweep_with_a_hint_to_resume(tmp_path: Path, options: dict[str, Any], hint: str) -> None:
    sweep = spec(tmp_path, SPACE)

    def interrupt(report: Any) -> None:
        if isinstance(report, TrialEnd):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt) as caught:
        sweeping.run_sweep(sweep, workers=1, on_report=interrupt, **options)
    total = 2 if "shard" in options else 4
    assert f"of {total} trials" in str(caught.value) and str(caught.value).endswith(f"mlptrain sweep {hint}")
    run = hint.split()[3]
    assert sweeping.run_sweep(sweep, run=run, shard=options.get("shard"), resume=True).trials == total
    assert len(list((tmp_path / "runs").iterdir())) == 1


def files(path: Path) -> dict[Path, bytes]:
    return {one.relative_to(path): one.read_bytes() for one in path.rglob("*") if one.is_file()}


@pytest.mark.parametrize("how", ["deleted", "replaced", "emptied"])
@pytest.mark.parametrize("keep", ["best", "all", "none"])
def test_a_folder_that_is_lost_while_the_sweep_runs_is_an_error_and_stays_as_it_is(
    tmp_path: Path, how: str, keep: str
) -> None:
    path = tmp_path / "runs/s"
    left: dict[str, dict[Path, bytes]] = {}

    def lose(report: Any) -> None:
        if isinstance(report, TrialEnd) and not left:
            path.rename(tmp_path / "moved")
            if how == "replaced":
                shutil.copytree(tmp_path / "moved", path)
            elif how == "emptied":
                path.mkdir()
            left.update({"files": files(tmp_path / "runs")})

    with pytest.raises(DataError, match=r"runs/s: .*\nhint: .*--run"):
        sweeping.run_sweep(spec(tmp_path, SPACE), run="s", stacked=False, workers=1, keep=keep, on_report=lose)
    assert files(tmp_path / "runs") == left["files"] and path.exists() == (how != "deleted")


def foreign(line: Any) -> str:
    """Return an event as it would be in the journal of another sweep."""
    event = json.loads(line)
    if event["event"] == "plan":
        return json.dumps({**event, "sweep": "0" * 16})
    return json.dumps({**event, "key": "0" * 16}) if event["event"] == "trial" else line


@pytest.mark.parametrize("kept", [0, 1], ids=["after its own lines", "after its own plan"])
@pytest.mark.parametrize("kinds", [("plan", "trial"), ("trial",)], ids=" and ".join)
def test_a_journal_with_lines_of_another_sweep_is_refused_before_anything_is_written(
    tmp_path: Path, kept: int, kinds: tuple[str, ...]
) -> None:
    sweep = spec(tmp_path, SPACE)
    path = sweeping.run_sweep(sweep, run="s").folder
    lines = (path / "journal.jsonl").read_text().splitlines()
    others = [foreign(line) for line in lines if json.loads(line)["event"] in kinds]
    (path / "journal.jsonl").write_text("\n".join([*lines[: kept or None], *others]) + "\n")
    before = files(path)
    with pytest.raises(DataError, match=r"journal\.jsonl"):
        sweeping.run_sweep(sweep, run="s", resume=True)
    assert files(path) == before
    if "plan" in kinds:
        (path / "sweep.yaml").unlink()
        before = files(path)
        with pytest.raises(DataError, match=r"journal\.jsonl"):
            sweeping.run_sweep(sweep, run="s", resume=True)
        assert files(path) == before


def test_a_journal_with_a_trial_that_is_not_planned_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    sweep = spec(tmp_path, SPACE)
    path = sweeping.run_sweep(sweep, run="s").folder
    journal = path / "journal.jsonl"
    last = json.loads(journal.read_text().splitlines()[-1])
    journal.write_text(journal.read_text() + json.dumps({**last, "trial": 9, "point": 9}) + "\n")
    before = files(path)
    with pytest.raises(DataError, match=r"journal\.jsonl: trial 9 "):
        sweeping.run_sweep(sweep, run="s", resume=True)
    assert files(path) == before


def test_a_missing_dask_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlptrain\[dask\]'"):
        sweeping.run_sweep(spec(tmp_path, SPACE), executor="dask")
