from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest

from mlptrain.reporting.plain import PlainReporter, keras_number, keras_pace
from tests.reporting import made


def written(*, log_every: int = 1, epochs: int = 20, done: int = 20) -> list[str]:
    stream = io.StringIO()
    reporter = PlainReporter(stream, log_every=log_every)
    reporter.start(made.start(epochs))
    for number in range(1, done + 1):
        reporter.progress(made.progress(number, epochs))
        reporter.epoch(made.epoch(number, epochs))
    reporter.end(made.end(done, stopped="time_limit" if done < epochs else None))
    reporter.close()
    return stream.getvalue().splitlines()


def test_golden_lines() -> None:
    assert written(epochs=2, done=2) == [
        "mnist-001: 2 epochs on mnist (49,000 training, 14,000 validation, 7,000 test)",
        "784-30-10 sigmoid, cross_entropy, sgd, 23,860 parameters, batch 64, 766 steps",
        "Epoch 1/2",
        "766/766 - 1s - 1ms/step - loss: 0.2567 - accuracy: 0.9234 - val_loss: 0.1843 - val_accuracy: 0.9456",
        "Epoch 2/2",
        "766/766 - 1s - 1ms/step - loss: 0.2567 - accuracy: 0.9234 - val_loss: 0.1843 - val_accuracy: 0.9456",
        "test - loss: 0.2281 - accuracy: 0.9350",
    ]


def test_a_run_that_goes_on_says_where() -> None:
    for step, words in ((120, "resumed in epoch 2 after step 120"), (0, "resumed in epoch 2")):
        stream = io.StringIO()
        PlainReporter(stream).start(replace(made.start(), resumed=True, history=(made.epoch(1),), step=step))
        assert stream.getvalue().splitlines()[2:] == [words]


def test_val_fields_are_left_out_without_validation() -> None:
    stream = io.StringIO()
    PlainReporter(stream).epoch(made.epoch(3, val_loss=None, val_accuracy=None, seconds=2.4))
    assert stream.getvalue() == "Epoch 3/20\n766/766 - 2s - 3ms/step - loss: 0.2567 - accuracy: 0.9234\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25674, "0.2567"),
        (1.0, "1.0000"),
        (0.0011, "0.0011"),
        (0.001, "1.0000e-03"),
        (0.00012345, "1.2345e-04"),
        (0.0, "0.0000"),
        (-2.5, "-2.5000"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_number_as_keras(value: float, text: str) -> None:
    assert keras_number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2.4, "2s/step"), (1.0, "1s/step"), (0.0134, "13ms/step"), (85.2e-6, "85us/step"), (0.0, "0s/step")],
)
def test_pace_as_keras(seconds: float, text: str) -> None:
    assert keras_pace(seconds) == text


@pytest.mark.parametrize(
    ("epochs", "done", "shown"),
    [(20, 20, [7, 14, 20]), (14, 14, [7, 14]), (20, 10, [7, 10]), (20, 7, [7]), (3, 3, [3])],
)
def test_log_every_seventh_and_the_last(epochs: int, done: int, shown: list[int]) -> None:
    lines = written(log_every=7, epochs=epochs, done=done)
    assert [line for line in lines if line.startswith("Epoch")] == [f"Epoch {n}/{epochs}" for n in shown]


def test_stopped_is_noted_before_the_result() -> None:
    assert written(epochs=20, done=1)[-2:] == [
        "stopped after 1 epoch: time limit",
        "test - loss: 0.2281 - accuracy: 0.9350",
    ]


def test_every_write_is_flushed() -> None:
    class Stream(io.StringIO):
        unflushed = 0

        def write(self, text: str) -> int:
            self.unflushed += len(text)
            return super().write(text)

        def flush(self) -> None:
            self.unflushed = 0

    stream = Stream()
    reporter = PlainReporter(stream)
    for report in (lambda: reporter.start(made.start()), lambda: reporter.epoch(made.epoch(1))):
        report()
        assert stream.getvalue()
        assert stream.unflushed == 0


def test_a_name_cannot_bring_escape_codes_or_break_a_narrow_encoding() -> None:
    raw = io.BytesIO()
    reporter = PlainReporter(io.TextIOWrapper(raw, encoding="ascii", newline="\n"))
    reporter.start(made.start(name="é\x1b[31m\nrun\udc80"))
    assert raw.getvalue().startswith(b"\\xe9\\x1b[31m\\nrun\\udc80: 20 epochs on mnist")
    assert raw.getvalue().count(b"\n") == 2
