"""The exercise ``chain-rule``: values and gradients of three computation graphs, each larger than the one before."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from mlptrain.errors import UsageError
from mlptrain.exercises.exercise import Item, decimal, exact, factor, pick, shuffled
from mlptrain.graph.expression import parse
from mlptrain.graph.graph import GATES, NUMBER, Graph, Node, Passes, backpropagate

LARGEST = 100
"""Bound of all values and gradients, so that they can be computed by hand."""

DECIMALS = 2
"""Largest number of decimals of all values and gradients."""

ADD = ("sum", "difference")


class Level(NamedTuple):
    """A size of graphs: the name of the output, those of the inputs, and the choices for each gate.

    With ``reuse``, one input is used twice. With ``halves``, one input may be a number such as 1.5.
    """

    output: str
    names: tuple[str, ...]
    gates: tuple[tuple[str, ...], ...]
    reuse: bool = False
    halves: bool = False


LEVELS = (
    Level("f", ("x", "y", "z"), (("product",), ADD)),
    Level("g", ("p", "r", "s", "t"), (("product",), ADD, ("max", "min")), halves=True),
    Level("h", ("u", "v", "w"), (("product",), ADD, ("product", *ADD), ("power", "relu")), reuse=True, halves=True),
)

_UNARY = {"relu": "relu({})", "power": "{}**2"}

_WRITTEN = {"sum": "{} + {}", "difference": "{} - {}", "product": "{} * {}", "max": "max({}, {})", "min": "min({}, {})"}

_STRENGTHS = {"sum": 1, "difference": 1, "product": 2, "power": 3}
"""Precedence of each operator; names and calls need no parentheses."""

_SLOPES: dict[str, tuple[str, ...]] = {"sum": ("1", "1"), "difference": ("1", "(-1)")}

_SQUARE_RULE = "the square of q sends back gradient * twice q"


def chain_rule(random: Random) -> list[Item]:
    """Return the questions about one graph of each level."""
    return [item for level in LEVELS for item in _items(level, _draw(level, random))]


def _draw(level: Level, random: Random) -> Passes:
    """Draw graphs and inputs until one has short numbers and no gradient that is undefined."""
    while True:
        expression = _expression(level, random)
        values = {name: float(pick(random, (-4, -3, -2, -1, 1, 2, 3, 4, 5))) for name in level.names}
        if level.halves and random.random() < 0.5:
            values[pick(random, level.names)] += 0.5
        if expression is None:
            continue
        try:
            passes = backpropagate(parse(expression), values)
        except UsageError:
            continue
        if _suits(passes):
            return passes


def _expression(level: Level, random: Random) -> str | None:
    """Return an expression with the gates of a level, or None if a gate would have two equal inputs."""
    leaves = [*level.names, *([pick(random, level.names)] if level.reuse else [])]
    parts = [(leaf, 4) for leaf in shuffled(random, leaves)]
    for gate in shuffled(random, [pick(random, choices) for choices in level.gates]):
        at = int(random.random() * (len(parts) - (gate not in _UNARY)))
        strength = _STRENGTHS.get(gate, 4)
        if gate in _UNARY:
            text = _UNARY[gate].format(_within(parts[at], 4 if gate == "power" else 0))
            parts[at : at + 1] = [(text, strength)]
        else:
            left, right = parts[at : at + 2]
            if left == right:
                return None
            least = (0, 0) if strength == 4 else (strength, strength + 1)
            text = _WRITTEN[gate].format(_within(left, least[0]), _within(right, least[1]))
            parts[at : at + 2] = [(text, strength)]
    return parts[0][0]


def _within(part: tuple[str, int], least: int) -> str:
    """Return a part of an expression, in parentheses if its precedence is below ``least``."""
    text, strength = part
    return text if strength >= least else f"({text})"


def _suits(passes: Passes) -> bool:
    nodes = passes.graph.nodes
    gradients = [gradient for node, gradient in zip(nodes, passes.gradients, strict=True) if node.gate != NUMBER]
    numbers = [*passes.values, *gradients]
    if any(abs(number) > LARGEST or abs(number - round(number, DECIMALS)) > 1e-9 for number in numbers):
        return False
    if passes.value == 0 or list(passes.inputs.values()).count(0) > 1:
        return False
    for node in nodes:
        inputs = [passes.values[source] for source in node.inputs]
        if (node.gate == "relu" and inputs == [0]) or (node.gate in ("max", "min") and inputs[0] == inputs[1]):
            return False  # the gate has a kink here
    return True


def _items(level: Level, passes: Passes) -> list[Item]:
    names = passes.graph.names
    values = ", ".join(f"{name} = {decimal(passes.values[names[name]])}" for name in level.names)
    given = f"{level.output} = {passes.graph.nodes[-1].expression}   for {values}"
    graph = _Labelled(passes, level.output)
    value = Item(
        level.output,
        f"value of {level.output}",
        graph.value_hints(),
        (*graph.forward(), _command(passes, level)),
        given,
        exact(passes.value),
    )
    return [
        value,
        *(
            Item(
                f"d{name}",
                f"d{level.output}/d{name}, the gradient of {name}",
                graph.gradient_hints(names[name]),
                tuple(graph.backward(names[name])),
                given,
                exact(passes.inputs[name]),
            )
            for name in level.names
        ),
    ]


def _command(passes: Passes, level: Level) -> str:
    """Return the command that shows the whole graph."""
    values = " ".join(f"{name}={decimal(passes.values[passes.graph.names[name]])}" for name in level.names)
    return f'see mlptrain backprop "{passes.graph.nodes[-1].expression}" {values}'


class _Labelled:
    """A graph whose gates have names: q1, q2, ... in the order of computation, the last that of the output."""

    def __init__(self, passes: Passes, output: str) -> None:
        self.passes = passes
        self.graph: Graph = passes.graph
        self.output = output
        self.gates = [index for index, node in enumerate(self.graph.nodes) if node.gate in GATES]
        self.labels = [node.expression for node in self.graph.nodes]
        for number, index in enumerate(self.gates, 1):
            self.labels[index] = f"q{number}" if index != self.gates[-1] else output

    def formula(self, index: int, shown: Callable[[int], str] | None = None) -> str:
        """Return what a gate computes, with each input as ``shown`` returns it, by default its label."""
        node = self.graph.nodes[index]
        shown = shown or self.labels.__getitem__
        return {**_UNARY, **_WRITTEN}[node.gate].format(*(shown(source) for source in _sources(node)))

    def forward(self) -> list[str]:
        """Return one line per gate with its formula and its value."""
        lines = []
        for index in self.gates:
            numbers = self.formula(index, lambda source: factor(self.passes.values[source]))
            result = decimal(self.passes.values[index])
            lines.append(f"{self.labels[index]} = {self.formula(index)} = {numbers} = {result}")
        return lines

    def users(self, index: int) -> list[int]:
        """Return the gates that have a node as an input."""
        return [gate for gate in self.gates if index in _sources(self.graph.nodes[gate])]

    def backward(self, index: int) -> list[str]:
        """Return the chain rule for a node, after that of the gates between the node and the output."""
        above = {index}
        for gate in range(index, len(self.labels)):
            if gate in above:
                above.update(self.users(gate))
        return [self._chain(node) for node in sorted(above, reverse=True) if node != self.gates[-1]]

    def _chain(self, index: int) -> str:
        symbols, numbers = [], []
        for gate in self.users(index):
            symbol, number = self._slope(gate, index)
            if gate == self.gates[-1]:
                symbols.append(symbol)
                numbers.append(number)
            else:
                symbols.append(f"d{self.output}/d{self.labels[gate]} * {symbol}")
                numbers.append(f"{factor(self.passes.gradients[gate])} * {number}")
        steps = [f"d{self.output}/d{self.labels[index]}", " + ".join(symbols)]
        for step in (" + ".join(numbers), decimal(self.passes.gradients[index])):
            if step.strip("()") != steps[-1].strip("()"):
                steps.append(step)
        return " = ".join(steps)

    def _slope(self, gate: int, index: int) -> tuple[str, str]:
        """Return the derivative of a gate with respect to one of its inputs, in symbols and in numbers."""
        node = self.graph.nodes[gate]
        sources = _sources(node)
        position = sources.index(index)
        if node.gate in _SLOPES:
            slope = _SLOPES[node.gate][position]
            return slope, slope
        if node.gate == "product":
            other = sources[1 - position]
            return self.labels[other], factor(self.passes.values[other])
        if node.gate == "power":
            return f"2 * {self.labels[index]}", f"2 * {factor(self.passes.values[index])}"
        inputs = [self.passes.values[source] for source in sources]
        passed = inputs[0] > 0 if node.gate == "relu" else self.passes.values[gate] == inputs[position]
        return str(int(passed)), str(int(passed))

    def value_hints(self) -> tuple[str, ...]:
        """Return the hints for the value of the output; they contain no numbers."""
        steps = [f"{self.labels[index]} = {self._words(index)}" for index in self.gates]
        inputs = [self.labels[source] for source in _sources(self.graph.nodes[self.gates[-1]])]
        return (
            "compute the gates one after another, from the inside out, and write each value down",
            f"the order is {', '.join(steps)}",
            f"the last gate needs only the value{'s' * (len(inputs) > 1)} of {' and '.join(inputs)}",
        )

    def gradient_hints(self, index: int) -> tuple[str, ...]:
        """Return the hints for the gradient of a name; they contain no numbers."""
        name, output, users = self.labels[index], self.output, self.users(index)
        slopes = [f"d{self.labels[gate]}/d{name}" for gate in users]
        parts = [
            slope if gate == self.gates[-1] else f"d{output}/d{self.labels[gate]} * {slope}"
            for gate, slope in zip(users, slopes, strict=True)
        ]
        several = f"{name} is used more than once: add the gradients of its uses; " if len(users) > 1 else ""
        uses = ", ".join(f"{self.labels[gate]} = {self._words(gate)}" for gate in users)
        chain = (
            f"this gate is the output, so only its own slope d{output}/d{name} counts"
            if users == self.gates[-1:]
            else f"the chain rule says d{output}/d{name} = {' + '.join(parts)}"
        )
        rules = dict.fromkeys(self._rule(self.graph.nodes[gate]) for gate in users)
        return f"{several}{name} is an input of {uses}", chain, "; ".join(rules)

    def _words(self, index: int) -> str:
        """Return the formula of a gate without numbers."""
        if self.graph.nodes[index].gate == "power":
            return f"the square of {self.labels[_sources(self.graph.nodes[index])[0]]}"
        return self.formula(index)

    def _rule(self, node: Node) -> str:
        if node.gate == "power":
            return _SQUARE_RULE
        if node.gate == "relu":
            return "relu sends the gradient on if its input is positive, otherwise it stops it"
        return f"a {node.gate} {GATES[node.gate].rule}"


def _sources(node: Node) -> tuple[int, ...]:
    """Return the inputs of a gate, without the exponent of a square."""
    return node.inputs[:1] if node.gate == "power" else node.inputs
