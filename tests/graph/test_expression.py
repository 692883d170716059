from __future__ import annotations

import math
import random
import sys
from typing import Any

import pytest

from mlptrain.errors import UsageError
from mlptrain.graph.expression import FUNCTIONS, MAX_DEPTH, MAX_LENGTH, MAX_NODES, parse
from mlptrain.graph.graph import backpropagate
from tests.made import processor_seconds_below


@pytest.mark.parametrize(
    ("expression", "column", "reason"),
    [
        ("x + * y", 4, "a name or a number is missing"),
        ("x y", 2, "an operator is missing"),
        ("2x", 1, "a product is written *"),
        ("2(x)", 1, "an operator is missing"),
        ("(x)(y)", 3, "an operator is missing"),
        ("x +", 3, "not complete"),
        ("exp", 3, "not complete"),
        ("exp x", 4, "needs its inputs in parentheses"),
        ("2 * (x + 1", 4, "never closed"),
        ("x + 1)", 5, "never opened"),
        ("()", 1, "a name or a number is missing"),
        ("f(x)", 0, "f is not a gate; gates are max, min, exp"),
        ("max(x)", 0, "at least two inputs"),
        ("1 + exp(x, y)", 4, "takes one input, not 2"),
        ("max(x, *y)", 7, "a name or a number is missing"),
        ("max(x, )", 7, "a name or a number is missing"),
        ("x, y", 1, "a comma is allowed only"),
        ("max(x, (y, z))", 9, "a comma is allowed only"),
        ("x // y", 3, "a name or a number is missing"),
        ("x^2", 1, "a power is written **"),
        ("f = x", 2, "without ="),
        ("x − y", 2, "minus is written -"),
        ("lambda * x", 0, "lambda is a reserved word"),
        ("x if y else z", 2, "if is a reserved word"),
        ("x.real", 1, "not allowed"),
        ("x[0]", 1, "parentheses are written"),
        ("'x'", 0, "not allowed"),
        ("x # y", 2, "not allowed"),
        ("x\0", 1, "not allowed"),
        ("\udc80", 0, "not allowed"),
        ("x\x1b[31m", 1, "not allowed"),
        ("2j", 1, "an operator is missing"),
        ("0x10", 1, "an operator is missing"),
        ("007", 0, "invalid syntax"),
        ("1 + 1e999", 4, "1.8e308"),
        ("9" * 400, 0, "1.8e308"),
        ("σ + ^", 4, "a power is written"),
    ],
)
def test_error_shows_its_position(expression: str, column: int, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(expression)
    first, shown, mark = str(caught.value).split("\n")
    assert reason in first
    assert mark == " " * (2 + column) + "^"
    assert shown.isprintable() and shown.startswith("  " + "".join(c for c in expression[:70] if c.isprintable())[:1])


def test_error_shows_an_excerpt_of_a_long_expression() -> None:
    with pytest.raises(UsageError) as caught:
        parse("x + " * 200 + "$" + " + x" * 200)
    _, shown, mark = str(caught.value).split("\n")
    assert shown[mark.index("^")] == "$" and len(shown) <= 80


def test_white_space_and_names_are_read_as_by_python() -> None:
    graph = parse("\n ﬁ_1 *\n\tσ\u00a0+ ﬁ_1 ")
    assert list(graph.names) == ["fi_1", "σ"]


@pytest.mark.parametrize("expression", ["", " \n "])
def test_empty_expression_raises_usage_error(expression: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        parse(expression)


def nested(levels: int) -> list[str]:
    """Return expressions with ``levels`` levels of nodes."""
    gates = levels - 1
    return ["-" * gates + "x", "exp(" * gates + "x" + ")" * gates, "2" + "**x" * gates, "x+" * gates + "x"]


def test_limits_on_levels_characters_and_nodes() -> None:
    for expression in nested(MAX_DEPTH):
        parse(expression)
    for expression in nested(MAX_DEPTH + 1):
        with pytest.raises(UsageError, match="levels deep"):
            parse(expression)
    parse("x" * MAX_LENGTH)
    with pytest.raises(UsageError, match="characters"):
        parse("x" * (MAX_LENGTH + 1))
    parse("max(" + "1," * (MAX_NODES - 2) + "1)")
    with pytest.raises(UsageError, match="nodes"):
        parse("max(" + "1," * (MAX_NODES - 1) + "1)")


HOSTILE = [
    "(" * 2000, ")" * 2000, "((" * 49 + "x", "max(" * 500, "-" * 1999 + "x", "-+" * 999 + "x", "not " * 490 + "x",
    "2" + "**2" * 600, "2" + "**-2" * 490, "x+" * 999 + "x", "9" * 2000, "1e" + "9" * 1900, "0." + "0" * 1990 + "1",
    "max(" * 49 + "x" + ",x)" * 49, "max(x," * 49 + "x" + ")" * 49, "exp(" * 300 + "x" + ")" * 300, "9**" * 48 + "9",
    "lambda:" * 280, "[" * 2000, "{" * 2000, "f'" * 1000, "\\" * 2000, "\n" * 2000, "_" * 2000, "x if x else " * 160,
]  # fmt: skip

PIECES = [
    *"xyz()+-*/, \n_'[{#\\…σ\0\ud800", "1", "2.5", "1e300", "0", "**", "max(", "min(", "exp(", "log(", "tanh(", "relu(",
    "sigmoid(", "lambda ", "if ", "not ", "2j", "x(", ".5", "5.", "0x1f", ":=", "1_0", "007", "__import__('os')",
]  # fmt: skip

NUMBERS: list[Any] = [0, 1, -1, 2.5, -3, 0.1, 1e300, -1e-300, 700, math.nan, math.inf, 10**400, "a", None]


def grown(rng: random.Random, depth: int) -> str:
    """Return a random valid expression."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(["x", "y", "z", "1", "2.5", "0", "1e300", "-3", "0.5"])
    inner = [grown(rng, depth - 1) for _ in range(3)]
    operator = rng.choice(["+", "-", "*", "/", "**"])
    function = rng.choice(FUNCTIONS)
    call = f"{function}({', '.join(inner)})" if function in ("max", "min") else f"{function}({inner[0]})"
    return rng.choice([f"({inner[0]}){operator}({inner[1]})", f"{inner[0]}{operator}{inner[1]}", f"-{inner[0]}", call])


def test_any_text_quickly_gives_a_result_or_a_usage_error() -> None:
    rng = random.Random(7)
    texts = HOSTILE + ["".join(rng.choices(PIECES, k=rng.randrange(1, 30))) for _ in range(2000)]
    texts += [grown(rng, rng.randrange(1, 5)) for _ in range(2000)]
    results = 0
    for text in texts:
        with processor_seconds_below(0.2):
            try:
                graph = parse(text)
                choices = NUMBERS if rng.random() < 0.3 else NUMBERS[:6]
                result = backpropagate(graph, {name: rng.choice(choices) for name in graph.names})
                assert all(map(math.isfinite, (*result.values, *result.inputs.values())))
                results += 1
            except UsageError as error:
                assert str(error).count("\n") <= 2
    assert 500 < results < len(texts) - 500


def test_deep_call_stacks_do_not_change_the_error() -> None:
    def at(depth: int) -> str:
        if depth:
            return at(depth - 1)
        with pytest.raises(UsageError, match="levels deep"):
            parse("2" + "**2" * 600)
        return "parsed"

    assert at(sys.getrecursionlimit() // 2) == "parsed"
