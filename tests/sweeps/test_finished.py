from __future__ import annotations

import math

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps.finished import find_sweep, view_sweep
from tests.reporting.plots.made import BOARD, sweep


def test_a_key_may_have_the_name_of_a_figure(tmp_path):
    view = view_sweep(sweep(tmp_path))
    assert view.keys == ("learning_rate", "batch_size", "hidden", "loss")
    first = view.ranked[0]
    assert first.values == {"learning_rate": 0.003, "batch_size": 16, "hidden": [15, 30], "loss": "mse"}
    assert first.figures["loss"] == 0.5 and first.score == 0.95
    assert (view.metric, view.goal, view.best) == ("val_accuracy", "maximize", None)
    assert len(view.ranked) == 18 and [trial.status for trial in view.lost] == ["diverged"] * 2
    assert math.isnan(view.lost[0].score)


def test_without_a_sweep_file_the_metric_is_the_default(tmp_path):
    path = sweep(tmp_path)
    (path / "sweep.yaml").unlink()
    assert view_sweep(path).metric == "val_accuracy"


def test_another_metric(tmp_path):
    path = sweep(tmp_path)
    (path / "sweep.yaml").write_text("metric: {name: val_loss, goal: minimize}\n")
    view = view_sweep(path)
    assert (view.metric, view.goal, view.ranked[0].score) == ("val_loss", "minimize", 0.6)


def test_where_it_is_looked_for(tmp_path):
    path = sweep(tmp_path)
    assert find_sweep("sweep", tmp_path / "runs") == find_sweep(str(path), tmp_path) == path
    assert find_sweep("nothing", tmp_path) is None
    assert find_sweep("n" * 5000, tmp_path) is None


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("a,b\n", "leaderboard.csv:1: expected rank,trial,run"),
        ("", "leaderboard.csv:1: expected"),
        (BOARD + "1,0\n", r"leaderboard.csv:2: '1,0'"),
        (BOARD + "x,0,,0.1,16,[15],mse,finished,8,1,1,1,1,1,1,1\n", "leaderboard.csv:2: 'x,0"),
        (BOARD + ",0,,0.1,16,[15],mse,failed,,,,,,,,1\n", "no trial with a val_accuracy"),
        (b"\xff\xfe", "not a CSV file"),
    ],
)
def test_what_is_no_leaderboard(tmp_path, content, complaint):
    path = sweep(tmp_path)
    (path / "leaderboard.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=complaint):
        view_sweep(path)
