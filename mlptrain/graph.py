"""The teaching computation graph: an expression as gates, each with its forward and its backward rule.

>>> passes = backpropagate(parse("(x + y) * z"), {"x": -2, "y": 5, "z": -4})
>>> passes.value, passes.inputs
(-12.0, {'x': -4.0, 'y': -4.0, 'z': 3.0})
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlptrain.errors import UsageError

MAX_LENGTH = 2_000
MAX_DEPTH = 50  # a tree drawn with one column a level still leaves room for its figures in 80 columns
MAX_NODES = 500

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

FUNCTIONS = ("max", "min", "exp", "log", "sigmoid", "tanh", "relu")
"""The gates that are written as calls; max and min take two or more inputs, the others one."""

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "sum",
    ast.Sub: "difference",
    ast.Mult: "product",
    ast.Div: "division",
    ast.Pow: "power",
    ast.USub: "negation",
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


def parse(expression: str) -> Graph:
    """Read an expression of names, numbers, ``+ - * / **``, parentheses and ``FUNCTIONS``; nothing is evaluated.

    Raises
    ------
    UsageError
        It holds something else, is not complete, or is beyond MAX_LENGTH characters, MAX_DEPTH levels or
        MAX_NODES nodes; the message shows the place.
    """
    if len(expression) > MAX_LENGTH:
        raise UsageError(f"the expression has {len(expression):,} characters; at most {MAX_LENGTH:,} are read")
    text = re.sub(r"\s", " ", expression).strip()
    _check_order(text)
    try:
        root = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise _misread(text, (error.offset or 1) - 1, "this cannot be read") from None
    except (RecursionError, MemoryError):
        raise _misread(text, 0, _TOO_DEEP) from None
    return _build(text, root)


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
            raise UsageError(f"{_cut(name)}: {_cut(repr(value))} is not a finite number")
    return given


# Reading. ast gives the structure. The check before it gives errors that a student can use, and sees to it that ast
# meets nothing that it warns about, or that takes it long or exhausts its stack.

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W0-9]\w*)|(?P<sign>\*\*|[-+*/(),])|(?P<gap> +)"
)
_HINTS = {
    "^": "a power is written **",
    "=": "the expression stands first, and without =",
    **dict.fromkeys("×·⋅∙", "a product is written *"),
    **dict.fromkeys("÷:", "a division is written /"),
    **dict.fromkeys("−–—", "minus is written -"),
    **dict.fromkeys("[]{}", "parentheses are written ( and )"),
}
_TOO_DEEP = f"the expression is more than {MAX_DEPTH} levels deep"
_STARTS = ("number", "name", "function", "(")  # what an operand begins with, apart from signs
_ENDS = ("number", "name", ")")


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """Place, kind and text of each token; a sign is its own kind."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        kind = match.lastgroup if match else None
        token = match.group() if match else text[position]
        if match is None or kind is None or (kind == "name" and not token.isidentifier()):
            raise _misread(text, position, _HINTS.get(token, "this has no place in an expression"))
        if kind == "name" and keyword.iskeyword(token):
            raise _misread(text, position, f"{token} is a reserved word; take another name, such as {token}_")
        if kind != "gap":
            yield position, token if kind == "sign" else "function" if token in FUNCTIONS else kind, token
        position = match.end()


def _check_order(text: str) -> None:
    """Hold the order of the tokens and their parentheses against the grammar."""
    if not text:
        raise UsageError("the expression is empty; write one like (x + y) * z")
    before, last, start = "", "", 0
    opened: list[tuple[int, bool]] = []  # the parentheses that are open, and whether each belongs to a call
    for position, kind, token in _tokens(text):
        reason = None
        if before == "function" and kind != "(":
            reason = f"{last} is a gate and needs its inputs in parentheses"
        elif before == "name" and kind == "(":
            reason = f"{_cut(last)} is no gate; there are {', '.join(FUNCTIONS)}"
        elif before in _ENDS and kind in _STARTS:
            reason = "an operator is missing here; a product is written *"
        elif before not in _ENDS and kind not in (*_STARTS, "+", "-"):
            reason = "a name or a number is missing here"
        elif kind == "," and not (opened and opened[-1][1]):
            reason = "a comma stands only between the inputs of max and min"
        elif kind == ")" and not opened:
            reason = "this parenthesis was never opened"
        elif kind == "(" and len(opened) == MAX_DEPTH:
            reason = _TOO_DEEP
        if reason:
            raise _misread(text, start if before == "name" and kind == "(" else position, reason)
        if kind == "(":
            opened.append((position, before == "function"))
        elif kind == ")":
            opened.pop()
        before, last, start = kind, token, position
    if before not in _ENDS:
        raise _misread(text, len(text), "the expression is not complete")
    if opened:
        raise _misread(text, opened[-1][0], "this parenthesis is never closed")


