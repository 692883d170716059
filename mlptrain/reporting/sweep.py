"""A sweep for people: its trials, its leaderboard and the importance of its parameters, live or as plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mlptrain.config.config import argument
from mlptrain.config.values import short
from mlptrain.reporting.live import MAX_WIDTH
from mlptrain.reporting.reporter import QuietReporter, Reporter
from mlptrain.reporting.terminal import is_terminal, make_console, print_line, print_phrases, progress_bar, start_live
from mlptrain.reporting.text import (
    GAP,
    clock,
    column,
    counted,
    duration,
    joined,
    listed,
    shortened,
    wrapped,
)
from mlptrain.runs.status import RUNNING
from mlptrain.sweeps.leaderboard import Leaderboard, Row, summarise_values
from mlptrain.sweeps.repeats import CONFIDENCE, COVERAGE, Repeats, tolerance_factor
from mlptrain.sweeps.reports import Advance, Retry, SweepEnd, SweepReport, SweepStart, TrialEnd, Watched, WaveStart
from mlptrain.sweeps.trials import HALVED, Result, trial_name
from mlptrain.system.text import can_print, keras_number, printable, shell_word, write_lines

MAX_VALUE = 24  # characters of a parameter's value in the leaderboard

MAX_VALUES = 12  # values of a parameter of a grid, up to which their means are shown

REST = "interactions, noise"  # what no parameter explains alone

SHARE_BAR = 20  # characters of a bar for all of the variance

LEADERS = 5  # rows of the leaderboard while the sweep proceeds

SHOWN = 10  # rows of the leaderboard at the end

REDRAW_SECONDS = 0.1


def make_sweep_reporter(stream: TextIO, *, quiet: bool, no_color: bool) -> Reporter[SweepReport]:
    """Return the reporter for ``stream``: live on a terminal, else lines."""
    if quiet:
        return QuietReporter()
    return LiveSweep(make_console(stream, no_color=no_color)) if is_terminal(stream) else PlainSweep(stream)


def start_phrases(start: SweepStart) -> tuple[list[str], list[str]]:
    """Return the phrases of two lines that describe a sweep: its trials, and its method and metric."""
    count = "trials" if start.trials is None else counted(start.trials, "trial")
    repeats = [f"{'each point with ' if start.keys else ''}{start.repeat} seeds"] if start.repeat > 1 else []
    done = [f"{start.done} already finished"] if start.done else []
    done += ["nothing to resume: starting a new sweep"] if start.fresh else []
    highest = "highest" if start.metric.sign > 0 else "lowest"
    method = [f"{start.method} over {', '.join(start.keys)}"] if start.keys else []
    return [f"{start.name}: {count} of {start.base}", *repeats, *done], [
        *method,
        f"ranked by {highest} {start.metric.name}",
    ]


def wave_phrases(wave: WaveStart) -> list[str]:
    """Return the phrases of a line that describes the trials trained next."""
    until = [] if wave.until is None else [f"up to epoch {wave.until}"]
    return [
        f"{counted(wave.trials, 'trial')} in {counted(wave.stacks, 'stack')}",
        f"{counted(wave.workers, 'worker')} with {counted(wave.threads, 'thread')} each",
        *until,
    ]


def trial_heading(metric: str) -> str:
    """Return the heading above the lines of `trial_line`."""
    return f"trial {metric:>9} {GAP}{'time':>5}{GAP}parameters (* best so far)"


def trial_line(result: Result, metric: str, *, best: bool) -> str:
    """Return the line of a finished trial: number, metric (marked if it is the best so far), time, parameters."""
    value = result.metrics.get(metric)
    text = result.status if result.failed or value is None else keras_number(float(value)) + ("*" if best else " ")
    note = f" (halved after {counted(result.metrics['epochs'], 'epoch')})" if result.status == HALVED else ""
    seconds = duration(result.metrics.get("seconds") or 0.0)
    return f"{trial_name(result.trial)}{GAP}{text:>9}{GAP}{seconds:>6}{GAP}{_parameters(result.values)}{note}".rstrip()


def retry_line(retry: Retry) -> str:
    """Return a line with the trials that are trained again, and the reason."""
    return f"{retry.reason}; training again: {listed([*map(trial_name, retry.trials)], 6)}"


def is_best(report: TrialEnd) -> bool:
    """Return whether the trial, or the point that it completes, leads the leaderboard."""
    best = report.board.best
    return best is not None and report.result.trial in (best.trial, best.best_trial)


def leaderboard_lines(board: Leaderboard, width: int, limit: int) -> list[str]:
    """Return a heading and the first ``limit`` rows.

    Each parameter has a column if they fit ``width``; else the parameters are at the end of the line, cut at its edge.
    """
    rows = board.rows[:limit]
    first = [
        column("rank", ("-" if row.rank is None else str(row.rank) for row in rows)),
        column("trial", (trial_name(row.trial) for row in rows)),
        column(board.metric.name, map(_metric, rows)),
    ]
    tested = [column("test_acc", (_number(row.figures.get("test_accuracy")) for row in rows))]
    times = [column("time", (duration(row.seconds) for row in rows))]
    if any(row.status == HALVED for row in board.rows):
        times.insert(0, column("epochs", ("" if row.epochs is None else str(row.epochs) for row in rows)))
    varied = [column(key, (shortened(short(row.values.get(key)), MAX_VALUE) for row in rows)) for key in board.keys]
    for columns in ([*first, *tested, *times, *varied], [*first, *times, *varied]):
        lines = joined(columns)
        if len(lines[0]) <= width:
            return lines
    parameters = (_parameters({key: row.values.get(key) for key in board.keys}) for row in rows)
    return [shortened(line, width) for line in joined([*first, *times, ["parameters", *parameters]])]


def _metric(row: Row) -> str:
    if row.figure is None:
        return row.status
    deviation = "" if row.deviation is None else f" ± {row.deviation:.4f}"
    return keras_number(row.figure) + deviation


def _number(value: float | None) -> str:
    return "" if value is None else keras_number(value)


def _parameters(values: Mapping[str, Any]) -> str:
    """Return ``learning_rate=0.1 hidden=64,32``, which `mlptrain train` accepts."""
    return " ".join(argument(key, value) for key, value in values.items())


def importance_lines(end: SweepEnd, bar: str) -> list[str]:
    """Return lines with the share of the metric's variance that each parameter alone explains, and with the rest.

    There are none if the trials are too few to tell.
    """
    if end.importances is None:
        return []
    rest = 1 - sum(end.importances.values())
    shares = {**end.importances, REST: rest} if rest > 1e-9 else end.importances
    width = max(map(len, shares))
    lines = [f"parameter importance: share of the variance of {end.board.metric.name} explained"]
    for name, share in shares.items():
        lines.append(f"  {name:<{width}} {share:>5.0%} {bar * round(SHARE_BAR * share)}".rstrip())
    return lines


def value_lines(board: Leaderboard, width: int) -> list[str]:
    """Return a heading and a line per value of a grid, with the mean and the best metric of its rows."""
    summaries = summarise_values(board.keys, board.metric, board.rows)
    counts = Counter(summary.key for summary in summaries)
    shown = [summary for summary in summaries if counts[summary.key] <= MAX_VALUES]
    if not shown:
        return []
    width_of_keys = max(len("parameter"), *(len(summary.key) for summary in shown))
    columns = [
        [name.ljust(width_of_keys) for name in ("parameter", *(summary.key for summary in shown))],
        column("value", (shortened(short(summary.value), MAX_VALUE) for summary in shown)),
        column(f"mean {board.metric.name}", (_number(summary.mean) for summary in shown)),
        column("best", (_number(summary.best) for summary in shown)),
    ]
    if any(summary.failed for summary in shown):
        columns.append(column("failed", (str(summary.failed or "") for summary in shown)))
    return [shortened(line, width) for line in joined(columns)]


def list_failed(results: Sequence[Result]) -> str:
    """Return the numbers of the first failed trials with their status, ``0003 (diverged), 0007 (failed)``."""
    return listed([f"{trial_name(result.trial)} ({result.status})" for result in results], 8)


def repeat_lines(repeats: Repeats | None) -> list[str]:
    """Return lines with the test accuracy over the seeds, and the limit that it suggests; none without ``repeats``."""
    if repeats is None:
        return []
    deviation = "" if repeats.sd is None else f", sd {repeats.sd:.4f}"
    lines = [
        f"test accuracy of {counted(repeats.count, 'run')}: mean {repeats.mean:.4f}{deviation}, "
        f"minimum {repeats.minimum:.4f}"
    ]
    if repeats.min_accuracy is not None:
        factor = tolerance_factor(repeats.count)
        lines += [
            f"suggested limit: --min-accuracy {repeats.min_accuracy:g}, mean - {factor:.2f} sd",
            f"  with {CONFIDENCE:.0%} confidence, {COVERAGE:.2%} of all runs are above it (normal tolerance limit)",
        ]
    return lines


def end_lines(end: SweepEnd) -> list[str]:
    """Return lines with the failed trials, the paths of the results, the command of the best trial and the time."""
    lines = []
    if end.failed:
        lines.append(f"{counted(len(end.failed), 'trial')} failed: {list_failed(end.failed)}")
    hidden = len(end.board.rows) - SHOWN
    more = f" ({hidden} more rows)" if hidden > 0 else ""
    if end.ranked:
        lines.append(f"all trials: {end.folder}/leaderboard.csv{more}")
    else:
        folder = shell_word(end.folder)
        lines += [f"write leaderboard.csv with all trials{more}:", f"  mlptrain sweep --collect {folder}"]
    if end.command is not None and end.board.best is not None:
        kept = "" if end.best is None else f" in {end.best}"
        lines += [f"best trial: {trial_name(end.board.best.best_trial)}{kept}", f"  {end.command}"]
    took = duration(end.seconds)
    lines.append(f"training time {took}, summed over the trials" if end.collected else f"finished in {took}")
    return lines


def final_lines(end: SweepEnd, width: int = 10_000, bar: str = "#") -> list[str]:
    """Return the lines at the end of a sweep, the leaderboard in lines of at most ``width`` characters."""
    lines = leaderboard_lines(end.board, width, SHOWN) if end.board.rows else []
    values = value_lines(end.board, width)
    lines += ["", *importance_lines(end, bar), *(["", *values, ""] if values else [])]
    return [*lines, *end_lines(end), *repeat_lines(end.repeats)]


def watched_lines(progress: Watched, width: int) -> list[str]:
    """Return lines with the shards of a sweep, what trains now, and the time since the last result."""
    lines = []
    if progress.parts:
        shards = [
            f"{part.name} {part.ended}/{part.planned}{'' if part.state == RUNNING else f' {part.state}'}"
            for part in progress.parts
        ]
        lines += wrapped(shards, width)
    if progress.since is not None:
        training = [f"{counted(progress.training, 'stack')} in training"] if progress.training else []
        lines += wrapped([*training, f"{clock(progress.since)} since the last event"], width)
    return lines


def remaining(done: float, total: int, before: float, elapsed: float) -> str:
    """Return the time left at the pace of the trials done since the start; empty if there are none yet."""
    if done <= before or elapsed < 1:
        return ""
    return f"{clock((total - done) * elapsed / (done - before))} left"


class PlainSweep:
    """A reporter that writes one line per trial, and the leaderboard at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._trials: int | None = None

    def show(self, report: SweepReport, /) -> None:
        """Write a report."""
        match report:
            case SweepStart():
                self._trials = report.trials
                write_lines(self._stream, *map(", ".join, start_phrases(report)))
            case WaveStart():
                write_lines(self._stream, ", ".join(wave_phrases(report)))
            case TrialEnd():
                total = self._trials
                count = f"[{report.done}]" if total is None else f"[{report.done:>{len(str(total))}}/{total}]"
                line = trial_line(report.result, report.board.metric.name, best=is_best(report))
                write_lines(self._stream, f"{count} {line}")
            case Retry():
                write_lines(self._stream, retry_line(report))
            case SweepEnd():
                write_lines(self._stream, "", *final_lines(report))

    def close(self) -> None:
        """Do nothing: every line is flushed when it is written."""


