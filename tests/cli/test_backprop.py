from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.cli.conftest import Command

NEURON = ["1/(1 + exp(-(w0*x0 + w1*x1 + w2)))", "w0=2", "w1=-3", "w2=-3", "x0=-1", "x1=-2"]


def test_the_tree_shows_values_and_gradients(mlptrain: Command) -> None:
    result = mlptrain("backprop", "(x + y) * z", "x=-2", "y=5", "z=-4")
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "node                  value  gradient",
        "product  (x + y) * z    -12         1",
        "├─ sum  x + y             3        -4",
        "│  ├─ x                  -2        -4",
        "│  └─ y                   5        -4",
        "└─ z                     -4         3",
        "",
        "the gradient is 1 at the output; from there back to the inputs:",
        "  product swaps the inputs: each gets gradient * the other",
        "  sum sends the gradient on, the same to each input",
        "",
        "input  value  gradient",
        "x         -2        -4",
        "y          5        -4",
        "z         -4         3",
    ]


def test_json_lists_inputs_and_nodes(mlptrain: Command) -> None:
    result = mlptrain("backprop", "2 * (x*y + max(z, w))", "x=3", "y=-4", "z=2", "w=-1", "--json")
    assert (result.code, result.err) == (0, "")
    printed = json.loads(result.out)
    assert printed.keys() == {"value", "gradients", "nodes"}
    assert printed["value"] == -20
    assert list(printed["gradients"].items()) == [("x", -8), ("y", 6), ("z", 2), ("w", 0)]
    add = {"gate": "sum", "expression": "x*y + max(z, w)", "inputs": [3, 6], "value": -10, "gradient": 2}
    double = {"gate": "product", "expression": "2 * (x*y + max(z, w))", "inputs": [0, 7], "value": -20, "gradient": 1}
    assert printed["nodes"][-2:] == [{"id": 7, **add}, {"id": 8, **double}]
    assert [node["id"] for node in printed["nodes"]] == list(range(9))


def test_gradients_of_a_sigmoid_neuron(mlptrain: Command) -> None:
    printed = json.loads(mlptrain("backprop", *NEURON, "--json").out)
    assert round(printed["value"], 2) == 0.73
    rounded = {name: round(gradient, 4) for name, gradient in printed["gradients"].items()}
    assert rounded == {"w0": -0.1966, "x0": 0.3932, "w1": -0.3932, "x1": -0.5898, "w2": 0.1966}


def test_an_undefined_gradient_is_null(mlptrain: Command) -> None:
    printed = json.loads(mlptrain("backprop", "--json", "x**2", "x=-3").out)
    assert [node["gradient"] for node in printed["nodes"]] == [-6, None, 1]
    assert "2             2         -" in mlptrain("backprop", "x**2", "x=-3").out


@pytest.mark.parametrize(
    ("arguments", "value", "gradients"),
    [
        (["-x*y", "x=2", "y=3"], -6, {"x": -3, "y": -2}),
        (["-x", "x=2"], -2, {"x": -1}),
        (["--x", "x=2"], 2, {"x": 1}),
        (["--no*x", "no=2", "x=3"], 6, {"no": 3, "x": 2}),
        (["-5*x", "x=-2"], 10, {"x": -5}),
        (["-(q + h)", "q=1", "h=2"], -3, {"q": -1, "h": -1}),
        (["--", "-x", "x=2"], -2, {"x": -1}),
        (["--no-color", "-x", "x=2"], -2, {"x": -1}),
        (["x", " x = 1e-3 "], 0.001, {"x": 1}),
        (["ﬁ*σ", "ﬁ=2", "σ=3"], 6, {"fi": 3, "σ": 2}),
        (["3"], 3, {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_expressions_may_look_like_options(
    arguments: list[str], value: float, gradients: dict[str, Any], mlptrain: Command
) -> None:
    result = mlptrain("backprop", "--json", *arguments)
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    assert (printed["value"], printed["gradients"]) == (value, gradients)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["x^2", "x=1"], ["a power is written **", "  x^2", "   ^"]),
        (["2x", "x=1"], ["an operator is missing", "   ^"]),
        (["", "x=1"], ["the expression is empty"]),
        (["x=1", "x"], ["the expression comes first"]),
        (["1/x", "x=0"], ["1/x", "division by 0"]),
        (["x"], ["no value for x", "x=NUMBER"]),
        (["x", "x=1", "y=1"], ["y does not occur"]),
        (["x", "x=1", "x=2"], ["'x'", "twice"]),
        (["ﬁ", "fi=1", "ﬁ=2"], ["'fi'", "twice"]),
        (["x", "x=one"], ["'x'", "'one'", "number"]),
        (["x", "x=1/2"], ["'1/2'", "-0.5"]),
        (["x", "x=nan"], ["x: nan is not a finite number"]),
        (["x", "x=1e999"], ["x: inf is not a finite number"]),
        (["x", "x="], ["'x='", "NAME=VALUE"]),
        (["x", "=1"], ["'=1'", "NAME=VALUE"]),
        (["x", "x=1", "--jsn"], ["'--jsn'", "--help"]),
        (["x" * 3000], ["got 3,000"]),
        (["-" * 1000 + "x", "x=1"], ["levels deep"]),
        (["x", "\x1b[31m=1", "x=1"], ["\\x1b[31m"]),
    ],
    ids=lambda value: " ".join(value)[:20] if value and "is" not in " ".join(value) else None,
)
def test_wrong_usage_is_exit_2(arguments: list[str], parts: list[str], mlptrain: Command) -> None:
    result = mlptrain("backprop", *arguments)
    assert (result.code, result.out) == (2, ""), result.err
    assert all(part in result.err for part in parts), result.err
    assert result.err.startswith("mlptrain: ") and result.err.count("\n") <= 3
    assert "\x1b" not in result.err


def test_a_missing_expression_is_exit_2(mlptrain: Command) -> None:
    assert mlptrain("backprop").code == 2


def test_numpy_is_not_imported() -> None:
    code = (
        "import sys; from mlptrain.cli import main; main(['backprop', 'x*y', 'x=1', 'y=2']); "
        "sys.exit('numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
