"""Exercises: questions with numbers as answers, or a Python program to complete, each with hints and a solution."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import NamedTuple, TypeVar

from mlptrain.errors import UsageError

TOLERANCE = Fraction(5, 1000)
"""Largest accepted difference from answers that are rounded."""

ROUNDED = "(to 3 decimals, accepted within 0.005)"

_LONGEST_NUMBER = 40  # characters

_DECIMAL = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?"

_NUMBER = re.compile(rf"({_DECIMAL})(?:\s*/\s*({_DECIMAL}))?")

_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """A question and its answer.

    ``given`` is what the question is about, in one or more lines; consecutive items may share it. ``hints`` reveal more
    from one to the next, but never the answer; ``solution`` explains the answer in lines. The items of a program have
    no answer, because the program is checked instead.
    """

    id: str
    question: str
    hints: tuple[str, ...]
    solution: tuple[str, ...] = ()
    given: str = ""
    answer: Fraction = Fraction(0)
    tolerance: Fraction = Fraction(0)

    @property
    def stated(self) -> str:
        """The answer as the solution states it."""
        return f"{float(self.answer):.3f}" if self.tolerance else decimal(self.answer)

    def accepts(self, number: Fraction) -> bool:
        """Return whether ``number`` is a correct answer."""
        return abs(number - self.answer) <= self.tolerance


class Case(NamedTuple):
    """The variant of a program, such as ``adam``, that a seed gives.

    With ``rows`` the examples are the rows of the arrays, otherwise the columns; with ``mean`` a loss is the mean over
    the batch, otherwise the sum. ``numbers`` are the constants of the file.
    """

    name: str
    rows: bool = False
    mean: bool = False
    numbers: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Program:
    """A Python file with a ``function`` to complete: its text before and after that, and its variant."""

    function: str
    unfinished: str
    finished: str
    case: Case


@dataclass(frozen=True)
class Exercise:
    """The exercise of a kind that a seed gives."""

    kind: str
    seed: str
    items: tuple[Item, ...]
    program: Program | None = None


def pick(random: Random, options: Sequence[T]) -> T:
    """Return one of ``options``.

    Only ``Random.random`` gives the same numbers in every version of Python.
    """
    return options[int(random.random() * len(options))]


def shuffled(random: Random, options: Sequence[T]) -> list[T]:
    """Return ``options`` in a random order, which is the same in every version of Python."""
    left = list(options)
    return [left.pop(int(random.random() * len(left))) for _ in options]


def decimal(number: Fraction | float) -> str:
    """Return a number in decimals, with at most six, without trailing zeros."""
    text = f"{float(number):.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def factor(number: Fraction | float) -> str:
    """Return a number as a factor of a product: a negative one in parentheses."""
    return f"({decimal(number)})" if number < 0 else decimal(number)


def exact(number: float) -> Fraction:
    """Return the short decimal number that a float stands for."""
    return Fraction(decimal(number))


def read_number(text: str) -> Fraction:
    """Return the number that an answer such as ``-3``, ``0.5``, ``1e-3`` or ``1/3`` means.

    Raises
    ------
    UsageError
        The answer is not a number; the message begins with the answer.
    """
    written = text.strip().replace("\N{MINUS SIGN}", "-")
    shown = repr(text if len(text) <= _LONGEST_NUMBER else f"{text[:_LONGEST_NUMBER]}…")
    if _COMMA.fullmatch(written):
        thousands = f" (or {written.replace(',', '')})" if len(written.partition(",")[2]) == 3 else ""
        raise UsageError(
            f"{shown}: numbers are written with a decimal point and without commas\n"
            f"hint: write {written.replace(',', '.')}{thousands}"
        )
    match = _NUMBER.fullmatch(written) if len(written) <= _LONGEST_NUMBER else None
    if match is None or (match[2] and not Fraction(match[2])):
        raise UsageError(f"{shown}: not a number\nhint: write a number such as -3, 0.5 or 1/3")
    return Fraction(match[1]) / Fraction(match[2] or 1)
