from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps.finished import view_sweep
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.shell import train_command
from mlptrain.sweeps.spec import DEFAULT_METRIC, Metric
from mlptrain.sweeps.trials import DIVERGED, FAILED, PAUSED
from tests.reporting.made_runs import BOARD, sweep
from tests.sweeps.made import Inline, drive, spec


def test_a_sweep_folder_is_read_with_its_metric(tmp_path: Path) -> None:
    view = view_sweep(sweep(tmp_path))
    assert view.board.keys == ("learning_rate", "batch_size", "hidden", "loss")
    first = view.ranked[0]
    assert first.values == {"learning_rate": 0.003, "batch_size": 16, "hidden": [15, 30], "loss": "mse"}
    assert first.figures["loss"] == 0.5 and first.figure == 0.95
    assert (view.board.metric, view.best) == (Metric("val_accuracy", "maximize"), None)
    assert len(view.ranked) == 18 and [trial.status for trial in view.failed] == ["diverged"] * 2
    assert (view.ended, view.trials, view.spec) == (20, 20, None)


def test_without_a_sweep_file_the_metric_is_the_default(tmp_path: Path) -> None:
    path = sweep(tmp_path)
    (path / "sweep.yaml").unlink()
    assert view_sweep(path).board.metric == DEFAULT_METRIC


def test_a_metric_that_is_not_finite_has_no_rank(tmp_path: Path) -> None:
    path = sweep(tmp_path)
    board = path / "leaderboard.csv"
    board.write_text(board.read_text().replace(",0.9500,", ",inf,"))
    view = view_sweep(path)
    assert len(view.ranked) == len(view.scores) == 17 and len(view.failed) == 3


def test_another_metric(tmp_path: Path) -> None:
    path = sweep(tmp_path)
    (path / "sweep.yaml").write_text("metric: {name: val_loss, goal: minimize}\n")
    view = view_sweep(path)
    assert (view.board.metric, view.ranked[0].figure) == (Metric("val_loss", "minimize"), 0.6)


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("a,b\n", "leaderboard.csv:1: "),
        ("", "leaderboard.csv:1: "),
        (BOARD + "1,0\n", "leaderboard.csv:2: "),
        (BOARD + "x,0,,0.1,16,[15],mse,finished,8,1,1,1,1,1,1,1\n", "leaderboard.csv:2: "),
        (b"\xff\xfe", "not a leaderboard"),
    ],
)
def test_damaged_leaderboards_are_refused(tmp_path: Path, content: bytes | str, complaint: str) -> None:
    path = sweep(tmp_path)
    (path / "leaderboard.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=complaint):
        view_sweep(path)


GRID = "parameters:\n  learning_rate: {values: [0.1, 0.5]}\n  hidden: {values: [[3], [4, 4]]}\n"


def test_the_journal_has_the_failures_and_the_best_run(tmp_path: Path) -> None:
    end, _ = drive(spec(tmp_path, GRID), tmp_path / "s")
    view = view_sweep(tmp_path / "s")
    assert view.board.rows == tuple(replace(row, run="") for row in end.board.rows)
    assert (view.ended, view.trials, view.best) == (4, 4, tmp_path / "s/best")
    assert view.importances == end.importances and view.config is not None
    assert train_command(view.spec, view.config).split()[3:] == end.command.split()[3:]
    journal = tmp_path / "s/journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    trials = [event for event in events if event["event"] == "trial"]
    trials[0].update(status=DIVERGED, message="epoch 1: too large")
    trials[1].update(status=FAILED, message="killed")
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))
    view = view_sweep(tmp_path / "s")
    assert [(trial.status, trial.message) for trial in view.failed] == [
        (DIVERGED, "epoch 1: too large"),
        (FAILED, "killed"),
    ]
    assert len(view.ranked) == 2 and view.ended == 4


def test_a_sweep_in_progress_has_its_paused_trials(tmp_path: Path) -> None:
    halving = spec(tmp_path, "method: halving\nearly_terminate: {min_iter: 1, eta: 2}\n" + GRID)
    with pytest.raises(KeyboardInterrupt):
        drive(halving, tmp_path / "s", Inline(1, 1))
    view = view_sweep(tmp_path / "s")
    assert (view.ended, view.trials) == (0, 4)
    assert view.best == tmp_path / f"s/trials/{view.ranked[0].trial:04d}"
    assert {row.status for row in view.ranked} == {PAUSED} and len(view.ranked) == 2
    assert not (tmp_path / "s/leaderboard.csv").exists()


def test_a_shard_has_a_part_of_the_trials(tmp_path: Path) -> None:
    drive(spec(tmp_path, GRID), tmp_path / "s/shard-2-of-3", shard=(2, 3))
    view = view_sweep(tmp_path / "s/shard-2-of-3")
    assert (view.ended, view.trials) == (1, 1)


def test_a_sweep_that_has_just_begun_has_no_trials(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.mkdir()
    SweepFolder(path).begin(spec(tmp_path, GRID))
    (path / "journal.jsonl").touch()
    view = view_sweep(path)
    assert (view.ranked, view.ended, view.trials, view.config) == ((), 0, 4, None)
