"""Downloads as a person sees them: a line a file, which moves on a terminal while the file comes."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TextIO
from urllib.parse import urlsplit

from mlptrain.datasets.download import Arriving, Event, TryFailed
from mlptrain.datasets.verify import FileState
from mlptrain.reporting.terminal import is_terminal, make_console
from mlptrain.reporting.text import clock, counted, duration, printable
from mlptrain.system.machine import format_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

RATE_SECONDS = 5.0  # the rate shown is that of this time

STALLED_SECONDS = 2.0

REDRAWS_A_SECOND = 8

SHORTEST_BAR = 6


class TransferReporter(Protocol):
    """Shows the events of downloads, file after file."""

    def show(self, event: Event) -> None:
        """Show an event; cheap enough to be called for every piece that comes."""

    def say(self, lines: Sequence[str]) -> None:
        """Write lines of text."""

    def close(self) -> None:
        """Give the terminal back as it was; after an exception as well, and more than once."""


def make_transfers(stream: TextIO, *, quiet: bool, no_color: bool) -> TransferReporter:
    """The reporter for ``stream``: a moving line on a terminal, else a plain line a file."""
    if quiet:
        return QuietTransfers()
    return LiveTransfers(make_console(stream, no_color=no_color)) if is_terminal(stream) else PlainTransfers(stream)


class Pace:
    """Bytes a second over the last `RATE_SECONDS`, and how long nothing has come."""

    def __init__(self, now: float) -> None:
        self.began = now
        self._samples = deque([(now, 0)])

    def add(self, now: float, received: int) -> None:
        """``received`` bytes have come by ``now``."""
        if received < self._samples[-1][1]:  # the file has started again
            self._samples.clear()
        self._samples.append((now, received))
        while self._samples[0][0] < now - RATE_SECONDS and len(self._samples) > 2:
            self._samples.popleft()

    def rate(self) -> float:
        """Bytes a second; 0 where there is no saying yet."""
        (first, before), (last, received) = self._samples[0], self._samples[-1]
        return (received - before) / (last - first) if last > first else 0.0

    def stalled(self, now: float) -> float:
        """Seconds since something came."""
        return now - self._samples[-1][0]


def name_of(event: Event) -> str:
    """A file as the lines name it: ``mnist/t10k-labels-idx1-ubyte.gz``."""
    return f"{event.dataset}/{event.file.name}"


def state_line(state: FileState, seconds: float | None = None) -> str:
    """A file's line when all is done: verified, fetched (in so many seconds), missing or damaged."""
    name = name_of(state)
    if state.status == "missing":
        return f"{name}: missing"
    if state.status == "damaged":
        return f"{name}: damaged ({state.fault})"
    size = f"{name}: {format_bytes(state.bytes or 0)}"
    if state.status == "verified":
        return f"{size}, there and verified"
    pace = f" in {duration(seconds)} ({format_bytes(round((state.bytes or 0) / seconds))}/s)" if seconds else ""
    return f"{size}{pace}, verified"


def failure_line(event: TryFailed) -> str:
    """What went wrong with a try at the file of the next line, and what comes then."""
    following = "again" if event.next_mirror == event.mirror else urlsplit(event.next_mirror).netloc
    after = f" in {event.wait:g} s" if event.wait else ""
    return f"  {urlsplit(event.mirror).netloc}: {event.why}; trying {following}{after}"


class QuietTransfers:
    """Shows nothing."""

    def show(self, event: Event) -> None:
        """Show nothing."""

    def say(self, lines: Sequence[str]) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Nothing to give back."""


class PlainTransfers:
    """Writes a line for each finished file and each failed try to ``stream``; each is flushed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pace: Pace | None = None

    def show(self, event: Event) -> None:
        """Write the line of a failed try or of a finished file."""
        if isinstance(event, Arriving):
            self._pace = self._pace or Pace(perf_counter())
        elif isinstance(event, TryFailed):
            self.say([failure_line(event)])
        else:
            self.say([state_line(event, perf_counter() - self._pace.began if self._pace else None)])
            self._pace = None

    def say(self, lines: Sequence[str]) -> None:
        """Write lines of text."""
        encoding = getattr(self._stream, "encoding", None)
        self._stream.write("".join(f"{printable(line, encoding)}\n" for line in lines))
        self._stream.flush()

    def close(self) -> None:
        """Nothing: every line was flushed when it was written."""


