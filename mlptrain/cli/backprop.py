"""Command ``mlptrain backprop``."""

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
from mlptrain.graph.expression import FUNCTIONS, parse
from mlptrain.graph.graph import Passes, backpropagate
from mlptrain.reporting.graph import render_passes
from mlptrain.reporting.terminal import make_console
from mlptrain.system.streams import check_written
from mlptrain.system.text import write_lines


def backprop(
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPR",
            help=f"Expression in quotes, of names, numbers, + - * / ** ( ) and {', '.join(FUNCTIONS)}.",
        ),
    ],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Value of each name in the expression.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the tree.")] = False,
    no_color: NoColor = False,
) -> None:
    """Show the forward and backward pass through an expression.

    Each node of the computation graph is shown with its value and its gradient.

    Example: mlptrain backprop "(x + y) * z" x=-2 y=5 z=-4
    """
    graph = parse(expression)
    passes = backpropagate(graph, _numbers(values or ()))
    if json_output:
        write_lines(sys.stdout, json.dumps(_as_json(passes), allow_nan=False))
    else:
        render_passes(passes, make_console(sys.stdout, no_color=no_color))
    check_written()


def _numbers(arguments: Sequence[str]) -> dict[str, float]:
    """Return the NAME=VALUE arguments; names are normalised (NFKC), as Python does in the expression."""
    numbers: dict[str, float] = {}
    for argument in arguments:
        name, equals, text = (part.strip() for part in argument.partition("="))
        if not (name and equals and text):
            remedy = "run `mlptrain backprop --help`" if argument.startswith("-") else "write a value as x=2"
            raise UsageError(f"{shown(argument)}: expected NAME=VALUE\nhint: {remedy}")
        name = normalize("NFKC", name)
        if name in numbers:
            raise UsageError(f"{shown(name)}: given twice")
        try:
            numbers[name] = float(text)
        except ValueError:
            raise UsageError(f"{shown(name)}: expected a number such as 2, -0.5 or 1e-3 (got {shown(text)})") from None
    return numbers


def _as_json(passes: Passes) -> dict[str, Any]:
    """Return the passes as plain values, with null for an undefined gradient."""
    nodes = enumerate(zip(passes.graph.nodes, passes.values, passes.gradients, strict=True))
    return {
        "value": passes.value,
        "gradients": passes.inputs,
        "nodes": [
            {
                "id": number,
                "gate": node.gate,
                "expression": node.expression,
                "inputs": node.inputs,
                "value": value,
                "gradient": None if isnan(gradient) else gradient,
            }
            for number, (node, value, gradient) in nodes
        ],
    }
