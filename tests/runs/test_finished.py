"""Runs read from their folders: viewed, evaluated, loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.datasets.split import make_split
from mlptrain.errors import DataError, UsageError
from mlptrain.models.model import save_model
from mlptrain.runs.finished import SPLITS, evaluate_runs, load_start, view_run
from tests.made import dataset, model, sample
from tests.reporting.made_runs import run
from tests.runs.made import idx_folder, quick

# ---- views ---------------------------------------------------------------------------------------------


def test_a_finished_run(tmp_path: Path) -> None:
    view = view_run(run(tmp_path, "a"))
    assert view.model is not None and view.metrics["epochs"] == len(view.history.epochs) == 3
    assert view.diagnosis.case == "not_enough_epochs"
    assert view.config_file == str(tmp_path / "runs/a/config.yaml")


def test_a_run_that_has_not_ended(tmp_path: Path) -> None:
    path = run(tmp_path, "a")
    (path / "model.npz").unlink()
    (path / "metrics.json").unlink()
    view = view_run(path)
    assert view.model is None and view.metrics == {} and view.history.epochs == (1, 2, 3)


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
def test_damaged_metrics(tmp_path: Path, content: str) -> None:
    path = run(tmp_path, "a")
    (path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"metrics\.json: damaged"):
        view_run(path)
    (path / "metrics.json").unlink()
    (path / "metrics.json").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        view_run(path)


# ---- evaluation ----------------------------------------------------------------------------------------


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
def test_evaluation_gives_the_metrics_of_training(runs: Path, name: str) -> None:
    for split, prefix in (("validation", "val"), ("test", "test")):
        result = evaluate_runs([name], part=split, runs_dir=runs)
        assert result.accuracy == metrics(runs / name)[f"{prefix}_accuracy"]
        assert result.loss == pytest.approx(metrics(runs / name)[f"{prefix}_loss"], rel=1e-6)
        assert result.split == split


def test_the_sizes_of_the_splits(runs: Path) -> None:
    counts = {split: evaluate_runs(["a"], part=split, runs_dir=runs).count for split in SPLITS}
    assert counts == {"train": 200, "validation": 1000, "test": 500, "all": 5000}
    whole = evaluate_runs(["a"], part="all", runs_dir=runs)
    assert sum(map(sum, whole.confusion)) == 5000
    assert [sum(row) for row in whole.confusion] == [500] * 10


def test_evaluate_by_hand(runs: Path) -> None:
    loaded, data = mlptrain.load_model(runs / "a"), sample()
    split = make_split(data, (0.7, 0.2, 0.1), seed=0, subset=200)
    result = mlptrain.evaluate(loaded, data, split, "test")
    assert result == evaluate_runs(["a"], runs_dir=runs)
    predicted = loaded.predict(data.images[split.test])
    assert result.accuracy == np.mean(predicted == data.labels[split.test])
    assert mlptrain.evaluate(loaded, data) == mlptrain.evaluate(loaded, data, split, "all")
    assert mlptrain.evaluate(loaded, data).split == "all"


def test_an_unknown_split_is_refused(runs: Path) -> None:
    loaded = mlptrain.load_model(runs / "a")
    with pytest.raises(UsageError, match=r"got .testing"):
        mlptrain.evaluate(loaded, sample(), None, "testing")
    with pytest.raises(UsageError, match="train, validation, test or all"):
        evaluate_runs(["a"], part="fingerprint", runs_dir=runs)


def test_the_outputs_of_several_runs_are_averaged(runs: Path) -> None:
    both = evaluate_runs(["a", "b"], runs_dir=runs)
    data = sample()
    split = make_split(data, (0.7, 0.2, 0.1), seed=0)
    images, labels = data.images[split.test], data.labels[split.test]
    outputs = [mlptrain.load_model(runs / name).probabilities(images).astype(float) for name in "ab"]
    mean = (outputs[0] + outputs[1]) / 2
    assert both.accuracy == np.mean(mean.argmax(axis=1) == labels)
    assert both.loss == pytest.approx(-np.log(mean[np.arange(500), labels]).mean(), rel=1e-6)
    models = [mlptrain.load_model(runs / name) for name in "ab"]
    assert mlptrain.evaluate(models, data, split, "test") == both


def test_runs_of_different_splits_are_averaged_on_all_images_only(runs: Path) -> None:
    with pytest.raises(UsageError, match="different splits"):
        evaluate_runs(["a", "other"], runs_dir=runs)
    assert evaluate_runs(["a", "other"], part="all", runs_dir=runs).count == 5000


def test_evaluation_on_another_dataset(runs: Path, tmp_path: Path) -> None:
    other = idx_folder(tmp_path / "mine", count=60, pixels=(28, 28))
    assert evaluate_runs(["a"], part="all", dataset=str(other), runs_dir=runs).count == 60
    assert evaluate_runs(["a"], dataset=str(other), runs_dir=runs).count == 6
    assert evaluate_runs(["a", "other"], dataset=str(other), runs_dir=runs).count == 6
    small = idx_folder(tmp_path / "small")
    with pytest.raises(DataError, match="2 x 3 pixels"):
        evaluate_runs(["a"], dataset=str(small), runs_dir=runs)
    with pytest.raises(DataError, match="mlptrain download mnist"):
        evaluate_runs(["a"], dataset="mnist", data_dir=tmp_path, runs_dir=runs)


def test_missing_and_damaged_runs(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run there"):
        evaluate_runs(["a", "missing"], runs_dir=runs)
    mlptrain.train(quick(), run="broken", runs_dir=tmp_path)
    (tmp_path / "broken" / "model.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match="damaged"):
        evaluate_runs(["broken"], runs_dir=tmp_path)


def test_load_model(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_functions_accept_runs_for_models(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    data = sample()
    assert mlptrain.evaluate("a", data, runs_dir=runs) == mlptrain.evaluate(mlptrain.load_model(runs / "a"), data)
    assert mlptrain.evaluate([runs / "a", "b"], data, runs_dir=runs).count == 5000
    np.save(runs.parent / "one.npy", data.images[0].reshape(28, 28))
    [found] = mlptrain.predict("a", ["one.npy"], runs_dir=runs)
    [again] = mlptrain.predict(mlptrain.load_model(runs / "a"), ["one.npy"])
    assert found.probabilities == again.probabilities


def test_a_start_has_a_name_with_its_accuracy(runs: Path, tmp_path: Path) -> None:
    model, name = load_start("a", runs)
    assert name == f"{runs / 'a'} (val_accuracy {metrics(runs / 'a')['val_accuracy']:.4f})"
    save_model(tmp_path / "alone.npz", model)
    assert load_start(tmp_path / "alone.npz", runs)[1] == str(tmp_path / "alone.npz")


def test_a_model_made_by_hand_is_evaluated() -> None:
    brightest = model([np.eye(3, 6)], [np.zeros(3)])
    data = dataset(30)
    data.images[:] = 0
    data.images[np.arange(30), data.labels] = 255
    assert mlptrain.evaluate(brightest, data).accuracy == 1


def test_nothing_to_evaluate() -> None:
    with pytest.raises(UsageError, match="at least one"):
        evaluate_runs([])
    with pytest.raises(UsageError, match="at least one"):
        mlptrain.evaluate([], mlptrain.load_dataset("sample"))
