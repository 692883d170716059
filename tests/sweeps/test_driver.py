from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.sweeps.executors import Broken, Done, Lost
from mlptrain.sweeps.journal import read_events
from mlptrain.sweeps.leaderboard import read_leaderboard
from mlptrain.sweeps.reports import Retry, SweepStart, TrialEnd, WaveStart
from tests.sweeps.made import Inline, board_text, drive, spec

GRID = "parameters:\n  learning_rate: {values: [0.1, 0.3, 1.0]}\n  hidden: {values: [[3], [4, 4]]}\n"
HALVING = """method: halving
run_cap: 9
early_terminate: {min_iter: 1, eta: 3}
parameters:
  learning_rate: {distribution: log_uniform_values, min: 1e-2, max: 1.0}
  hidden: {values: [[3], [4]]}
  epochs: {value: 4}
"""


def events(path: Path, kind: Any) -> Any:
    return [event for event in read_events(path / "journal.jsonl") if event["event"] == kind]


def test_a_grid_leaves_a_leaderboard_the_best_run_and_a_journal(tmp_path: Path) -> None:
    sweep = spec(tmp_path, GRID)
    end, reports = drive(sweep, tmp_path / "s")
    assert isinstance(reports[0], SweepStart) and reports[0].trials == 6 and isinstance(reports[1], WaveStart)
    assert [type(report) for report in reports].count(TrialEnd) == 6
    rows = read_leaderboard(tmp_path / "s/leaderboard.csv").rows
    assert [row.rank for row in rows] == [1, 2, 3, 4, 5, 6] and {row.status for row in rows} == {"finished"}
    accuracies = [row.figures["val_accuracy"] for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert read_leaderboard(tmp_path / "s/leaderboard.csv").keys == ("learning_rate", "hidden")
    assert rows[0].run == end.best == str(tmp_path / "s/best") and rows[1].run == ""
    files = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert files == ["base.yaml", "best", "journal.jsonl", "leaderboard.csv", "sweep.yaml"]
    best = json.loads((tmp_path / "s/best/metrics.json").read_text())
    assert best["run"] == end.best and best["val_accuracy"] == accuracies[0]
    files = sorted(path.name for path in (tmp_path / "s/best").iterdir())
    assert files == ["config.yaml", "history.csv", "layers.csv", "metrics.json", "model.npz"]
    first = read_events(tmp_path / "s/journal.jsonl")[0]
    assert first["event"] == "plan" and first["sweep"] == sweep.digest
    assert sorted(trial for stack in first["stacks"] for trial in stack["trials"]) == list(range(6))
    assert Counter(event["trial"] for event in events(tmp_path / "s", "trial")) == Counter(range(6))
    assert end.importances is not None and set(end.importances) == {"learning_rate", "hidden"}


@pytest.mark.parametrize("text", [GRID, HALVING, "repeat: 2\n" + GRID], ids=["grid", "halving", "repeat"])
def test_an_interrupted_and_resumed_sweep_equals_a_complete_one(tmp_path: Path, text: str) -> None:
    sweep = spec(tmp_path, text)
    whole = Inline()
    drive(sweep, tmp_path / "whole", whole)
    expected = board_text(tmp_path / "whole")
    total = len(whole.trained)
    for cut in range(total):
        path = tmp_path / f"cut{cut}"
        first, second = Inline(end_after=cut), Inline()
        with pytest.raises(KeyboardInterrupt):
            drive(sweep, path, first)
        assert first.closed
        drive(sweep, path, second)
        assert board_text(path) == expected
        assert len(first.trained) + len(second.trained) == total, "nothing is trained twice"
        trials = [event["trial"] for event in events(path, "trial")]
        assert len(trials) == len(set(trials))
        assert (path / "best/model.npz").read_bytes() == (tmp_path / "whole/best/model.npz").read_bytes()
        assert not (path / "trials").exists() and not (path / "states").exists()


def test_a_trial_whose_event_is_incomplete_is_trained_again(tmp_path: Path) -> None:
    sweep = spec(tmp_path, GRID)
    drive(sweep, tmp_path / "s")
    expected = board_text(tmp_path / "s")
    journal = tmp_path / "s/journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-25])
    again = Inline()
    drive(sweep, tmp_path / "s", again)
    assert len(again.trained) == 1 and board_text(tmp_path / "s") == expected
    assert Counter(event["trial"] for event in events(tmp_path / "s", "trial")) == Counter(range(6))


def test_a_complete_sweep_trains_nothing_again(tmp_path: Path) -> None:
    sweep = spec(tmp_path, GRID)
    drive(sweep, tmp_path / "s")
    again = Inline()
    end, reports = drive(sweep, tmp_path / "s", again)
    assert again.trained == [] and isinstance(reports[0], SweepStart) and reports[0].done == 6
    assert end.best == str(tmp_path / "s/best")


def test_interrupted_stacks_come_first(tmp_path: Path) -> None:
    sweep = spec(tmp_path, "parameters:\n  learning_rate: {values: [0.1, 0.3]}\n  hidden: {values: [[3], [4], [5]]}\n")

    class Last(Inline):
        """Trains the stack that was submitted last first."""

        def events(self, seconds: Any) -> Any:
            self._tasks.reverse()
            return super().events(seconds)

    first, second = Last(end_after=1), Inline(workers=1)
    with pytest.raises(KeyboardInterrupt):
        drive(sweep, tmp_path / "s", first)
    started = [event["stack"] for event in events(tmp_path / "s", "start")]
    drive(sweep, tmp_path / "s", second)
    interrupted = set(started) - set(first.trained)
    assert set(second.trained[: len(interrupted)]) == interrupted


def test_another_sweep_in_the_same_folder_is_refused_with_its_differences(tmp_path: Path) -> None:
    drive(spec(tmp_path, GRID), tmp_path / "s")
    with pytest.raises(UsageError) as error:
        drive(spec(tmp_path, GRID.replace("0.3", "0.5")), tmp_path / "s")
    assert "parameters.learning_rate" in str(error.value) and "0.5" in str(error.value)
    (tmp_path / "s/sweep.yaml").unlink()
    with pytest.raises(DataError, match="journal of another sweep"):
        drive(spec(tmp_path, GRID.replace("0.3", "0.5")), tmp_path / "s")


def test_trials_that_diverge_do_not_affect_their_stack(tmp_path: Path) -> None:
    text = "parameters:\n  learning_rate: {values: [0.001, 1e30, 0.003]}\n"
    base = "hidden: [4]\nactivation: linear\nloss: mse\noutput: linear\nsubset: 120\nepochs: 2\nbatch_size: 20\n"
    end, _ = drive(spec(tmp_path, text, base=base), tmp_path / "s")
    assert [(result.trial, result.status) for result in end.failed] == [(1, "diverged")]
    assert "diverged" in (end.failed[0].message or "")
    rows = read_leaderboard(tmp_path / "s/leaderboard.csv").rows
    assert [row.rank for row in rows] == [1, 2, None] and "val_accuracy" not in rows[2].figures
    drive(spec(tmp_path, text.replace("1e30, ", ""), base=base), tmp_path / "two")
    alone = read_leaderboard(tmp_path / "two/leaderboard.csv").rows
    for row, other in zip(rows, alone, strict=False):
        assert row.figures["val_loss"] == pytest.approx(other.figures["val_loss"], rel=1e-4)


def test_fail_fast_stops_at_the_first_failure_and_a_resume_continues(tmp_path: Path) -> None:
    text = "parameters:\n  learning_rate: {values: [1e30, 0.1, 0.3]}\n"
    base = "hidden: []\noutput: linear\nloss: mse\nsubset: 120\nepochs: 1\nbatch_size: 20\n"
    sweep = spec(tmp_path, text, base=base)
    executor = Inline(workers=1)
    end, _ = drive(sweep, tmp_path / "s", executor, stacked=False, fail_fast=True)
    assert len(end.failed) == 1 and len(executor.trained) == 1
    end, _ = drive(sweep, tmp_path / "s", Inline(), stacked=False)
    assert len(end.board.rows) == 3


class Losing(Inline):
    """Loses the worker of stack 0 this number of times."""

    def __init__(self, times: Any) -> None:
        super().__init__(workers=1)
        self.times = times

    def events(self, seconds: Any) -> Any:
        if self._tasks[0].stack == 0 and self.times:
            self.times -= 1
            return [Lost(self._tasks.pop(0).stack, "a worker was ended by SIGKILL")]
        return super().events(seconds)


def test_the_stack_of_a_lost_worker_is_trained_again(tmp_path: Path) -> None:
    sweep = spec(tmp_path, GRID)
    drive(sweep, tmp_path / "whole", Inline(workers=1))
    _, reports = drive(sweep, tmp_path / "s", Losing(2))
    assert [type(report) for report in reports].count(Retry) == 2
    assert board_text(tmp_path / "s") == board_text(tmp_path / "whole")
    assert [event["attempt"] for event in events(tmp_path / "s", "start") if event["stack"] == 0] == [1, 2, 3]


def test_a_stack_that_always_loses_its_worker_fails_until_a_resume(tmp_path: Path) -> None:
    sweep = spec(tmp_path, GRID)
    end, _ = drive(sweep, tmp_path / "s", Losing(99))
    assert {result.status for result in end.failed} == {"failed"}
    assert "SIGKILL, 5 times" in (end.failed[0].message or "")
    assert len(end.board.rows) == 6 and end.board.best is not None
    end, _ = drive(sweep, tmp_path / "s", Inline(workers=1))
    assert end.failed == () and len(end.board.rows) == 6


def test_a_stack_that_cannot_be_trained_fails_with_its_message(tmp_path: Path) -> None:
    class Breaking(Inline):
        def events(self, seconds: Any) -> Any:
            return [Broken(self._tasks.pop(0).stack, "no such data")]

    end, _ = drive(spec(tmp_path, GRID), tmp_path / "s", Breaking())
    assert [result.message for result in end.failed] == ["no such data"] * 6
    assert end.board.best is None and end.best is None and end.importances is None


def test_keep_all_and_none(tmp_path: Path) -> None:
    sweep = spec(tmp_path, GRID)
    drive(sweep, tmp_path / "all", keep="all")
    rows = read_leaderboard(tmp_path / "all/leaderboard.csv").rows
    assert all((tmp_path / "all/trials" / f"{row.trial:04d}/model.npz").is_file() for row in rows)
    assert rows[0].run == str(tmp_path / "all/trials" / f"{rows[0].trial:04d}")
    assert (tmp_path / "all/best/model.npz").is_file()
    end, _ = drive(sweep, tmp_path / "none", keep="none")
    assert end.best is None and not (tmp_path / "none/best").exists() and not (tmp_path / "none/trials").exists()


def test_repeats_are_ranked_by_their_mean(tmp_path: Path) -> None:
    sweep = spec(tmp_path, "repeat: 3\nparameters:\n  learning_rate: {values: [0.1, 0.5]}\n")
    end, _ = drive(sweep, tmp_path / "s", keep="all")
    rows = read_leaderboard(tmp_path / "s/leaderboard.csv").rows
    assert len(rows) == 2 and [row.repeats for row in rows] == [3, 3]
    seeds = []
    for trial in range(3):
        metrics = json.loads((tmp_path / f"s/trials/{trial:04d}/metrics.json").read_text())
        seeds.append(metrics["val_accuracy"])
    row = next(row for row in rows if row.trial == 0)
    mean = sum(seeds) / 3
    assert row.figures["val_accuracy"] == pytest.approx(mean)
    assert row.deviation == pytest.approx((sum((s - mean) ** 2 for s in seeds) / 2) ** 0.5)
    configs = [(tmp_path / f"s/trials/{trial:04d}/config.yaml").read_text() for trial in range(3)]
    assert [f"\nseed: {seed}\n" in text for seed, text in enumerate(configs)] == [True] * 3
    assert all("\nbatch_seed: 0\n" in text for text in configs)
    assert end.board.best is not None and end.board.best.deviation is not None


def test_halving_drops_the_worse_and_continues_the_others(tmp_path: Path) -> None:
    sweep = spec(tmp_path, HALVING)
    end, reports = drive(sweep, tmp_path / "s", keep="all")
    waves = [(report.trials, report.until) for report in reports if isinstance(report, WaveStart)]
    assert waves == [(9, 1), (3, 3), (1, None)]
    rows = read_leaderboard(tmp_path / "s/leaderboard.csv").rows
    assert [row.epochs for row in rows] == [4, 3, 3] + [1] * 6
    assert [row.status for row in rows] == ["finished"] + ["halved"] * 8
    rungs = {
        event["trial"]: event["metrics"]["val_accuracy"]
        for event in events(tmp_path / "s", "rung")
        if not event["wave"]
    }
    survivors = {row.trial for row in rows[:3]}
    assert min(rungs[trial] for trial in survivors) >= max(rungs[trial] for trial in set(rungs) - survivors)
    history = (tmp_path / f"s/trials/{rows[0].trial:04d}/history.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in history] == ["epoch", "1", "2", "3", "4"]
    assert end.best is not None


def test_halving_gives_the_result_of_training_alone(tmp_path: Path) -> None:
    import mlptrain

    sweep = spec(tmp_path, HALVING)
    drive(sweep, tmp_path / "s")
    config = mlptrain.load_config(tmp_path / "s/best/config.yaml")
    alone = mlptrain.train(config).metrics
    kept = json.loads((tmp_path / "s/best/metrics.json").read_text())
    assert kept["epochs"] == 4
    assert kept["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-4)


def test_journals_of_trials_with_other_configs_are_refused(tmp_path: Path) -> None:
    sweep = spec(tmp_path, GRID)
    drive(sweep, tmp_path / "s")
    journal = tmp_path / "s/journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["event"] == "trial":
            line["key"] = "0" * 16
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match="another config"):
        drive(sweep, tmp_path / "s")


def test_stacks_without_states_are_trained_from_the_start(tmp_path: Path) -> None:
    sweep = spec(tmp_path, HALVING)
    drive(sweep, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        drive(sweep, tmp_path / "s", Inline(end_after=2))
    for path in (tmp_path / "s/states").iterdir():
        path.unlink()
    drive(sweep, tmp_path / "s")
    rows, others = (read_leaderboard(tmp_path / name / "leaderboard.csv").rows for name in ("s", "whole"))
    assert [row.trial for row in rows] == [row.trial for row in others]


def test_results_of_an_earlier_attempt_are_kept(tmp_path: Path) -> None:
    sweep = spec(tmp_path, "parameters:\n  learning_rate: {values: [0.1, 0.3]}\n")
    drive(sweep, tmp_path / "s")
    journal = tmp_path / "s/journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-1]))

    class Other(Inline):
        def events(self, seconds: Any) -> Any:
            done = super().events(seconds)[0]
            assert isinstance(done, Done)
            worse = (replace(r, metrics={**r.metrics, "val_accuracy": 0.0}) for r in done.results)
            return [Done(done.stack, tuple(worse))]

    end, _ = drive(sweep, tmp_path / "s", Other())
    assert sorted(row.figure == 0.0 for row in end.board.rows) == [False, True]
