"""The teaching computation graph: an expression as gates, each with its forward and its backward rule.

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

LARGEST = "1.8e308, the largest number"

INPUT, NUMBER = "input", "number"


@dataclass(frozen=True)
class Gate:
    """``forward(*inputs)`` is the value f; ``backward(g, f, *inputs)`` what each input gets of f's gradient g.

    ``rule`` says the same in words, as the rest of a sentence that begins with the gate's name.
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
        raise UsageError("0 has no negative powers")
    if x < 0 and not y.is_integer():
        raise UsageError("a negative number has whole powers only")
    return math.pow(x, y)


def _power_backward(g: float, f: float, x: float, y: float) -> tuple[float, float]:
    """f = x^y: df/dx = y x^(y − 1) and df/dy = x^y ln x; NaN where there is no such (real, finite) number."""
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
    e = math.exp(x)  # of a negative number, so that it cannot overflow
    return e / (1 + e)


def _route(g: float, f: float, *inputs: float) -> tuple[float, ...]:
    """All of ``g`` to the first of the inputs that is the output ``f``."""
    chosen = inputs.index(f)
    return tuple(g if index == chosen else 0.0 for index in range(len(inputs)))


GATES: dict[str, Gate] = {
    "sum": Gate(lambda x, y: x + y, lambda g, f, x, y: (g, g), "sends the gradient on, the same to each input"),
    "difference": Gate(
        lambda x, y: x - y, lambda g, f, x, y: (g, -g), "sends the gradient on, to the second with its sign turned"
    ),
    "product": Gate(
        lambda x, y: x * y, lambda g, f, x, y: (g * y, g * x), "swaps the inputs: each gets gradient * the other"
    ),
    "division": Gate(
        _divide, lambda g, f, x, y: (g / y, -g * f / y), "x/y gives x gradient / y, and y minus gradient * x / y**2"
    ),
    "power": Gate(_power, _power_backward, "x**y gives x gradient * y * x**(y - 1), and y gradient * x**y * log(x)"),
    "negation": Gate(lambda x: -x, lambda g, f, x: (-g,), "turns the sign of the gradient"),
    "max": Gate(lambda *inputs: max(inputs), _route, "gives it all to the larger (of equals, to the first)"),
    "min": Gate(lambda *inputs: min(inputs), _route, "gives it all to the smaller (of equals, to the first)"),
    "exp": Gate(math.exp, lambda g, f, x: (g * f,), "multiplies the gradient by its own output"),
    "log": Gate(_log, lambda g, f, x: (g / x,), "divides the gradient by its input"),
    "sigmoid": Gate(
        _sigmoid, lambda g, f, x: (g * f * _sigmoid(-x),), "multiplies the gradient by s (1 - s), s its output"
    ),
    "tanh": Gate(
        math.tanh, lambda g, f, x: (g * (1 - f) * (1 + f),), "multiplies the gradient by 1 - t**2, t its output"
    ),
    "relu": Gate(
        lambda x: max(0.0, x),
        lambda g, f, x: (g if x > 0 else 0.0,),
        "sends the gradient on if its input is above 0, else stops it",
    ),
}


@dataclass(frozen=True)
class Node:
    """A gate, an input or a number; ``inputs`` are the places of other nodes, all of them earlier ones."""

    gate: str
    expression: str
    inputs: tuple[int, ...] = ()
    number: float = 0.0


@dataclass(frozen=True)
class Graph:
    """An expression as nodes, each after its inputs, the output last; a name is one node however often it is used."""

    nodes: tuple[Node, ...]

    @property
    def names(self) -> dict[str, int]:
        """The inputs in the order of the expression, each with the place of its node."""
        return {node.expression: place for place, node in enumerate(self.nodes) if node.gate == INPUT}


