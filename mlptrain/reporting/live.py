"""The live table of a terminal: finished epochs are permanent rows, only the current epoch is redrawn."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlptrain.reporting.plain import (
    counted,
    keras_number,
    keras_pace,
    printable,
    resumed_note,
    start_phrases,
    stopped_note,
)
from mlptrain.reporting.terminal import BARS, sparkline
from mlptrain.training.reports import EpochReport, Outcome, Progress, RunStart

REDRAW_SECONDS = 0.05

SHORT_EPOCH = 0.5

WIDEST = 100

SHORTEST_BAR = 6

GAP = "  "

BEST = "bold green"


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, the field of an EpochReport, its width, and which way is better.

    ``better`` is -1 where less is better, 1 where more is, 0 where no value is marked; a marked column has
    one place more, for the mark.
    """

    heading: str
    field: str
    width: int
    better: int = 0


EPOCH = Column("epoch", "epoch", 5)

LOSS = Column("loss", "loss", 9, -1)

ACCURACY = Column("accuracy", "accuracy", 9, 1)

VAL_LOSS = Column("val_loss", "val_loss", 9, -1)

VAL_ACCURACY = Column("val_accuracy", "val_accuracy", 13, 1)

VAL_ACC = Column("val_acc", "val_accuracy", 9, 1)

LEARNING_RATE = Column("learning_rate", "learning_rate", 13)

TIME = Column("time", "seconds", 7)

# The first that fits the window is taken: what matters least goes first.
LAYOUTS = (
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACCURACY, LEARNING_RATE, TIME),
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACCURACY, TIME),
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACC, TIME),
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACC),
    (EPOCH, LOSS, ACCURACY, VAL_ACC),
    (EPOCH, LOSS, VAL_ACC),
)


def layout(width: int, *, validation: bool) -> tuple[Column, ...]:
    """The columns for a line of ``width`` places, those of the validation part only where there is one."""
    for columns in LAYOUTS:
        kept = tuple(c for c in columns if validation or not c.field.startswith("val_"))
        if sum(len(GAP) + c.width for c in kept) - len(GAP) <= width:
            break
    return kept


def table_number(value: float) -> str:
    """A figure in at most eight places: four decimals as Keras prints it, else as many digits as fit."""
    forms = (keras_number(value), f"{value:.2e}", f"{value:.1e}", f"{value:.0e}")
    return next((form for form in forms if len(form) <= 8), forms[-1])


