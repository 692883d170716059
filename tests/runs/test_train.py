"""Runs that are interrupted and go on come to the same bytes."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.config.config import Config, load_config
from mlptrain.datasets.idx import write_idx
from mlptrain.datasets.split import make_split
from mlptrain.errors import ConfigError, DataError, DivergedError, UsageError
from mlptrain.runs import job
from mlptrain.runs.checkpoint import load_checkpoint, save_checkpoint
from mlptrain.runs.finished import PARTS, evaluate_runs
from mlptrain.runs.job import default_data_dir, versions
from mlptrain.system.lock import locked
from mlptrain.system.machine import VARIABLES
from mlptrain.system.signals import Interrupted
from mlptrain.training.reports import EpochReport, Outcome, Progress, Report, RunStart
from mlptrain.training.stack import Stack
from tests.made import dataset, model, random_model, sample
from tests.stress.full_disk import fill, small_disk
from tests.stress.stateful import OTHERS, SIX, left, stateful

METRICS = [
    "run",
    "epochs",
    "best_epoch",
    "loss",
    "accuracy",
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "parameters",
    "seconds",
    "samples_per_second",
    "stopped",
    "versions",
    "threads",
    "data_fingerprint",
    "split_fingerprint",
]


def quick(*overrides: str) -> Config:
    """Two epochs on 200 digits: some milliseconds."""
    settings = {"subset": "200", "hidden": "[5]", "epochs": "2", "batch_size": "20"}
    settings.update(override.split("=", 1) for override in overrides)
    return load_config(None, [f"{key}={value}" for key, value in settings.items()])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def history(folder: Path) -> list[list[str]]:
    """The rows of ``history.csv`` with its header and without its seconds."""
    with (folder / "history.csv").open(newline="") as file:
        return [row[:-1] for row in csv.reader(file)]


def idx_folder(folder: Path, *, count: int = 60, tests: int = 0, pixels: tuple[int, int] = (2, 3)) -> Path:
    """A folder of IDX files: images of three classes, told apart by which pixel is bright."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for stem, size in (("train", count), ("t10k", tests)):
        if size:
            labels = (np.arange(size) % 3).astype(np.uint8)
            images = rng.integers(0, 60, (size, *pixels), np.uint8)
            images.reshape(size, -1)[np.arange(size), labels] = 255
            write_idx(folder / f"{stem}-images-idx3-ubyte.gz", images)
            write_idx(folder / f"{stem}-labels-idx1-ubyte.gz", labels)
    return folder


# ---- what the package offers -------------------------------------------------------------------------


def test_the_names_of_the_package():
    for name in ("load_config", "load_dataset", "train", "evaluate", "load_model"):
        assert name in mlptrain.__all__ and callable(getattr(mlptrain, name)) and name in dir(mlptrain)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        mlptrain.trian  # noqa: B018


def test_importing_it_loads_no_numpy():
    code = "import sys, mlptrain, mlptrain.cli, mlptrain.config.config; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_load_dataset(tmp_path, monkeypatch):
    assert mlptrain.load_dataset().images.shape == (5000, 784)
    assert mlptrain.load_dataset(str(idx_folder(tmp_path / "mine"))).shape == (2, 3)
    with pytest.raises(DataError, match="given"):
        mlptrain.load_dataset("mnist", data_dir=tmp_path / "given")
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "environment"))
    with pytest.raises(DataError, match="environment"):
        mlptrain.load_dataset("mnist")
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", "")
    assert default_data_dir() == Path("data")


# ---- train in memory ---------------------------------------------------------------------------------


def test_train_in_memory_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = mlptrain.train(quick())
    assert names(tmp_path) == []
    assert result.folder is None and result.metrics["run"] is None
    assert [report.epoch for report in result.history] == [1, 2]
    assert result.model.architecture.layers == (784, 5, 10)
    assert result.model.class_names == tuple("0123456789")
    assert result.model.config["hidden"] == [5] and result.model.config["output"] == "softmax"


