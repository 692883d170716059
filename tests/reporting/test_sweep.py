from __future__ import annotations

import io
import re
from dataclasses import replace
from itertools import product

import pytest

from mlptrain.reporting import sweep as reporting
from mlptrain.reporting.sweep import (
    end_lines,
    importance_lines,
    leaderboard_lines,
    make_sweep_reporter,
    remaining,
    start_phrases,
    trial_line,
    value_lines,
    watched_lines,
)
from mlptrain.reporting.terminal import make_console
from mlptrain.sweeps.leaderboard import Leaderboard, rank
from mlptrain.sweeps.reports import (
    Advance,
    Part,
    Retry,
    SweepEnd,
    SweepReport,
    SweepStart,
    TrialEnd,
    Watched,
    WaveStart,
)
from mlptrain.sweeps.spec import Metric
from mlptrain.sweeps.trials import Result
from tests.reporting import made

pytest.importorskip("pty")

KEYS = ("learning_rate", "hidden")
COMMAND = "mlptrain train mnist.yaml learning_rate=0.375 hidden=15,30"
START = SweepStart("runs/s", "mnist.yaml", "random", KEYS, Metric(), 1, 12, 0)


@pytest.fixture(autouse=True)
def _no_pause_between_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "REDRAW_SECONDS", 0.0)


def result(trial: int, status: str = "finished") -> Result:
    values = {"learning_rate": (trial + 1) / 8, "hidden": [15, 30]}
    metrics = {"val_accuracy": 0.8 + 0.01 * trial, "test_accuracy": 0.75, "epochs": 3, "seconds": 1.5}
    if status in ("diverged", "failed"):
        return Result(trial, trial, "k", values, status, {}, "training diverged")
    return Result(trial, trial, "k", values, status, metrics)


def reports(trials: int = 12, *, failed: int = 3) -> list[SweepReport]:
    found: list[SweepReport] = [START, WaveStart(trials, 2, 2, 1, None), Advance(0.0, trials)]
    results = [result(trial, "diverged" if trial == failed else "finished") for trial in range(trials)]
    for number in range(1, trials + 1):
        board = rank(KEYS, Metric(), 1, results[:number])
        found += [TrialEnd(results[number - 1], number, board), Advance(float(number), trials)]
    lost = tuple(one for one in results if one.failed)
    found.insert(4, Retry(tuple(range(8)), "a worker was ended by SIGKILL"))
    importances = {"learning_rate": 0.75, "hidden": 0.0}
    return [*found, SweepEnd("runs/s", board, "runs/s/best", lost, importances, 12.0, command=COMMAND)]


def shown(columns: int, rows: int, given: list[SweepReport]) -> tuple[list[str], made.Terminal]:
    with made.terminal(columns, rows) as terminal:
        reporter = make_sweep_reporter(terminal.stream, quiet=False, no_color=False)
        for report in given:
            reporter.show(report)
        reporter.close()
        reporter.close()
    return terminal.screen(), terminal


def test_the_whole_screen() -> None:
    lines, terminal = shown(80, 24, reports(3, failed=1))
    assert lines == [
        "runs/s: 12 trials of mnist.yaml",
        "random over learning_rate, hidden, ranked by highest val_accuracy",
        "3 trials in 2 stacks, 2 workers with 1 thread each",
        "trial val_accuracy    time  parameters (* best so far)",
        "0000    0.8000*    1.5s  learning_rate=0.125 hidden=15,30",
        "a worker was ended by SIGKILL; training again: 0000, 0001, 0002, 0003, 0004, 00…",
        "0001   diverged     0ms  learning_rate=0.25 hidden=15,30",
        "0002    0.8200*    1.5s  learning_rate=0.375 hidden=15,30",
        "",
        "rank  trial  val_accuracy  test_acc  time  learning_rate   hidden",
        "   1   0002        0.8200    0.7500  1.5s          0.375  [15,30]",
        "   2   0000        0.8000    0.7500  1.5s          0.125  [15,30]",
        "   -   0001      diverged             0ms           0.25  [15,30]",
        "",
        "parameter importance: share of the variance of val_accuracy explained",
        "  learning_rate         75% ━━━━━━━━━━━━━━━",
        "  hidden                 0%",
        "  interactions, noise   25% ━━━━━",
        "1 trial failed: 0001 (diverged)",
        "all trials: runs/s/leaderboard.csv",
        "best trial: 0002 in runs/s/best",
        f"  {COMMAND}",
        "finished in 12.0s",
        "",
    ]
    assert terminal.longest <= 80 and terminal.cursor


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (80, 10), (40, 10), (200, 50), (80, 4)])
def test_every_trial_has_one_line_in_any_window(columns: int, rows: int) -> None:
    lines, terminal = shown(columns, rows, reports()[:-1])
    numbers = [line[:4] for line in lines if re.match(r"\d{4}  ", line)]
    assert numbers == [f"{number:04d}" for number in range(12)]
    assert sum(line.startswith("trial val_accuracy") for line in lines) == 1
    assert not any("trials ━" in line or "best of" in line for line in lines), "the live part is gone"
    assert terminal.longest <= columns and terminal.cursor


