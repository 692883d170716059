"""The live table of a training run: finished epochs are permanent rows, the line of the current epoch is redrawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlptrain.reporting.plain import start_notes, start_phrases, stopped_note
from mlptrain.reporting.terminal import BARS, print_phrases, progress_bar, sparkline, start_live
from mlptrain.reporting.text import clock, counted, duration, keras_number, keras_pace
from mlptrain.system.text import can_print
from mlptrain.training.reports import EpochReport, Outcome, Progress, Report, RunStart

REDRAW_SECONDS = 0.05

SHORT_EPOCH_SECONDS = 0.5

MAX_WIDTH = 100  # characters

MIN_BAR = 6  # characters

GAP = "  "

BEST = "bold green"

MONITORED = ("val_loss", "val_accuracy", "loss", "accuracy")  # metrics by which the best epoch may have been chosen


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, the attribute of an EpochReport that it shows, and its width.

    ``better`` is -1 if smaller values are better, 1 if larger ones are, 0 if the best is not marked; the width of a
    marked column includes the mark.
    """

    heading: str
    attribute: str
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

# The first layout that fits the window is taken: the least important columns are dropped first.
LAYOUTS = (
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACCURACY, LEARNING_RATE, TIME),
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACCURACY, TIME),
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACC, TIME),
    (EPOCH, LOSS, ACCURACY, VAL_LOSS, VAL_ACC),
    (EPOCH, LOSS, ACCURACY, VAL_ACC),
    (EPOCH, LOSS, VAL_ACC),
)


def layout(width: int, *, validation: bool) -> tuple[Column, ...]:
    """Return the columns for lines of ``width`` characters, without those of a validation split that is empty."""
    for columns in LAYOUTS:
        kept = tuple(c for c in columns if validation or not c.attribute.startswith("val_"))
        if sum(len(GAP) + c.width for c in kept) - len(GAP) <= width:
            break
    return kept


def table_number(value: float) -> str:
    """Return a metric in at most eight characters: as Keras prints it if that fits, else with fewer digits."""
    forms = (keras_number(value), f"{value:.2e}", f"{value:.1e}", f"{value:.0e}")
    return next((form for form in forms if len(form) <= 8), forms[-1])


