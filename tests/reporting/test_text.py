from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from mlptrain.reporting.text import clock, counted, duration, keras_pace, listed, shortened, wrapped
from mlptrain.system.text import keras_number


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (keras_number, 0.25674, "0.2567"),
        (keras_number, 1.0, "1.0000"),
        (keras_number, 0.0011, "0.0011"),
        (keras_number, 0.001, "1.0000e-03"),
        (keras_number, 0.00012345, "1.2345e-04"),
        (keras_number, 0.0, "0.0000"),
        (keras_number, -2.5, "-2.5000"),
        (keras_number, math.nan, "nan"),
        (keras_number, math.inf, "inf"),
        (keras_pace, 2.4, "2s/step"),
        (keras_pace, 1.0, "1s/step"),
        (keras_pace, 0.0134, "13ms/step"),
        (keras_pace, 85.2e-6, "85us/step"),
        (keras_pace, 0.0, "0s/step"),
        (clock, 0.4, "0s"),
        (clock, 59.4, "59s"),
        (clock, 59.6, "1:00"),
        (clock, 3599.6, "1:00:00"),
        (duration, 0.0504, "50ms"),
        (duration, 0.9999, "1.0s"),
        (duration, 59.99, "1:00"),
    ],
)
def test_numbers_and_times(function: Callable[[float], str], value: float, text: str) -> None:
    assert function(value) == text


def test_counts_and_lists() -> None:
    assert [counted(number, "epoch") for number in (0, 1, 23_860)] == ["0 epochs", "1 epoch", "23,860 epochs"]
    assert listed(["a", "b"], 2) == "a, b" and listed(["a", "b", "c"], 2) == "a, b, …"
    assert shortened("abcdef", 6) == "abcdef" and shortened("abcdefg", 6) == "abcde…"
    assert shortened("\x1b[31mabc", 8) == "\\x1b[31…"


def test_phrases_are_wrapped_between_phrases_only() -> None:
    assert wrapped(["one", "two", "three", "four"], 12) == ["one, two,", "  three,", "  four"]
    assert wrapped(["one", "two"], 80) == ["one, two"]
