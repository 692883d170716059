from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.models.model import load_model_file, save_model
from mlptrain.reporting.export import export_run
from tests.made import random_model


def test_a_run_is_exported_with_its_test_accuracy(tmp_path: Path) -> None:
    model, folder = random_model(6, 4, 3), tmp_path / "runs" / "a"
    folder.mkdir(parents=True)
    save_model(folder / "model.npz", model)
    for metrics, accuracy in [
        ("", None),
        ('{"test_loss": 1, "test_accuracy": 0.5}', 0.5),
        ('{"test_loss": 1, "test_accuracy": null}', None),
    ]:
        (folder / "metrics.json").write_text(metrics)
        path = export_run("a", "json", runs_dir=tmp_path / "runs")
        assert path == folder / "model.json"
        assert json.loads(path.read_text())["test_accuracy"] == accuracy
    assert export_run(folder, "npz", output=tmp_path) == tmp_path / "model.npz"
    assert load_model_file(tmp_path / "model.npz").architecture == model.architecture
    assert export_run(tmp_path / "model.npz", "json") == tmp_path / "model.json"


@pytest.mark.parametrize("format", ["jsn", "a/b", ""])
def test_an_unknown_format_is_refused(tmp_path: Path, format: str) -> None:
    save_model(tmp_path / "model.npz", random_model(6, 4, 3))
    with pytest.raises(UsageError, match="format"):
        export_run(tmp_path / "model.npz", format)


def test_a_missing_run_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run there"):
        export_run("nowhere", runs_dir=tmp_path)
