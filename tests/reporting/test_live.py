from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest

from mlptrain.reporting import live
from mlptrain.reporting.live import layout, table_number
from mlptrain.reporting.run import make_run_reporter
from mlptrain.reporting.terminal import make_console
from mlptrain.training.reports import EpochReport, Progress, Report
from tests.reporting import made

pytest.importorskip("pty")


def shown(
    columns: int,
    rows: int,
    reports: list[EpochReport],
    *,
    validation: int = 14_000,
    no_color: bool = False,
    finish: bool = True,
) -> tuple[list[str], made.Terminal]:
    with made.terminal(columns, rows) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=no_color)
        epochs = len(reports)
        reporter.show(made.start(epochs, validation))
        for report in reports:
            reporter.show(made.progress(report.epoch, epochs))
            reporter.show(report)
        if finish:
            reporter.show(made.end(epochs, best_epoch=1))
        reporter.close()
        reporter.close()
    return terminal.screen(), terminal


def test_the_whole_screen() -> None:
    reports = [
        made.epoch(1, 3, 0.5084, 0.8788, 0.5584, 0.8697, seconds=0.85),
        made.epoch(2, 3, 0.388, 0.9063, 0.56, 0.9008, seconds=12.34),
        made.epoch(3, 3, 0.3999, 0.9063, 1234.5, 0.9154, seconds=187),
    ]
    lines, _ = shown(80, 24, reports)
    assert lines == [
        "mnist-001: 3 epochs on mnist (49,000 training, 14,000 validation, 7,000 test)",
        "784-30-10 sigmoid, cross_entropy, sgd, 23,860 parameters, batch 64, 766 steps",
        "",
        "epoch      loss  accuracy  val_loss  val_accuracy  learning_rate     time",
        "  1/3    0.5084    0.8788    0.5584        0.8697         0.5000    850ms",
        "  2/3    0.3880    0.9063    0.5600        0.9008         0.5000    12.3s",
        "  3/3    0.3999    0.9063  1.23e+03        0.9154         0.5000     3:07",
        " best    0.3880    0.9063    0.5584        0.9154",
        "epoch         2         2         1             3",
        "",
        "test loss 0.2281, accuracy 0.9350",
        "best epoch 1 (val_loss 0.5584), 3 epochs in 23.4s, 41,862 images/s",
        "loss          █▁▂  0.5084 → 0.3999",
        "val_loss      ▁▁█  0.5584 → 1234.5000",
        "accuracy      ▁██  0.8788 → 0.9063",
        "val_accuracy  ▁▆█  0.8697 → 0.9154",
        "",
    ]


@pytest.mark.parametrize(("columns", "rows", "table", "curves"), [(80, 24, 16, 4), (40, 12, 4, 4), (80, 9, 4, 1)])
def test_a_run_of_another_process_shows_its_last_epochs_and_its_curves(
    columns: int, rows: int, table: int, curves: int
) -> None:
    history = [made.epoch(number, 40, loss=1 / number) for number in range(1, 31)]
    with made.terminal(columns, rows) as terminal:
        reporter = live.LiveRun(make_console(terminal.stream), 40, history)
        reporter.show(Progress(31, 40, 0, 0, math.nan, math.nan, 3.0))
        reporter.close()
    text = terminal.data.decode()
    assert "31/40  3s since the last epoch, 7s left" in text
    names = ("loss", "val_loss", "accuracy", "val_accuracy")
    assert [name for name in names if re.search(rf"(?<!_){name}  [^\r]*→", text)] == [*names[:curves]]
    epochs = [int(line.partition("/")[0]) for line in terminal.screen() if "/40 " in line]
    assert epochs == [*range(31 - table, 31)]
    assert any(line.split()[:2] == ["best", "0.0333"] for line in terminal.screen()) and terminal.longest <= columns


def test_the_run_with_the_initial_weights_is_named() -> None:
    with made.terminal(80, 24) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        reporter.show(replace(made.start(), start="runs/a (val_accuracy 0.9210)"))
        reporter.close()
    assert "starting from runs/a (val_accuracy 0.9210)" in terminal.screen()


def test_a_resumed_run_shows_its_earlier_epochs() -> None:
    with made.terminal(80, 24) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        before = (made.epoch(1, 3, val_loss=0.5), made.epoch(2, 3, val_loss=0.25))
        reporter.show(replace(made.start(3), history=before, step=7))
        reporter.show(made.epoch(3, 3, val_loss=0.375))
        reporter.show(made.end(3, best_epoch=2))
        reporter.close()
    lines = terminal.screen()
    assert "epoch 3" in lines[2] and "step 7" in lines[2]
    assert [line.split()[0] for line in lines[5:10]] == ["1/3", "2/3", "3/3", "best", "epoch"]
    assert lines[8].split()[3] == "0.2500" and lines[9].split()[3] == "2"
    assert any("best epoch 2 (val_loss 0.2500)" in line for line in lines[10:])


