"""Computation graphs for teaching backpropagation: gates, each with its forward and its backward rule.

>>> from mlptrain.graph.expression import parse
>>> passes = backpropagate(parse("(x + y) * z"), {"x": -2, "y": 5, "z": -4})
>>> passes.value, passes.inputs
(-12.0, {'x': -4.0, 'y': -4.0, 'z': 3.0})
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mlptrain.errors import UsageError

LARGEST_NUMBER = "1.8e308, the largest number"

INPUT, NUMBER = "input", "number"


@dataclass(frozen=True)
class Gate:
    """An operation: ``forward(*inputs)`` is its value f, ``backward(g, f, *inputs)`` is g df/dx for each input x.

    g is the gradient of the output with respect to f. ``rule`` describes ``backward`` in words; its subject is the name
    of the gate.
    """

    forward: Callable[..., float]
    backward: Callable[..., tuple[float, ...]]
    rule: str


def _divide(x: float, y: float) -> float:
    if y == 0:
        raise UsageError("division by 0")
    return x / y


def _power(x: float, y: float) -> float:
    if x == 0 and y < 0:
        raise UsageError("0 cannot have a negative exponent")
    if x < 0 and not y.is_integer():
        raise UsageError("a negative number needs a whole exponent")
    return math.pow(x, y)


def _power_backward(g: float, f: float, x: float, y: float) -> tuple[float, float]:
    """f = x^y: df/dx = y x^(y − 1) and df/dy = x^y ln x; NaN if that is not a finite real number."""
    try:
        slope = y * math.pow(x, y - 1) if y else 0.0
    except (OverflowError, ValueError):
        slope = math.nan
    logarithm = math.log(x) if x > 0 else 0.0 if x == 0 < y else math.nan
    return g * slope, g * f * logarithm


def _log(x: float) -> float:
    if x <= 0:
        raise UsageError("log needs a number above 0")
    return math.log(x)


def _sigmoid(x: float) -> float:
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    e = math.exp(x)  # cannot overflow, because x < 0
    return e / (1 + e)


def _route(g: float, f: float, *inputs: float) -> tuple[float, ...]:
    """Give ``g`` to the first input that equals the output ``f``, and 0 to the others."""
    chosen = inputs.index(f)
    return tuple(g if index == chosen else 0.0 for index in range(len(inputs)))


GATES: dict[str, Gate] = {
    "sum": Gate(lambda x, y: x + y, lambda g, f, x, y: (g, g), "sends the gradient on, the same to each input"),
    "difference": Gate(
        lambda x, y: x - y,
        lambda g, f, x, y: (g, -g),
        "sends the gradient to the first input, its negative to the second",
    ),
    "product": Gate(
        lambda x, y: x * y, lambda g, f, x, y: (g * y, g * x), "swaps the inputs: each gets gradient * the other"
    ),
    "division": Gate(
        _divide, lambda g, f, x, y: (g / y, -g * f / y), "x/y gives x gradient / y, and y minus gradient * x / y**2"
    ),
    "power": Gate(_power, _power_backward, "x**y gives x gradient * y * x**(y - 1), and y gradient * x**y * log(x)"),
    "negation": Gate(lambda x: -x, lambda g, f, x: (-g,), "changes the sign of the gradient"),
    "max": Gate(
        lambda *inputs: max(inputs), _route, "sends the gradient to the largest input (of equal ones, to the first)"
    ),
    "min": Gate(
        lambda *inputs: min(inputs), _route, "sends the gradient to the smallest input (of equal ones, to the first)"
    ),
    "exp": Gate(math.exp, lambda g, f, x: (g * f,), "multiplies the gradient by its own output"),
    "log": Gate(_log, lambda g, f, x: (g / x,), "divides the gradient by its input"),
    "sigmoid": Gate(
        _sigmoid,
        lambda g, f, x: (g * f * _sigmoid(-x),),
        "multiplies the gradient by s * (1 - s), where s is its output",
    ),
    "tanh": Gate(
        math.tanh,
        lambda g, f, x: (g * (1 - f) * (1 + f),),
        "multiplies the gradient by 1 - t**2, where t is its output",
    ),
    "relu": Gate(
        lambda x: max(0.0, x),
        lambda g, f, x: (g if x > 0 else 0.0,),
        "sends the gradient on if its input is above 0, otherwise stops it",
    ),
}


@dataclass(frozen=True)
class Node:
    """A gate, an input or a number; ``inputs`` are the indices of earlier nodes."""

    gate: str
    expression: str
    inputs: tuple[int, ...] = ()
    number: float = 0.0


@dataclass(frozen=True)
class Graph:
    """An expression as nodes, each after its inputs, the output last; all uses of a name share one node."""

    nodes: tuple[Node, ...]

    @property
    def names(self) -> dict[str, int]:
        """The names in the order of the expression, each with the index of its node."""
        return {node.expression: index for index, node in enumerate(self.nodes) if node.gate == INPUT}


@dataclass(frozen=True)
class Passes:
    """The forward and backward pass through ``graph``: for each node its value f and its gradient d output / df.

    ``shares[i][j]`` is the part of its gradient that the j-th input of node i gets from node i. A gradient that is not
    finite is NaN. Only those of numbers can be, such as that of the 2 in x**2 for a negative x.
    """

    graph: Graph
    values: tuple[float, ...]
    gradients: tuple[float, ...]
    shares: tuple[tuple[float, ...], ...]

    @property
    def value(self) -> float:
        """The value of the whole expression."""
        return self.values[-1]

    @property
    def inputs(self) -> dict[str, float]:
        """The gradient of each name."""
        return {name: self.gradients[index] for name, index in self.graph.names.items()}


def backpropagate(graph: Graph, values: Mapping[str, float]) -> Passes:
    """Compute the values of all nodes from first to last, then their gradients from last to first, by the chain rule.

    Raises
    ------
    UsageError
        A value is missing, does not belong to a name or is not finite, or a gate has no finite value or gradient.
    """
    results, varies = _forward(graph, _check_values(graph, values))
    gradients = [0.0] * len(graph.nodes)
    gradients[-1] = 1.0
    shares: list[tuple[float, ...]] = [()] * len(graph.nodes)
    for index in reversed(range(len(graph.nodes))):
        node, gradient = graph.nodes[index], gradients[index]
        if not node.inputs:
            continue
        inputs = [results[source] for source in node.inputs]
        if gradient == 0:  # without this, 0 times an infinite slope (x**0.5 at 0) would be NaN
            shares[index] = (0.0,) * len(inputs)
        else:
            # + 0.0 replaces -0.0 by 0.0.
            shares[index] = tuple(s + 0.0 for s in GATES[node.gate].backward(gradient, results[index], *inputs))
        for source, share in zip(node.inputs, shares[index], strict=True):
            gradients[source] += share  # a node gets a share from every gate that uses it
            if varies[source] and not math.isfinite(gradients[source]):
                raise _undefined(node, inputs, "the gradient is infinite or undefined here")
    return Passes(
        graph,
        tuple(results),
        tuple(gradient if math.isfinite(gradient) else math.nan for gradient in gradients),
        tuple(tuple(share if math.isfinite(share) else math.nan for share in each) for each in shares),
    )


def _forward(graph: Graph, values: dict[str, float]) -> tuple[list[float], list[bool]]:
    """Return the value of each node, and for each node True if it depends on a name."""
    results: list[float] = []
    varies: list[bool] = []
    for node in graph.nodes:
        inputs = [results[source] for source in node.inputs]
        varies.append(node.gate == INPUT or any(varies[source] for source in node.inputs))
        if not node.inputs:
            results.append(values[node.expression] if node.gate == INPUT else node.number)
            continue
        try:
            result = GATES[node.gate].forward(*inputs)
        except UsageError as error:
            raise _undefined(node, inputs, str(error)) from None
        except OverflowError:
            result = math.inf
        if not math.isfinite(result):
            raise _undefined(node, inputs, f"the value is beyond {LARGEST_NUMBER}")
        results.append(result + 0.0)
    return results, varies


def _check_values(graph: Graph, values: Mapping[str, float]) -> dict[str, float]:
    names = graph.names
    missing = [name for name in names if name not in values]
    unused = [str(name) for name in values if name not in names]
    problems = []
    if missing:
        problems.append(f"no value for {_join(missing)}")
    if unused:
        problems.append(f"{_join(unused)} {'does' if len(unused) == 1 else 'do'} not occur in the expression")
    if problems:
        hint = f"\nhint: add {_join([f'{name}=NUMBER' for name in missing], ' ')}" if missing else ""
        raise UsageError("; ".join(problems) + hint)
    numbers = {}
    for name, value in values.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, OverflowError):
            numbers[name] = math.nan
        if not math.isfinite(numbers[name]):
            raise UsageError(f"{shorten(name)}: {shorten(repr(value))} is not a finite number")
    return numbers


def _undefined(node: Node, inputs: list[float], reason: str) -> UsageError:
    got = " and ".join(f"{value:g}" for value in inputs[:6])
    return UsageError(f"{shorten(node.expression)}: {reason} (got {got})")


def _join(items: Iterable[str], separator: str = ", ") -> str:
    shown = [shorten(item) for item in items]
    return separator.join(shown[:6] + ["..."] * (len(shown) > 6))


def shorten(text: str) -> str:
    """Return at most 60 characters of ``text`` for an error message, control characters escaped."""
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."
