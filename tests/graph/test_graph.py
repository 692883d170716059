from __future__ import annotations

import ast
import math
import random
import sys
from pathlib import Path
from time import process_time

import numpy as np
import pytest

import mlptrain
from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Architecture, Parameters
from mlptrain.errors import UsageError
from mlptrain.graph.expression import FUNCTIONS, MAX_DEPTH, MAX_LENGTH, MAX_NODES, parse
from mlptrain.graph.graph import GATES, Passes, backpropagate
from tests.engine.gradcheck import analytic_gradient, cost
from tests.made import processor_seconds

PACKAGE = Path(mlptrain.__file__).parent


def passes(expression: str, **values: float) -> Passes:
    return backpropagate(parse(expression), values)


def test_the_product_of_a_sum():
    result = passes("(x + y) * z", x=-2, y=5, z=-4)
    assert result.value == -12
    assert result.inputs == {"x": -4, "y": -4, "z": 3}


def test_product_and_max():
    result = passes("2 * (x*y + max(z, w))", x=3, y=-4, z=2, w=-1)
    assert result.value == -20
    assert result.inputs == {"x": -8, "y": 6, "z": 2, "w": 0}


@pytest.mark.parametrize("neuron", ["1/(1 + exp(-(w0*x0 + w1*x1 + w2)))", "sigmoid(w0*x0 + w1*x1 + w2)"])
def test_the_sigmoid_neuron(neuron):
    result = passes(neuron, w0=2, w1=-3, w2=-3, x0=-1, x1=-2)
    assert round(result.value, 4) == 0.7311
    rounded = {name: round(gradient, 4) for name, gradient in result.inputs.items()}
    assert rounded == {"w0": -0.1966, "x0": 0.3932, "w1": -0.3932, "x1": -0.5898, "w2": 0.1966}


def test_nodes_stand_after_their_inputs_with_value_gradient_and_shares():
    result = passes("(x + y) * z", x=-2, y=5, z=-4)
    assert [(node.gate, node.expression, node.inputs) for node in result.graph.nodes] == [
        ("input", "x", ()),
        ("input", "y", ()),
        ("sum", "x + y", (0, 1)),
        ("input", "z", ()),
        ("product", "(x + y) * z", (2, 3)),
    ]
    assert result.values == (-2, 5, 3, -4, -12)
    assert result.gradients == (-4, -4, -4, 3, 1)
    assert result.shares == ((), (), (-4, -4), (), (-4, 3))


POINTS = {
    "sum": ("a + b", [(2, 3), (-1.5, 0.25), (0, 0)]),
    "difference": ("a - b", [(2, 3), (-1.5, 0.25), (0, 0)]),
    "product": ("a * b", [(2, 3), (-1.5, 0.25), (0, 4)]),
    "division": ("a / b", [(2, 3), (-1.5, 0.25), (0, -4)]),
    "power": ("a ** b", [(2, 3), (1.5, -0.25), (0.1, 2.5), (3, 0)]),
    "negation": ("-a", [(2,), (-1.5,), (0,)]),
    "max": ("max(a, b, c)", [(1, 2, 3), (3, 2, 1), (-1, 0, -2)]),
    "min": ("min(a, b, c)", [(1, 2, 3), (3, 2, 1), (-1, -3, -2)]),
    "exp": ("exp(a)", [(2,), (-1.5,), (0,)]),
    "log": ("log(a)", [(2,), (0.25,), (40,)]),
    "sigmoid": ("sigmoid(a)", [(2,), (-1.5,), (0,), (6,), (-6,)]),
    "tanh": ("tanh(a)", [(2,), (-1.5,), (0,), (4,)]),
    "relu": ("relu(a)", [(2,), (-1.5,), (0.25,)]),
}


def test_every_gate_is_checked():
    assert POINTS.keys() == GATES.keys()
    assert set(FUNCTIONS) < GATES.keys()


