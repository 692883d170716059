from __future__ import annotations

import pytest

from mlptrain.errors import DataError
from mlptrain.runs.finished import view_run
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