@pytest.mark.parametrize(("rows", "leaders"), [(24, 5), (10, 4), (7, 1), (4, 0)])
def test_the_live_part_shows_the_best_and_leaves_room_for_trials(rows: int, leaders: int) -> None:
    given = reports()[:-1]
    with made.terminal(80, rows) as terminal:
        reporter = make_sweep_reporter(terminal.stream, quiet=False, no_color=False)
        for report in given:
            reporter.show(report)
        terminal.stream.flush()
    lines = terminal.screen()
    live = lines[next(number for number, line in enumerate(lines) if line.startswith("0011")) + 1 :]
    assert sum(re.match(r" +\d +00", line) is not None for line in live) == leaders
    assert live[-1].startswith("12/12 trials ━━━") and len(live) <= rows - 1
    assert ("best of 12 rows so far" in live) == (leaders > 0)
    assert not terminal.cursor


def test_the_remaining_time_ignores_trials_of_earlier_sessions() -> None:
    assert remaining(15.0, 30, 10.0, 50.0) == "2:30 left"
    assert remaining(10.0, 30, 10.0, 50.0) == remaining(11.0, 30, 10.0, 0.5) == ""


def test_a_terminal_without_unicode() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    reporter = reporting.LiveSweep(make_console(stream))
    for report in reports(3):
        reporter.show(report)
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")
    assert "learning_rate         75% ===" in text


def printed(trials: int, *, quiet: bool) -> str:
    """Return what a sweep prints without a terminal."""
    stream = io.StringIO()
    reporter = make_sweep_reporter(stream, quiet=quiet, no_color=False)
    for report in reports(trials):
        reporter.show(report)
    reporter.close()
    return stream.getvalue()


def test_plain_lines() -> None:
    text = printed(12, quiet=False)
    lines = text.splitlines()
    assert "\x1b" not in text and "best of" not in text
    assert [line[:7] for line in lines if line.startswith("[")] == [f"[{number:>2}/12]" for number in range(1, 13)]
    assert "[ 1/12] 0000    0.8000*    1.5s  learning_rate=0.125 hidden=15,30" in lines
    assert any("SIGKILL" in line and line.endswith("0004, 0005, …") for line in lines)
    for words in ("0003 (diverged)", "runs/s/leaderboard.csv (2 more rows)", "runs/s/best", "12.0s"):
        assert any(line.endswith(words) for line in lines[-5:])
    assert f"  {COMMAND}" in lines


def test_plain_lines_of_an_open_sweep_and_of_one_without_results() -> None:
    stream = io.StringIO()
    reporter = make_sweep_reporter(stream, quiet=False, no_color=False)
    reporter.show(replace(START, trials=None))
    reporter.show(reports(3)[3])
    reporter.show(SweepEnd("runs/s", rank((), Metric(), 1, ()), None, (), None, 2.0, collected=True))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "runs/s: trials of mnist.yaml"
    assert lines[2].startswith("[1] 0000    0.8000*")
    assert lines[-2].endswith("runs/s/leaderboard.csv") and "2.0s" in lines[-1] and "summed" in lines[-1]


def test_quiet_shows_nothing() -> None:
    assert printed(3, quiet=True) == ""


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 12)])
def test_a_sweep_of_other_processes_shows_its_shards(columns: int, rows: int) -> None:
    board = rank(KEYS, Metric(), 1, [result(trial) for trial in range(8)])
    parts = (Part("shard 1", "running", 6, 10), Part("shard 2", "stale lock", 2, 10))
    given: list[SweepReport] = [START, Watched(8.0, 20, board, parts, 3, 5.0, 42.0), TrialEnd(result(8), 9, board)]
    _, terminal = shown(columns, rows, given)
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.data.decode())
    assert "shard 1 6/10, shard 2 2/10 stale lock" in text and "3 stacks in training" in text
    assert "8/20 trials" in text and "about 42s left" in text and "best of 8 rows so far" in text
    assert "trial val_accuracy" in text, "the heading of the trials that end from now on"
    assert terminal.longest <= columns
    few = watched_lines(Watched(0.0, 0, board, (), 0, None, None), 40)
    assert few == []