class LiveSweep:
    """A reporter on a terminal: a permanent line per trial, below them the best so far and a progress bar."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._board: Leaderboard | None = None
        self._advance = Advance(0.0, 0)
        self._done_before: float | None = None
        self._began = perf_counter()
        self._next_redraw = 0.0
        self._headed = False

    def show(self, report: SweepReport, /) -> None:
        """Show a report."""
        match report:
            case SweepStart():
                for phrases in start_phrases(report):
                    print_phrases(self._console, phrases)
            case WaveStart():
                self._began = perf_counter() if self._done_before is None else self._began
                print_phrases(self._console, wave_phrases(report), "dim")
            case Advance():
                self._advance = report
                self._done_before = report.done if self._done_before is None else self._done_before
                if isinstance(report, Watched):
                    self._board = report.board
                self._draw()
            case TrialEnd():
                self._add_trial(report)
            case Retry():
                print_line(self._console, retry_line(report), "yellow")
            case SweepEnd():
                self.close()
                self._end(report)

    def close(self) -> None:
        """Remove the live part and show the cursor again."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _add_trial(self, report: TrialEnd) -> None:
        metric, best = report.board.metric.name, is_best(report)
        if not self._headed:
            print_line(self._console, trial_heading(metric), "bold")
        self._headed = True
        self._board = report.board
        style = "red" if report.result.failed else "bold green" if best else ""
        print_line(self._console, trial_line(report.result, metric, best=best), style)
        self._next_redraw = 0.0

    def _draw(self) -> None:
        now = perf_counter()
        if now < self._next_redraw:
            return
        self._next_redraw = now + REDRAW_SECONDS
        width, encoding = min(MAX_WIDTH, self._console.width - 1), self._console.encoding
        lines: list[Text] = []
        notes = watched_lines(self._advance, width) if isinstance(self._advance, Watched) else []
        room = min(LEADERS, self._console.height - 6 - len(notes))
        if self._board is not None and self._board.rows and room > 0:
            heading, *best = (printable(line, encoding) for line in leaderboard_lines(self._board, width, room))
            title = f"best of {counted(len(self._board.rows) + self._board.hidden, 'row')} so far"
            lines = [Text(""), Text(title, "dim"), Text(heading, "bold"), *map(Text, best)]
        lines += [Text(printable(line, encoding), "dim") for line in notes[: max(0, self._console.height - 2)]]
        lines.append(self._progress(width))
        self._live = self._live or start_live(self._console, transient=True)
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis" if can_print("…", encoding) else "crop"
        self._live.update(Group(*lines), refresh=True)

    def _progress(self, width: int) -> Text:
        """Return the number of trials done, a bar, and the remaining time."""
        done, total = self._advance.done, max(1, self._advance.total)
        whole = len(self._board.rows) * self._board.repeat if self._board is not None else 0
        count = f"{min(int(done + 1e-9), total) or whole}/{total} trials"
        if isinstance(self._advance, Watched):
            left = self._advance.left
            eta = "" if left is None else f"about {clock(left)} left"
        else:
            eta = remaining(done, total, self._done_before or 0.0, perf_counter() - self._began)
        bar = progress_bar(done, total, max(0, width - len(count) - len(eta) - 2), self._console.encoding)
        return Text(f"{count} ").append_text(bar).append(f" {eta}", "cyan")

    def _end(self, end: SweepEnd) -> None:
        width = min(MAX_WIDTH, self._console.width - 1)
        bar = "━" if can_print("━", self._console.encoding) else "="
        self._console.line()
        for number, line in enumerate(final_lines(end, width, bar)):
            print_line(self._console, line, ("bold", "bold green")[number] if number < 2 else "", cut=False)
