"""`mlptrain.plot`, `mlptrain.report` and `mlptrain.diagnose` as a notebook calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import mlptrain
from mlptrain.system import extras
from tests.reporting.made_runs import sweep
from tests.runs.made import quick


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> mlptrain.TrainResult:
    return mlptrain.train(quick("epochs=3"), run="a", runs_dir=tmp_path_factory.mktemp("runs"))


def test_a_result_a_path_a_name_and_latest_mean_the_same_run(result: mlptrain.TrainResult) -> None:
    assert result.folder is not None
    runs_dir = result.folder.parent
    assert {mlptrain.diagnose(run, runs_dir=runs_dir) for run in (result, result.folder, "a", "latest")} == {
        result.diagnosis
    }
    for run in (result, [result.folder]):
        figure: Any = mlptrain.plot(run, runs_dir=runs_dir)
        assert figure._repr_png_().startswith(b"\x89PNG")
    digits = mlptrain.load_dataset()
    assert mlptrain.evaluate(result, digits) == mlptrain.evaluate(["latest"], digits, runs_dir=runs_dir)
    assert mlptrain.export_run(result, "json") == result.folder / "model.json"


def test_a_plot_is_drawn_by_its_name_or_is_the_first(result: mlptrain.TrainResult, tmp_path: Path) -> None:
    assert "Learning curves" in titles(mlptrain.plot(result))
    assert "Confusion matrix of the test split" in titles(mlptrain.plot(result, "confusion"))
    assert "Learning curves" in titles(mlptrain.plot([result, result]))
    assert "All parameters together" in titles(mlptrain.plot(sweep(tmp_path), "parallel"))
    with pytest.raises(mlptrain.UsageError, match="curves, layers"):
        mlptrain.plot(result, "curve")


def titles(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_a_report_is_a_page(result: mlptrain.TrainResult, tmp_path: Path) -> None:
    path = mlptrain.report(result, output=f"{tmp_path}/new/page.html")
    assert path == tmp_path / "new/page.html" and path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_result_without_a_folder_has_a_diagnosis_and_no_plots() -> None:
    result = mlptrain.train(quick("epochs=5"))
    found = mlptrain.diagnose(result)
    assert found.case != "not_enough_epochs" and found.evidence
    for function in (mlptrain.plot, mlptrain.report):
        with pytest.raises(mlptrain.UsageError, match="no folder"):
            function(result)


def test_matplotlib_is_optional(result: mlptrain.TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda library: None)
    for function in (mlptrain.plot, mlptrain.report):
        with pytest.raises(mlptrain.UsageError, match="plots extra"):
            function(result)
