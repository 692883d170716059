"""Plain lines, two an epoch as Keras's ``verbose=2``: for files, pipes, notebooks; never an escape code."""

from __future__ import annotations

from typing import TextIO

from mlptrain.training.reports import EpochReport, Outcome, Progress, RunStart


def keras_number(value: float) -> str:
    """A figure as Keras prints it: four decimals, or ``1.2345e-04`` up to 1e-3 in size; zero is 0.0000."""
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


def keras_pace(seconds: float) -> str:
    """The ``seconds`` of one step as Keras prints them: ``2s/step``, ``13ms/step`` or ``85us/step``."""
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/step"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms/step"
    return f"{seconds * 1e6:.0f}us/step"


def printable(text: str, encoding: str | None) -> str:
    """``text`` with control characters, and what ``encoding`` cannot hold, as backslash escapes."""
    codec = encoding or "utf-8"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.encode(codec, "backslashreplace").decode(codec)


def counted(count: int, noun: str) -> str:
    """``1 epoch``, ``2 epochs``, ``23,860 parameters``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def start_phrases(start: RunStart) -> tuple[list[str], list[str]]:
    """What is being trained: the phrases of two lines, which a comma joins."""
    train, validation, test = start.parts
    images = [
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
    return images, network


def resumed_note(start: RunStart) -> str | None:
    """Where a run goes on, in words; None where it begins."""
    if not start.resumed:
        return None
    within = f" after step {start.step:,}" if start.step else ""
    return f"resumed in epoch {len(start.history) + 1}{within}"


def stopped_note(end: Outcome) -> str | None:
    """Why training ended early, in words; None where it did not."""
    if end.stopped is None:
        return None
    return f"stopped after {counted(end.epochs, 'epoch')}: {end.stopped.replace('_', ' ')}"


class PlainReporter:
    """Writes every ``log_every``-th epoch, and the last, to ``stream``; each write is flushed."""

    def __init__(self, stream: TextIO, *, log_every: int = 1) -> None:
        self._stream = stream
        self._log_every = max(1, log_every)
        self._unwritten: EpochReport | None = None

    def start(self, start: RunStart) -> None:
        """Write what is being trained."""
        note = resumed_note(start)
        self._write(*(", ".join(phrases) for phrases in start_phrases(start)), *([note] if note else []))

    def progress(self, progress: Progress) -> None:
        """Nothing: a line that cannot be redrawn shows finished epochs only."""

    def epoch(self, epoch: EpochReport) -> None:
        """Write the two lines of a finished epoch, where it is due."""
        if epoch.epoch % self._log_every == 0 or epoch.epoch == epoch.epochs:
            self._write_epoch(epoch)
        else:
            self._unwritten = epoch

    def end(self, end: Outcome) -> None:
        """Write the last epoch where training stopped early between two due ones, and the test result."""
        if self._unwritten is not None:
            self._write_epoch(self._unwritten)
        note = stopped_note(end)
        assert end.test_loss is not None and end.test_accuracy is not None
        result = f"test - loss: {keras_number(end.test_loss)} - accuracy: {keras_number(end.test_accuracy)}"
        self._write(*([note] if note else []), result)

    def close(self) -> None:
        """Nothing: every line was flushed when it was written."""

    def _write_epoch(self, epoch: EpochReport) -> None:
        self._unwritten = None
        figures = {
            "loss": epoch.loss,
            "accuracy": epoch.accuracy,
            "val_loss": epoch.val_loss,
            "val_accuracy": epoch.val_accuracy,
        }
        fields = [
            f"{epoch.steps}/{epoch.steps}",
            f"{epoch.seconds:.0f}s",
            keras_pace(epoch.seconds / max(1, epoch.steps)),
            *(f"{name}: {keras_number(value)}" for name, value in figures.items() if value is not None),
        ]
        self._write(f"Epoch {epoch.epoch}/{epoch.epochs}", " - ".join(fields))

    def _write(self, *lines: str) -> None:
        encoding = getattr(self._stream, "encoding", None)
        self._stream.write("".join(f"{printable(line, encoding)}\n" for line in lines))
        self._stream.flush()