def test_the_best_epoch_by_accuracy_is_shown_with_its_accuracy() -> None:
    epochs = [made.epoch(1, 2, val_loss=0.5, val_accuracy=0.75), made.epoch(2, 2, val_loss=0.25, val_accuracy=0.5)]
    with made.terminal(80, 24) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        reports: list[Report] = [made.start(2), *epochs, made.end(2, best_epoch=1)]
        for report in reports:
            reporter.show(report)
        reporter.close()
    assert any("best epoch 1 (val_accuracy 0.7500)" in line for line in terminal.screen())


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (80, 10), (40, 10), (20, 10), (200, 50)])
@pytest.mark.parametrize("seconds", [1.0, 0.001])
def test_every_epoch_has_one_row_in_any_window(columns: int, rows: int, seconds: float) -> None:
    epochs = 300
    reports = [made.epoch(number, epochs, seconds=seconds) for number in range(1, epochs + 1)]
    lines, terminal = shown(columns, rows, reports)
    numbers = [int(found[1]) for line in lines if (found := re.match(r" *(\d+)/300  ", line))]
    assert numbers == list(range(1, epochs + 1))
    assert terminal.longest <= columns
    assert terminal.cursor


@pytest.mark.parametrize("rows", [9, 24, 50])
@pytest.mark.parametrize("seconds", [1.0, 0.001])
def test_a_heading_is_on_every_screen_and_the_best_epochs_are_named_once(rows: int, seconds: float) -> None:
    epochs = 120
    reports = [made.epoch(n, epochs, loss=1 / n, accuracy=1 - 1 / n, seconds=seconds) for n in range(1, epochs + 1)]
    lines, _ = shown(80, rows, reports)
    first, last = (
        next(n for n, line in enumerate(lines) if line.startswith(start)) for start in ("  epoch", "   best")
    )
    headings = [number for number in range(first, last) if "loss" in lines[number]]
    table = rows - live.LIVE_LINES
    assert all(any(top <= number < top + table for number in headings) for top in range(first, last - table + 1))
    assert len(headings) <= 3 + epochs // (table - 1)
    assert lines[last].split() == ["best", "0.0083", "0.9917", "0.1843", "0.9456"]
    assert lines[last + 1].split() == ["epoch", "120", "120", "1", "1"] and not any("*" in line for line in lines)


def test_an_interrupted_run_names_the_best_epochs() -> None:
    with made.terminal(80) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        reporter.show(made.start())
        for number, loss in enumerate((0.3, 0.2, 0.4), 1):
            reporter.show(made.epoch(number, val_loss=loss))
        reporter.close()
    best, epochs, rest = terminal.screen()[-3:]
    assert best.split()[3] == "0.2000" and epochs.split()[3] == "2" and rest == ""


@pytest.mark.parametrize("finish", [True, False])
def test_the_cursor_is_hidden_and_restored(finish: bool) -> None:
    _, terminal = shown(80, 24, [made.epoch(1, 1)], finish=finish)
    assert b"\x1b[?25l" in terminal.data
    assert terminal.cursor


def test_the_line_of_an_unfinished_epoch_stays_after_an_exception() -> None:
    with made.terminal(80) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        reporter.show(made.start())
        with pytest.raises(KeyboardInterrupt):
            try:
                reporter.show(made.epoch(1))
                reporter._next_redraw = 0.0  # type: ignore[attr-defined]
                reporter.show(made.progress(2))
                raise KeyboardInterrupt
            finally:
                reporter.close()
    lines = terminal.screen()
    assert lines[-3] == " 1/20    0.2567    0.9234    0.1843        0.9456         0.5000     1.0s"
    assert lines[-2] == " 2/20    0.3456    0.8912  383/766 ━━━━━━━━━━━───────────   19s left   2ms/step"
    assert lines[-1] == ""
    assert terminal.cursor