def test_reports_come_in_order():
    seen: list[Report] = []
    result = mlptrain.train(quick(), on_report=seen.append)
    assert [type(report) for report in seen] == [
        RunStart,
        Progress,
        EpochReport,
        Progress,
        EpochReport,
        Outcome,
    ]
    start, end = seen[0], seen[-1]
    assert isinstance(start, RunStart) and isinstance(end, Outcome)
    assert (start.name, start.dataset, start.parts) == ("not kept", "sample", (200, 1000, 500))
    assert (start.layers, start.parameters, start.epochs) == ((784, 5, 10), 785 * 5 + 6 * 10, 2)
    assert (start.steps, start.batch_size) == (10, 20)
    assert (start.activation, start.output, start.loss, start.optimizer) == (
        "sigmoid",
        "softmax",
        "cross_entropy",
        "sgd",
    )
    assert end.test_accuracy == result.metrics["test_accuracy"]
    assert tuple(report for report in seen if isinstance(report, EpochReport)) == result.history


def test_metrics():
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


def test_the_split_depends_on_split_seed_alone():
    def fingerprint(*overrides: str) -> str:
        return mlptrain.train(quick("epochs=0", *overrides)).metrics["split_fingerprint"]

    assert fingerprint() == fingerprint("seed=5", "batch_seed=7", "hidden=[]") != fingerprint("split_seed=1")


def test_no_epochs(tmp_path):
    result = mlptrain.train(quick("epochs=0"), run="zero", runs_dir=tmp_path)
    metrics = json.loads((tmp_path / "zero" / "metrics.json").read_text())
    assert metrics == result.metrics
    assert (metrics["epochs"], metrics["best_epoch"], metrics["loss"], metrics["accuracy"]) == (0, None, None, None)
    assert metrics["samples_per_second"] is None
    assert 0 <= metrics["test_accuracy"] <= 0.4 and metrics["test_loss"] > 1
    assert len(history(tmp_path / "zero")) == 1
    untrained = Stack([quick("epochs=0").resolve()], 784, 10, 1).network
    np.testing.assert_array_equal(result.model.weights[0], untrained.parameters.weights[0][0])


def test_no_validation_part(tmp_path):
    settings = quick(
        f"dataset={idx_folder(tmp_path / 'mine', tests=12)}", "split=official-60k", "subset=60", "epochs=3"
    )
    result = mlptrain.train(settings, run="a", runs_dir=tmp_path)
    assert [result.metrics[key] for key in ("val_loss", "val_accuracy", "best_epoch")] == [None] * 3
    assert {tuple(row[3:5]) for row in history(tmp_path / "a")[1:]} == {("", "")}
    with pytest.raises(UsageError, match="validation split is empty"):
        evaluate_runs(["a"], part="validation", runs_dir=tmp_path)


def test_a_time_limit(tmp_path):
    result = mlptrain.train(quick("epochs=1000"), run="a", runs_dir=tmp_path, time_limit=0.0)
    assert (result.metrics["stopped"], result.metrics["epochs"]) == ("time_limit", 0)
    assert names(tmp_path / "a") == ["checkpoint.npz", "config.yaml", "history.csv", "metrics.json", "model.npz"]


# ---- train into a folder -----------------------------------------------------------------------------


def test_the_run_folder(tmp_path):
    result = mlptrain.train(quick("seed=3"), name="quick", runs_dir=tmp_path / "runs")
    folder = tmp_path / "runs" / "quick-001"
    assert result.folder == folder and result.metrics["run"] == str(folder)
    assert names(folder) == ["config.yaml", "history.csv", "metrics.json", "model.npz"]
    assert json.loads((folder / "metrics.json").read_text()) == result.metrics
    assert load_config(folder / "config.yaml") == quick("seed=3").resolve()
    assert "output: softmax" in (folder / "config.yaml").read_text()
    header, *rows = history(folder)
    assert header == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert [[float(cell) for cell in row] for row in rows] == [
        [r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy, 0.5] for r in result.history
    ]
    loaded = mlptrain.load_model(folder)
    for mine, read in zip(result.model.weights + result.model.biases, loaded.weights + loaded.biases, strict=True):
        assert read.dtype == np.float32
        np.testing.assert_array_equal(mine, read)
    with np.load(folder / "model.npz") as file:
        assert {name: file[name].shape for name in ("W1", "b1", "W2", "b2")} == {
            "W1": (5, 784),
            "b1": (5,),
            "W2": (10, 5),
            "b2": (10,),
        }
    assert mlptrain.train(quick(), name="quick", runs_dir=tmp_path / "runs").folder.name == "quick-002"


