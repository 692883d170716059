"""An expression as a person writes it, read into a computation graph."""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Iterator

from mlptrain.errors import UsageError
from mlptrain.graph.graph import INPUT, LARGEST, NUMBER, Graph, Node, cut

MAX_LENGTH = 2_000

MAX_DEPTH = 50  # a tree drawn with one column a level still leaves room for its figures in 80 columns

MAX_NODES = 500

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
            reason = f"{cut(last)} is no gate; there are {', '.join(FUNCTIONS)}"
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