@pytest.mark.parametrize(("gate", "point"), [(gate, point) for gate, (_, points) in POINTS.items() for point in points])
def test_gates_agree_with_central_differences(gate, point):
    expression = f"3 * ({POINTS[gate][0]})"  # so that a gradient other than 1 comes in
    graph = parse(expression)
    assert graph.nodes[-2].gate == gate
    values = dict(zip("abc", point, strict=False))
    h = 1e-5
    for name, gradient in backpropagate(graph, values).inputs.items():
        above = backpropagate(graph, {**values, name: values[name] + h}).value
        below = backpropagate(graph, {**values, name: values[name] - h}).value
        assert gradient == pytest.approx((above - below) / (2 * h), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(
    ("expression", "value", "gradients"),
    [
        ("x*x", 9, 6),
        ("x + x", 6, 2),
        ("x - x", 0, 0),
        ("x / x", 1, 0),
        ("x**2 + 2*x*x*x", 63, 60),
        ("x**x", 27, 27 * (math.log(3) + 1)),
        ("max(x, x)", 3, 1),
        ("+x", 3, 1),
        ("--x", 3, 1),
        ("x", 3, 1),
        ("5", 5, None),
        ("-2**2", -4, None),
        ("2**-1**2", 0.5, None),
        ("2**3**2", 512, None),
        ("-(4) + -.5e1", -9, None),
    ],
)
def test_uses_of_a_name_add_up_and_operators_bind_as_in_python(expression, value, gradients):
    result = passes(expression, **({} if gradients is None else {"x": 3}))
    assert result.value == value
    assert result.inputs == ({} if gradients is None else {"x": pytest.approx(gradients, rel=1e-14)})


@pytest.mark.parametrize("expression", ["max(a, b, c)", "min(a, b, c)"])
def test_ties_go_to_the_first(expression):
    assert passes(expression, a=2, b=2, c=2).inputs == {"a": 1, "b": 0, "c": 0}
    outer = {"max": 1, "min": 3}[expression[:3]]
    assert passes(expression, a=outer, b=2, c=2).inputs == {"a": 0, "b": 1, "c": 0}


def test_relu_at_zero_stops_the_gradient():
    assert passes("relu(x)", x=0).inputs == {"x": 0}


def test_far_from_zero():
    assert passes("sigmoid(x)", x=-800).inputs == {"x": 0}
    assert passes("sigmoid(x)", x=40).inputs["x"] == pytest.approx(math.exp(-40), rel=1e-14)
    assert passes("tanh(x)", x=800).value == 1


def test_powers_at_the_border():
    assert passes("x**2", x=-3).inputs == {"x": -6}
    assert passes("x**2", x=0).inputs == {"x": 0}
    assert passes("x**0", x=0).inputs == {"x": 0}
    assert passes("x**y", x=0, y=2).inputs == {"x": 0, "y": 0}
    assert passes("max(x**0.5, 1)", x=0).inputs == {"x": 0}  # blocked before the infinite slope
    exponent = passes("x**(1 + 1)", x=-3)
    assert [math.isnan(g) for g in exponent.gradients] == [False, True, True, True, False]


def test_zero_has_no_sign():
    result = passes("0 * -x - 0", x=3)
    assert "-0.0" not in repr((result.values, result.gradients, result.shares))


@pytest.mark.parametrize(
    ("expression", "values", "parts"),
    [
        ("1 + log(x - 3)", {"x": 2}, ["log(x - 3)", "above 0", "its input is -1"]),
        ("log(x)", {"x": 0}, ["log(x)", "its input is 0"]),
        ("2 * (1 / (x - 2))", {"x": 2}, ["1 / (x - 2)", "division by 0", "its inputs are 1 and 0"]),
        ("x**0.5", {"x": -2}, ["x**0.5", "-2 and 0.5", "whole powers"]),
        ("x**-1", {"x": 0}, ["x**-1", "0 and -1", "negative power"]),
        ("exp(x)", {"x": 1000}, ["exp(x)", "1000", "1.8e308"]),
        ("x*x*x", {"x": 1e154}, ["x*x*x", "1e+308 and 1e+154", "1.8e308"]),
        ("x + x", {"x": 1e308}, ["x + x", "1.8e308"]),
        ("2**10**10", {}, ["2**10**10", "2 and 1e+10", "1.8e308"]),
        ("x**0.5", {"x": 0}, ["x**0.5", "gradient is infinite or undefined"]),
        ("x**y", {"x": -2, "y": 2}, ["x**y", "gradient is infinite or undefined", "-2 and 2"]),
        ("1/x", {"x": 1e-300}, ["1/x", "gradient is infinite or undefined"]),
        ("x * y", {"x": 1}, ["no value for y", "y=NUMBER"]),
        ("x", {"x": 1, "y": 2}, ["y does not occur"]),
        ("X", {"x": 1}, ["no value for X", "x does not occur"]),
        ("x", {"x": math.nan}, ["x: nan is not a finite number"]),
        ("x", {"x": -math.inf}, ["x: -inf is not a finite number"]),
        ("x", {"x": 10**400}, ["x: 1000", "is not a finite number"]),
        ("x", {"x": None}, ["x: None is not a finite number"]),
        ("x", {"x": 1, "\x1b[31m": 2}, ["\\x1b[31m"]),
    ],
)
def test_what_has_no_value(expression, values, parts):
    with pytest.raises(UsageError) as caught:
        backpropagate(parse(expression), values)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert message.count("\n") <= 2 and "\x1b" not in message


@pytest.mark.parametrize(
    ("expression", "column", "reason"),
    [
        ("x + * y", 4, "a name or a number is missing"),
        ("x y", 2, "an operator is missing"),
        ("2x", 1, "a product is written *"),
        ("2(x)", 1, "an operator is missing"),
        ("(x)(y)", 3, "an operator is missing"),
        ("x +", 3, "not complete"),
        ("exp", 3, "not complete"),
        ("exp x", 4, "needs its inputs in parentheses"),
        ("2 * (x + 1", 4, "never closed"),
        ("x + 1)", 5, "never opened"),
        ("()", 1, "a name or a number is missing"),
        ("f(x)", 0, "f is no gate; there are max, min, exp"),
        ("max(x)", 0, "at least two inputs"),
        ("1 + exp(x, y)", 4, "takes one input, not 2"),
        ("max(x, *y)", 7, "a name or a number is missing"),
        ("max(x, )", 7, "a name or a number is missing"),
        ("x, y", 1, "a comma stands only"),
        ("max(x, (y, z))", 9, "a comma stands only"),
        ("x // y", 3, "a name or a number is missing"),
        ("x^2", 1, "a power is written **"),
        ("f = x", 2, "without ="),
        ("x − y", 2, "minus is written -"),
        ("lambda * x", 0, "lambda is a reserved word"),
        ("x if y else z", 2, "if is a reserved word"),
        ("x.real", 1, "no place in an expression"),
        ("x[0]", 1, "parentheses are written"),
        ("'x'", 0, "no place"),
        ("x # y", 2, "no place"),
        ("x\0", 1, "no place"),
        ("\udc80", 0, "no place"),
        ("x\x1b[31m", 1, "no place"),
        ("2j", 1, "an operator is missing"),
        ("0x10", 1, "an operator is missing"),
        ("007", 0, "cannot be read"),
        ("1 + 1e999", 4, "1.8e308"),
        ("9" * 400, 0, "1.8e308"),
        ("σ + ^", 4, "a power is written"),
    ],
)
def test_what_is_no_expression_is_shown_in_its_place(expression, column, reason):
    with pytest.raises(UsageError) as caught:
        parse(expression)
    first, shown, mark = str(caught.value).split("\n")
    assert reason in first
    assert mark == " " * (2 + column) + "^"
    assert shown.isprintable() and shown.startswith("  " + "".join(c for c in expression[:70] if c.isprintable())[:1])


def test_the_place_in_a_long_expression():
    with pytest.raises(UsageError) as caught:
        parse("x + " * 200 + "$" + " + x" * 200)
    _, shown, mark = str(caught.value).split("\n")
    assert shown[mark.index("^")] == "$" and len(shown) <= 80


def test_white_space_and_names_are_as_python_reads_them():
    graph = parse("\n ﬁ_1 *\n\tσ\u00a0+ ﬁ_1 ")
    assert list(graph.names) == ["fi_1", "σ"]


@pytest.mark.parametrize("expression", ["", " \n "])
def test_nothing_at_all(expression):
    with pytest.raises(UsageError, match="empty"):
        parse(expression)


def nested(levels: int) -> list[str]:
    """Expressions with so many levels of gates."""
    gates = levels - 1
    return ["-" * gates + "x", "exp(" * gates + "x" + ")" * gates, "2" + "**x" * gates, "x+" * gates + "x"]


def test_bounds():
    for expression in nested(MAX_DEPTH):
        parse(expression)
    for expression in nested(MAX_DEPTH + 1):
        with pytest.raises(UsageError, match="levels deep"):
            parse(expression)
    parse("x" * MAX_LENGTH)
    with pytest.raises(UsageError, match="characters"):
        parse("x" * (MAX_LENGTH + 1))
    parse("max(" + "1," * (MAX_NODES - 2) + "1)")
    with pytest.raises(UsageError, match="nodes"):
        parse("max(" + "1," * (MAX_NODES - 1) + "1)")


HOSTILE = [
    "(" * 2000, ")" * 2000, "((" * 49 + "x", "max(" * 500, "-" * 1999 + "x", "-+" * 999 + "x", "not " * 490 + "x",
    "2" + "**2" * 600, "2" + "**-2" * 490, "x+" * 999 + "x", "9" * 2000, "1e" + "9" * 1900, "0." + "0" * 1990 + "1",
    "max(" * 49 + "x" + ",x)" * 49, "max(x," * 49 + "x" + ")" * 49, "exp(" * 300 + "x" + ")" * 300, "9**" * 48 + "9",
    "lambda:" * 280, "[" * 2000, "{" * 2000, "f'" * 1000, "\\" * 2000, "\n" * 2000, "_" * 2000, "x if x else " * 160,
]  # fmt: skip

PIECES = [
    *"xyz()+-*/, \n_'[{#\\…σ\0\ud800", "1", "2.5", "1e300", "0", "**", "max(", "min(", "exp(", "log(", "tanh(", "relu(",
    "sigmoid(", "lambda ", "if ", "not ", "2j", "x(", ".5", "5.", "0x1f", ":=", "1_0", "007", "__import__('os')",
]  # fmt: skip

NUMBERS = [0, 1, -1, 2.5, -3, 0.1, 1e300, -1e-300, 700, math.nan, math.inf, 10**400, "a", None]


def grown(rng: random.Random, depth: int) -> str:
    """A random expression of the grammar."""
    if depth == 0 or rng.random() < 0.15:
        return rng.choice(["x", "y", "z", "1", "2.5", "0", "1e300", "-3", "0.5"])
    inner = [grown(rng, depth - 1) for _ in range(3)]
    operator = rng.choice(["+", "-", "*", "/", "**"])
    function = rng.choice(FUNCTIONS)
    call = f"{function}({', '.join(inner)})" if function in ("max", "min") else f"{function}({inner[0]})"
    return rng.choice([f"({inner[0]}){operator}({inner[1]})", f"{inner[0]}{operator}{inner[1]}", f"-{inner[0]}", call])


def test_whatever_is_read_ends_soon_and_in_a_result_or_a_usage_error():
    rng = random.Random(7)
    texts = HOSTILE + ["".join(rng.choices(PIECES, k=rng.randrange(1, 30))) for _ in range(2000)]
    texts += [grown(rng, rng.randrange(1, 5)) for _ in range(2000)]
    results = 0
    for text in texts:
        begin = process_time()
        try:
            graph = parse(text)
            choices = NUMBERS if rng.random() < 0.3 else NUMBERS[:6]
            result = backpropagate(graph, {name: rng.choice(choices) for name in graph.names})
            assert all(map(math.isfinite, (*result.values, *result.inputs.values())))
            results += 1
        except UsageError as error:
            assert str(error).count("\n") <= 2
        assert process_time() - begin < processor_seconds(0.2), text[:100]
    assert 500 < results < len(texts) - 500


def test_deep_stacks_do_not_disturb_the_reading():
    def at(depth: int) -> str:
        if depth:
            return at(depth - 1)
        with pytest.raises(UsageError, match="levels deep"):
            parse("2" + "**2" * 600)
        return "read"

    assert at(sys.getrecursionlimit() // 2) == "read"


@pytest.mark.parametrize("output", ["sigmoid", "linear"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_a_network_of_gates_has_the_gradients_of_the_engine(activation, output):
    network = Network(Architecture((2, 2, 2), activation, output, "mse"), 1, "float64")
    rng = np.random.default_rng(3)
    network.parameters.flat[:] = rng.normal(size=network.parameters.flat.size)
    x, y = rng.normal(size=(2, 2)), rng.random((2, 2))

    def layer(number: int, sources: list[str], function: str) -> list[str]:
        sums = [f"w{number}{j}0*{sources[0]} + w{number}{j}1*{sources[1]} + b{number}{j}" for j in range(2)]
        return [f"{function}({z})" for z in sums]

    costs = []
    for n in range(2):
        a = layer(2, layer(1, [f"x{n}0", f"x{n}1"], activation), "" if output == "linear" else output)
        costs += [f"(y{i}{n} - {a[i]})**2" for i in range(2)]
    weights, biases = network.member(0)
    values = {f"x{n}{i}": x[n, i] for n in range(2) for i in range(2)}
    values |= {f"y{i}{n}": y[i, n] for n in range(2) for i in range(2)}
    values |= {f"w{k + 1}{j}{i}": weights[k][j, i] for k in range(2) for j in range(2) for i in range(2)}
    values |= {f"b{k + 1}{j}": biases[k][j] for k in range(2) for j in range(2)}
    result = passes(f"({' + '.join(costs)}) / 4", **values)

    step = TrainingPass(network, 2, Parameters(network.architecture, 1, network.dtype))
    assert result.value == pytest.approx(cost(step, network, x, y), rel=1e-12)
    gradient = analytic_gradient(network, x, y)
    for k in range(2):
        for j in range(2):
            assert result.inputs[f"b{k + 1}{j}"] == pytest.approx(gradient.biases[k][0, j, 0], abs=1e-12)
            for i in range(2):
                assert result.inputs[f"w{k + 1}{j}{i}"] == pytest.approx(gradient.weights[k][0, j, i], abs=1e-12)
    assert np.count_nonzero(gradient.flat) > 6


def imported(path: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def test_the_engine_and_the_graph_know_nothing_of_each_other():
    engine = list((PACKAGE / "engine").glob("*.py"))
    assert engine
    for path in engine:
        assert not any("graph" in module.split(".") for module in imported(path)), path.name
    for path in (PACKAGE / "graph").glob("*.py"):
        modules = {".".join(module.split(".")[:2]) for module in imported(path) if module.startswith("mlptrain")}
        assert modules <= {"mlptrain.errors", "mlptrain.graph"}
        outside = {module.split(".")[0] for module in imported(path)} - {"mlptrain"}
        assert outside <= sys.stdlib_module_names