def test_history_grows_row_by_row(tmp_path):
    lengths = []

    def look(report: Report) -> None:
        if isinstance(report, EpochReport):
            lengths.append(len(history(tmp_path / "a")))
            visible = {name for name in names(tmp_path / "a") if not name.startswith(".")}
            assert visible - {"checkpoint.npz"} == {"config.yaml", "history.csv"}

    mlptrain.train(quick(), run="a", runs_dir=tmp_path, on_report=look)
    assert lengths == [2, 3]


@pytest.mark.parametrize("more", [[], ["dtype=float64", "optimizer=momentum", "learning_rate=0.1", "batch_size=full"]])
def test_the_same_config_gives_the_same_bytes(tmp_path, more):
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


def test_a_folders_path_is_not_in_the_model(tmp_path):
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


def test_an_existing_run_is_refused_and_overwritten(tmp_path):
    mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    before = (tmp_path / "a" / "model.npz").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        mlptrain.train(quick("seed=1"), run="a", runs_dir=tmp_path)
    assert (tmp_path / "a" / "model.npz").read_bytes() == before
    mlptrain.train(quick("seed=1", "epochs=1"), run="a", runs_dir=tmp_path, overwrite=True)
    assert (tmp_path / "a" / "model.npz").read_bytes() != before
    assert len(history(tmp_path / "a")) == 2


@pytest.mark.parametrize(
    ("overrides", "error", "words"),
    [
        (["subset=9999"], ConfigError, "subset"),
        (["split=official"], ConfigError, "needs a test file"),
        (["hidden=[1000000,1000000]"], ConfigError, "of memory"),
        (["dataset=./missing"], DataError, "no such folder"),
        (["dataset=mnist"], DataError, "mlptrain download mnist"),
    ],
    ids=["subset", "split", "memory", "folder", "mnist"],
)
def test_what_cannot_be_done_leaves_nothing_behind(tmp_path, monkeypatch, overrides, error, words):
    monkeypatch.chdir(tmp_path)
    for where in ({"run": "a"}, {"name": "a"}, {"run": "a", "overwrite": True}, {}):
        with pytest.raises(error, match=words) as caught:
            mlptrain.train(quick(*overrides), data_dir=tmp_path / "data", **where)  # type: ignore[arg-type]
        assert str(caught.value).count("\n") < 3
    assert names(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for where in ({"run": "a"}, {"name": "a"}):
        with pytest.raises(DataError, match="cannot be written"):
            mlptrain.train(quick(), runs_dir=tmp_path / "file", **where)
    for name in ("x" * 300, "file/a"):
        with pytest.raises((DataError, UsageError)):
            mlptrain.train(quick(), run=name, runs_dir=tmp_path)
    assert names(tmp_path) == ["file"]


def test_divergence_leaves_config_and_history_but_no_model(tmp_path):
    settings = quick("loss=mse", "output=linear", "learning_rate=1e30", "dtype=float32")
    with pytest.raises(DivergedError, match="step 2 of 10 in epoch 1"):
        mlptrain.train(settings, run="a", runs_dir=tmp_path)
    assert names(tmp_path / "a") == ["config.yaml", "history.csv"]
    assert history(tmp_path / "a")[1:] == [["1", "", "", "", "", ""]], "the epoch that diverged has no figures"


def test_divergence_that_only_the_test_shows(tmp_path):
    settings = quick(
        f"dataset={idx_folder(tmp_path / 'mine', tests=12)}", "split=official-60k", "subset=60", "epochs=1",
        "batch_size=full", "loss=mse", "output=linear", "learning_rate=1e30",
    )  # fmt: skip
    with pytest.raises(DivergedError, match="diverged") as caught:
        mlptrain.train(settings, run="a", runs_dir=tmp_path)
    assert "learning_rate" in str(caught.value)
    assert names(tmp_path / "a") == ["config.yaml", "history.csv"]


# ---- start from another model ------------------------------------------------------------------------


def test_training_goes_on_from_a_model(tmp_path):
    first = mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    still = mlptrain.train(quick("epochs=0", "seed=9"), start=mlptrain.load_model("a", runs_dir=tmp_path))
    np.testing.assert_array_equal(still.model.weights[0], first.model.weights[0])
    assert still.metrics["test_loss"] == first.metrics["test_loss"]
    further = mlptrain.train(quick("epochs=1"), start=first.model)
    assert further.history[0].loss < first.history[-1].loss
    np.testing.assert_array_equal(still.model.weights[0], first.model.weights[0]), "the model given is not trained"


def test_a_model_of_another_shape_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"layers 784-6-10; this config builds 784-5-10"):
        mlptrain.train(quick(), start=random_model(784, 6, 10), run="a", runs_dir=tmp_path)
    assert names(tmp_path) == []


