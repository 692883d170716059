from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps.leaderboard import MAX_ROWS, Leaderboard, Row, Standings, rank, read_leaderboard, write_leaderboard
from mlptrain.sweeps.spec import Metric
from mlptrain.sweeps.trials import HALVED, Result
from tests.sweeps.made import result


def test_files_read_back_equal_even_if_keys_have_names_of_columns(tmp_path: Path) -> None:
    metrics = {"val_accuracy": 0.75, "loss": 0.5, "epochs": 3, "seconds": 1.25}
    values = {"loss": "mse", "hidden": [15, 30], "epochs": 3, "max_norm": None}
    failed = Result(1, 1, "k", {**values, "loss": "cross_entropy"}, "failed", {}, "no data")
    board = rank(tuple(values), Metric(), 1, [Result(0, 0, "k", values, "finished", metrics), failed])
    board = board.with_runs({0: "runs/a, b/best"})
    first, last = board.rows
    assert (first.rank, first.trial, first.run, first.figure) == (1, 0, "runs/a, b/best", 0.75)
    assert (first.epochs, first.seconds, first.figures) == (3, 1.25, {"loss": 0.5, "val_accuracy": 0.75})
    assert (last.rank, last.status, last.figures, last.run) == (None, "failed", {}, "")
    write_leaderboard(tmp_path / "leaderboard.csv", board)
    assert read_leaderboard(tmp_path / "leaderboard.csv") == board


def test_repeats_have_a_mean_and_a_deviation(tmp_path: Path) -> None:
    results = [result(n, accuracy, point=n // 2) for n, accuracy in enumerate((0.5, 0.75, 0.9, None))]
    board = rank((), Metric(), 2, results)
    assert [(row.trial, row.best_trial, row.repeats) for row in board.rows] == [(2, 2, 1), (0, 1, 2)]
    assert board.rows[0].deviation is None and board.rows[1].deviation == pytest.approx(0.25 / math.sqrt(2))
    write_leaderboard(tmp_path / "l.csv", board)
    again = read_leaderboard(tmp_path / "l.csv")
    assert again.repeat == 2 and [row.repeats for row in again.rows] == [1, 2]
    assert [row.deviation for row in again.rows] == [row.deviation for row in board.rows]


@pytest.mark.parametrize("halving", [False, True])
@pytest.mark.parametrize("repeat", [1, 3])
def test_standings_are_those_of_all_results_in_any_order(repeat: int, halving: bool) -> None:
    generator = random.Random(repeat)
    results = [
        result(
            trial,
            generator.choice([None, 0.5, 0.75, generator.random()]),
            point=trial // repeat,
            status=HALVED if halving and trial // repeat % 5 == 4 else "finished",
            epochs=generator.randint(1, 3),
        )
        for trial in range(30)
    ]
    generator.shuffle(results)
    standings = Standings((), Metric(), repeat)
    for count, added in enumerate(results, start=1):
        standings.add(added)
        board = standings.board()
        rows = [row.trial for row in board.rows]
        assert board == rank((), Metric(), repeat, results[:count])
        assert sorted(rows, key=lambda trial: _place(board.rows[rows.index(trial)], board)) == rows
        first = standings.board(4)
        assert first.rows == board.rows[:4] and first.hidden == max(0, len(rows) - 4)
        complete = {point for point in range(30) if sum(r.point == point for r in results[:count]) == repeat}
        best = next((row for row in board.rows if row.rank and row.trial // repeat in complete), None)
        waiting = {r.trial for r in results[:count] if r.point not in complete}
        assert standings.contenders() == waiting | (set() if best is None else {best.best_trial})


def _place(row: Row, board: Leaderboard) -> tuple[bool, float, float, int]:
    halved = any(each.status == HALVED for each in board.rows)
    return row.rank is None, -(row.epochs or 0) if halved and row.rank else 0, -(row.figure or 0), row.trial


def test_rows_without_a_finite_metric_come_last() -> None:
    results = [
        Result(n, n, "k", {}, "finished", {"val_loss": loss}) for n, loss in enumerate((2.0, math.nan, 1.0, None))
    ]
    board = rank((), Metric("val_loss", "minimize"), 1, results)
    assert [row.trial for row in board.rows] == [2, 0, 1, 3]
    assert [row.rank for row in board.rows] == [1, 2, None, None]
    assert rank((), Metric(), 1, []).best is None and rank((), Metric(), 1, [result(0, None)]).best is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "leaderboard.csv: "),
        (b"\xff\xfe", ":1: "),
        (b'"' + bytes(200_000), "not a CSV file"),
        (b"rank,trial\n", ":1: "),
        (b"rank,trial,run,status,val_loss,seconds\n", ":1: .*\n.*val_accuracy"),
        (b"rank,trial,run,status,val_accuracy,seconds\n1,0,,finished,0.5\n", ":2: .*1,0,,finished"),
        (b"rank,trial,run,status,val_accuracy,seconds\n1,0,,finished,0.5,soon\n", ":2: "),
        (b"rank,trial,run,hidden,status,val_accuracy,seconds\n1,0,,[1,finished,0.5,1\n", ":2: "),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "leaderboard.csv").write_bytes(content)
    with pytest.raises(DataError, match=problem):
        read_leaderboard(tmp_path / "leaderboard.csv")


def test_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_leaderboard(tmp_path)


def test_names_are_no_formulas_and_read_back_equal(tmp_path: Path) -> None:
    board = rank(("=x", "seed"), Metric(), 1, [Result(0, 0, "k", {"=x": -1.5}, "finished", {"val_accuracy": 0.5})])
    board = board.with_runs({0: "@runs/\ra\udcff"})
    write_leaderboard(tmp_path / "l.csv", board)
    heading, row = (line.split(b",") for line in (tmp_path / "l.csv").read_bytes().split(b"\n")[:-1])
    assert heading[3] == b"'=x" and row[2:4] == [b'"\'@runs/\ra\xff"', b"-1.5"]
    again = read_leaderboard(tmp_path / "l.csv")
    assert again.keys == board.keys and again.rows[0].run == "@runs/\ra\udcff" and again.rows[0].values["=x"] == -1.5


def test_a_notebook_shows_the_first_rows() -> None:
    results = [replace(result(n, n / 100), values={"<i>": n}) for n in range(30)]
    board = rank(("<i>",), Metric(), 1, [*results, result(30, None, status="diverged")])
    assert repr(board) == "Leaderboard(rows=31, best={'<i>': 29}, val_accuracy=0.2900)"
    html = board._repr_html_()
    assert html.count("<tr>") == MAX_ROWS + 1 and "11 more rows" in html and "<i>" not in html and "±" not in html
    assert "<td>1</td><td>0029</td><td>0.2900</td><td>29</td>" in html


def test_a_notebook_shows_repeats_and_failures() -> None:
    board = rank((), Metric(), 2, [result(n, accuracy, point=n // 2) for n, accuracy in enumerate((0.5, 0.75, None))])
    html = board._repr_html_()
    assert "<th>±</th>" in html and "<td>0.6250</td><td>0.1768</td>" in html and "<td>finished</td>" in html
    assert repr(rank((), Metric(), 1, [result(0, None)])) == "Leaderboard(rows=1, best=None)"
