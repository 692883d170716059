"""Training in memory and into a run folder, from the first report to the result."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.config.config import load_config
from mlptrain.errors import ConfigError, DataError, DivergedError, UsageError
from mlptrain.runs.checkpoint import load_checkpoint
from mlptrain.runs.finished import evaluate_runs, view_run
from mlptrain.runs.train import TrainResult
from mlptrain.system.lock import locked
from mlptrain.system.signals import Interrupted
from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Progress, RunStart
from mlptrain.training.stack import Stack
from tests.made import random_model, sample
from tests.runs.made import COMPLETE, idx_folder, names, quick, resume, small
from tests.stress.stateful import history, left

METRICS = [
    *("run", "epochs", "best_epoch", "loss", "accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
    *("parameters", "seconds", "samples_per_second", "stopped", "finished", "machine", "versions", "threads"),
    *("data_fingerprint", "split_fingerprint"),
]


# ---- the package ---------------------------------------------------------------------------------------


def test_the_package_offers_its_public_names() -> None:
    assert dir(mlptrain) == sorted(mlptrain.__all__) and {*mlptrain.__all__} == {"__version__", *mlptrain._HOMES}
    for name, home in mlptrain._HOMES.items():
        assert getattr(mlptrain, name).__module__ == home
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        mlptrain.trian  # noqa: B018


def test_importing_the_package_does_not_load_numpy() -> None:
    code = "import sys, mlptrain, mlptrain.cli; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# ---- reports -------------------------------------------------------------------------------------------


def test_the_diagnosis_of_a_result_is_that_of_its_folder(tmp_path: Path) -> None:
    """Also for a folder of data, whose path the model does not contain."""
    settings = quick("epochs=6", f"dataset={idx_folder(tmp_path / 'data')}", "subset=null")
    for result in (mlptrain.train(settings, run="a", runs_dir=tmp_path, resume=True) for _ in range(2)):
        assert result.diagnosis == view_run(tmp_path / "a").diagnosis and result.diagnosis.case != "not_enough_epochs"


def test_a_notebook_shows_metrics_and_curves_and_no_arrays(tmp_path: Path) -> None:
    result = mlptrain.train(quick(), run="<b>", runs_dir=tmp_path)
    accuracy = result.metrics["test_accuracy"]
    assert repr(result).endswith(f"/<b>', layers=(784, 5, 10), epochs=2, test_accuracy={accuracy})")
    html = result._repr_html_()
    assert html.count("<svg") == 2 and f"{accuracy:.4f}" in html and "/&lt;b&gt;: 784-5-10 sigmoid" in html
    edited = replace(result, metrics={"loss": "?", "test_loss": 0.5}, history=(), folder=None)
    assert "<svg" not in edited._repr_html_() and "–" in edited._repr_html_() and "folder=None" in repr(edited)
    for report in (result.model, mlptrain.load_dataset("sample"), *mlptrain.run(quick())):
        assert "array(" not in repr(report)


def test_reports_come_in_order() -> None:
    *reports, result = mlptrain.run(quick())
    each = [Progress, EpochReport, LayersReport]
    assert [type(report) for report in reports] == [RunStart, LayersReport, *each, *each, Outcome]
    start, outcome = reports[0], reports[-1]
    assert isinstance(start, RunStart) and isinstance(outcome, Outcome) and isinstance(result, TrainResult)
    assert (start.name, start.dataset, start.splits) == ("not kept", "sample", (200, 1000, 500))
    assert (start.layers, start.parameters, start.epochs) == ((784, 5, 10), 785 * 5 + 6 * 10, 2)
    assert (start.steps, start.batch_size, start.resumed) == (10, 20, False)
    functions = (start.activation, start.output, start.loss, start.optimizer)
    assert functions == ("sigmoid", "softmax", "cross_entropy", "sgd")
    assert outcome.test_accuracy == result.metrics["test_accuracy"]
    assert tuple(report for report in reports if isinstance(report, EpochReport)) == result.history
    assert tuple(report for report in reports if isinstance(report, LayersReport)) == result.layers
    assert [report.epoch for report in result.layers] == [0, 1, 2]


def test_train_returns_the_result_that_run_yields_last() -> None:
    *_, result = mlptrain.run(quick())
    trained = mlptrain.train(quick())
    assert trained.history[1].loss == result.history[1].loss
    assert trained.metrics["test_loss"] == result.metrics["test_loss"]


def test_nothing_happens_before_the_first_report_is_requested(tmp_path: Path) -> None:
    reports = mlptrain.run(quick(), run="a", runs_dir=tmp_path)
    assert names(tmp_path) == []
    reports.close()
    assert names(tmp_path) == []


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def leave(reports: Iterator[object]) -> None:
    """Leave the loop at the first epoch report."""
    for report in reports:
        if isinstance(report, EpochReport):
            break


def fail(reports: Iterator[object]) -> None:
    """Raise an error in the loop at the first epoch report."""
    with pytest.raises(ZeroDivisionError):
        for report in reports:
            if isinstance(report, EpochReport):
                raise ZeroDivisionError


@pytest.mark.parametrize("end", [leave, fail])
def test_a_loop_that_ends_early_leaves_a_run_that_can_be_resumed(tmp_path: Path, end: Callable[..., Any]) -> None:
    before = handlers()
    end(mlptrain.run(small(checkpoint_seconds=60), run="a", runs_dir=tmp_path))
    assert handlers() == before
    assert names(tmp_path / "a") == ["checkpoint.npz", "config.yaml", "history.csv", "layers.csv"]
    assert load_checkpoint(tmp_path / "a" / "checkpoint.npz").state["epoch"] == 1
    with locked(tmp_path / "a"):
        pass
    whole = mlptrain.train(small(checkpoint_seconds=60), run="whole", runs_dir=tmp_path)
    resume(tmp_path, small(checkpoint_seconds=60))
    assert left(tmp_path / "a") == left(whole.folder)


def test_a_run_that_is_closed_within_an_epoch_has_a_checkpoint_of_that_step(tmp_path: Path) -> None:
    reports = mlptrain.run(small(checkpoint_seconds=60), run="a", runs_dir=tmp_path)
    progress = next(report for report in reports if isinstance(report, Progress))
    with pytest.raises(UsageError, match="in use"), locked(tmp_path / "a"):
        pass
    reports.close()
    assert load_checkpoint(tmp_path / "a" / "checkpoint.npz").state["step"] == progress.step


def test_a_run_that_is_closed_at_once_keeps_what_was_there(tmp_path: Path) -> None:
    reports = mlptrain.run(small(), run="a", runs_dir=tmp_path)
    next(reports)
    reports.close()
    assert names(tmp_path / "a") == ["config.yaml", "history.csv", "layers.csv"]


def test_a_loop_that_fails_after_a_signal_leaves_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        for report in mlptrain.run(small(checkpoint_seconds=60), run="a", runs_dir=tmp_path):
            if isinstance(report, Progress):
                signal.raise_signal(signal.SIGINT)
                raise ZeroDivisionError
    assert load_checkpoint(tmp_path / "a" / "checkpoint.npz").state["step"] == report.step


def test_a_second_signal_in_the_loop_ends_the_run_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        for report in mlptrain.run(small(checkpoint_seconds=60), run="a", runs_dir=tmp_path):
            if isinstance(report, Progress):
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
    assert names(tmp_path / "a") == ["config.yaml", "history.csv", "layers.csv"]


# ---- in memory -----------------------------------------------------------------------------------------


def test_training_in_memory_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = mlptrain.train(quick())
    assert names(tmp_path) == []
    assert result.folder is None and result.metrics["run"] is None
    assert [report.epoch for report in result.history] == [1, 2]
    assert result.model.architecture.layers == (784, 5, 10)
    assert result.model.class_names == tuple("0123456789")
    assert result.model.config["hidden"] == [5] and result.model.config["output"] == "softmax"


def test_metrics() -> None:
    result = mlptrain.train(quick())
    metrics, last = result.metrics, result.history[-1]
    assert list(metrics) == METRICS
    assert (metrics["epochs"], metrics["stopped"], metrics["parameters"]) == (2, None, 3985)
    assert (metrics["loss"], metrics["accuracy"]) == (last.loss, last.accuracy)
    assert (metrics["val_loss"], metrics["val_accuracy"]) == (last.val_loss, last.val_accuracy)
    assert metrics["best_epoch"] == 1 + int(result.history[1].val_loss < result.history[0].val_loss)
    assert metrics["versions"]["mlptrain"] == mlptrain.__version__
    assert metrics["versions"]["numpy"] == np.__version__
    assert metrics["data_fingerprint"] == sample().fingerprint
    assert metrics["split_fingerprint"].startswith("sha256:")
    assert 0 < metrics["seconds"] < 60 and metrics["samples_per_second"] > 0
    json.dumps(metrics, allow_nan=False)


def test_the_split_depends_on_split_seed_alone() -> None:
    def fingerprint(*overrides: str) -> str:
        return mlptrain.train(quick("epochs=0", *overrides)).metrics["split_fingerprint"]

    assert fingerprint() == fingerprint("seed=5", "batch_seed=7", "hidden=[]") != fingerprint("split_seed=1")


def test_a_run_of_no_epochs(tmp_path: Path) -> None:
    result = mlptrain.train(quick("epochs=0"), run="zero", runs_dir=tmp_path)
    metrics = json.loads((tmp_path / "zero" / "metrics.json").read_text())
    assert metrics == result.metrics
    assert (metrics["epochs"], metrics["best_epoch"], metrics["loss"], metrics["accuracy"]) == (0, None, None, None)
    assert metrics["samples_per_second"] is None
    assert 0 <= metrics["test_accuracy"] <= 0.4 and metrics["test_loss"] > 1
    assert len(history(tmp_path / "zero")) == 1
    untrained = Stack([quick("epochs=0").resolve()], 784, 10, 1).network
    np.testing.assert_array_equal(result.model.weights[0], untrained.parameters.weights[0][0])


def test_a_run_without_a_validation_split(tmp_path: Path) -> None:
    data = idx_folder(tmp_path / "mine", tests=12)
    settings = quick(f"dataset={data}", "split=official-60k", "subset=60", "epochs=3")
    result = mlptrain.train(settings, run="a", runs_dir=tmp_path)
    assert [result.metrics[key] for key in ("val_loss", "val_accuracy", "best_epoch")] == [None] * 3
    assert {tuple(row[3:5]) for row in history(tmp_path / "a")[1:]} == {("", "")}
    with pytest.raises(UsageError, match="validation"):
        evaluate_runs(["a"], part="validation", runs_dir=tmp_path)


def test_a_time_limit_tests_the_network_and_keeps_a_checkpoint(tmp_path: Path) -> None:
    result = mlptrain.train(quick("epochs=1000"), run="a", runs_dir=tmp_path, time_limit=0.0)
    assert (result.metrics["stopped"], result.metrics["epochs"]) == ("time_limit", 0)
    assert names(tmp_path / "a") == ["checkpoint.npz", *COMPLETE]


def test_an_interruption_in_memory_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Interrupted) as caught:
        for report in mlptrain.run(small()):
            if isinstance(report, Progress):
                signal.raise_signal(signal.SIGINT)
    assert str(caught.value) == "interrupted in epoch 1" and names(tmp_path) == []


# ---- into a folder -------------------------------------------------------------------------------------


def test_the_run_folder(tmp_path: Path) -> None:
    result = mlptrain.train(quick("seed=3"), name="quick", runs_dir=tmp_path / "runs")
    folder = tmp_path / "runs" / "quick-001"
    assert result.folder == folder and result.metrics["run"] == str(folder)
    assert names(folder) == COMPLETE
    assert json.loads((folder / "metrics.json").read_text()) == result.metrics
    assert load_config(folder / "config.yaml") == quick("seed=3").resolve()
    assert "output: softmax" in (folder / "config.yaml").read_text()
    header, *rows = history(folder)
    assert header[:6] == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert [[float(cell) for cell in row[:6]] for row in rows] == [
        [r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy, 0.5] for r in result.history
    ]
    loaded = mlptrain.load_model(folder)
    for mine, read in zip(result.model.weights + result.model.biases, loaded.weights + loaded.biases, strict=True):
        assert read.dtype == np.float32
        np.testing.assert_array_equal(mine, read)
    with np.load(folder / "model.npz") as file:
        shapes = {name: file[name].shape for name in ("W1", "b1", "W2", "b2")}
    assert shapes == {"W1": (5, 784), "b1": (5,), "W2": (10, 5), "b2": (10,)}
    assert mlptrain.train(quick(), name="quick", runs_dir=tmp_path / "runs").folder.name == "quick-002"


def test_the_history_grows_by_one_row_per_epoch(tmp_path: Path) -> None:
    lengths = []
    for report in mlptrain.run(quick(), run="a", runs_dir=tmp_path):
        if isinstance(report, EpochReport):
            lengths.append(len(history(tmp_path / "a")))
            visible = {name for name in names(tmp_path / "a") if not name.startswith(".")}
            assert visible - {"checkpoint.npz"} == {"config.yaml", "history.csv", "layers.csv"}
    assert lengths == [2, 3]


@pytest.mark.parametrize("more", [[], ["dtype=float64", "optimizer=momentum", "learning_rate=0.1", "batch_size=full"]])
def test_the_same_config_gives_the_same_bytes(tmp_path: Path, more: list[str]) -> None:
    first = mlptrain.train(quick(*more), run="a", runs_dir=tmp_path / "one").folder
    time.sleep(0.01)
    second = mlptrain.train(quick(*more), run="b", runs_dir=tmp_path / "two").folder
    third = mlptrain.train(load_config(first / "config.yaml"), name="c", runs_dir=tmp_path).folder
    for other in (second, third):
        assert (other / "model.npz").read_bytes() == (first / "model.npz").read_bytes()
        assert (other / "config.yaml").read_bytes() == (first / "config.yaml").read_bytes()
        assert history(other) == history(first)
    different = mlptrain.train(quick(*more, "seed=1"), run="d", runs_dir=tmp_path).folder
    assert (different / "model.npz").read_bytes() != (first / "model.npz").read_bytes()


def test_the_path_of_a_data_folder_is_not_in_the_model(tmp_path: Path) -> None:
    secret = idx_folder(tmp_path / "patients-of-dr-miller")
    copy = idx_folder(tmp_path / "copy")
    runs = [
        mlptrain.train(quick(f"dataset={folder}", "subset=30"), run=folder.name, runs_dir=tmp_path / "runs").folder
        for folder in (secret, copy)
    ]
    content = (runs[0] / "model.npz").read_bytes()
    for encoding in ("utf-8", "utf-32-le"):
        for word in ("miller", str(tmp_path)):
            assert word.encode(encoding) not in content
    assert content == (runs[1] / "model.npz").read_bytes(), "the same digits elsewhere give the same model"
    assert load_config(runs[0] / "config.yaml").dataset == str(secret)
    assert evaluate_runs([str(runs[0])]).accuracy == evaluate_runs([str(runs[1])]).accuracy


def test_an_existing_run_is_refused_unless_it_is_overwritten(tmp_path: Path) -> None:
    mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    before = (tmp_path / "a" / "model.npz").read_bytes()
    with pytest.raises(UsageError, match="exists"):
        mlptrain.train(quick("seed=1"), run="a", runs_dir=tmp_path)
    assert (tmp_path / "a" / "model.npz").read_bytes() == before
    mlptrain.train(quick("seed=1", "epochs=1"), run="a", runs_dir=tmp_path, overwrite=True)
    assert (tmp_path / "a" / "model.npz").read_bytes() != before
    assert len(history(tmp_path / "a")) == 2


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (["subset=9999"], ConfigError, "subset"),
        (["split=official"], ConfigError, "test file"),
        (["hidden=[1000000,1000000]"], ConfigError, "memory"),
        (["dataset=./missing"], DataError, "no such folder"),
        (["dataset=mnist"], DataError, "mlptrain download mnist"),
    ],
    ids=["subset", "split", "memory", "folder", "mnist"],
)
def test_a_run_that_cannot_start_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], error: type[Exception], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    wheres: list[dict[str, Any]] = [{"run": "a"}, {"name": "a"}, {"run": "a", "overwrite": True}, {}]
    for where in wheres:
        with pytest.raises(error, match=words) as caught:
            mlptrain.train(quick(*overrides), data_dir=tmp_path / "data", **where)
        assert str(caught.value).count("\n") < 3
    assert names(tmp_path) == []


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wheres: list[dict[str, Any]] = [{"run": "a"}, {"name": "a"}]
    for where in wheres:
        with pytest.raises(DataError, match="cannot be written"):
            mlptrain.train(quick(), runs_dir=tmp_path / "file", **where)
    for name in ("x" * 300, "file/a"):
        with pytest.raises((DataError, UsageError)):
            mlptrain.train(quick(), run=name, runs_dir=tmp_path)
    assert names(tmp_path) == ["file"]


def test_divergence_leaves_config_and_history_but_no_model(tmp_path: Path) -> None:
    settings = quick("loss=mse", "output=linear", "learning_rate=1e30", "dtype=float32")
    with pytest.raises(DivergedError, match="step 2 of 10 in epoch 1") as caught:
        mlptrain.train(settings, run="a", runs_dir=tmp_path)
    assert f"mlptrain diagnose {tmp_path / 'a'}" in str(caught.value) and str(caught.value).count("\n") == 1
    assert names(tmp_path / "a") == ["config.yaml", "history.csv", "layers.csv"]
    _, row = history(tmp_path / "a")
    assert row[0] == "1" and not any(row[1:]), "the epoch that diverged has no metrics"


def test_divergence_that_only_the_test_shows(tmp_path: Path) -> None:
    data = idx_folder(tmp_path / "mine", tests=12)
    settings = quick(
        f"dataset={data}", "split=official-60k", "subset=60", "epochs=1", "batch_size=full", "loss=mse",
        "output=linear", "learning_rate=1e30",
    )  # fmt: skip
    with pytest.raises(DivergedError, match="diverged: the test loss") as caught:
        mlptrain.train(settings, run="a", runs_dir=tmp_path)
    assert "learning_rate" in str(caught.value)
    assert set(names(tmp_path / "a")) - {"checkpoint.npz"} == {"config.yaml", "history.csv", "layers.csv"}


# ---- from another model --------------------------------------------------------------------------------


def test_training_starts_from_a_model(tmp_path: Path) -> None:
    first = mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    still = mlptrain.train(quick("epochs=0", "seed=9"), start=mlptrain.load_model("a", runs_dir=tmp_path))
    np.testing.assert_array_equal(still.model.weights[0], first.model.weights[0])
    assert still.metrics["test_loss"] == first.metrics["test_loss"]
    further = mlptrain.train(quick("epochs=1"), start=first.model)
    assert further.history[0].loss < first.history[-1].loss
    np.testing.assert_array_equal(still.model.weights[0], first.model.weights[0])  # the model given is not trained


def test_a_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"784-5-10 \(got 784-6-10\)"):
        mlptrain.train(quick(), start=random_model(784, 6, 10), run="a", runs_dir=tmp_path)
    assert names(tmp_path) == []


# ---- configs and starts --------------------------------------------------------------------------------


def test_a_config_may_be_a_path_or_a_mapping(tmp_path: Path) -> None:
    keys = {"subset": 200, "hidden": (5,), "epochs": 2, "batch_size": 20}
    (tmp_path / "quick.yaml").write_text("subset: 200\nhidden: 5\nepochs: 2\nbatch_size: 20\n")
    whole = mlptrain.train(quick()).metrics
    for given in (keys, tmp_path / "quick.yaml", str(tmp_path / "quick.yaml")):
        assert mlptrain.train(given).metrics["test_loss"] == whole["test_loss"]
        assert next(mlptrain.run(given)).epochs == 2


@pytest.mark.parametrize(
    ("given", "part"),
    [({"epochz": 2}, "'epochs'"), ({"epochs": -1}, "(got -1)"), ({1: 2}, "'1'"), ({"hidden": object}, "hidden"),
     (5, "(got 5)"), (None, "(got null)"), ("nowhere.yaml", "nowhere.yaml")],
)  # fmt: skip
def test_other_values_are_no_config(given: Any, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        mlptrain.train(given)
    assert part in str(caught.value) and str(caught.value).count("\n") <= 3


def test_a_start_may_be_a_model_or_a_run(tmp_path: Path) -> None:
    first = mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    starts: dict[str, Any] = {"a given model": first.model, str(tmp_path / "a"): "a"}
    reports = {
        start: [*mlptrain.run(quick("epochs=0"), start=given, runs_dir=tmp_path)] for start, given in starts.items()
    }
    for start, found in reports.items():
        assert found[0].start.startswith(start) and found[-1].metrics["test_loss"] == first.metrics["test_loss"]
    assert next(mlptrain.run(quick())).start is None