# ---- evaluate ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: two of one split, one of another."""
    folder = tmp_path_factory.mktemp("runs")
    for name, more in (("a", []), ("b", ["seed=1", "hidden=[8]"]), ("other", ["split_seed=1"])):
        mlptrain.train(quick(*more), run=name, runs_dir=folder)
    return folder


def metrics(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


@pytest.mark.parametrize("name", ["a", "b", "other"])
def test_eval_gives_the_figures_of_training(runs, name):
    for part, prefix in (("validation", "val"), ("test", "test")):
        result = evaluate_runs([name], part=part, runs_dir=runs)
        assert result.accuracy == metrics(runs / name)[f"{prefix}_accuracy"]
        assert result.loss == pytest.approx(metrics(runs / name)[f"{prefix}_loss"], rel=1e-6)
        assert result.split == part


def test_parts_and_their_sizes(runs):
    counts = {part: evaluate_runs(["a"], part=part, runs_dir=runs).count for part in PARTS}
    assert counts == {"train": 200, "validation": 1000, "test": 500, "all": 5000}
    whole = evaluate_runs(["a"], part="all", runs_dir=runs)
    assert sum(map(sum, whole.confusion)) == 5000
    assert [sum(row) for row in whole.confusion] == [500] * 10


def test_evaluate_by_hand(runs):
    loaded, data = mlptrain.load_model(runs / "a"), sample()
    split = make_split(data, (0.7, 0.2, 0.1), seed=0, subset=200)
    result = mlptrain.evaluate(loaded, data, split, "test")
    assert result == evaluate_runs(["a"], runs_dir=runs)
    guesses = loaded.predict(data.images[split.test])
    assert result.accuracy == np.mean(guesses == data.labels[split.test])
    assert mlptrain.evaluate(loaded, data) == mlptrain.evaluate(loaded, data, split, "all")
    assert mlptrain.evaluate(loaded, data).split == "all"


def test_parts_that_do_not_exist(runs):
    loaded = mlptrain.load_model(runs / "a")
    with pytest.raises(UsageError, match="expected one of train, validation, test, all"):
        mlptrain.evaluate(loaded, sample(), None, "testing")
    with pytest.raises(UsageError, match="expected one of"):
        evaluate_runs(["a"], part="fingerprint", runs_dir=runs)


def test_several_runs_are_averaged(runs):
    both = evaluate_runs(["a", "b"], runs_dir=runs)
    data = sample()
    split = make_split(data, (0.7, 0.2, 0.1), seed=0)
    images, labels = data.images[split.test], data.labels[split.test]
    mean = sum(mlptrain.load_model(runs / name).probabilities(images).astype(float) for name in "ab") / 2
    assert both.accuracy == np.mean(mean.argmax(axis=1) == labels)
    assert both.loss == pytest.approx(-np.log(mean[np.arange(500), labels]).mean(), rel=1e-6)
    models = [mlptrain.load_model(runs / name) for name in "ab"]
    assert mlptrain.evaluate(models, data, split, "test") == both


def test_runs_of_different_splits_are_not_averaged_on_a_part(runs):
    with pytest.raises(UsageError, match="different splits"):
        evaluate_runs(["a", "other"], runs_dir=runs)
    assert evaluate_runs(["a", "other"], part="all", runs_dir=runs).count == 5000


def test_another_dataset(runs, tmp_path):
    other = idx_folder(tmp_path / "mine", count=60, pixels=(28, 28))
    assert evaluate_runs(["a"], part="all", dataset=str(other), runs_dir=runs).count == 60
    assert evaluate_runs(["a"], dataset=str(other), runs_dir=runs).count == 6
    assert evaluate_runs(["a", "other"], dataset=str(other), runs_dir=runs).count == 6
    small = idx_folder(tmp_path / "small")
    with pytest.raises(DataError, match=r"2 x 3 pixels.* 784 inputs"):
        evaluate_runs(["a"], dataset=str(small), runs_dir=runs)
    with pytest.raises(DataError, match="mlptrain download mnist"):
        evaluate_runs(["a"], dataset="mnist", data_dir=tmp_path, runs_dir=runs)


def test_runs_that_are_not_there(runs, tmp_path):
    with pytest.raises(DataError, match="no run there"):
        evaluate_runs(["a", "missing"], runs_dir=runs)
    mlptrain.train(quick(), run="broken", runs_dir=tmp_path)
    (tmp_path / "broken" / "model.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="damaged"):
        evaluate_runs(["broken"], runs_dir=tmp_path)


def test_load_model(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(runs.parent)
    by_path = mlptrain.load_model(runs / "a")
    for found in (
        mlptrain.load_model(str(runs / "a")),
        mlptrain.load_model("a", runs_dir=runs),
        mlptrain.load_model(runs / "a" / "model.npz"),
        mlptrain.load_model(f"{runs.name}/a"),
    ):
        np.testing.assert_array_equal(found.weights[0], by_path.weights[0])
    for missing in ("missing", "x" * 300, runs / "a" / "model2.npz"):
        with pytest.raises(DataError):
            mlptrain.load_model(missing, runs_dir=runs)
    with pytest.raises(DataError, match="not a NumPy archive"):
        mlptrain.load_model(runs / "a" / "history.csv")


def test_a_model_made_by_hand_is_evaluated():
    brightest = model([np.eye(3, 6)], [np.zeros(3)])
    data = dataset(30)
    data.images[:] = 0
    data.images[np.arange(30), data.labels] = 255
    assert mlptrain.evaluate(brightest, data).accuracy == 1


def test_nothing_to_evaluate():
    with pytest.raises(UsageError, match="at least one"):
        evaluate_runs([])
    with pytest.raises(UsageError, match="at least one"):
        mlptrain.evaluate([], mlptrain.load_dataset("sample"))


def interrupted(config, folder, after, **more):
    """Train until the ``after``-th report and stop there as by Ctrl-C; False where it ended before that."""
    seen = []

    def count(report):
        if isinstance(report, Progress | EpochReport):
            seen.append(report)
            if len(seen) == after:
                signal.raise_signal(signal.SIGINT)

    try:
        mlptrain.train(config, run="a", runs_dir=folder, on_report=count, resume=True, **more)
    except Interrupted as error:
        assert error.exit_code == 130 and "--run a --resume" in str(error)
        assert (folder / "a" / "checkpoint.npz").is_file()
        return True
    return False


@pytest.mark.parametrize("name", [*SIX, *OTHERS])
def test_the_same_bytes_wherever_it_is_interrupted(name, tmp_path):
    config = stateful(name)
    whole = mlptrain.train(config, run="whole", runs_dir=tmp_path)
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        "config.yaml", "history.csv", "metrics.json", "model.npz",
    ]  # fmt: skip
    times = 0
    while interrupted(config, tmp_path, after=4):
        times += 1
    assert times >= 2
    assert left(tmp_path / "a") == left(whole.folder)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "config.yaml", "history.csv", "metrics.json", "model.npz",
    ]  # fmt: skip


def small(**more):
    return stateful("momentum", **{"hidden": [4], "subset": 300, "epochs": 3, **more})


def partly(tmp_path, **more):
    """A run ``a`` that a time limit has ended within its first epoch."""
    result = mlptrain.train(small(**more), run="a", runs_dir=tmp_path, time_limit=0.0)
    assert (result.metrics["stopped"], result.metrics["epochs"]) == ("time_limit", 0)
    return result


def resume(tmp_path, config, **more):
    return mlptrain.train(config, run="a", runs_dir=tmp_path, resume=True, **more)


def test_a_time_limit_keeps_the_checkpoint_from_which_it_goes_on(tmp_path):
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    partly(tmp_path)
    assert (tmp_path / "a" / "checkpoint.npz").is_file()
    again = mlptrain.train(small(), run="a", runs_dir=tmp_path, resume=True, time_limit=0.0)
    assert (again.metrics["stopped"], again.metrics["epochs"]) == ("time_limit", 0)
    reports = []
    result = resume(tmp_path, small(), on_report=reports.append)
    assert left(tmp_path / "a") == left(whole.folder)
    assert result.metrics["stopped"] is None and result.metrics["epochs"] == 3
    assert result.metrics["seconds"] > again.metrics["seconds"] > 0
    assert (reports[0].resumed, reports[0].step, reports[0].history) == (True, 2, ())
    assert [report.epoch for report in result.history] == [1, 2, 3]
    assert not (tmp_path / "a" / "checkpoint.npz").exists()


def test_nothing_there_starts_and_complete_gives_the_result(tmp_path):
    first = resume(tmp_path, small())
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    reports = []
    again = resume(tmp_path, small(), on_report=reports.append)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    assert again.metrics == first.metrics and len(reports) == 1
    assert (reports[0].epochs, reports[0].test_loss) == (3, first.metrics["test_loss"])
    assert [r.loss for r in again.history] == [r.loss for r in first.history]
    np.testing.assert_array_equal(again.model.weights[0], first.model.weights[0])


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".lock").touch()
    (tmp_path / "a" / ".config.yaml.99999999.00000000.tmp").touch()
    result = resume(tmp_path, small())
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "config.yaml", "history.csv", "metrics.json", "model.npz",
    ]  # fmt: skip


