"""Progress in notebooks: an output of the cell that is updated in place, by messages of IPython's kernel."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any
from uuid import uuid4

from mlptrain.reporting import plain, sweep
from mlptrain.reporting.text import clock, counted, duration
from mlptrain.runs.fragments import metrics_and_curves
from mlptrain.sweeps.leaderboard import Leaderboard
from mlptrain.sweeps.reports import Advance, Retry, SweepEnd, SweepReport, SweepStart, TrialEnd, WaveStart
from mlptrain.system.html import fragment, note, progress
from mlptrain.system.text import keras_number
from mlptrain.training.reports import EpochReport, Outcome, Progress, Report, RunStart

REDRAW_SECONDS = 0.25

PAUSE = 20  # times the time of an update, at least, until the next


class Output:
    """A part of the output of the current cell; each update replaces it."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._identity = {"display_id": uuid4().hex}
        self._shown = False
        self._next_redraw = 0.0

    @property
    def is_due(self) -> bool:
        """True if the last update was long enough ago."""
        return perf_counter() >= self._next_redraw

    def update(self, html: str, text: str, began: float) -> None:
        """Show ``html``, or ``text`` where a notebook is shown as plain text; ``began`` is when the caller drew it."""
        data = {"text/html": html, "text/plain": text}
        self._shell.display_pub.publish(data, transient=self._identity, update=self._shown)
        self._shown = True
        now = perf_counter()
        self._next_redraw = now + max(REDRAW_SECONDS, PAUSE * (now - began))


class NotebookRun:
    """A reporter that shows a run as its description, metrics, learning curves and a progress bar."""

    def __init__(self, shell: Any) -> None:
        self._output = Output(shell)
        self._start: RunStart | None = None
        self._history: list[EpochReport] = []
        self._current: Progress | None = None
        self._end: Outcome | None = None

    def show(self, report: Report, /) -> None:
        """Show a report; the progress of an epoch and its end only if a redraw is due."""
        match report:
            case RunStart():
                self._start, self._history = report, list(report.history)
            case Progress():
                self._current = report
            case EpochReport():
                self._current = None
                self._history.append(report)
            case Outcome():
                self._end = report
        if self._output.is_due or isinstance(report, RunStart | Outcome):
            self._draw()

    def close(self) -> None:
        """Show the last epochs of a run that was interrupted or has diverged."""
        if self._start is not None and self._end is None:
            self._draw()

    def _draw(self) -> None:
        began, start, end = perf_counter(), self._start, self._end
        title, lines, epochs = "the run is complete", [], 0
        if start is not None:
            data, network = map(", ".join, plain.start_phrases(start))
            title, lines, epochs = data, [network, *plain.start_notes(start)], start.epochs
        if end is None:
            metrics = vars(self._history[-1]) if self._history else {}
            status, bar = self._progress(epochs)
        else:
            metrics, epochs, bar = vars(end), 0, ""
            status = f"test accuracy {keras_number(end.test_accuracy or 0.0)}"
            best = "" if end.best_epoch is None else f", best epoch {end.best_epoch}"
            lines += [*plain.stopped_note(end), f"{counted(end.epochs, 'epoch')} in {duration(end.seconds)}{best}"]
        html = fragment(title, *map(note, lines), metrics_and_curves(metrics, self._history, epochs), bar)
        self._output.update(html, f"{title}\n{status}", began)

    def _progress(self, epochs: int) -> tuple[str, str]:
        """Return the current epoch with the remaining time, and a progress bar."""
        done, seconds = float(len(self._history)), sum(epoch.seconds for epoch in self._history)
        if self._current is not None:
            done, seconds = done + self._current.step / self._current.steps, seconds + self._current.seconds
        left = f", {clock(seconds / done * (epochs - done))} left" if done else ""
        status = f"epoch {min(epochs, len(self._history) + 1)}/{epochs}{left}"
        return status, progress(done, epochs, status)


class NotebookSweep:
    """A reporter that shows a sweep as its description, leaderboard and a progress bar."""

    def __init__(self, shell: Any) -> None:
        self._output = Output(shell)
        self._title = ""
        self._lines: dict[type, str] = {}  # the latest by the kind of their report
        self._board: Leaderboard | None = None
        self._before: float | None = None  # trials done before the first report of progress
        self._began = perf_counter()

    def show(self, report: SweepReport, /) -> None:
        """Show a report; progress only if a redraw is due."""
        match report:
            case SweepStart():
                self._title, self._lines[SweepStart] = map(", ".join, sweep.start_phrases(report))
            case WaveStart():
                self._lines[WaveStart] = ", ".join(sweep.wave_phrases(report))
            case Retry():
                self._lines[Retry] = sweep.retry_line(report)
            case TrialEnd():
                self._board = report.board  # shown by the next report of progress
            case Advance():
                if self._before is None:
                    self._before, self._began = report.done, perf_counter()
                if self._output.is_due:
                    left = sweep.remaining(report.done, report.total, self._before, perf_counter() - self._began)
                    status = f"{int(report.done + 1e-9)}/{report.total} trials {left}".rstrip()
                    self._draw([*self._lines.values()], status, progress(report.done, report.total, status))
            case SweepEnd():
                self._board, lines = report.board, sweep.end_lines(report)
                self._draw([self._lines[SweepStart], *lines], lines[-1])

    def close(self) -> None:
        """Do nothing: what has been shown stays."""

    def _draw(self, lines: Sequence[str], status: str, bar: str = "") -> None:
        began, board = perf_counter(), "" if self._board is None else self._board._repr_html_()
        html = fragment(self._title, *map(note, lines), board, bar)
        self._output.update(html, f"{self._title}\n{status}", began)
