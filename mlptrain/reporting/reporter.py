"""Who shows a run while it goes: the interface, and the choice of live table, plain lines or silence."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol, TextIO

from mlptrain.reporting.plain import PlainReporter
from mlptrain.reports import EpochReport, Progress, Report, RunEnd, RunStart

if TYPE_CHECKING:
    from rich.console import Console


class Reporter(Protocol):
    """Shows the reports of one run, in the order in which they come: start, progress and epochs, end."""

    def start(self, start: RunStart) -> None:
        """Show what is about to be trained."""

    def progress(self, progress: Progress) -> None:
        """Show where the current epoch stands; cheap enough to be called after every step."""

    def epoch(self, epoch: EpochReport) -> None:
        """Show a finished epoch."""

    def end(self, end: RunEnd) -> None:
        """Show the result."""

    def close(self) -> None:
        """Give the terminal back as it was; after an exception as well, and more than once."""


class QuietReporter:
    """Shows nothing."""

    def start(self, start: RunStart) -> None:
        """Show nothing."""

    def progress(self, progress: Progress) -> None:
        """Show nothing."""

    def epoch(self, epoch: EpochReport) -> None:
        """Show nothing."""

    def end(self, end: RunEnd) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Nothing to give back."""


def make_reporter(stream: TextIO, *, quiet: bool, no_color: bool, log_every: int = 1) -> Reporter:
    """The reporter for ``stream``: a live table on a terminal, else lines every ``log_every``-th epoch."""
    if quiet:
        return QuietReporter()
    if not is_terminal(stream):
        return PlainReporter(stream, log_every=log_every)
    from mlptrain.reporting.live import LiveReporter

    return LiveReporter(make_console(stream, no_color=no_color))


def show(reporter: Reporter, report: Report) -> None:
    """Hand a report to the method of ``reporter`` that shows its kind."""
    match report:
        case Progress():
            reporter.progress(report)
        case EpochReport():
            reporter.epoch(report)
        case RunStart():
            reporter.start(report)
        case RunEnd():
            reporter.end(report)


def is_terminal(stream: TextIO) -> bool:
    """Whether ``stream`` is a terminal that can move its cursor; no variable but TERM has a say in it."""
    try:
        return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    except ValueError:  # closed
        return False


def make_console(stream: TextIO, *, no_color: bool = False) -> Console:
    """A Rich console on ``stream`` which writes escape codes only where ``stream`` itself is a terminal.

    Everything is said explicitly, because Rich left alone takes FORCE_COLOR for a terminal (and animates into
    pipes), takes the window of standard input for that of ``stream``, and exits with 1 on a closed pipe,
    which raises BrokenPipeError here.
    """
    from rich.console import Console, ConsoleDimensions

    class StreamConsole(Console):
        @property
        def size(self) -> ConsoleDimensions:
            return ConsoleDimensions(*window(stream))

        @size.setter
        def size(self, new_size: tuple[int, int]) -> None:
            raise AttributeError("the window has the size that it has")

        def on_broken_pipe(self) -> None:
            raise  # Rich calls this while it handles the BrokenPipeError

    terminal = is_terminal(stream)
    return StreamConsole(
        file=stream,
        force_terminal=terminal,
        force_interactive=terminal,
        force_jupyter=False,
        color_system="auto" if terminal else None,
        no_color=no_color or os.environ.get("NO_COLOR", "") != "",
        highlight=False,
        markup=False,
        emoji=False,
    )


def window(stream: TextIO) -> tuple[int, int]:
    """Columns and rows of the window that ``stream`` shows in at this moment; 80 x 24 where there is none."""
    try:
        columns, rows = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    return columns or 80, rows or 24
