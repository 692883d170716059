from __future__ import annotations

import math

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps.leaderboard import rank, read_leaderboard, write_leaderboard
from mlptrain.sweeps.spec import Metric
from mlptrain.sweeps.trials import Result
from tests.sweeps.made import result


def test_what_is_written_is_read_and_keys_are_not_figures(tmp_path):
    metrics = {"val_accuracy": 0.75, "loss": 0.5, "epochs": 3, "seconds": 1.25}
    values = {"loss": "mse", "hidden": [15, 30], "epochs": 3, "max_norm": None}
    failed = Result(1, 1, "k", {**values, "loss": "cross_entropy"}, "failed", {}, "no data")
    board = rank(tuple(values), Metric(), 1, [Result(0, 0, "k", values, "finished", metrics), failed])
    write_leaderboard(tmp_path / "leaderboard.csv", board, {0: "runs/a, b/best"})
    table = read_leaderboard(tmp_path / "leaderboard.csv")
    assert table.keys == tuple(values) and table.figures[:2] == ("epochs", "loss")
    first, last = table.lines
    assert first.values == values and (first.rank, first.trial, first.run) == (1, "0", "runs/a, b/best")
    assert first.figures == {"epochs": 3, "loss": 0.5, "val_accuracy": 0.75, "seconds": 1.25}
    assert last.values["loss"] == "cross_entropy" and last.rank is None and last.status == "failed"
    assert last.figures == {"seconds": 0.0}


def test_repeats_have_a_mean_and_a_deviation(tmp_path):
    results = [result(n, figure, point=n // 2) for n, figure in enumerate((0.5, 0.75, 0.9, None))]
    board = rank((), Metric(), 2, results)
    assert [(row.trial, row.best_trial, row.repeats) for row in board.rows] == [(2, 2, 1), (0, 1, 2)]
    assert board.rows[0].deviation is None and board.rows[1].deviation == pytest.approx(0.25 / math.sqrt(2))
    write_leaderboard(tmp_path / "l.csv", board, {})
    assert [line.figures["repeats"] for line in read_leaderboard(tmp_path / "l.csv").lines] == [1, 2]


def test_the_lowest_is_best_where_less_is_better_and_no_number_is_last():
    results = [
        Result(n, n, "k", {}, "finished", {"val_loss": figure}) for n, figure in enumerate((2.0, math.nan, 1.0, None))
    ]
    board = rank((), Metric("val_loss", "minimize"), 1, results)
    assert [row.trial for row in board.rows] == [2, 0, 1, 3]
    assert [row.rank for row in board.rows] == [1, 2, None, None]
    assert rank((), Metric(), 1, []).best is None and rank((), Metric(), 1, [result(0, None)]).best is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file; finish the sweep"),
        (b"\xff\xfe", "not a CSV file"),
        (b"rank,trial\n", ":1: expected rank,trial,run"),
        (b"rank,trial,run,status,seconds\n1,0,,finished\n", ":2: '1,0,,finished'; expected the columns of line 1"),
        (b"rank,trial,run,status,seconds\n1,0,,finished,soon\n", ":2: .* expected the columns"),
        (b"rank,trial,run,hidden,status,seconds\n1,0,,[1,finished,1\n", ":2: .* expected the columns"),
    ],
)
def test_what_is_no_leaderboard(tmp_path, content, words):
    if content is not None:
        (tmp_path / "leaderboard.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_leaderboard(tmp_path / "leaderboard.csv")


def test_a_folder_is_no_leaderboard(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_leaderboard(tmp_path)
