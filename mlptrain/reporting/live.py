"""The live table of a training run: finished epochs are permanent rows, the line of the current epoch is redrawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlptrain.reporting.plain import layer_lines, start_notes, start_phrases, stopped_note
from mlptrain.reporting.terminal import BARS, print_phrases, progress_bar, sparkline, start_live
from mlptrain.reporting.text import clock, counted, duration, keras_pace
from mlptrain.system.text import can_print, keras_number
from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Progress, Report, RunStart

REDRAW_SECONDS = 0.05

SHORT_EPOCH_SECONDS = 0.5

MAX_WIDTH = 100  # characters

MIN_BAR = 6  # characters

GAP = "  "

CURVE_ROWS = 8  # rows of a window that remain for the table if curves are drawn below it

LIVE_LINES = 3  # the current epoch, and the best values with their epochs

MIN_HEIGHT = 8  # rows of a window that shows the best values while the run proceeds

BETTER = {"loss": -1, "accuracy": 1, "val_loss": -1, "val_accuracy": 1}
"""Metrics of an EpochReport: -1 if smaller values are better, 1 if larger ones are."""

MONITORED = ("val_loss", "val_accuracy", "loss", "accuracy")  # metrics by which the best epoch may have been chosen


@dataclass(frozen=True)
class Column:
    """A column of the table: its heading, the attribute of an EpochReport that it shows, and its width."""

    heading: str
    attribute: str
    width: int


EPOCH = Column("epoch", "epoch", 5)

LOSS = Column("loss", "loss", 8)

ACCURACY = Column("accuracy", "accuracy", 8)

VAL_LOSS = Column("val_loss", "val_loss", 8)

VAL_ACCURACY = Column("val_accuracy", "val_accuracy", 12)

VAL_ACC = Column("val_acc", "val_accuracy", 8)

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


def layout(width: int, epochs: int, *, validation: bool) -> tuple[Column, ...]:
    """Return the columns for lines of ``width`` characters, without those of a validation split that is empty."""
    epoch = replace(EPOCH, width=max(EPOCH.width, len(f"{epochs}/{epochs}")))
    for columns in LAYOUTS:
        kept = epoch, *(c for c in columns[1:] if validation or not c.attribute.startswith("val_"))
        if sum(len(GAP) + c.width for c in kept) - len(GAP) <= width:
            break
    return kept


def table_number(value: float) -> str:
    """Return a metric in at most eight characters: as Keras prints it if that fits, else with fewer digits."""
    forms = (keras_number(value), f"{value:.2e}", f"{value:.1e}", f"{value:.0e}")
    return next((form for form in forms if len(form) <= 8), forms[-1])


class LiveRun:
    """A reporter that shows a run on a terminal, redrawn at most once per `REDRAW_SECONDS`.

    The current epoch and the best values so far are below the rows of the finished epochs, whose heading is repeated
    so that it is always visible. Rows of short epochs are written together with the next redraw, so that the table does
    not slow down a run of a thousand such epochs. The statistics of layers, if any are shown, follow their epoch.

    With ``epochs``, the number of all epochs, the run is one that another process trains: it has no `RunStart`, its
    ``history`` is that of the epochs finished before, and the curves are drawn below the table.
    """

    def __init__(self, console: Console, epochs: int | None = None, history: Sequence[EpochReport] = ()) -> None:
        self._console = console
        self._live: Live | None = None
        self._columns: tuple[Column, ...] = ()
        self._validation = True
        self._epochs = epochs or 1
        self._curves = epochs is not None
        self._rows = 0  # since the last heading
        self._current: Progress | None = None
        self._unwritten: list[EpochReport | LayersReport] = []
        self._best: dict[str, tuple[float, int]] = {}
        self._history: list[EpochReport] = []
        self._epoch_seconds = 0.0
        self._next_redraw = 0.0
        for epoch in history:
            self._note(epoch)
        self._unwritten += history[-self._table_rows(self._curve_rows()) :]

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
            case LayersReport():
                self._unwritten.append(report)
            case RunStart():
                self._begin(report)
            case Outcome():
                self._end(report)

    def close(self) -> None:
        """Write unwritten rows and best values, and show the cursor again; the line of an unfinished epoch stays."""
        live = self._live
        if live is None:
            return
        if self._current and not self._current.step:
            self._current = None
        try:
            if self._unwritten or self._current is None:
                self._draw(perf_counter())
        finally:
            self._live = None
            live.transient = self._current is None
            live.stop()
        if live.transient:
            self._print(self._best_rows())

    def _begin(self, start: RunStart) -> None:
        """Describe the run; the heading of the table is written with the first epoch."""
        self._validation, self._epochs = start.splits[1] > 0, start.epochs
        data, network = start_phrases(start)
        print_phrases(self._console, data)
        print_phrases(self._console, network, "dim")
        for note in start_notes(start):
            print_phrases(self._console, [note], "yellow")
        self._console.line()
        for epoch in start.history:
            self._add_epoch(epoch)

    def _add_epoch(self, epoch: EpochReport) -> None:
        self._unwritten.append(epoch)
        self._note(epoch)
        following = Progress(epoch.epoch + 1, epoch.epochs, 0, epoch.steps, math.nan, math.nan, 0.0)
        self._current = following if epoch.epoch < epoch.epochs else None
        now = perf_counter()
        # After a short epoch the next progress draws the row as well: drawing here would make the line flicker.
        if epoch.seconds >= SHORT_EPOCH_SECONDS or self._current is None or now >= self._next_redraw + REDRAW_SECONDS:
            self._draw(now)

    def _note(self, epoch: EpochReport) -> None:
        """Add an epoch to the history, and remember its finite metrics that are better than in every earlier one."""
        self._history.append(epoch)
        self._epoch_seconds += epoch.seconds
        self._validation = epoch.val_loss is not None
        for name, sign in BETTER.items():
            value = getattr(epoch, name)
            if value is None or not math.isfinite(value):
                continue
            if name not in self._best or sign * value > sign * self._best[name][0]:
                self._best[name] = value, epoch.epoch

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
        columns = layout(width, self._epochs, validation=self._validation)
        if columns != self._columns:  # first, or the window has changed
            self._columns = columns
            lines.append(self._heading())
        curves = self._curve_rows()
        room = self._table_rows(curves)
        for report in self._unwritten:
            if isinstance(report, LayersReport):
                lines += self._layer_rows(report, width)
                continue
            if self._rows >= room:
                lines.append(self._heading())
            lines.append(self._row([self._cell(column, report) for column in columns]))
            self._rows += 1
        self._unwritten.clear()
        live = self._live = self._live or start_live(self._console)
        below = [self._line(self._current, width)] if self._current else []
        if self._console.height >= MIN_HEIGHT:
            below += self._best_rows()
        below += curves
        live.update(Text("\n", no_wrap=True, overflow="crop", end="").join(below))
        with self._console:  # one write
            self._print(lines)
            live.refresh()

    def _table_rows(self, curves: Sequence[Text]) -> int:
        """Return the number of rows, after a heading, that fit above the lines below the table."""
        return max(1, self._console.height - LIVE_LINES - len(curves) - 1)

    def _curve_rows(self) -> list[Text]:
        """Return the curves that fit below the table, if the run is one of another process."""
        if not self._curves or not can_draw_curves(self._console):
            return []
        lines = curve_lines(self._history, min(MAX_WIDTH, self._console.width - 1))
        return lines[: max(0, self._console.height - CURVE_ROWS)]

    def _print(self, lines: Sequence[Text]) -> None:
        if lines:
            self._console.print(Text("\n").join(lines), no_wrap=True, overflow="crop")

    def _heading(self) -> Text:
        self._rows = 0
        return self._row([column.heading for column in self._columns], "bold")

    def _row(self, cells: Sequence[str], style: str = "") -> Text:
        return Text(GAP.join(cell.rjust(c.width) for cell, c in zip(cells, self._columns, strict=True)), style)

    def _layer_rows(self, report: LayersReport, width: int) -> list[Text]:
        """Return a row for each layer, below that of their epoch; the epoch 0 gets a row too."""
        lines = [f"  {line}" for line in layer_lines(report, width - 2, self._console.encoding)]
        if not report.epoch:
            lines.insert(0, f"0/{self._epochs}".rjust(self._columns[0].width) + GAP + "initial weights")
        self._rows += len(lines)
        return [Text(line, "dim") for line in lines]

    def _cell(self, column: Column, epoch: EpochReport) -> str:
        value = getattr(epoch, column.attribute)
        if value is None:
            return "-"
        if column.attribute in BETTER:
            return table_number(value)
        if column is TIME:
            return duration(value)
        return f"{value:#.4g}" if column is LEARNING_RATE else f"{value}/{self._epochs}"

    def _best_rows(self) -> list[Text]:
        """Return a row with the best value of each metric, and one with its epoch; none for a single epoch."""
        if len(self._history) < 2:
            return []
        best = [self._best.get(column.attribute) for column in self._columns[1:]]
        values = ["" if found is None else table_number(found[0]) for found in best]
        epochs = ["" if found is None else str(found[1]) for found in best]
        return [self._row(["best", *values], "green"), self._row(["epoch", *epochs], "dim")]

    def _line(self, progress: Progress, width: int) -> Text:
        """Return the line of the current epoch: its metrics so far, then steps, bar and times as far as they fit."""
        line = Text(f"{progress.epoch}/{progress.epochs}".rjust(self._columns[0].width))
        if not progress.steps:
            return line.append(GAP + self._waiting(progress))
        for column in self._columns:
            if column in (LOSS, ACCURACY):
                text = table_number(getattr(progress, column.attribute)) if progress.step else ""
                line.append(GAP + text.rjust(column.width))
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

    def _waiting(self, progress: Progress) -> str:
        """Return the time since the last epoch of another process, whose steps are unknown, and the remaining time."""
        done = len(self._history)
        since = f"{clock(progress.seconds)} since the {'last epoch' if done else 'start'}"
        if not done:
            return since
        left = self._epoch_seconds / done * (progress.epochs - done) - progress.seconds
        return f"{since}, {clock(max(0.0, left))} left"

    def _times(self, progress: Progress) -> list[str]:
        """Return the remaining time of the run and the time per step, padded to keep the bar's length."""
        pace = progress.seconds / progress.step
        done = len(self._history)
        epoch_seconds = self._epoch_seconds / done if done else pace * progress.steps
        left = pace * (progress.steps - progress.step) + epoch_seconds * (progress.epochs - progress.epoch)
        return [f"{clock(left):>5} left", f"{keras_pace(pace):>10}"]


