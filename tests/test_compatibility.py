"""Runs and sweeps written by released versions are read and resumed by this one."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

import mlptrain
from mlptrain.cli import main
from mlptrain.exercises import progress
from mlptrain.runs.files import load_metrics

NEARLY = 0.01  # processors round differently


@dataclass(frozen=True)
class Version:
    """A version that wrote files, and results that it had for them."""

    name: str
    case: str
    label: str
    probability: float
    sweep_best: dict[str, Any]
    sweep_mean: float

    @property
    def files(self) -> Path:
        return Path(__file__).parent / "data" / self.name


VERSIONS = (
    Version("v0.1", "rate_too_low", "7", 0.39162, {"learning_rate": 0.1}, 0.2035),
    Version("v0.2", "underfitting", "1", 0.77425, {"hidden": [3]}, 0.4295),
)


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def version(request: pytest.FixtureRequest) -> Version:
    found: Version = request.param
    return found


@pytest.fixture
def folder(version: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, whose ``runs/`` holds copies of what the version wrote."""
    shutil.copytree(version.files, tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Run a command in ``folder``, and return the object that it prints."""
    monkeypatch.delenv("MLPTRAIN_DATA_DIR", raising=False)

    def run(line: str) -> dict[str, Any]:
        code = main([*shlex.split(line), "--json"])
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out)

    with threadpool_limits():
        yield run


def rows(folder: Path) -> list[str]:
    return (folder / "history.csv").read_text().splitlines()


def assert_kept(before: list[str], after: list[str]) -> None:
    """Compare the seconds too, because these epochs are not trained again; later versions may have more columns."""
    for old, new in zip(before, after, strict=False):
        assert new.startswith(old)


def test_a_finished_run_evaluates_to_its_metrics(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    metrics = load_metrics(folder / "runs/finished")
    found = run("eval finished")
    assert found["accuracy"] == pytest.approx(metrics["test_accuracy"])
    assert found["loss"] == pytest.approx(metrics["test_loss"], rel=1e-4)
    assert run("eval finished --split validation")["accuracy"] == pytest.approx(metrics["val_accuracy"])


def test_a_finished_run_is_diagnosed(version: Version, run: Callable[[str], dict[str, Any]]) -> None:
    assert run("diagnose finished")["case"] == version.case


def test_a_finished_run_predicts_as_it_did(
    version: Version, folder: Path, run: Callable[[str], dict[str, Any]]
) -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 12:16] = 255
    np.save(folder / "one.npy", image)
    (found,) = run("predict finished one.npy")["predictions"]
    assert found["label"] == version.label
    assert max(found["probabilities"]) == pytest.approx(version.probability, rel=1e-3)
    model = mlptrain.load_model(folder / "runs/finished")
    assert model.probabilities(image.reshape(1, -1))[0] == pytest.approx(found["probabilities"])


def test_a_finished_run_is_repeated_by_its_config(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    metrics = load_metrics(folder / "runs/finished")
    found = run("train runs/finished/config.yaml --run again --threads 1")
    assert found["test_loss"] == pytest.approx(metrics["test_loss"], rel=NEARLY)


def test_training_starts_from_the_weights_of_a_finished_run(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    metrics = load_metrics(folder / "runs/finished")
    found = run("train runs/finished/config.yaml --from finished --run more epochs=0 batch_norm=false")
    assert found["test_loss"] == pytest.approx(metrics["test_loss"], rel=1e-4)


def test_reports_are_written(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    """Without statistics of the layers, if the version did not record them."""
    page = Path(run("report finished")["report"]).read_text(encoding="utf-8")
    assert ("has no layers.csv" in page) == (not (folder / "runs/finished/layers.csv").exists())
    assert run("report sweep") == {"run": "runs/sweep", "report": "runs/sweep/report.html"}


def test_runs_and_sweeps_are_listed(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    states = {each["name"]: each["state"] for each in run("runs")["runs"] if each["kind"] != "other"}
    complete = dict.fromkeys(["finished", "sweep"], "complete")
    assert states == {**complete, **dict.fromkeys(["interrupted", "halving"], "interrupted")}


def test_a_complete_run_is_left_as_it_is_by_resume(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    before = (folder / "runs/finished/model.npz").read_bytes()
    assert run("train runs/finished/config.yaml --run finished --resume")["epochs"] == 6
    assert (folder / "runs/finished/model.npz").read_bytes() == before


def test_an_interrupted_run_resumes_to_the_end_that_it_would_have_reached(
    folder: Path, run: Callable[[str], dict[str, Any]]
) -> None:
    path = folder / "runs/interrupted"
    before = rows(path)
    found = run("train runs/interrupted/config.yaml --run interrupted --resume --force --threads 1")
    assert len(before) == 6
    assert_kept(before, rows(path))
    assert len(rows(path)) == 41
    assert not (path / "checkpoint.npz").exists()
    assert found["test_loss"] == pytest.approx(1.554316952109337, rel=NEARLY)
    assert found["test_accuracy"] == pytest.approx(0.412, abs=NEARLY)


def test_a_complete_sweep_is_read_and_not_trained_again(
    version: Version, folder: Path, run: Callable[[str], dict[str, Any]]
) -> None:
    before = (folder / "runs/sweep/leaderboard.csv").read_text()
    found = run("sweep runs/sweep/sweep.yaml --run sweep --resume")
    assert (found["trials"], found["failed"]) == (4, 0)
    assert version.sweep_best.items() <= found["best"]["config"].items()
    assert found["best"]["repeats"]["mean"] == pytest.approx(version.sweep_mean)
    assert (folder / "runs/sweep/leaderboard.csv").read_text() == before


def test_the_best_run_of_a_sweep_evaluates_to_its_metrics(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    metrics = load_metrics(folder / "runs/sweep/best")
    assert run("eval runs/sweep/best")["accuracy"] == pytest.approx(metrics["test_accuracy"])


def test_an_interrupted_sweep_resumes_its_paused_trial(folder: Path, run: Callable[[str], dict[str, Any]]) -> None:
    path = folder / "runs/halving"
    before = rows(path / "trials/0002")
    found = run("sweep runs/halving/sweep.yaml --run halving --resume --threads 1")
    assert (found["trials"], found["failed"]) == (3, 0)
    assert found["best"]["config"]["learning_rate"] == 0.1
    assert found["best"]["metrics"]["test_loss"] == pytest.approx(1.9038354494571685, rel=NEARLY)
    assert len(before) == 3
    assert_kept(before, rows(path / "best"))
    assert len(rows(path / "best")) == 31
    assert not (path / "states").exists()


def test_solved_exercises_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "progress_file", lambda: VERSIONS[1].files / "exercises.json")
    found = progress.read_progress()
    assert found["counting"]["1"].is_solved
    assert found["chain-rule"]["7"] == progress.Result(("f", "dx", "dy"), 13)