def test_sweeps_without_a_leaderboard_name_the_command_that_writes_it() -> None:
    end = reports()[-1]
    assert isinstance(end, SweepEnd)
    assert "  mlptrain sweep --collect 'runs/a b'" in end_lines(replace(end, folder="runs/a b", ranked=False))


def test_a_resumed_sweep_with_repeats_says_so() -> None:
    trials, ranking = start_phrases(replace(START, repeat=3, done=4, metric=Metric("val_loss", "minimize"), keys=()))
    assert "3 seeds" in trials[1] and trials[2].startswith("4 ") and "lowest val_loss" in ranking[0]


def test_few_results_have_no_importances() -> None:
    few = SweepEnd("runs/s", rank(KEYS, Metric(), 1, [result(0)]), None, (), None, 2.0)
    assert importance_lines(few, "#") == []


def grid(*, repeat: int = 1, failed: int | None = None) -> Leaderboard:
    """Return the leaderboard of two rates and three sizes with the accuracies 0.80, 0.81, ..., 0.85."""
    results = []
    for point, (rate, hidden) in enumerate(product((0.1, 0.3), ([15], [30], [64]))):
        status = "diverged" if point == failed else "finished"
        for trial in range(point * repeat, (point + 1) * repeat):
            values = {"learning_rate": rate, "hidden": hidden}
            metrics = {} if point == failed else {"val_accuracy": 0.8 + 0.01 * point}
            results.append(Result(trial, point, "k", values, status, metrics))
    return rank(KEYS, Metric(), repeat, results)


@pytest.mark.parametrize("repeat", [1, 2])
def test_mean_and_best_per_value_of_a_grid(repeat: int) -> None:
    lines = value_lines(grid(repeat=repeat), 80)
    assert [line.split() for line in lines] == [
        ["parameter", "value", "mean", "val_accuracy", "best"],
        ["learning_rate", "0.1", "0.8100", "0.8200"],
        ["learning_rate", "0.3", "0.8400", "0.8500"],
        ["hidden", "[15]", "0.8150", "0.8300"],
        ["hidden", "[30]", "0.8250", "0.8400"],
        ["hidden", "[64]", "0.8350", "0.8500"],
    ]
    assert max(map(len, value_lines(grid(), 40))) <= 40


def test_failed_trials_are_counted_per_value() -> None:
    head, slow, fast, *sizes = (line.split() for line in value_lines(grid(failed=5), 80))
    assert head[-1] == "failed" and slow[2:] == ["0.8100", "0.8200"] and fast[2:] == ["0.8350", "0.8400", "1"]
    assert sizes[-1][2:] == ["0.8200", "0.8200", "1"]


def test_only_a_complete_grid_has_a_table_of_values() -> None:
    first, *others = grid().rows
    assert value_lines(replace(grid(), rows=tuple(others)), 80) == []
    assert value_lines(replace(grid(), rows=(replace(first, status="halved"), *others)), 80) == []
    one = rank(("learning_rate",), Metric(), 1, [result(0), result(1)])
    assert value_lines(one, 80) == []
    many = [
        Result(trial, trial, "k", {"learning_rate": rate, "hidden": size}, "finished", {"val_accuracy": 0.5})
        for trial, (rate, size) in enumerate(product(range(13), (1, 2)))
    ]
    lines = value_lines(rank(KEYS, Metric(), 1, many), 80)
    assert [line.split()[0] for line in lines] == ["parameter", "hidden", "hidden"]


def test_leaderboards_narrow_repeated_halved_and_with_long_values() -> None:
    board = rank(KEYS, Metric(), 2, [replace(result(number), point=0) for number in range(2)])
    assert "0.8050 ± 0.0071" in leaderboard_lines(board, 100, 5)[1]
    head, row = leaderboard_lines(board, 56, 5)
    assert head.endswith("parameters") and "learning_rate=0.125" in row and len(row) == 56 and row.endswith("…")
    halved = rank(KEYS, Metric(), 1, [result(0), result(1, "halved")])
    assert "epochs" in leaderboard_lines(halved, 100, 5)[0].split()
    assert trial_line(result(1, "halved"), "val_accuracy", best=False).endswith("(halved after 3 epochs)")
    long = replace(result(0), values={"hidden": list(range(100, 130))})
    assert "…" in leaderboard_lines(rank(("hidden",), Metric(), 1, [long]), 100, 5)[1]