class LiveTransfers:
    """Shows the file that comes as one moving line on the terminal behind ``console``, and what is done above it.

    A thread redraws the line, so that it says so when nothing comes.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._pace: Pace | None = None
        self._current: Arriving | None = None
        try:
            "━─".encode(console.encoding)
            self._bar = "━─"
        except UnicodeEncodeError:
            self._bar = "=."

    def show(self, event: Event) -> None:
        """Take what has come to the moving line, or write the line of a failed try or of a finished file."""
        now = perf_counter()
        if isinstance(event, Arriving):
            self._pace = self._pace or Pace(now)
            self._pace.add(now, event.received)
            self._current = event
            if self._live is None:
                self._start()
        elif isinstance(event, TryFailed):
            self._print(failure_line(event), "yellow")
        else:
            began = self._pace.began if self._pace else now
            self.close()
            self._print(state_line(event, now - began), "" if event.good else "red")

    def say(self, lines: Sequence[str]) -> None:
        """Write lines of text."""
        for line in lines:
            self._print(line, "")

    def close(self) -> None:
        """Take the moving line away and show the cursor again."""
        live, self._live, self._current, self._pace = self._live, None, None, None
        if live is not None:
            with suppress(OSError):  # a terminal that is gone has nothing to be restored
                live.stop()

    def _print(self, line: str, style: str) -> None:
        from rich.text import Text

        self._console.print(Text(printable(line, self._console.encoding), style), soft_wrap=True)

    def _start(self) -> None:
        from rich.live import Live

        self._live = Live(
            console=self._console,
            get_renderable=self._line,
            refresh_per_second=REDRAWS_A_SECOND,
            transient=True,
            # What others print must go above the line, but only what would go to a terminal anyway.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
            redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
        )
        self._live.start()

    def _line(self) -> Text:
        """The file that comes: its name, then what fits of bytes, rate, remaining time and bar."""
        from rich.text import Text

        current, pace = self._current, self._pace
        line = Text(no_wrap=True, overflow="ellipsis", end="")
        if current is None or pace is None:
            return line
        width = self._console.width - 1
        name = name_of(current)
        fields = _fields(current, pace, perf_counter())
        line.append(name)
        while fields and len(name) + sum(len(field) + 2 for field in fields) > width:
            fields.pop()
        bar = width - len(name) - sum(len(field) + 2 for field in fields) - 2
        if bar >= SHORTEST_BAR and current.size:
            done = min(bar, bar * current.received // current.size)
            line.append("  ")
            line.append(self._bar[0] * done, "green")
            line.append(self._bar[1] * (bar - done), "dim")
        line.append("".join(f"  {field}" for field in fields), "cyan")
        return line


def _fields(current: Arriving, pace: Pace, now: float) -> list[str]:
    """Bytes, rate and remaining time, padded, so that the bar does not shake; the least needed last."""
    amount = format_bytes(current.received)
    if current.size is not None:
        whole, unit = format_bytes(current.size).split()
        scale = {"bytes": 1, "kB": 1e3, "MB": 1e6}.get(unit, 1e9)
        part = f"{current.received / scale:.{1 if '.' in whole else 0}f}"
        amount = f"{part:>{len(whole)}}/{whole} {unit}"
    stalled = pace.stalled(now)
    if stalled >= STALLED_SECONDS:
        return [f"no data for {clock(stalled)}", amount]
    rate = pace.rate()
    if not rate:
        return [amount]
    fields = [amount, f"{format_bytes(round(rate))}/s".rjust(len("999.9 kB/s"))]
    if current.size is not None:
        fields.append(f"ETA {clock((current.size - current.received) / rate):<5}")
    return fields


def checked_line(title: str, count: int, folder: str) -> str:
    """What was verified, for people: ``MNIST: 4 files verified in data/mnist``."""
    return f"{title}: {counted(count, 'file')} verified in {folder} (MD5 and SHA-256)"
