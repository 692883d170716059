"""A training run as plain lines, for files, pipes and notebooks, and the phrases that the live table shares."""

from __future__ import annotations

from typing import TextIO

from mlptrain.reporting.text import counted, keras_pace
from mlptrain.system.text import can_print, keras_number, write_lines
from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Report, RunStart

MAX_LINE = 100  # characters of a line with the statistics of a layer


def start_phrases(start: RunStart) -> tuple[list[str], list[str]]:
    """Return the phrases of two lines that describe a run: its data, and its network and training."""
    train, validation, test = start.splits
    data = [
        f"{start.name}: {counted(start.epochs, 'epoch')} on {start.dataset} ({train:,} training",
        f"{validation:,} validation" if validation else "no validation",
        f"{test:,} test)",
    ]
    network = [
        f"{'-'.join(map(str, start.layers))} {start.activation}",
        start.loss,
        start.optimizer,
        counted(start.parameters, "parameter"),
        f"batch {start.batch_size:,}",
        counted(start.steps, "step"),
    ]
    return data, network


def start_notes(start: RunStart) -> list[str]:
    """Return lines about the state from which a run starts; none for a new run with random weights."""
    notes = []
    if start.start is not None:
        notes.append(f"starting from {start.start}")
    if start.resumed:
        within = f" after step {start.step:,}" if start.step else ""
        notes.append(f"resumed in epoch {len(start.history) + 1}{within}")
    if start.fresh:
        notes.append("nothing to resume: starting a new run")
    return notes


def stopped_note(end: Outcome) -> list[str]:
    """Return a line with the reason why training stopped early; none if it did not."""
    if end.stopped is None:
        return []
    return [f"stopped after {counted(end.epochs, 'epoch')}: {end.stopped.replace('_', ' ')}"]


def layer_lines(report: LayersReport, width: int, encoding: str | None) -> list[str]:
    """Return a line for each layer; the moments are left out if a line would be longer than ``width`` characters."""
    plus = "±" if can_print("±", encoding) else "+-"
    rows = [
        [
            f"layer {number}",
            f"z {layer.z_mean:5.2f} {plus} {layer.z_sd:4.2f}",
            f"a {layer.a_mean:5.2f} {plus} {layer.a_sd:4.2f}",
            *(
                f"{name} {share:4.0%}"
                for name, share in (("saturated", layer.saturated), ("dead", layer.dead))
                if share is not None
            ),
            f"gradient {layer.gradient_norm:.1e}",
            f"update {layer.update_ratio:.1e}",
        ]
        for number, layer in enumerate(report.layers, start=1)
    ]
    most = max(map(len, rows))
    for row in rows:
        row[3:3] = [""] * (most - len(row))  # the output layer has no share
    columns = [[cell.ljust(max(map(len, cells))) for cell in cells] for cells in map(list, zip(*rows, strict=True))]
    while len(columns) > 4 and len("  ".join(column[0] for column in columns)) > width:
        del columns[1]
    return ["  ".join(cells) for cells in zip(*columns, strict=True)]


class PlainRun:
    """A reporter that writes two lines per epoch as Keras does with ``verbose=2``.

    It shows every ``log_every``-th epoch and the last. The statistics of layers, if any are shown, follow their epoch.
    """

    def __init__(self, stream: TextIO, *, log_every: int = 1) -> None:
        self._stream = stream
        self._log_every = log_every
        self._unwritten: EpochReport | None = None

    def show(self, report: Report, /) -> None:
        """Write the start, an epoch that is due, or the test result."""
        match report:
            case EpochReport():
                if report.epoch % self._log_every == 0 or report.epoch == report.epochs:
                    self._write_epoch(report)
                else:
                    self._unwritten = report
            case LayersReport():
                if self._unwritten is None:
                    heading = [] if report.epoch else ["Initial weights"]
                    lines = layer_lines(report, MAX_LINE, self._stream.encoding)
                    write_lines(self._stream, *heading, *(f"  {line}" for line in lines))
            case RunStart():
                write_lines(self._stream, *map(", ".join, start_phrases(report)), *start_notes(report))
            case Outcome():
                if self._unwritten is not None:  # training stopped early
                    self._write_epoch(self._unwritten)
                assert report.test_loss is not None and report.test_accuracy is not None
                loss, accuracy = keras_number(report.test_loss), keras_number(report.test_accuracy)
                write_lines(self._stream, *stopped_note(report), f"test - loss: {loss} - accuracy: {accuracy}")

    def close(self) -> None:
        """Do nothing: every line is flushed when it is written."""

    def _write_epoch(self, epoch: EpochReport) -> None:
        self._unwritten = None
        metrics = {name: getattr(epoch, name) for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
        steps = [f"{epoch.steps}/{epoch.steps}"] if epoch.steps else []  # unknown in a run of another process
        fields = [
            *steps,
            f"{epoch.seconds:.0f}s",
            *([keras_pace(epoch.seconds / epoch.steps)] if steps else []),
            *(f"{name}: {keras_number(value)}" for name, value in metrics.items() if value is not None),
        ]
        write_lines(self._stream, f"Epoch {epoch.epoch}/{epoch.epochs}", " - ".join(fields))
