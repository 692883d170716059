"""A computation graph for people: a tree with values and gradients, the rules of its gates, and its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mlptrain.graph.graph import GATES, NUMBER, Passes
from mlptrain.system.text import can_print, keras_number, printable

GAP = "  "

VALUE, GRADIENT = "green", "red"  # as in the course

INDENTS = (3, 2, 1)  # characters per level of the tree; the first that fits is taken

MIN_LABEL = 12  # characters

MAX_NAME = 30  # characters

LARGE = 1e7  # numbers from here on are written with an exponent

NO_NUMBER = "-"


@dataclass(frozen=True)
class Row:
    """A row of the tree: one use of a node.

    ``gradient`` is the share of the node's gradient that comes through this use. ``more`` says for each level above
    whether further inputs follow there.
    """

    node: int
    gradient: float
    more: tuple[bool, ...] = ()


def render_passes(passes: Passes, console: Console) -> None:
    """Print the forward and the backward pass in lines that fit 80 columns and are never wrapped."""
    rows = list(_rows(passes))
    parts = [_tree(passes, rows, console)]
    if len(rows) > 1:
        parts.append(_rules(passes))
    if passes.inputs:
        parts.append(_inputs(passes, rows, console))
    console.print(Text("\n\n").join(parts), soft_wrap=True)


def _rows(passes: Passes) -> Iterator[Row]:
    """Yield the rows from the output down, the inputs of a gate in their order; a name has one row per use."""
    todo = [Row(len(passes.values) - 1, 1.0)]
    while todo:
        row = todo.pop()
        yield row
        inputs = passes.graph.nodes[row.node].inputs
        below = [
            Row(source, share, (*row.more, index < len(inputs) - 1))
            for index, (source, share) in enumerate(zip(inputs, passes.shares[row.node], strict=True))
        ]
        todo.extend(reversed(below))


def _tree(passes: Passes, rows: Sequence[Row], console: Console) -> Text:
    values = _column("value", [passes.values[row.node] for row in rows])
    gradients = _column("gradient", [row.gradient for row in rows])
    room = console.width - len(GAP + values[0] + GAP + gradients[0])
    deepest = max(len(row.more) for row in rows)
    indent = next((indent for indent in INDENTS if deepest * indent + MIN_LABEL <= room), INDENTS[-1])
    labels = [Text("node", "bold"), *(_label(passes, row, indent, console.encoding) for row in rows)]
    width = min(max(label.cell_len for label in labels), max(room, MIN_LABEL))
    dots = "…" if can_print("…", console.encoding) else "..."
    lines = []
    for label, value, gradient in zip(labels, values, gradients, strict=True):
        if label.cell_len > width:
            label.truncate(width - len(dots))
            label.append(dots)
        label.append(" " * (width - label.cell_len))
        lines.append(label.append(GAP + value, VALUE).append(GAP + gradient, GRADIENT))
    return Text("\n").join(lines)


def _label(passes: Passes, row: Row, indent: int, encoding: str) -> Text:
    """Return the branches of the tree that lead to a row, then its gate and its expression."""
    node = passes.graph.nodes[row.node]
    branches = ("├─", "└─", "│") if can_print("├─└│", encoding) else ("|-", "`-", "|")
    label = Text()
    for level, more in enumerate(row.more):
        last = level == len(row.more) - 1
        branch = (branches[0] if more else branches[1]) if last else (branches[2] if more else "")
        label.append(f"{branch[: max(1, indent - 1)]:<{indent}}", "dim")
    expression = printable(node.expression, encoding)
    if node.gate in GATES:
        return label.append(node.gate, "bold").append(GAP + expression)
    return label.append(expression, "dim" if node.gate == NUMBER else "bold")


def _rules(passes: Passes) -> Text:
    """Return one line per kind of gate, from the output down."""
    lines = [Text("the gradient is 1 at the output; from there back to the inputs:", "bold")]
    for gate in dict.fromkeys(node.gate for node in reversed(passes.graph.nodes) if node.gate in GATES):
        lines.append(Text(f"{GAP}{gate} {GATES[gate].rule}"))
    return Text("\n").join(lines)


def _inputs(passes: Passes, rows: Sequence[Row], console: Console) -> Text:
    """Return the gradient of each name, with the sum of its uses if there are several."""
    names = passes.graph.names
    labels = ["input", *(printable(name, console.encoding) for name in names)]
    width = min(MAX_NAME, max(map(cell_len, labels)))
    values = _column("value", [passes.values[node] for node in names.values()])
    gradients = _column("gradient", list(passes.inputs.values()))
    uses = [[row.gradient for row in rows if row.node == node] for node in names.values()]
    room = console.width - width - len(GAP + values[0] + GAP + gradients[0])
    lines = []
    for label, value, gradient, shares in zip(labels, values, gradients, [[], *uses], strict=True):
        line = Text(set_cell_size(label, width), "bold")
        line.append(GAP + value, f"not bold {VALUE}").append(GAP + gradient, f"not bold {GRADIENT}")
        lines.append(line.append(_sum(shares, room), "not bold"))
    if any(len(shares) > 1 for shares in uses):
        lines.append(Text("a name is one node: its gradient is the sum over its uses"))
    return Text("\n").join(lines)


def _sum(shares: Sequence[float], room: int) -> str:
    """Return the gradients of several uses as a sum, or only their number if the sum needs more than ``room``."""
    if len(shares) < 2:
        return ""
    terms = " + ".join(_numbers(shares)).replace("+ -", "- ")
    note = f"{GAP}= {terms}"
    return note if len(note) <= room else f"{GAP}(over {len(shares)} uses)"


def _column(heading: str, numbers: Sequence[float]) -> list[str]:
    cells = [heading, *_numbers(numbers)]
    width = max(map(len, cells))
    return [f"{cell:>{width}}" for cell in cells]


def _numbers(numbers: Sequence[float]) -> list[str]:
    """Return numbers without decimals if all are whole, else with four; large and small ones with an exponent."""
    finite = [number for number in numbers if isfinite(number)]
    if all(number.is_integer() and abs(number) < LARGE for number in finite):
        return [f"{number:.0f}" if isfinite(number) else NO_NUMBER for number in numbers]
    return [_decimal(number) if isfinite(number) else NO_NUMBER for number in numbers]


def _decimal(number: float) -> str:
    return keras_number(number) if abs(number) < LARGE else f"{number:.4e}"