MIN_EPOCHS = 3  # for a curve

MAX_CURVE = 48  # characters

_LABEL = 12

_METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")


def render_curves(history: Sequence[EpochReport], console: Console) -> None:
    """Draw loss and accuracy over the epochs, each from its lowest to its highest value, with first and last value.

    Nothing is drawn for fewer than `MIN_EPOCHS` epochs, or if the console cannot print the bars.
    """
    if can_draw_curves(console) and (lines := curve_lines(history, console.width)):
        console.print(Text("\n").join(lines), no_wrap=True, overflow="crop")


def can_draw_curves(console: Console) -> bool:
    """Return whether the console can print the characters of the curves."""
    return can_print(f"{BARS}→", console.encoding)


def curve_lines(history: Sequence[EpochReport], width: int) -> list[Text]:
    """Return a line per metric for `render_curves`."""
    lines = []
    for metric in _METRICS if len(history) >= MIN_EPOCHS else ():
        values = [value for report in history if (value := getattr(report, metric)) is not None]
        if len(values) == len(history):
            ends = f"{keras_number(values[0])} → {keras_number(values[-1])}"
            columns = max(1, min(MAX_CURVE, width - _LABEL - len(ends) - 5))
            lines.append(Text(f"{metric:{_LABEL}}  ").append(sparkline(values, columns), "cyan").append(f"  {ends}"))
    return lines