def clock(seconds: float) -> str:
    """A remaining time as Keras prints it: ``42s``, ``3:07`` or ``1:02:03``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def duration(seconds: float) -> str:
    """A measured time: ``85ms``, ``12.3s``, ``3:07`` or ``1:02:03``."""
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 59.95 else clock(seconds)


def flow(phrases: list[str], width: int) -> list[str]:
    """``phrases`` joined by commas into lines of at most ``width`` places, broken between phrases only."""
    lines = [phrases[0]]
    for phrase in phrases[1:]:
        joined = f"{lines[-1]}, {phrase}"
        if len(joined) < width:
            lines[-1] = joined
        else:
            lines[-1] += ","
            lines.append(f"  {phrase}")
    return lines


class LiveReporter:
    """Shows a run on the terminal behind ``console``, with about one redraw each REDRAW_SECONDS.

    The rows of short epochs wait for the next redraw and are written together, so that a run of a thousand of
    them is not slowed by its table.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._columns: tuple[Column, ...] = ()
        self._validation = True
        self._current: Progress | None = None
        self._waiting: list[EpochReport] = []
        self._best: dict[str, tuple[float, int]] = {}
        self._history: list[EpochReport] = []
        self._epoch_seconds = 0.0
        self._due = 0.0
        try:
            "━─".encode(console.encoding)
            self._bar = "━─"
        except UnicodeEncodeError:
            self._bar = "=."

    def start(self, start: RunStart) -> None:
        """Say what is being trained; the table's heading comes with the first epoch."""
        self._validation = start.parts[1] > 0
        images, network = start_phrases(start)
        self._say(images)
        self._say(network, style="dim")
        self._say(["* best so far"], style="dim")
        note = resumed_note(start)
        if note:
            self._say([note], style="yellow")
        self._console.line()
        for epoch in start.history:
            self.epoch(epoch)

    def progress(self, progress: Progress) -> None:
        """Redraw the line of the current epoch, where that is due."""
        now = perf_counter()
        if now >= self._due:
            self._current = progress
            self._draw(now)

    def epoch(self, epoch: EpochReport) -> None:
        """Add the row of a finished epoch."""
        self._waiting.append(epoch)
        self._history.append(epoch)
        self._epoch_seconds += epoch.seconds
        following = Progress(epoch.epoch + 1, epoch.epochs, 0, epoch.steps, math.nan, math.nan, 0.0)
        self._current = following if epoch.epoch < epoch.epochs else None
        now = perf_counter()
        # After a short epoch the next progress draws the row too: the line would only flicker in between.
        if epoch.seconds >= SHORT_EPOCH or self._current is None or now >= self._due + REDRAW_SECONDS:
            self._draw(now)

    def end(self, end: Outcome) -> None:
        """Finish the table and write the result below it."""
        self._current = None
        self.close()
        if self._columns:
            self._console.line()
        note = stopped_note(end)
        if note:
            self._say([note], style="yellow")
        assert end.test_loss is not None and end.test_accuracy is not None
        result = [f"test loss {keras_number(end.test_loss)}", f"accuracy {keras_number(end.test_accuracy)}"]
        self._say(result, style="bold")
        phrases = [f"{counted(end.epochs, 'epoch')} in {duration(end.seconds)}"]
        if end.best_epoch is not None:
            loss, epoch = self._best.get("val_loss", (math.nan, None))
            figure = f" (val_loss {keras_number(loss)})" if epoch == end.best_epoch else ""
            phrases.insert(0, f"best epoch {end.best_epoch}{figure}")
        if end.samples_per_second is not None:
            phrases.append(f"{end.samples_per_second:,.0f} images/s")
        self._say(phrases)
        render_curves(self._history, self._console)

    def close(self) -> None:
        """Write the rows that wait and show the cursor again; the line of an epoch under way stays."""
        live = self._live
        if live is None:
            return
        if self._current and not self._current.step:
            self._current = None
        with suppress(OSError):  # a terminal that is gone has nothing to be restored
            try:
                if self._waiting or self._current is None:
                    self._draw(perf_counter())
            finally:
                self._live = None
                live.transient = self._current is None
                live.stop()

    def _say(self, phrases: list[str], style: str = "") -> None:
        width = self._console.width
        for line in flow([printable(phrase, self._console.encoding) for phrase in phrases], width):
            self._console.print(Text(line, style, no_wrap=True, overflow="ellipsis"))

    def _draw(self, now: float) -> None:
        self._due = now + REDRAW_SECONDS
        width = min(WIDEST, self._console.width - 1)
        lines = []
        columns = layout(width, validation=self._validation)
        if columns != self._columns:  # first, or the window has changed
            self._columns = columns
            lines.append(self._heading())
        if self._waiting:
            lines += [self._row(epoch) for epoch in self._waiting]
            self._waiting.clear()
        live = self._started_live()
        live.update(self._line(self._current, width) if self._current else Text())
        with self._console:  # one write
            if lines:
                self._console.print(Text("\n").join(lines), no_wrap=True, overflow="crop")
            live.refresh()

    def _started_live(self) -> Live:
        if self._live is None:
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                # What others print must go above the line, but only what would go to a terminal anyway.
                redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
                redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
            )
            self._live.start()
        return self._live

    def _heading(self) -> Text:
        cells = ((c.heading + " " if c.better else c.heading).rjust(c.width) for c in self._columns)
        return Text(GAP.join(cells), "bold")

    def _row(self, report: EpochReport) -> Text:
        row = Text()
        for number, column in enumerate(self._columns):
            row.append(GAP if number else "")
            row.append(*self._cell(column, report))
        return row

    def _cell(self, column: Column, report: EpochReport) -> tuple[str, str]:
        value = getattr(report, column.field)
        if value is None:
            return "- ".rjust(column.width), ""
        if column.better:
            best = self._is_best(column, value, report.epoch)
            return (table_number(value) + ("*" if best else " ")).rjust(column.width), BEST if best else ""
        if column is TIME:
            return duration(value).rjust(column.width), ""
        text = f"{value:#.4g}" if column is LEARNING_RATE else f"{value}"
        return text.rjust(column.width), ""

    def _is_best(self, column: Column, value: float, epoch: int) -> bool:
        """Whether ``value`` beats every earlier epoch; a tie does not, nor does what is not finite."""
        before, _ = self._best.get(column.field, (-column.better * math.inf, 0))
        if not math.isfinite(value) or column.better * value <= column.better * before:
            return False
        self._best[column.field] = (value, epoch)
        return True

    def _line(self, progress: Progress, width: int) -> Text:
        """The current epoch: its running figures in their columns, then what fits of count, bar and times."""
        line = Text(f"{progress.epoch:>{EPOCH.width}}", no_wrap=True, overflow="crop", end="")
        for column in self._columns:
            if column in (LOSS, ACCURACY):
                text = table_number(getattr(progress, column.field)) if progress.step else ""
                line.append(GAP + f"{text} ".rjust(column.width))
        line.append(GAP)
        room = width - len(line)
        count = f"{progress.step:>{len(str(progress.steps))}}/{progress.steps}"
        times = self._times(progress) if progress.step else []
        while times and room < len(count) + 1 + SHORTEST_BAR + sum(len(time) + 1 for time in times):
            times.pop()
        bar = room - len(count) - 1 - sum(len(time) + 1 for time in times)
        line.append(count if len(count) <= room else f"{progress.step / progress.steps:.0%}")
        if bar >= SHORTEST_BAR:
            done = bar * progress.step // progress.steps
            line.append(" ")
            line.append(self._bar[0] * done, "green")
            line.append(self._bar[1] * (bar - done), "dim")
        line.append("".join(f" {time}" for time in times), "cyan")
        return line

    def _times(self, progress: Progress) -> list[str]:
        """Time a step, ETA of the epoch, ETA of the run; padded, so that the bar does not shake."""
        pace = progress.seconds / progress.step
        left = pace * (progress.steps - progress.step)
        times = [f"{keras_pace(pace):>8}", f"ETA {clock(left):<5}"]
        if progress.epochs > 1:
            seen = len(self._history)
            epoch_seconds = self._epoch_seconds / seen if seen else pace * progress.steps
            times.append(f"run {clock(left + epoch_seconds * (progress.epochs - progress.epoch)):<5}")
        return times


FEWEST_EPOCHS = 3  # epochs that make a curve

WIDEST_CURVE = 48

_LABEL = 12

_FIELDS = ("loss", "val_loss", "accuracy", "val_accuracy")


def render_curves(history: Sequence[EpochReport], console: Console) -> None:
    """Draw loss and accuracy over the epochs, each from its lowest to its highest, with the first and last figure.

    Nothing is drawn of fewer than `FEWEST_EPOCHS` epochs, or where the console cannot write the bars.
    """
    if len(history) < FEWEST_EPOCHS or printable(BARS, console.encoding) != BARS:
        return
    lines = []
    for field in _FIELDS:
        values = [value for report in history if (value := getattr(report, field)) is not None]
        if len(values) == len(history):
            figures = f"{keras_number(values[0])} → {keras_number(values[-1])}"
            columns = max(1, min(WIDEST_CURVE, console.width - _LABEL - len(figures) - 5))
            line = Text(f"{field:{_LABEL}}  ").append(sparkline(values, columns), "cyan").append(f"  {figures}")
            lines.append(line)
    console.print(Text("\n").join(lines), no_wrap=True, overflow="crop")