def test_rows_beyond_the_checkpoint_and_torn_ones_are_repaired(tmp_path):
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    partly(tmp_path)
    with (tmp_path / "a" / "history.csv").open("a") as stream:
        stream.write("1,0.5,0.5,,,0.1,1.0\n2,0.5,0")
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_the_history_is_shown_again_where_it_goes_on(tmp_path):
    seen = []

    def stop(report):
        seen.append(report)
        if isinstance(report, EpochReport) and report.epoch == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=stop)
    assert caught.value.exit_code == 143 and "interrupted in epoch 3" in str(caught.value)
    reports = []
    resume(tmp_path, small(), on_report=reports.append)
    assert reports[0].history == tuple(report for report in seen if isinstance(report, EpochReport))
    assert [report.epoch for report in reports if isinstance(report, EpochReport)] == [3]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"learning_rate": 0.05}, "learning_rate was 0.1 and is 0.05"), ({"split_seed": 3}, "split_fingerprint was")],
)
def test_another_config_or_other_data_is_refused_unless_forced(tmp_path, change, words):
    partly(tmp_path)
    before = (tmp_path / "a" / "config.yaml").read_bytes()
    with pytest.raises(UsageError, match=words) as caught:
        resume(tmp_path, small(**change))
    assert "--force" in str(caught.value) and str(caught.value).count("\n") == 1
    assert (tmp_path / "a" / "config.yaml").read_bytes() == before
    result = resume(tmp_path, small(**change), force=True)
    (forced,) = result.metrics["forced"]
    assert (forced["epoch"], forced["step"]) == (0, 1) and forced["changed"].keys() >= change.keys()
    assert (tmp_path / "a" / "config.yaml").read_bytes() != before
    with pytest.raises(UsageError, match="complete, and "):
        resume(tmp_path, small())