class LiveRun:
    """A reporter that shows a run on a terminal, redrawn at most once per `REDRAW_SECONDS`.

    Rows of short epochs are written together with the next redraw, so that the table does not slow down a run of a
    thousand such epochs.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._columns: tuple[Column, ...] = ()
        self._validation = True
        self._current: Progress | None = None
        self._unwritten: list[EpochReport] = []
        self._best: dict[str, tuple[float, int]] = {}
        self._history: list[EpochReport] = []
        self._epoch_seconds = 0.0
        self._next_redraw = 0.0

    def show(self, report: Report, /) -> None:
        """Show a report; the progress of an epoch only if a redraw is due."""
        match report:
            case Progress():
                now = perf_counter()
                if now >= self._next_redraw:
                    self._current = report
                    self._draw(now)
            case EpochReport():
                self._add_epoch(report)
            case RunStart():
                self._begin(report)
            case Outcome():
                self._end(report)

    def close(self) -> None:
        """Write unwritten rows and show the cursor again; the line of an unfinished epoch stays."""
        live = self._live
        if live is None:
            return
        if self._current and not self._current.step:
            self._current = None
        with suppress(OSError):  # a terminal that is gone needs no restoring
            try:
                if self._unwritten or self._current is None:
                    self._draw(perf_counter())
            finally:
                self._live = None
                live.transient = self._current is None
                live.stop()

    def _begin(self, start: RunStart) -> None:
        """Describe the run; the heading of the table is written with the first epoch."""
        self._validation = start.splits[1] > 0
        data, network = start_phrases(start)
        print_phrases(self._console, data)
        print_phrases(self._console, network, "dim")
        print_phrases(self._console, ["* best so far"], "dim")
        for note in start_notes(start):
            print_phrases(self._console, [note], "yellow")
        self._console.line()
        for epoch in start.history:
            self._add_epoch(epoch)

    def _add_epoch(self, epoch: EpochReport) -> None:
        self._unwritten.append(epoch)
        self._history.append(epoch)
        self._epoch_seconds += epoch.seconds
        following = Progress(epoch.epoch + 1, epoch.epochs, 0, epoch.steps, math.nan, math.nan, 0.0)
        self._current = following if epoch.epoch < epoch.epochs else None
        now = perf_counter()
        # After a short epoch the next progress draws the row as well: drawing here would make the line flicker.
        if epoch.seconds >= SHORT_EPOCH_SECONDS or self._current is None or now >= self._next_redraw + REDRAW_SECONDS:
            self._draw(now)

    def _end(self, end: Outcome) -> None:
        """Finish the table and write the result below it."""
        self._current = None
        self.close()
        if self._columns:
            self._console.line()
        for note in stopped_note(end):
            print_phrases(self._console, [note], "yellow")
        assert end.test_loss is not None and end.test_accuracy is not None
        print_phrases(
            self._console,
            [f"test loss {keras_number(end.test_loss)}", f"accuracy {keras_number(end.test_accuracy)}"],
            "bold",
        )
        phrases = [f"{counted(end.epochs, 'epoch')} in {duration(end.seconds)}"]
        if end.best_epoch is not None:
            metrics = ((name, *self._best.get(name, (math.nan, None))) for name in MONITORED)
            values = (f" ({name} {keras_number(value)})" for name, value, epoch in metrics if epoch == end.best_epoch)
            phrases.insert(0, f"best epoch {end.best_epoch}{next(values, '')}")
        if end.samples_per_second is not None:
            phrases.append(f"{end.samples_per_second:,.0f} images/s")
        print_phrases(self._console, phrases)
        render_curves(self._history, self._console)

    def _draw(self, now: float) -> None:
        self._next_redraw = now + REDRAW_SECONDS
        width = min(MAX_WIDTH, self._console.width - 1)
        lines = []
        columns = layout(width, validation=self._validation)
        if columns != self._columns:  # first, or the window has changed
            self._columns = columns
            lines.append(self._heading())
        lines += [self._row(epoch) for epoch in self._unwritten]
        self._unwritten.clear()
        live = self._live = self._live or start_live(self._console)
        live.update(self._line(self._current, width) if self._current else Text())
        with self._console:  # one write
            if lines:
                self._console.print(Text("\n").join(lines), no_wrap=True, overflow="crop")
            live.refresh()

    def _heading(self) -> Text:
        cells = ((c.heading + " " if c.better else c.heading).rjust(c.width) for c in self._columns)
        return Text(GAP.join(cells), "bold")

    def _row(self, epoch: EpochReport) -> Text:
        row = Text()
        for number, column in enumerate(self._columns):
            row.append(GAP if number else "")
            row.append(*self._cell(column, epoch))
        return row

    def _cell(self, column: Column, epoch: EpochReport) -> tuple[str, str]:
        """Return the text and the style of a cell."""
        value = getattr(epoch, column.attribute)
        if value is None:
            return "- ".rjust(column.width), ""
        if column.better:
            best = self._is_best(column, value, epoch.epoch)
            return (table_number(value) + ("*" if best else " ")).rjust(column.width), BEST if best else ""
        if column is TIME:
            return duration(value).rjust(column.width), ""
        text = f"{value:#.4g}" if column is LEARNING_RATE else f"{value}"
        return text.rjust(column.width), ""

    def _is_best(self, column: Column, value: float, epoch: int) -> bool:
        """Return whether a finite ``value`` is strictly better than in every earlier epoch, and remember it."""
        before, _ = self._best.get(column.attribute, (-column.better * math.inf, 0))
        if not math.isfinite(value) or column.better * value <= column.better * before:
            return False
        self._best[column.attribute] = (value, epoch)
        return True

    def _line(self, progress: Progress, width: int) -> Text:
        """Return the line of the current epoch: its metrics so far, then steps, bar and times as far as they fit."""
        line = Text(f"{progress.epoch:>{EPOCH.width}}", no_wrap=True, overflow="crop", end="")
        for column in self._columns:
            if column in (LOSS, ACCURACY):
                text = table_number(getattr(progress, column.attribute)) if progress.step else ""
                line.append(GAP + f"{text} ".rjust(column.width))
        line.append(GAP)
        room = width - len(line)
        steps = f"{progress.step:>{len(str(progress.steps))}}/{progress.steps}"
        times = self._times(progress) if progress.step else []
        while times and room < len(steps) + 1 + MIN_BAR + sum(len(time) + 1 for time in times):
            times.pop()
        bar = room - len(steps) - 1 - sum(len(time) + 1 for time in times)
        line.append(steps if len(steps) <= room else f"{progress.step / progress.steps:.0%}")
        if bar >= MIN_BAR:
            line.append(" ").append_text(progress_bar(progress.step, progress.steps, bar, self._console.encoding))
        line.append("".join(f" {time}" for time in times), "cyan")
        return line

    def _times(self, progress: Progress) -> list[str]:
        """Return the time per step and the remaining times of epoch and run, padded to keep the bar's length."""
        pace = progress.seconds / progress.step
        left = pace * (progress.steps - progress.step)
        times = [f"{keras_pace(pace):>8}", f"ETA {clock(left):<5}"]
        if progress.epochs > 1:
            done = len(self._history)
            epoch_seconds = self._epoch_seconds / done if done else pace * progress.steps
            times.append(f"run {clock(left + epoch_seconds * (progress.epochs - progress.epoch)):<5}")
        return times


MIN_EPOCHS = 3  # for a curve

MAX_CURVE = 48  # characters

_LABEL = 12

_METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")


def render_curves(history: Sequence[EpochReport], console: Console) -> None:
    """Draw loss and accuracy over the epochs, each from its lowest to its highest value, with first and last value.

    Nothing is drawn for fewer than `MIN_EPOCHS` epochs, or if the console cannot print the bars.
    """
    if len(history) < MIN_EPOCHS or not can_print(f"{BARS}→", console.encoding):
        return
    lines = []
    for metric in _METRICS:
        values = [value for report in history if (value := getattr(report, metric)) is not None]
        if len(values) == len(history):
            ends = f"{keras_number(values[0])} → {keras_number(values[-1])}"
            columns = max(1, min(MAX_CURVE, console.width - _LABEL - len(ends) - 5))
            line = Text(f"{metric:{_LABEL}}  ").append(sparkline(values, columns), "cyan").append(f"  {ends}")
            lines.append(line)
    console.print(Text("\n").join(lines), no_wrap=True, overflow="crop")
