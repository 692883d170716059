"""A sweep in lines of text: a trial, the leaderboard, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Protocol, TextIO

from rich.console import Console, Group, OverflowMethod
from rich.live import Live
from rich.text import Text

from mlptrain.reporting.live import WIDEST, clock, duration, flow
from mlptrain.reporting.plain import counted, keras_number, printable
from mlptrain.reporting.terminal import is_terminal, make_console
from mlptrain.sweeps.importance import BINS, LEAST
from mlptrain.sweeps.leaderboard import Leaderboard, Row
from mlptrain.sweeps.reports import Advance, Retry, SweepEnd, SweepReport, SweepStart, TrialEnd, WaveStart
from mlptrain.sweeps.trials import HALVED, Result, short

GAP = "  "

WIDEST_VALUE = 24

SHARE_BAR = 20


def start_lines(start: SweepStart) -> list[list[str]]:
    """What is about to be tried, as the phrases of each line."""
    count = "trials as they are sampled" if start.trials is None else counted(start.trials, "trial")
    repeats = [f"each point with {start.repeat} seeds"] if start.repeat > 1 else []
    done = [f"{start.done} of them done before"] if start.done else []
    goal = "highest" if start.metric.sign > 0 else "lowest"
    return [
        [f"{start.name}: {count} of {start.base}", *repeats, *done],
        [f"{start.method} over {', '.join(start.keys) or 'nothing'}", f"the {goal} {start.metric.name} is the best"],
    ]


def wave_phrases(wave: WaveStart) -> list[str]:
    """What trains now."""
    until = [] if wave.until is None else [f"up to epoch {wave.until}"]
    return [
        f"{counted(wave.trials, 'trial')} in {counted(wave.stacks, 'stack')}",
        f"{counted(wave.workers, 'worker')} with {counted(wave.threads, 'thread')} each",
        *until,
    ]


def parameters(values: Mapping[str, Any]) -> str:
    """``learning_rate=0.1 hidden=[30]``."""
    return " ".join(f"{key}={short(value)}" for key, value in values.items())


def trial_line(result: Result, metric: str, *, best: bool) -> str:
    """A finished trial: number, metric (marked where it is the best so far), time, parameters."""
    figure = result.metrics.get(metric)
    text = result.status if result.failed or figure is None else keras_number(float(figure)) + ("*" if best else " ")
    note = f" (halved after {counted(result.metrics['epochs'], 'epoch')})" if result.status == HALVED else ""
    seconds = duration(result.metrics.get("seconds") or 0.0)
    return f"{result.trial:04d}{GAP}{text:>9}{GAP}{seconds:>6}{GAP}{parameters(result.values)}{note}"


def trial_heading(metric: str) -> str:
    """The heading of `trial_line`, which marks the best so far."""
    return f"trial {metric:>9} {GAP}{'time':>5}{GAP}parameters (* best so far)"


def retry_line(retry: Retry) -> str:
    """A stack that is trained again."""
    trials = ", ".join(f"{trial:04d}" for trial in retry.trials[:6]) + (", …" if len(retry.trials) > 6 else "")
    return f"{retry.reason}; trained again: {trials}"


def leaderboard_lines(board: Leaderboard, width: int, limit: int) -> list[str]:
    """A heading and the first ``limit`` rows, in columns where they fit ``width``, else the parameters at the end."""
    rows = board.rows[:limit]
    tested = [("test_acc", [_number(row.figures.get("test_accuracy")) for row in rows])]
    fixed = [("rank", [_rank(row) for row in rows]), ("trial", [f"{row.trial:04d}" for row in rows])]
    fixed.append((board.metric.name, [_figure(row) for row in rows]))
    times = [("time", [duration(row.seconds) for row in rows])]
    if any(row.status == HALVED for row in board.rows):
        times.insert(0, ("epochs", ["" if row.epochs is None else str(row.epochs) for row in rows]))
    varied = [(key, [_cut(short(row.values.get(key))) for row in rows]) for key in board.keys]
    for columns in ([*fixed, *tested, *times, *varied], [*fixed, *times, *varied]):
        lines = _columns(columns)
        if max(map(len, lines)) <= width:
            return lines
    heads = _columns([*fixed, *times])
    tails = ["parameters", *(parameters({key: row.values.get(key) for key in board.keys}) for row in rows)]
    return [_ended(f"{head}{GAP}{tail}", width) for head, tail in zip(heads, tails, strict=True)]


def _columns(columns: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Columns aligned on the right under their headings."""
    widths = [max(len(heading), *map(len, cells), 0) for heading, cells in columns]
    heading = GAP.join(heading.rjust(width) for (heading, _), width in zip(columns, widths, strict=True))
    count = len(columns[0][1])
    rows = (
        GAP.join(cells[row].rjust(width) for (_, cells), width in zip(columns, widths, strict=True))
        for row in range(count)
    )
    return [heading, *rows]