def test_what_was_forced_is_remembered_over_another_interruption(tmp_path):
    partly(tmp_path)
    forced = mlptrain.train(small(epochs=2), run="a", runs_dir=tmp_path, resume=True, force=True, time_limit=0.0)
    assert forced.metrics["forced"][0]["changed"] == {"epochs": [3, 2]}
    assert resume(tmp_path, small(epochs=2)).metrics["forced"] == forced.metrics["forced"]


def test_other_versions_and_threads_are_refused(tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    partly(tmp_path)
    monkeypatch.setattr("mlptrain.runs.job.versions", lambda: {**versions(), "numpy": "0.1"})
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(UsageError, match=r"numpy version was .* and is '0.1', threads was null and is 7"):
        resume(tmp_path, small())


def test_another_network_does_not_fit_even_by_force(tmp_path):
    partly(tmp_path)
    for change in ({"hidden": [5]}, {"optimizer": "adam"}):
        with pytest.raises(UsageError, match="does not fit any more: ") as caught:
            resume(tmp_path, small(**change), force=True)
        assert str(caught.value).count("\n") <= 2
    assert resume(tmp_path, small()).metrics["epochs"] == 3, "and nothing was harmed"


def test_the_weights_that_it_started_from_need_not_be_named_again(tmp_path):
    start = mlptrain.train(small(epochs=1)).model
    other = mlptrain.train(small(epochs=1, seed=77)).model
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path, start=start)
    mlptrain.train(small(), run="a", runs_dir=tmp_path, start=start, time_limit=0.0)
    with pytest.raises(UsageError, match=r"start was .sha256:.* and is .sha256:"):
        resume(tmp_path, small(), start=other)
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 1}, "does not say where"),
        ({"step": -1}, "does not say where"),
        ({"step": "2"}, "does not say where"),
        ({"step": 10**6}, "has 10"),
        ({"order": "{}"}, ""),
        ({"order": 3}, ""),
        ({"stack.network.parameters": np.zeros(3, np.float32)}, ""),
        ({"more": 1}, "more"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_own_config_is_damaged(tmp_path, change, words):
    partly(tmp_path)
    path = tmp_path / "a" / "checkpoint.npz"
    checkpoint = load_checkpoint(path)
    assert change.keys() & checkpoint.state.keys() or "more" in change, sorted(checkpoint.state)
    save_checkpoint(path, replace(checkpoint, state=dict(checkpoint.state) | change))
    with pytest.raises(DataError, match="not a usable checkpoint: ") as caught:
        resume(tmp_path, small())
    assert words in str(caught.value)
    result = mlptrain.train(small(), run="a", runs_dir=tmp_path, overwrite=True)
    assert result.metrics["epochs"] == 3 and not path.exists()


def test_what_resume_needs(tmp_path):
    with pytest.raises(UsageError, match="--resume with no name of a run"):
        mlptrain.train(small(), runs_dir=tmp_path, resume=True)
    with pytest.raises(UsageError, match="--resume with --overwrite"):
        mlptrain.train(small(), run="a", runs_dir=tmp_path, resume=True, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UsageError, match="not a run folder"):
        mlptrain.train(small(), run="mine", runs_dir=tmp_path, resume=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]


def test_two_at_once_are_refused(tmp_path):
    partly(tmp_path)
    with locked(tmp_path / "a"):
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(UsageError, match="in use by process"):
                mlptrain.train(small(), run="a", runs_dir=tmp_path, **options)
    assert resume(tmp_path, small()).metrics["epochs"] == 3


def test_a_run_that_another_process_completes_meanwhile(tmp_path, monkeypatch):
    partly(tmp_path)

    def prepare(*arguments, **options):
        if not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            resume(tmp_path, small())
        return plain(*arguments, **options)

    plain = job.prepare
    monkeypatch.setattr("mlptrain.runs.train.prepare", prepare)
    reports = []
    assert resume(tmp_path, small(), on_report=reports.append).metrics["epochs"] == 3
    assert [type(report).__name__ for report in reports] == ["Outcome"]


def test_metrics_that_are_damaged(tmp_path):
    resume(tmp_path, small())
    for content in ("{", "[]", "{}", '{"test_loss": "x", "test_accuracy": 1}', "[" * 100_000):
        (tmp_path / "a" / "metrics.json").write_text(content)
        with pytest.raises(DataError, match=r"metrics.json: damaged, not the figures of a run"):
            resume(tmp_path, small())


def test_a_second_signal_ends_it_within_the_first_ones_writing(tmp_path, monkeypatch):
    def flush(saver):
        signal.raise_signal(signal.SIGHUP)

    def stop(report):
        if isinstance(report, Progress) and report.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("mlptrain.runs.checkpoint.Saver.flush", flush)
    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=stop)
    assert caught.value.exit_code == 129
    monkeypatch.undo()
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_in_memory_an_interruption_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def stop(report):
        if isinstance(report, Progress):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), on_report=stop)
    assert str(caught.value) == "interrupted in epoch 1" and not list(tmp_path.iterdir())