def _build(text: str, root: ast.expr) -> Graph:
    """The nodes in the order in which they can be computed: operands from left to right, then their gate."""
    encoded = text.encode()  # ast counts bytes
    nodes: list[Node] = []
    names: dict[str, int] = {}
    done: list[int] = []  # the places of operands that wait for their gate
    todo: list[tuple[ast.expr, int, bool]] = [(root, 1, False)]
    while todo:
        branch, depth, operands_done = todo.pop()
        position = len(encoded[: branch.col_offset].decode())
        gate, operands = _described(branch)
        _check(text, position, gate, operands, depth)
        if operands and not operands_done:
            todo.append((branch, depth, True))
            todo.extend((operand, depth + 1, False) for operand in reversed(operands))
            continue
        if gate == "plus":
            continue  # its operand stands for it
        first = len(done) - len(operands)
        inputs = tuple(done[first:])
        del done[first:]
        if isinstance(branch, ast.Name):
            if branch.id not in names:
                names[branch.id] = len(nodes)
                nodes.append(Node(INPUT, branch.id))
            done.append(names[branch.id])
            continue
        segment = encoded[branch.col_offset : branch.end_col_offset].decode()
        number = _number(branch) if gate == NUMBER else 0.0
        if not math.isfinite(number):
            raise _misread(text, position, f"this number is beyond {LARGEST}")
        done.append(len(nodes))
        nodes.append(Node(gate, segment, inputs, number))
        if len(nodes) > MAX_NODES:
            raise UsageError(f"the expression has more than {MAX_NODES} nodes; give a smaller one")
    return Graph(tuple(nodes))


def _described(branch: ast.expr) -> tuple[str, list[ast.expr]]:
    """The gate that stands for a branch of the syntax tree ("plus" and "" are none), and its operands."""
    match branch:
        case ast.Name():
            return INPUT, []
        case ast.Constant() | ast.UnaryOp(op=ast.USub(), operand=ast.Constant()):
            return NUMBER, []
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return "plus", [operand]
        case ast.UnaryOp(op=operator, operand=operand):
            return _OPERATORS.get(type(operator), ""), [operand]
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS.get(type(operator), ""), [left, right]
        case ast.Call(func=ast.Name(id=name), args=operands, keywords=[]) if name in FUNCTIONS:
            return name, operands
    return "", []


def _check(text: str, position: int, gate: str, operands: list[ast.expr], depth: int) -> None:
    """Refuse what is no gate, a gate with too few or too many inputs, and what lies too deep."""
    if not gate:
        raise _misread(text, position, "this has no place in an expression")
    if gate in ("max", "min") and len(operands) < 2:
        raise _misread(text, position, f"{gate} needs at least two inputs")
    if gate in FUNCTIONS and gate not in ("max", "min") and len(operands) != 1:
        raise _misread(text, position, f"{gate} takes one input, not {len(operands)}")
    if depth > MAX_DEPTH:
        raise _misread(text, position, _TOO_DEEP)


def _number(branch: ast.expr) -> float:
    """What a number is worth, its sign included."""
    literal, sign = (branch.operand, -1.0) if isinstance(branch, ast.UnaryOp) else (branch, 1.0)
    try:
        return sign * float(ast.literal_eval(literal)) + 0.0
    except OverflowError:
        return math.inf


def _misread(text: str, position: int, reason: str) -> UsageError:
    """``reason`` with the part of ``text`` around ``position`` and a mark below it."""
    start = max(0, position - 40)
    part = "".join(c if c.isprintable() else "?" for c in text[start : start + 70])
    dots = "..." if start else ""
    more = "..." if start + 70 < len(text) else ""
    return UsageError(f"{reason}:\n  {dots}{part}{more}\n  {' ' * (len(dots) + position - start)}^")


def _undefined(node: Node, inputs: list[float], reason: str) -> UsageError:
    got = " and ".join(f"{value:g}" for value in inputs[:6])
    return UsageError(
        f"{_cut(node.expression)}: {reason}; its {'input is' if len(inputs) == 1 else 'inputs are'} {got}"
    )


def _listed(items: Iterable[str], separator: str = ", ") -> str:
    listed = [_cut(item) for item in items]
    return separator.join(listed[:6] + ["..."] * (len(listed) > 6))


def _cut(text: str) -> str:
    """``text`` for an error message: without control characters, and at most 60 characters of it."""
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= 60 else shown[:57] + "..."
