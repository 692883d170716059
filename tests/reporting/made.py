"""Reports and terminals for tests."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from mlptrain.engine.layers import LayerStatistics
from mlptrain.training.reports import EpochReport, LayersReport, Outcome, Progress, RunStart


def start(epochs: int = 20, validation: int = 14_000, name: str = "mnist-001") -> RunStart:
    splits, layers = (49_000, validation, 7_000), (784, 30, 10)
    return RunStart(
        name, "mnist", splits, layers, "sigmoid", "softmax", "cross_entropy", "sgd", 23_860, epochs, 766, 64, 2
    )


def progress(epoch: int = 1, epochs: int = 20, step: int = 383, steps: int = 766) -> Progress:
    return Progress(epoch, epochs, step, steps, 0.3456, 0.8912, 0.002 * step)


def epoch(
    number: int,
    epochs: int = 20,
    loss: float = 0.2567,
    accuracy: float = 0.9234,
    val_loss: float | None = 0.1843,
    val_accuracy: float | None = 0.9456,
    seconds: float = 1.0,
) -> EpochReport:
    return EpochReport(number, epochs, 766, loss, accuracy, val_loss, val_accuracy, 0.5, seconds)


def layers(epoch: int = 1) -> LayersReport:
    hidden = LayerStatistics(-0.25, 1.5, 0.4, 0.3, 0.17, None, 0.123, 7.5, 0.00456)
    return LayersReport(epoch, (hidden, hidden._replace(saturated=None)))


def end(epochs: int = 20, best_epoch: int | None = 17, stopped: str | None = None) -> Outcome:
    seconds, samples = 23.41, 979_999
    metrics = 0.2567, 0.9234, 0.1843, 0.9456
    return Outcome(epochs, best_epoch, *metrics, seconds, samples, stopped, None, None, 0.2281, 0.9350)


class Terminal:
    """A pseudo-terminal: ``stream`` is its inner side, ``data`` all bytes written.

    `screen` sets ``longest``, the largest column reached, and ``cursor``, whether the cursor is visible.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.data = b""
        self.longest = 0
        self.cursor = True

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the window."""
        import fcntl
        import struct
        import termios

        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def screen(self) -> list[str]:
        """Return the final lines, including those that scrolled off, from the control codes that Rich's Live writes."""
        rows, row, column = [""], 0, 0
        for token in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", self.data.decode()):
            if token == "\r":
                column = 0
            elif token == "\n":
                row += 1
                rows += [""] * (row == len(rows))
            elif token in ("\x1b[?25l", "\x1b[?25h"):
                self.cursor = token.endswith("h")
            elif token == "\x1b[2K":
                rows[row] = ""
            elif token == "\x1b[1A":
                row -= 1
            elif not token.startswith("\x1b"):
                rows[row] = rows[row].ljust(column)[:column] + token + rows[row][column + len(token) :]
                column += len(token)
                self.longest = max(self.longest, column)
            else:
                assert token.endswith("m"), token
        return [text.rstrip() for text in rows]


@contextmanager
def terminal(columns: int, rows: int = 24) -> Iterator[Terminal]:
    """Provide a terminal to write to; its ``data`` are complete after the block."""
    import pty

    outer, inner = pty.openpty()
    result = Terminal(os.fdopen(inner, "w", encoding="utf-8"))
    result.resize(columns, rows)
    done = b"\x00\x00"

    def read() -> None:
        while not result.data.endswith(done):
            result.data += os.read(outer, 65536)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield result
    finally:
        result.stream.write(done.decode())
        result.stream.flush()
        reader.join(10)
        result.data = result.data.removesuffix(done)
        result.stream.close()
        os.close(outer)