def test_how_to_go_on_names_the_folders(tmp_path):
    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), run="b/c d", runs_dir=tmp_path, data_dir=tmp_path, on_report=interrupt)
    runs = shlex.quote(str(tmp_path))
    assert str(caught.value).endswith(
        f"mlptrain train '{tmp_path}/b/c d/config.yaml' --run 'b/c d' --resume --runs-dir {runs} --data-dir {runs}"
    )


def interrupt(report):
    if isinstance(report, Progress):
        signal.raise_signal(signal.SIGINT)


def test_a_diverged_run_keeps_its_last_checkpoint(tmp_path):
    config = small(optimizer="sgd", learning_rate=1e30, schedule="constant", max_norm=None, loss="mse", output="linear")
    for _ in range(2):
        with pytest.raises(DivergedError):
            resume(tmp_path, config)
    assert not (tmp_path / "a" / "model.npz").exists()


def test_a_folder_that_is_deleted_under_the_run(tmp_path):
    def delete(report):
        if isinstance(report, EpochReport):
            shutil.rmtree(tmp_path / "a", ignore_errors=True)

    with pytest.raises(DataError, match=r"a/(history.csv|checkpoint.npz|model.npz): cannot be written: no such file"):
        mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=delete)


def wait_for_first_epoch(folder):
    """Until the checkpoint of an epoch is there: its thread takes a moment."""
    path, until = folder / "checkpoint.npz", time.monotonic() + 30
    while not (path.exists() and load_checkpoint(path).history):
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.01)


