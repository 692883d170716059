from __future__ import annotations

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps.finished import view_sweep
from mlptrain.sweeps.spec import DEFAULT_METRIC, Metric
from tests.reporting.made_runs import BOARD, sweep


def test_a_sweep_folder_is_read_with_its_metric(tmp_path):
    view = view_sweep(sweep(tmp_path))
    assert view.keys == ("learning_rate", "batch_size", "hidden", "loss")
    first = view.ranked[0]
    assert first.values == {"learning_rate": 0.003, "batch_size": 16, "hidden": [15, 30], "loss": "mse"}
    assert first.figures["loss"] == 0.5 and first.figure == 0.95
    assert (view.metric, view.best) == (Metric("val_accuracy", "maximize"), None)
    assert len(view.ranked) == 18 and [trial.status for trial in view.failed] == ["diverged"] * 2
    assert view.failed[0].figure is None


def test_without_a_sweep_file_the_metric_is_the_default(tmp_path):
    path = sweep(tmp_path)
    (path / "sweep.yaml").unlink()
    assert view_sweep(path).metric == DEFAULT_METRIC


def test_another_metric(tmp_path):
    path = sweep(tmp_path)
    (path / "sweep.yaml").write_text("metric: {name: val_loss, goal: minimize}\n")
    view = view_sweep(path)
    assert (view.metric, view.ranked[0].figure) == (Metric("val_loss", "minimize"), 0.6)


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("a,b\n", "leaderboard.csv:1: "),
        ("", "leaderboard.csv:1: "),
        (BOARD + "1,0\n", "leaderboard.csv:2: "),
        (BOARD + "x,0,,0.1,16,[15],mse,finished,8,1,1,1,1,1,1,1\n", "leaderboard.csv:2: "),
        (BOARD + ",0,,0.1,16,[15],mse,failed,,,,,,,,1\n", "val_accuracy"),
        (b"\xff\xfe", "not a leaderboard"),
    ],
)
def test_damaged_leaderboards_are_refused(tmp_path, content, complaint):
    path = sweep(tmp_path)
    (path / "leaderboard.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=complaint):
        view_sweep(path)
