"""Downloads for people: one line per file, with a progress bar on a terminal."""

from __future__ import annotations

from time import perf_counter
from typing import TextIO
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from mlptrain.datasets.download import AttemptFailed, Event, FileProgress
from mlptrain.datasets.verify import FileState
from mlptrain.reporting.reporter import QuietReporter, Reporter
from mlptrain.reporting.terminal import is_terminal, make_console, print_line, redirections
from mlptrain.reporting.text import clock, counted, duration
from mlptrain.system.machine import format_bytes
from mlptrain.system.text import write_lines

SPEED_SECONDS = 5.0  # the displayed speed is the mean over this time

STALLED_SECONDS = 2.0  # without data, after which the display says so

WIDE, MEDIUM = 80, 60  # smallest window widths for the bar, and for the speed


def make_download_reporter(stream: TextIO, *, quiet: bool, no_color: bool) -> Reporter[Event]:
    """Return the reporter for ``stream``: a progress bar on a terminal, else one line per file."""
    if quiet:
        return QuietReporter()
    return LiveDownload(make_console(stream, no_color=no_color)) if is_terminal(stream) else PlainDownload(stream)


def state_line(state: FileState, seconds: float = 0.0) -> str:
    """Return the line of a file that is verified, was fetched in ``seconds``, or is missing or damaged."""
    name = _name(state)
    if state.status == "missing":
        return f"{name}: missing"
    if state.status == "damaged":
        return f"{name}: damaged ({state.fault})"
    size = state.bytes or 0
    if state.status == "verified":
        return f"{name}: {format_bytes(size)}, already there, verified"
    pace = f" in {duration(seconds)} ({format_bytes(round(size / seconds))}/s)" if seconds else ""
    return f"{name}: {format_bytes(size)}{pace}, verified"


def failure_line(event: AttemptFailed) -> str:
    """Return a line with the reason why an attempt failed, and the mirror that is tried next."""
    following = "again" if event.next_mirror == event.mirror else urlsplit(event.next_mirror).netloc
    after = f" in {event.wait:g} s" if event.wait else ""
    return f"  {urlsplit(event.mirror).netloc}: {event.why}; trying {following}{after}"


def checked_line(title: str, count: int, folder: str) -> str:
    """Return a line that sums up a verified dataset: ``MNIST: 4 files verified in data/mnist (MD5 and SHA-256)``."""
    return f"{title}: {counted(count, 'file')} verified in {folder} (MD5 and SHA-256)"


def _name(event: Event) -> str:
    return f"{event.dataset}/{event.file.name}"


class PlainDownload:
    """A reporter that writes one line per finished file and per failed attempt."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began: float | None = None

    def show(self, event: Event, /) -> None:
        """Write the line of a failed attempt or of a finished file."""
        match event:
            case FileProgress():
                self._began = self._began or perf_counter()
            case AttemptFailed():
                write_lines(self._stream, failure_line(event))
            case FileState():
                write_lines(self._stream, state_line(event, perf_counter() - self._began if self._began else 0.0))
                self._began = None

    def close(self) -> None:
        """Do nothing: every line is flushed when it is written."""


class LiveDownload:
    """A reporter on a terminal: a progress bar for the current file, below the lines of the finished ones."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._began: float | None = None

    def show(self, event: Event, /) -> None:
        """Move the progress bar, or write the line of a failed attempt or of a finished file."""
        match event:
            case FileProgress():
                self._began = self._began or perf_counter()
                self._update(event)
            case AttemptFailed():
                self.close()
                print_line(self._console, failure_line(event), "yellow", cut=False)
            case FileState():
                seconds = perf_counter() - self._began if self._began else 0.0
                self._began = None
                self.close()
                print_line(self._console, state_line(event, seconds), "" if event.good else "red", cut=False)

    def close(self) -> None:
        """Remove the progress bar and show the cursor again."""
        progress, self._progress = self._progress, None
        if progress is not None:
            progress.stop()

    def _update(self, event: FileProgress) -> None:
        if self._progress is None:
            self._progress = Progress(
                *_columns(self._console.width),
                console=self._console,
                transient=True,
                expand=True,
                speed_estimate_period=SPEED_SECONDS,
                **redirections(),
            )
            self._progress.add_task(_name(event), total=event.size, completed=event.received, arrived=perf_counter())
            self._progress.start()
        task = self._progress.task_ids[0]
        self._progress.update(task, total=event.size, completed=event.received, arrived=perf_counter())


class SpeedColumn(TransferSpeedColumn):
    """A column with the speed, or the time for which no data has arrived."""

    def render(self, task: Task) -> Text:
        """Return the content of the column."""
        silence = perf_counter() - task.fields["arrived"]
        return super().render(task) if silence < STALLED_SECONDS else Text(f"no data for {clock(silence)}", "yellow")


class LeftColumn(ProgressColumn):
    """A column with the remaining time."""

    def render(self, task: Task) -> Text:
        """Return the content of the column."""
        left = task.time_remaining
        return Text("" if left is None else f"{clock(left)} left", "cyan")


def _columns(width: int) -> list[ProgressColumn]:
    """Return the columns for a window of ``width`` characters; the bar fills the line, or without one the name."""

    def column(min_width: int = 0) -> Column:
        return Column(no_wrap=True, justify="right", min_width=min_width)

    name = TextColumn(
        "{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1 if width < WIDE else None)
    )
    size, speed = DownloadColumn(table_column=column()), SpeedColumn(table_column=column(min_width=10))
    if width < MEDIUM:
        return [name, size]
    if width < WIDE:
        return [name, size, speed]
    bar = BarColumn(None, complete_style="green", table_column=Column(ratio=1))
    return [name, bar, size, speed, LeftColumn(table_column=column(min_width=10))]