@pytest.mark.parametrize("how", ["option", "NO_COLOR"])
def test_the_table_has_no_colour_on_request(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    colour = re.compile(rb"\x1b\[[\d;]*3\d")
    _, coloured = shown(80, 24, [made.epoch(1, 2), made.epoch(2, 2)])
    if how == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    _, plain = shown(80, 24, [made.epoch(1, 2), made.epoch(2, 2)], no_color=how == "option")
    assert colour.search(coloured.data)
    assert not colour.search(plain.data)


@pytest.mark.parametrize(
    ("losses", "best"),
    [([math.nan, 0.5, 0.5, math.inf], "0.5000 2"), ([0.5, -math.inf, 0.4], "0.4000 3"), ([math.nan] * 2, " ")],
)
def test_the_best_epoch_is_the_first_with_the_lowest_finite_loss(losses: list[float], best: str) -> None:
    lines, _ = shown(80, 24, [made.epoch(n, len(losses), loss=loss) for n, loss in enumerate(losses, 1)])
    rows = lines[4 : 4 + len(losses)]
    assert [row[5:15].strip() for row in rows] == [live.table_number(loss) for loss in losses]
    assert len({len(row) for row in rows}) == 1
    values, epochs = lines[4 + len(losses) : 6 + len(losses)]
    assert " ".join(row[5:15].strip() for row in (values, epochs)) == best


def test_a_window_made_narrower_gets_a_heading_that_fits() -> None:
    with made.terminal(80) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        reporter.show(made.start())
        reporter.show(made.epoch(1))
        terminal.resize(40, 24)
        reporter.show(made.epoch(2))
        reporter.show(made.end(2))
    assert terminal.screen()[3:7] == [
        "epoch      loss  accuracy  val_loss  val_accuracy  learning_rate     time",
        " 1/20    0.2567    0.9234    0.1843        0.9456         0.5000     1.0s",
        "epoch      loss  accuracy   val_acc",
        " 2/20    0.2567    0.9234    0.9456",
    ]


def test_without_validation_there_are_no_val_columns() -> None:
    lines, _ = shown(80, 24, [made.epoch(1, 1, val_loss=None, val_accuracy=None)], validation=0)
    assert lines[3:5] == [
        "epoch      loss  accuracy  learning_rate     time",
        "  1/1    0.2567    0.9234         0.5000     1.0s",
    ]


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (75, "epoch loss accuracy val_loss val_accuracy learning_rate time"),
        (70, "epoch loss accuracy val_loss val_accuracy time"),
        (56, "epoch loss accuracy val_loss val_acc time"),
        (49, "epoch loss accuracy val_loss val_acc"),
        (39, "epoch loss accuracy val_acc"),
        (30, "epoch loss val_acc"),
        (10, "epoch loss val_acc"),
    ],
)
def test_narrow_windows_drop_the_least_important_columns(width: int, headings: str) -> None:
    assert " ".join(column.heading for column in layout(width, 20, validation=True)) == headings


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25674, "0.2567"),
        (0.0001234, "1.23e-04"),
        (9999.5, "1.00e+04"),
        (1e100, "1.0e+100"),
        (-1e100, "-1e+100"),
        (-math.inf, "-inf"),
    ],
)
def test_numbers_of_the_table_have_at_most_eight_characters(value: float, text: str) -> None:
    assert table_number(value) == text


def test_progress_between_redraws_writes_nothing() -> None:
    with made.terminal(80) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        report = made.progress()
        reporter.show(report)
        reporter._next_redraw = math.inf  # type: ignore[attr-defined]
        for _ in range(100):
            reporter.show(report)
        reporter.close()
    assert terminal.data.count(b"383/766") == 2  # the first, and the one that stays at the end


def test_short_epochs_do_not_add_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(live, "perf_counter", lambda: now)
    with made.terminal(80) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        reporter.show(made.start(1000))
        for number in range(1, 1001):  # a second in all
            for step in (1, 2):
                now += 0.0005
                reporter.show(made.progress(number, 1000, step, 2))
            reporter.show(made.epoch(number, 1000, seconds=0.001))
        reporter.show(made.end(1000))
    assert 15 <= terminal.data.count(b"\x1b[2K") / live.LIVE_LINES <= 60
    assert terminal.screen()[-11].startswith("1000/1000 ")


@pytest.mark.parametrize(("epochs", "encoding", "metrics"), [(8, "utf-8", 4), (2, "utf-8", 0), (8, "ascii", 0)])
def test_curves_below_the_table(epochs: int, encoding: str, metrics: int) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    history = [made.epoch(n, loss=1 / n, accuracy=1 - 0.5 / n) for n in range(1, epochs + 1)]
    live.render_curves(history, make_console(stream))
    stream.seek(0)
    lines = stream.read().splitlines()
    assert [line.split()[0] for line in lines] == ["loss", "val_loss", "accuracy", "val_accuracy"][:metrics]
    assert not lines or (lines[0].endswith("1.0000 → 0.1250") and "█" in lines[0])


def test_layers_are_rows_below_their_epoch() -> None:
    with made.terminal(80, 24) as terminal:
        reporter = make_run_reporter(terminal.stream, quiet=False, no_color=False)
        for report in (made.start(1), made.layers(0), made.epoch(1, 1), made.layers(1), made.end(1)):
            reporter.show(report)
        reporter.close()
    rows = terminal.screen()[3:10]
    assert [row.split()[0] for row in rows] == ["epoch", "0/1", "layer", "layer", "1/1", "layer", "layer"]
    assert rows[5] == "  layer 1  a  0.40 ± 0.30  saturated  17%  gradient 1.2e-01  update 4.6e-03"
    assert terminal.longest <= 80
