"""``mlptrain backprop``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from math import isnan
from typing import Annotated, Any
from unicodedata import normalize

import typer

from mlptrain.cli.options import NoColor
from mlptrain.config.values import shown
from mlptrain.errors import UsageError
from mlptrain.graph.expression import parse
from mlptrain.graph.graph import Passes, backpropagate
from mlptrain.reporting.graph import render_passes
from mlptrain.reporting.terminal import make_console


def backprop(
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPR",
            help="Names, numbers, + - * / ** ( ) and max, min, exp, log, sigmoid, tanh, relu, in quotes.",
        ),
    ],
    values: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="A number for each name.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="One JSON object instead of the tree.")] = False,
    no_color: NoColor = False,
) -> None:
    """Go forward and backward through a computation graph, and show every node.

    Example: mlptrain backprop "(x + y) * z" x=-2 y=5 z=-4
    """
    graph = parse(expression)
    passes = backpropagate(graph, _numbers(values or ()))
    if json_output:
        print(json.dumps(_plain(passes), allow_nan=False))
    else:
        render_passes(passes, make_console(sys.stdout, no_color=no_color))


def _numbers(arguments: Sequence[str]) -> dict[str, float]:
    """The NAME=VALUE arguments; names in the normal form in which Python reads those of the expression."""
    numbers: dict[str, float] = {}
    for argument in arguments:
        name, equals, text = (part.strip() for part in argument.partition("="))
        if not (name and equals and text):
            options = "; for the options see --help" if argument.startswith("-") else ""
            raise UsageError(f"{shown(argument)} is not NAME=VALUE; write it like x=2{options}")
        name = normalize("NFKC", name)
        if name in numbers:
            raise UsageError(f"{shown(name)} is given twice")
        try:
            numbers[name] = float(text)
        except ValueError:
            raise UsageError(f"{shown(name)}: {shown(text)} is not a number; write it like 2, -0.5 or 1e-3") from None
    return numbers


def _plain(passes: Passes) -> dict[str, Any]:
    """The passes as plain values; a gradient that is no finite number is null."""
    nodes = enumerate(zip(passes.graph.nodes, passes.values, passes.gradients, strict=True))
    return {
        "value": passes.value,
        "gradients": passes.inputs,
        "nodes": [
            {
                "id": place,
                "gate": node.gate,
                "expression": node.expression,
                "inputs": node.inputs,
                "value": value,
                "gradient": None if isnan(gradient) else gradient,
            }
            for place, (node, value, gradient) in nodes
        ],
    }