def _rank(row: Row) -> str:
    return "-" if row.rank is None else str(row.rank)


def _figure(row: Row) -> str:
    if row.figure is None:
        return row.status
    spread = "" if row.deviation is None else f" ± {row.deviation:.4f}"
    return keras_number(row.figure) + spread


def _number(value: float | None) -> str:
    return "" if value is None else keras_number(value)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST_VALUE else text[: WIDEST_VALUE - 1] + "…"


def _ended(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"


def importance_lines(end: SweepEnd, bar: str) -> list[str]:
    """How much of the variance of the metric each parameter explains by itself, and what that means."""
    if not end.board.keys:
        return []
    metric = end.board.metric.name
    if end.importances is None:
        return [f"which parameters mattered: too few different results to say ({LEAST} at least)"]
    width = max(map(len, end.importances))
    lines = [f"which parameters mattered: share of the variance of {metric} that each explains alone"]
    for key, share in end.importances.items():
        lines.append(f"  {key:<{width}} {share:>5.0%} {bar * round(SHARE_BAR * share)}".rstrip())
    lines.append(
        f"  (adjusted R² of its values' means, many numbers in {BINS} groups; not in it: interactions, failures)"
    )
    return lines


def end_lines(end: SweepEnd) -> list[str]:
    """Where the result lies, what failed, and how long it took."""
    lines = []
    if end.failed:
        names = ", ".join(f"{result.trial:04d} ({result.status})" for result in end.failed[:8])
        lines.append(f"{counted(len(end.failed), 'trial')} failed: {names}{', …' if len(end.failed) > 8 else ''}")
    hidden = len(end.board.rows) - 10
    more = f" ({hidden} more rows)" if hidden > 0 else ""
    lines.append(f"all trials: {end.folder}/leaderboard.csv{more}")
    if end.best is not None:
        lines.append(f"the best one: {end.best}")
    took = duration(end.seconds)
    lines.append(f"training took {took}, summed over the trials" if end.collected else f"finished in {took}")
    return lines


def remaining(done: float, total: int, before: float, elapsed: float) -> str:
    """The ETA by the trials done since the start, or nothing where there are none."""
    if done <= before or elapsed < 1:
        return ""
    return f"ETA {clock((total - done) * elapsed / (done - before))}"


LEADERS = 5

SHOWN = 10

REDRAW_SECONDS = 0.1


class SweepReporter(Protocol):
    """Shows the reports of a sweep in the order in which they come."""

    def show(self, report: SweepReport) -> None:
        """Show one report."""

    def close(self) -> None:
        """Give the terminal back as it was; after an exception as well, and more than once."""


class QuietSweep:
    """Shows nothing."""

    def show(self, report: SweepReport) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to give back."""


def make_sweep_reporter(stream: TextIO, *, quiet: bool, no_color: bool) -> SweepReporter:
    """The reporter for ``stream``: live on a terminal, else lines."""
    if quiet:
        return QuietSweep()
    if not is_terminal(stream):
        return PlainSweep(stream)
    return LiveSweep(make_console(stream, no_color=no_color))


class PlainSweep:
    """A line a trial, flushed; the leaderboard in the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._start: SweepStart | None = None

    def show(self, report: SweepReport) -> None:
        """Write one report."""
        match report:
            case SweepStart():
                self._start = report
                self._write(*(", ".join(phrases) for phrases in start_lines(report)))
            case WaveStart():
                self._write(", ".join(wave_phrases(report)))
            case TrialEnd():
                total = self._start.trials if self._start is not None else None
                count = f"[{report.done}]" if total is None else f"[{report.done:>{len(str(total))}}/{total}]"
                best = is_best(report)
                line = trial_line(report.result, report.board.metric.name, best=best)
                self._write(f"{count} {line}")
            case Retry():
                self._write(retry_line(report))
            case SweepEnd():
                self._write("", *final_lines(report, 10_000, "#"))

    def close(self) -> None:
        """Nothing: every line was flushed when it was written."""

    def _write(self, *lines: str) -> None:
        encoding = getattr(self._stream, "encoding", None)
        self._stream.write("".join(f"{printable(line, encoding)}\n" for line in lines))
        self._stream.flush()


def is_best(report: TrialEnd) -> bool:
    """Whether the trial, or the point that it completes, leads the leaderboard."""
    best = report.board.best
    return best is not None and report.result.trial in (best.trial, best.best_trial)


def final_lines(end: SweepEnd, width: int, bar: str) -> list[str]:
    """All that is said in the end."""
    lines = leaderboard_lines(end.board, width, SHOWN) if end.board.rows else []
    return [*lines, "", *importance_lines(end, bar), *end_lines(end)]


class LiveSweep:
    """Finished trials are permanent lines; below them the best so far and the progress are redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._board: Leaderboard | None = None
        self._advance = Advance(0.0, 0)
        self._before: float | None = None
        self._began = perf_counter()
        self._due = 0.0
        self._headed = False
        self._bar: str = "━─"
        self._overflow: OverflowMethod = "ellipsis"
        try:
            "━─…".encode(console.encoding)
        except UnicodeEncodeError:
            self._bar, self._overflow = "=.", "crop"

    def show(self, report: SweepReport) -> None:
        """Show one report."""
        match report:
            case SweepStart():
                for phrases in start_lines(report):
                    self._say(phrases)
            case WaveStart():
                self._began = perf_counter() if self._before is None else self._began
                self._say(wave_phrases(report), style="dim")
            case Advance():
                self._advance = report
                self._before = report.done if self._before is None else self._before
                self._draw()
            case TrialEnd():
                self._trial(report)
            case Retry():
                self._above(retry_line(report), "yellow")
            case SweepEnd():
                self.close()
                self._end(report)

    def close(self) -> None:
        """Take the live part away and show the cursor again."""
        live, self._live = self._live, None
        if live is not None:
            with suppress(OSError):  # a terminal that is gone has nothing to be restored
                live.stop()

    def _say(self, phrases: list[str], style: str = "") -> None:
        for line in flow([printable(phrase, self._console.encoding) for phrase in phrases], self._console.width):
            self._above(line, style)

    def _above(self, line: str, style: str = "", *, wrap: bool = False) -> None:
        """A permanent line, which ends at the edge of the window unless it is to ``wrap``."""
        text = printable(line, self._console.encoding)
        self._console.print(Text(text, style), no_wrap=not wrap, overflow="fold" if wrap else self._overflow)

    def _trial(self, report: TrialEnd) -> None:
        self._board = report.board
        metric, best = report.board.metric.name, is_best(report)
        if not self._headed:
            self._headed = True
            self._above(trial_heading(metric), "bold")
        style = "red" if report.result.failed else "bold green" if best else ""
        self._above(trial_line(report.result, metric, best=best), style)
        self._due = 0.0

    def _draw(self) -> None:
        now = perf_counter()
        if now < self._due:
            return
        self._due = now + REDRAW_SECONDS
        width = min(WIDEST, self._console.width - 1)
        lines = []
        room = min(LEADERS, self._console.height - 6)
        if self._board is not None and room > 0:
            encoding = self._console.encoding
            best = [printable(line, encoding) for line in leaderboard_lines(self._board, width, room)]
            lines = [Text(""), Text(f"best of {counted(len(self._board.rows), 'row')} so far", "dim")]
            lines += [Text(best[0], "bold"), *map(Text, best[1:])]
        lines.append(self._progress(width))
        live = self._started()
        for line in lines:
            line.no_wrap, line.overflow = True, self._overflow
        live.update(Group(*lines), refresh=True)

    def _progress(self, width: int) -> Text:
        """The bar over trials, with what is left."""
        done, total = self._advance.done, max(1, self._advance.total)
        whole = len(self._board.rows) * self._board.repeat if self._board is not None else 0
        count = f"{min(int(done + 1e-9), total) or whole}/{total} trials"
        eta = remaining(done, total, self._before or 0.0, perf_counter() - self._began)
        room = width - len(count) - len(eta) - 2
        filled = round(room * min(1.0, done / total))
        line = Text(f"{count} ")
        line.append(self._bar[0] * filled, "green")
        line.append(self._bar[1] * max(0, room - filled), "dim")
        line.append(f" {eta}", "cyan")
        return line

    def _started(self) -> Live:
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        return self._live

    def _end(self, end: SweepEnd) -> None:
        width = min(WIDEST, self._console.width - 1)
        self._console.line()
        for number, line in enumerate(final_lines(end, width, self._bar[0])):
            self._above(line, "bold" if number == 0 else "bold green" if number == 1 else "", wrap=True)
