from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Architecture, Parameters
from mlptrain.errors import UsageError
from mlptrain.graph.expression import FUNCTIONS, parse
from mlptrain.graph.graph import GATES, Passes, backpropagate
from tests.engine.gradcheck import analytic_gradient, cost


def passes(expression: str, **values: float) -> Passes:
    return backpropagate(parse(expression), values)


def test_gradients_of_a_product_of_a_sum() -> None:
    result = passes("(x + y) * z", x=-2, y=5, z=-4)
    assert result.value == -12
    assert result.inputs == {"x": -4, "y": -4, "z": 3}


def test_gradients_of_a_product_and_a_maximum() -> None:
    result = passes("2 * (x*y + max(z, w))", x=3, y=-4, z=2, w=-1)
    assert result.value == -20
    assert result.inputs == {"x": -8, "y": 6, "z": 2, "w": 0}


@pytest.mark.parametrize("neuron", ["1/(1 + exp(-(w0*x0 + w1*x1 + w2)))", "sigmoid(w0*x0 + w1*x1 + w2)"])
def test_gradients_of_a_sigmoid_neuron(neuron: str) -> None:
    result = passes(neuron, w0=2, w1=-3, w2=-3, x0=-1, x1=-2)
    assert round(result.value, 4) == 0.7311
    rounded = {name: round(gradient, 4) for name, gradient in result.inputs.items()}
    assert rounded == {"w0": -0.1966, "x0": 0.3932, "w1": -0.3932, "x1": -0.5898, "w2": 0.1966}


def test_nodes_follow_their_inputs_with_value_gradient_and_shares() -> None:
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


POINTS: dict[str, tuple[str, list[tuple[float, ...]]]] = {
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


def test_every_gate_has_points_to_check() -> None:
    assert POINTS.keys() == GATES.keys()
    assert set(FUNCTIONS) < GATES.keys()


@pytest.mark.parametrize(("gate", "point"), [(gate, point) for gate, (_, points) in POINTS.items() for point in points])
def test_gates_agree_with_central_differences(gate: str, point: tuple[float, ...]) -> None:
    expression = f"3 * ({POINTS[gate][0]})"  # the gradient of the gate is 3
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
def test_gradients_of_all_uses_add_up_and_operators_bind_as_in_python(
    expression: str, value: float, gradients: float | None
) -> None:
    result = passes(expression, **({} if gradients is None else {"x": 3}))
    assert result.value == value
    assert result.inputs == ({} if gradients is None else {"x": pytest.approx(gradients, rel=1e-14)})


@pytest.mark.parametrize("expression", ["max(a, b, c)", "min(a, b, c)"])
def test_first_of_equal_inputs_gets_the_gradient(expression: str) -> None:
    assert passes(expression, a=2, b=2, c=2).inputs == {"a": 1, "b": 0, "c": 0}
    outer = {"max": 1, "min": 3}[expression[:3]]
    assert passes(expression, a=outer, b=2, c=2).inputs == {"a": 0, "b": 1, "c": 0}


def test_relu_at_zero_stops_the_gradient() -> None:
    assert passes("relu(x)", x=0).inputs == {"x": 0}


def test_saturated_gates() -> None:
    assert passes("sigmoid(x)", x=-800).inputs == {"x": 0}
    assert passes("sigmoid(x)", x=40).inputs["x"] == pytest.approx(math.exp(-40), rel=1e-14)
    assert passes("tanh(x)", x=800).value == 1


def test_powers_of_zero_and_of_negative_numbers() -> None:
    assert passes("x**2", x=-3).inputs == {"x": -6}
    assert passes("x**2", x=0).inputs == {"x": 0}
    assert passes("x**0", x=0).inputs == {"x": 0}
    assert passes("x**y", x=0, y=2).inputs == {"x": 0, "y": 0}
    assert passes("max(x**0.5, 1)", x=0).inputs == {"x": 0}  # not NaN: 0 times the infinite slope
    exponent = passes("x**(1 + 1)", x=-3)
    assert [math.isnan(g) for g in exponent.gradients] == [False, True, True, True, False]


def test_results_contain_no_negative_zero() -> None:
    result = passes("0 * -x - 0", x=3)
    assert "-0.0" not in repr((result.values, result.gradients, result.shares))


@pytest.mark.parametrize(
    ("expression", "values", "parts"),
    [
        ("1 + log(x - 3)", {"x": 2}, ["log(x - 3)", "above 0", "got -1"]),
        ("log(x)", {"x": 0}, ["log(x)", "got 0"]),
        ("2 * (1 / (x - 2))", {"x": 2}, ["1 / (x - 2)", "division by 0", "got 1 and 0"]),
        ("x**0.5", {"x": -2}, ["x**0.5", "-2 and 0.5", "whole exponent"]),
        ("x**-1", {"x": 0}, ["x**-1", "0 and -1", "negative exponent"]),
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
def test_undefined_values_and_gradients_raise_usage_error(
    expression: str, values: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        backpropagate(parse(expression), values)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert message.count("\n") <= 2 and "\x1b" not in message


@pytest.mark.parametrize("output", ["sigmoid", "linear"])
@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_network_of_gates_has_the_gradients_of_the_engine(activation: str, output: str) -> None:
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