@dataclass(frozen=True)
class Passes:
    """Forward and backward pass through ``graph``: for each node its value f, and the gradient d output / df.

    ``shares[i][j]`` is the part of its gradient that the j-th input of node i got from that node. A gradient that
    is not a finite number is NaN, which happens only to numbers, such as the 2 of x**2 where x is negative.
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
        """The gradient for each name."""
        return {name: self.gradients[place] for name, place in self.graph.names.items()}


def backpropagate(graph: Graph, values: Mapping[str, float]) -> Passes:
    """The values of all nodes, first to last, then their gradients, last to first, by the chain rule.

    Raises
    ------
    UsageError
        A value is missing, belongs to no name or is not finite; or a gate has no finite value or gradient there.
    """
    given = _checked(graph, values)
    results, varies = _forward(graph, given)
    gradients = [0.0] * len(graph.nodes)
    gradients[-1] = 1.0
    shares: list[tuple[float, ...]] = [()] * len(graph.nodes)
    for place in reversed(range(len(graph.nodes))):
        node, gradient = graph.nodes[place], gradients[place]
        if not node.inputs:
            continue
        inputs = [results[source] for source in node.inputs]
        if gradient == 0:  # what is blocked above stays blocked, even at the infinite slope of x**0.5 at 0
            shares[place] = (0.0,) * len(inputs)
        else:
            # + 0.0 turns a minus zero into zero.
            shares[place] = tuple(s + 0.0 for s in GATES[node.gate].backward(gradient, results[place], *inputs))
        for source, share in zip(node.inputs, shares[place], strict=True):
            gradients[source] += share  # += because a node with several users gets a share from each
            if varies[source] and not math.isfinite(gradients[source]):
                raise _undefined(node, inputs, "the gradient is infinite or undefined here")
    return Passes(
        graph,
        tuple(results),
        tuple(gradient if math.isfinite(gradient) else math.nan for gradient in gradients),
        tuple(tuple(share if math.isfinite(share) else math.nan for share in each) for each in shares),
    )


def _forward(graph: Graph, given: dict[str, float]) -> tuple[list[float], list[bool]]:
    """The value of each node, and whether it depends on a name at all."""
    results: list[float] = []
    varies: list[bool] = []
    for node in graph.nodes:
        inputs = [results[source] for source in node.inputs]
        varies.append(node.gate == INPUT or any(varies[source] for source in node.inputs))
        if not node.inputs:
            results.append(given[node.expression] if node.gate == INPUT else node.number)
            continue
        try:
            result = GATES[node.gate].forward(*inputs)
        except UsageError as error:
            raise _undefined(node, inputs, str(error)) from None
        except OverflowError:
            result = math.inf
        if not math.isfinite(result):
            raise _undefined(node, inputs, f"the value is beyond {LARGEST}")
        results.append(result + 0.0)
    return results, varies


def _checked(graph: Graph, values: Mapping[str, float]) -> dict[str, float]:
    names = graph.names
    missing = [name for name in names if name not in values]
    unused = [str(name) for name in values if name not in names]
    problems = []
    if missing:
        problems.append(f"no value for {_listed(missing)}; add {_listed([f'{name}=NUMBER' for name in missing], ' ')}")
    if unused:
        problems.append(f"{_listed(unused)} {'does' if len(unused) == 1 else 'do'} not occur in the expression")
    if problems:
        raise UsageError("\n".join(problems))
    given = {}
    for name, value in values.items():
        try:
            given[name] = float(value)
        except (TypeError, ValueError, OverflowError):
            given[name] = math.nan
        if not math.isfinite(given[name]):
            raise UsageError(f"{cut(name)}: {cut(repr(value))} is not a finite number")
    return given


def _undefined(node: Node, inputs: list[float], reason: str) -> UsageError:
    got = " and ".join(f"{value:g}" for value in inputs[:6])
    return UsageError(f"{cut(node.expression)}: {reason}; its {'input is' if len(inputs) == 1 else 'inputs are'} {got}")


def _listed(items: Iterable[str], separator: str = ", ") -> str:
    listed = [cut(item) for item in items]
    return separator.join(listed[:6] + ["..."] * (len(listed) > 6))


def cut(text: str) -> str:
    """``text`` for an error message: without control characters, and at most 60 characters of it."""
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."
