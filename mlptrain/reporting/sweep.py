"""Who shows a sweep while it goes: a live table of the best trials on a terminal, else plain lines."""

from __future__ import annotations

from contextlib import suppress
from time import perf_counter
from typing import Protocol, TextIO

from rich.console import Console, Group, OverflowMethod
from rich.live import Live
from rich.text import Text

from mlptrain.reporting import sweeptable as table
from mlptrain.reporting.live import WIDEST, flow
from mlptrain.reporting.plain import counted, printable
from mlptrain.reporting.reporter import is_terminal, make_console
from mlptrain.sweeps.leaderboard import Leaderboard
from mlptrain.sweeps.reports import Advance, Retry, SweepEnd, SweepReport, SweepStart, TrialEnd, WaveStart

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
                self._write(*(", ".join(phrases) for phrases in table.start_lines(report)))
            case WaveStart():
                self._write(", ".join(table.wave_phrases(report)))
            case TrialEnd():
                total = self._start.trials if self._start is not None else None
                count = f"[{report.done}]" if total is None else f"[{report.done:>{len(str(total))}}/{total}]"
                best = is_best(report)
                line = table.trial_line(report.result, report.board.metric.name, best=best)
                self._write(f"{count} {line}")
            case Retry():
                self._write(table.retry_line(report))
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
    lines = table.leaderboard_lines(end.board, width, SHOWN) if end.board.rows else []
    return [*lines, "", *table.importance_lines(end, bar), *table.end_lines(end)]


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
                for phrases in table.start_lines(report):
                    self._say(phrases)
            case WaveStart():
                self._began = perf_counter() if self._before is None else self._began
                self._say(table.wave_phrases(report), style="dim")
            case Advance():
                self._advance = report
                self._before = report.done if self._before is None else self._before
                self._draw()
            case TrialEnd():
                self._trial(report)
            case Retry():
                self._above(table.retry_line(report), "yellow")
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
            self._above(table.trial_heading(metric), "bold")
        style = "red" if report.result.failed else "bold green" if best else ""
        self._above(table.trial_line(report.result, metric, best=best), style)
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
            best = [printable(line, encoding) for line in table.leaderboard_lines(self._board, width, room)]
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
        eta = table.remaining(done, total, self._before or 0.0, perf_counter() - self._began)
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
