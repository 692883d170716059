"""RUN: paths, names, the newest run and the best ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.models.model import save_model
from mlptrain.runs.locate import find_model, find_run, locate
from tests.made import random_model
from tests.reporting.made_runs import sweep
from tests.runs.made import begun


def finished(path: Path, age: float = 0.0, **metrics: Any) -> Path:
    """Make the folder of a complete run that ended ``age`` seconds ago."""
    known = {"test_loss": 1.0, "test_accuracy": 0.5, "data_fingerprint": "d", "split_fingerprint": "s", **metrics}
    begun(path).finish(random_model(6, 4, 3), known)
    now = path.stat().st_mtime
    os.utime(path / "metrics.json", (now - age, now - age))
    return path


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path / "runs" / "a")
    begun(tmp_path / "runs" / "sweep" / "best")
    monkeypatch.chdir(tmp_path)
    runs = Path("runs")
    assert find_run("a", runs) == find_run("runs/a", runs) == find_run("runs/a/", runs) == Path("runs/a")
    assert find_run("sweep/best", runs) == Path("runs/sweep/best")
    assert find_run(str(tmp_path / "runs" / "a"), Path("elsewhere")) == tmp_path / "runs" / "a"


def test_a_path_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path / "runs" / "a")
    begun(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    assert find_run("a", Path("runs")) == Path("a")


def test_a_folder_of_that_name_that_is_no_run_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path / "runs" / "mnist")
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_run("mnist", Path("runs")) == Path("runs/mnist")


def test_no_run_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("missing", "empty", "a\nb", "n" * 5000):
        with pytest.raises(DataError, match="no run there") as caught:
            find_run(name, tmp_path)
        assert str(tmp_path / name) in str(caught.value)


def test_a_model_file_means_the_run_around_it(tmp_path: Path) -> None:
    run = finished(tmp_path / "runs/a")
    assert locate(run / "model.npz") == locate("a/model.npz", tmp_path / "runs") == run
    alone = tmp_path / "alone.npz"
    save_model(alone, random_model(6, 4, 3))
    assert locate(alone) == find_model(alone) == alone
    with pytest.raises(UsageError, match=r"alone\.npz"):
        find_run(alone)


def test_sweeps_are_found_but_are_no_runs(tmp_path: Path) -> None:
    path = sweep(tmp_path)
    assert locate("sweep", tmp_path / "runs") == locate(path) == path
    with pytest.raises(UsageError, match=r"--keep"):
        find_run("sweep", tmp_path / "runs")
    best = finished(path / "best")
    for find in (find_run, find_model):
        with pytest.raises(UsageError, match=rf"hint: .*{best}$"):
            find("sweep", tmp_path / "runs")
    (path / "leaderboard.csv").unlink()
    assert locate(path) == path, "an interrupted sweep has only its sweep file"


def test_latest_is_the_newest_complete_run(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    finished(runs / "old", age=20)
    newest = finished(runs / "new", age=10)
    begun(runs / "begun")
    unfinished = finished(runs / "limited")
    (unfinished / "checkpoint.npz").touch()
    finished(sweep(tmp_path) / "best")
    (runs / "old" / "plots").mkdir()
    assert locate("latest", runs) == newest
    named = begun(runs / "latest").path
    assert locate("latest", runs) == named, "a name comes first"


def test_best_compares_complete_runs_with_the_data_and_split_of_the_newest(tmp_path: Path) -> None:
    finished(tmp_path / "high", age=50, val_accuracy=0.9, val_loss=0.5)
    finished(tmp_path / "low", age=40, val_accuracy=0.8, val_loss=0.3)
    finished(tmp_path / "same", age=60, val_accuracy=0.9, val_loss=None)
    finished(tmp_path / "other-split", age=30, val_accuracy=1.0, val_loss=0.0, split_fingerprint="t")
    finished(tmp_path / "other-data", age=20, val_accuracy=1.0, val_loss=0.0, data_fingerprint="e")
    finished(tmp_path / "newest", age=10, val_accuracy=0.1, val_loss=9.0)
    damaged = finished(tmp_path / "damaged")
    (damaged / "metrics.json").write_text("{")
    assert locate("best:val_accuracy", tmp_path).name == "high", "of equal ones the newest"
    assert locate("best:val_loss", tmp_path).name == "low"
    with pytest.raises(DataError, match="accuracy"):
        locate("best:accuracy", tmp_path)
    with pytest.raises(UsageError, match="did you mean 'val_accuracy'"):
        locate("best:val_acuracy", tmp_path)


def test_no_complete_run(tmp_path: Path) -> None:
    begun(tmp_path / "a")
    for run, runs_dir in (("latest", tmp_path), ("best:loss", tmp_path), ("latest", tmp_path / "nowhere")):
        with pytest.raises(DataError, match="no complete run"):
            locate(run, runs_dir)


@pytest.mark.parametrize(("typed", "meant"), [("wied", "wide"), ("sweeep", "sweep"), ("sweep/bets", "sweep/best")])
def test_misspelt_names_have_a_suggestion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, meant: str
) -> None:
    sweep(tmp_path)
    begun(tmp_path / "runs/wide")
    begun(tmp_path / "runs/sweep/best")
    (tmp_path / "runs/wie").mkdir()  # not a run
    monkeypatch.chdir(tmp_path)
    for run in (typed, f"runs/{typed}"):
        with pytest.raises(DataError, match=f"did you mean '{run.replace(typed, meant)}'"):
            locate(run)


def test_latest_has_a_suggestion_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did you mean 'latest'"):
        locate("latets", tmp_path)