def test_no_more_file_descriptors(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def exhaust(report):
        if isinstance(report, EpochReport) and report.epoch == 2:
            wait_for_first_epoch(tmp_path / "a")
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))

    try:
        with pytest.raises(DataError, match=r"a/\S+: cannot be written: too many open files"):
            mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=exhaust)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    assert load_checkpoint(tmp_path / "a" / "checkpoint.npz").history
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_kills_at_random_and_at_calls_that_write():
    """A few of what ``python -m tests.stress.kills`` does hundreds of times."""
    command = [sys.executable, "-m", "tests.stress.kills", "--kills", "6", "--configs", "sgd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost, 6 of 6 byte-identical" in done.stdout


def test_a_full_disk_leaves_a_run_that_can_go_on(tmp_path):
    (tmp_path / "disk").mkdir()
    try:
        with small_disk(tmp_path / "disk", 2):
            runs, filler = tmp_path / "disk" / "runs", tmp_path / "disk" / "filler"
            result = mlptrain.train(small(epochs=2), run="whole", runs_dir=runs)

            def full(report):
                if isinstance(report, Progress) and report.epoch == 2:
                    # One under way would fail, free what it had taken, and leave room for the model.
                    wait_for_first_epoch(runs / "a")
                    fill(filler)

            with pytest.raises(DataError, match=r"a/\S+: cannot be written: no space left on device"):
                mlptrain.train(small(epochs=2), run="a", runs_dir=runs, on_report=full)
            filler.unlink()
            resume(runs, small(epochs=2))
            assert left(runs / "a") == left(result.folder)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"no small disk here: {error}")
