from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Any

import pytest

from mlptrain.errors import UsageError
from mlptrain.exercises.exercise import decimal, exact, factor, pick, read_number, shuffled


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3", 3),
        (" -3 ", -3),
        ("+.5", Fraction(1, 2)),
        ("−2.", -2),
        ("1/3", Fraction(1, 3)),
        ("-1 / 3", Fraction(-1, 3)),
        ("1e-3", Fraction(1, 1000)),
        ("0.1", Fraction(1, 10)),
    ],
)
def test_numbers(text: str, number: Any) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "x", "1/0", "1/2/3", "1e999999999", "nan", "inf", "1_000", "9" * 50, "f = 3", "٣"]
)
def test_other_text_is_not_a_number(text: str) -> None:
    with pytest.raises(UsageError, match="number"):
        read_number(text)


@pytest.mark.parametrize(("text", "hints"), [("0,5", ["0.5"]), ("-23,860", ["-23.860", "-23860"])])
def test_a_comma_is_explained(text: str, hints: list[str]) -> None:
    with pytest.raises(UsageError, match="decimal point") as error:
        read_number(text)
    assert all(hint in str(error.value) for hint in hints)


def test_decimals() -> None:
    assert [decimal(number) for number in (-0.0, 1.5, 100, -1e-9)] == ["0", "1.5", "100", "0"]
    assert factor(-1.5) == "(-1.5)" and factor(2) == "2"
    assert exact(0.1 + 0.2) == Fraction(3, 10)


def test_choices_are_the_same_in_every_version_of_python() -> None:
    random = Random("chain-rule 7")
    assert [pick(random, range(100)) for _ in range(4)] == [63, 3, 27, 16]
    assert shuffled(random, "abcd") == ["b", "c", "a", "d"]
