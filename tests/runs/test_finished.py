from __future__ import annotations

import json

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.models.model import load_model_file, save_model
from mlptrain.runs.finished import export_run, view_run
from tests.made import random_model
from tests.reporting.plots.made import run


def test_a_finished_run(tmp_path):
    view = view_run(run(tmp_path, "a"))
    assert view.model is not None and view.metrics["epochs"] == len(view.history.epochs) == 3
    assert view.diagnosis.case == "not_enough_epochs"
    assert view.config_file == str(tmp_path / "runs/a/config.yaml")


def test_a_run_that_has_not_ended(tmp_path):
    path = run(tmp_path, "a")
    (path / "model.npz").unlink()
    (path / "metrics.json").unlink()
    view = view_run(path)
    assert view.model is None and view.metrics == {} and view.history.epochs == (1, 2, 3)


@pytest.mark.parametrize("content", ["{", "[1]", "[" * 100_000])
def test_metrics_that_are_none(tmp_path, content):
    path = run(tmp_path, "a")
    (path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"metrics\.json: damaged, not the figures"):
        view_run(path)
    (path / "metrics.json").unlink()
    (path / "metrics.json").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        view_run(path)


def test_a_run_is_exported_with_its_test_accuracy(tmp_path):
    model, folder = random_model(6, 4, 3), tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    save_model(folder / "model.npz", model)
    for metrics, accuracy in [("", None), ('{"test_accuracy": 0.5}', 0.5), ('{"test_accuracy": null}', None)]:
        (folder / "metrics.json").write_text(metrics)
        path = export_run("a", "json", runs_dir=tmp_path / "runs")
        assert path == folder / "model.json"
        assert json.loads(path.read_text())["test_accuracy"] == accuracy
    assert export_run(folder, "npz", output=tmp_path) == tmp_path / "model.npz"
    assert load_model_file(tmp_path / "model.npz").architecture == model.architecture
    assert export_run(tmp_path / "model.npz", "json") == tmp_path / "model.json"


@pytest.mark.parametrize("format", ["jsn", "a/b", ""])
def test_an_unknown_format_is_refused(tmp_path, format):
    save_model(tmp_path / "model.npz", random_model(6, 4, 3))
    with pytest.raises(UsageError, match="format"):
        export_run(tmp_path / "model.npz", format)


def test_a_missing_run_is_not_exported(tmp_path):
    with pytest.raises(DataError, match="no run"):
        export_run("nowhere", runs_dir=tmp_path)
