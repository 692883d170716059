"""A computation graph as a person reads it: its tree with value and gradient, the rules of its gates, its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from mlptrain.graph.graph import GATES, NUMBER, Passes
from mlptrain.reporting.text import keras_number, printable

GAP = "  "

VALUE, GRADIENT = "green", "red"  # as the course colours them

STEPS = (3, 2, 1)  # columns a level of the tree takes

SHORTEST = 12  # columns that a label keeps

WIDEST_NAME = 30

LARGE = 1e7

NO_NUMBER = "-"


@dataclass(frozen=True)
class Row:
    """A line of the tree: a node, what it gets of the gradient here, and for each level whether more follows there."""

    place: int
    gradient: float
    more: tuple[bool, ...] = ()


def render_passes(passes: Passes, console: Console) -> None:
    """Print the forward and backward pass to ``console``; lines fit 80 columns and are never wrapped."""
    rows = list(_rows(passes))
    parts = [_tree(passes, rows, console)]
    if len(rows) > 1:
        parts.append(_rules(passes))
    if passes.inputs:
        parts.append(_inputs(passes, rows, console))
    console.print(Text("\n\n").join(parts), soft_wrap=True)


def _rows(passes: Passes) -> Iterator[Row]:
    """The lines from the output down, the inputs of a gate in their order; a name has a line a use."""
    todo = [Row(len(passes.values) - 1, 1.0)]
    while todo:
        row = todo.pop()
        yield row
        inputs = passes.graph.nodes[row.place].inputs
        below = [
            Row(source, share, (*row.more, index < len(inputs) - 1))
            for index, (source, share) in enumerate(zip(inputs, passes.shares[row.place], strict=True))
        ]
        todo.extend(reversed(below))


def _tree(passes: Passes, rows: Sequence[Row], console: Console) -> Text:
    values = _column("value", [passes.values[row.place] for row in rows])
    gradients = _column("gradient", [row.gradient for row in rows])
    room = console.width - len(GAP + values[0] + GAP + gradients[0])
    deepest = max(len(row.more) for row in rows)
    step = next((step for step in STEPS if deepest * step + SHORTEST <= room), STEPS[-1])
    labels = [Text("node", "bold"), *(_label(passes, row, step, console.encoding) for row in rows)]
    width = min(max(label.cell_len for label in labels), max(room, SHORTEST))
    dots = "…" if _holds(console.encoding, "…") else "..."
    lines = []
    for label, value, gradient in zip(labels, values, gradients, strict=True):
        if label.cell_len > width:
            label.truncate(width - len(dots))
            label.append(dots)
        label.append(" " * (width - label.cell_len))
        lines.append(label.append(GAP + value, VALUE).append(GAP + gradient, GRADIENT))
    return Text("\n").join(lines)


def _label(passes: Passes, row: Row, step: int, encoding: str) -> Text:
    """The branches of the tree that lead to a node, then its gate and its expression."""
    node = passes.graph.nodes[row.place]
    branches = ("├─", "└─", "│") if _holds(encoding, "├─└│") else ("|-", "`-", "|")
    label = Text()
    for level, more in enumerate(row.more):
        last = level == len(row.more) - 1
        branch = (branches[0] if more else branches[1]) if last else (branches[2] if more else "")
        label.append(f"{branch[: max(1, step - 1)]:<{step}}", "dim")
    expression = printable(node.expression, encoding)
    if node.gate in GATES:
        return label.append(node.gate, "bold").append(GAP + expression)
    return label.append(expression, "dim" if node.gate == NUMBER else "bold")


def _rules(passes: Passes) -> Text:
    """A sentence for each kind of gate in the graph, from the output down."""
    lines = [Text("the gradient is 1 at the output; from there back to the inputs:", "bold")]
    for gate in dict.fromkeys(node.gate for node in reversed(passes.graph.nodes) if node.gate in GATES):
        lines.append(Text(f"{GAP}{gate} {GATES[gate].rule}"))
    return Text("\n").join(lines)


def _inputs(passes: Passes, rows: Sequence[Row], console: Console) -> Text:
    """The gradient of each name, and how it adds up where the name is used more than once."""
    names = passes.graph.names
    labels = ["input", *(printable(name, console.encoding) for name in names)]
    width = min(WIDEST_NAME, max(map(cell_len, labels)))
    values = _column("value", [passes.values[place] for place in names.values()])
    gradients = _column("gradient", list(passes.inputs.values()))
    uses = [[row.gradient for row in rows if row.place == place] for place in names.values()]
    room = console.width - width - len(GAP + values[0] + GAP + gradients[0])
    lines = []
    for label, value, gradient, shares in zip(labels, values, gradients, [[], *uses], strict=True):
        line = Text(set_cell_size(label, width), "bold")
        line.append(GAP + value, f"not bold {VALUE}").append(GAP + gradient, f"not bold {GRADIENT}")
        lines.append(line.append(_sum(shares, room), "not bold"))
    if any(len(shares) > 1 for shares in uses):
        lines.append(Text("a name is one node however often it is used: the gradients of its uses add up"))
    return Text("\n").join(lines)


def _sum(shares: Sequence[float], room: int) -> str:
    """What the uses of a name add up from, where there are several; without the terms where they need more room."""
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
    """Whole numbers as such where all of them are, else four decimals; powers of ten for the large and small."""
    finite = [number for number in numbers if isfinite(number)]
    if all(number.is_integer() and abs(number) < LARGE for number in finite):
        return [f"{number:.0f}" if isfinite(number) else NO_NUMBER for number in numbers]
    return [_decimal(number) if isfinite(number) else NO_NUMBER for number in numbers]


def _decimal(number: float) -> str:
    return keras_number(number) if abs(number) < LARGE else f"{number:.4e}"


def _holds(encoding: str, text: str) -> bool:
    return printable(text, encoding) == text
