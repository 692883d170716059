"""The parser of expressions such as ``(x + y) * z``, which gives a computation graph."""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Iterator

from mlptrain.errors import UsageError
from mlptrain.graph.graph import INPUT, LARGEST_NUMBER, NUMBER, Graph, Node, shorten

MAX_LENGTH = 2_000
"""Largest number of characters of an expression."""

MAX_DEPTH = 50
"""Largest number of levels: with one column per level, a tree leaves room for the numbers in 80 columns."""

MAX_NODES = 500

FUNCTIONS = ("max", "min", "exp", "log", "sigmoid", "tanh", "relu")
"""The gates that are written as calls; max and min have two or more inputs, the others one."""

_OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "sum",
    ast.Sub: "difference",
    ast.Mult: "product",
    ast.Div: "division",
    ast.Pow: "power",
    ast.USub: "negation",
}


def parse(expression: str) -> Graph:
    """Parse an expression of names, numbers, ``+ - * / **``, parentheses and `FUNCTIONS`, without evaluating it.

    Raises
    ------
    UsageError
        The expression is invalid or incomplete, or exceeds `MAX_LENGTH`, `MAX_DEPTH` or `MAX_NODES`. The message marks
        the position of the error.
    """
    if len(expression) > MAX_LENGTH:
        raise UsageError(
            f"the expression has more than {MAX_LENGTH:,} characters (got {len(expression):,})\nhint: shorten it"
        )
    text = re.sub(r"\s", " ", expression).strip()
    _check_order(text)
    try:
        root = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise _invalid(text, (error.offset or 1) - 1, "invalid syntax") from None
    except (RecursionError, MemoryError):
        raise _invalid(text, 0, _TOO_DEEP) from None
    return _build(text, root)


# The tokens are checked before `ast` parses them: for errors that a student understands, and to reject text for which
# `ast` prints warnings, takes long or exhausts its stack.

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W0-9]\w*)|(?P<sign>\*\*|[-+*/(),])|(?P<gap> +)"
)

_HINTS = {
    "^": "a power is written **",
    "=": "the expression comes first, without =",
    **dict.fromkeys("×·⋅∙", "a product is written *"),
    **dict.fromkeys("÷:", "a division is written /"),
    **dict.fromkeys("−–—", "minus is written -"),
    **dict.fromkeys("[]{}", "parentheses are written ( and )"),
}

_TOO_DEEP = f"the expression is more than {MAX_DEPTH} levels deep"

_NOT_ALLOWED = "not allowed in an expression"

_OPERAND_STARTS = ("number", "name", "function", "(")  # besides signs
_OPERAND_ENDS = ("number", "name", ")")


def _tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield position, kind and text of each token; the kind of a sign is the sign itself."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        kind = match.lastgroup if match else None
        token = match.group() if match else text[position]
        if match is None or kind is None or (kind == "name" and not token.isidentifier()):
            raise _invalid(text, position, _HINTS.get(token, _NOT_ALLOWED))
        if kind == "name" and keyword.iskeyword(token):
            raise _invalid(text, position, f"{token} is a reserved word; choose another name, such as {token}_")
        if kind != "gap":
            yield position, token if kind == "sign" else "function" if token in FUNCTIONS else kind, token
        position = match.end()


def _check_order(text: str) -> None:
    """Check the order of the tokens and their parentheses."""
    if not text:
        raise UsageError("the expression is empty\nhint: write one, such as (x + y) * z")
    before, last, start = "", "", 0
    opened: list[tuple[int, bool]] = []  # the open parentheses, each with True if it belongs to a call
    for position, kind, token in _tokens(text):
        reason = None
        if before == "function" and kind != "(":
            reason = f"{last} needs its inputs in parentheses"
        elif before == "name" and kind == "(":
            reason = f"{shorten(last)} is not a gate; gates are {', '.join(FUNCTIONS)}"
        elif before in _OPERAND_ENDS and kind in _OPERAND_STARTS:
            reason = "an operator is missing here; a product is written *"
        elif before not in _OPERAND_ENDS and kind not in (*_OPERAND_STARTS, "+", "-"):
            reason = "a name or a number is missing here"
        elif kind == "," and not (opened and opened[-1][1]):
            reason = "a comma is allowed only between the inputs of max and min"
        elif kind == ")" and not opened:
            reason = "this parenthesis was never opened"
        elif kind == "(" and len(opened) == MAX_DEPTH:
            reason = _TOO_DEEP
        if reason:
            raise _invalid(text, start if before == "name" and kind == "(" else position, reason)
        if kind == "(":
            opened.append((position, before == "function"))
        elif kind == ")":
            opened.pop()
        before, last, start = kind, token, position
    if before not in _OPERAND_ENDS:
        raise _invalid(text, len(text), "the expression is not complete")
    if opened:
        raise _invalid(text, opened[-1][0], "this parenthesis is never closed")


def _build(text: str, root: ast.expr) -> Graph:
    """Build the nodes in the order of computation: operands from left to right, then their gate."""
    encoded = text.encode()  # ast counts bytes
    nodes: list[Node] = []
    names: dict[str, int] = {}
    done: list[int] = []  # the nodes of operands whose gate has not been built yet
    todo: list[tuple[ast.expr, int, bool]] = [(root, 1, False)]
    while todo:
        branch, depth, operands_done = todo.pop()
        position = len(encoded[: branch.col_offset].decode())
        gate, operands = _gate_and_operands(branch)
        _check(text, position, gate, operands, depth)
        if operands and not operands_done:
            todo.append((branch, depth, True))
            todo.extend((operand, depth + 1, False) for operand in reversed(operands))
            continue
        if gate == "plus":
            continue  # its node is that of its operand
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
            raise _invalid(text, position, f"this number is beyond {LARGEST_NUMBER}")
        done.append(len(nodes))
        nodes.append(Node(gate, segment, inputs, number))
        if len(nodes) > MAX_NODES:
            raise UsageError(f"the expression has more than {MAX_NODES} nodes\nhint: shorten it")
    return Graph(tuple(nodes))


def _gate_and_operands(branch: ast.expr) -> tuple[str, list[ast.expr]]:
    """Return the gate of a branch and its operands: "" if the branch is not allowed, "plus" for the sign +."""
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
    """Raise if the branch is not allowed, has too few or too many inputs, or is too deep."""
    if not gate:
        raise _invalid(text, position, _NOT_ALLOWED)
    if gate in ("max", "min") and len(operands) < 2:
        raise _invalid(text, position, f"{gate} needs at least two inputs")
    if gate in FUNCTIONS and gate not in ("max", "min") and len(operands) != 1:
        raise _invalid(text, position, f"{gate} takes one input, not {len(operands)}")
    if depth > MAX_DEPTH:
        raise _invalid(text, position, _TOO_DEEP)


def _number(branch: ast.expr) -> float:
    """Return the value of a number with its sign."""
    literal, sign = (branch.operand, -1.0) if isinstance(branch, ast.UnaryOp) else (branch, 1.0)
    try:
        return sign * float(ast.literal_eval(literal)) + 0.0
    except OverflowError:
        return math.inf


def _invalid(text: str, position: int, reason: str) -> UsageError:
    """Return an error with ``reason``, the text around ``position``, and a mark below it."""
    start = max(0, position - 40)
    excerpt = "".join(c if c.isprintable() else "?" for c in text[start : start + 70])
    before = "..." if start else ""
    after = "..." if start + 70 < len(text) else ""
    return UsageError(f"{reason}:\n  {before}{excerpt}{after}\n  {' ' * (len(before) + position - start)}^")
