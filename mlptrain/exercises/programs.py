"""The exercises ``backward``, ``update-rule`` and ``loss``: Python files with a function to complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from mlptrain.exercises.exercise import Case, Item, Program, pick

UNFINISHED = '    raise NotImplementedError("complete this function")'

_FILE = '''\
"""{title}

Complete the function {function}. It needs NumPy only. Then check the file:

    mlptrain exercise {kind} --seed {seed}
"""

import numpy as np
{parts}

{head}
    """{docstring}
    """
{body}
'''


def _program(
    kind: str, seed: str, title: str, head: str, docstring: str, body: str, case: Case, parts: str = ""
) -> Program:
    """Return the program of a kind and a seed; ``parts`` is the code before the function, ``body`` the solution."""
    function = head.removeprefix("def ").partition("(")[0]
    words = {"title": title, "function": function, "kind": kind, "seed": seed, "head": head, "docstring": docstring}
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    unfinished, finished = (_FILE.format(**words, parts=parts, body=text) for text in (UNFINISHED, indented))
    return Program(function, unfinished, finished, case)


class _Activation(NamedTuple):
    """An activation function and its derivative, as NumPy expressions of z and a, and a hint for the derivative."""

    value: str
    slope: str
    hint: str


_ACTIVATIONS = {
    "sigmoid": _Activation("1 / (1 + np.exp(-z))", "a * (1 - a)", "the slope of the sigmoid is a times its complement"),
    "tanh": _Activation("np.tanh(z)", "1 - a**2", "the slope of tanh is the complement of its square"),
    "softplus": _Activation("np.log1p(np.exp(z))", "1 / (1 + np.exp(-z))", "the slope of softplus is the sigmoid of z"),
    "leaky_relu": _Activation(
        "np.where(z > 0, z, 0.01 * z)", "np.where(z > 0, 1.0, 0.01)", "the slope has one value on each side of zero"
    ),
    "elu": _Activation(
        "np.where(z > 0, z, np.expm1(z))", "np.where(z > 0, 1.0, np.exp(z))", "below zero the slope is exp(z)"
    ),
    "silu": _Activation(
        "z / (1 + np.exp(-z))",
        "(1 + z - a) / (1 + np.exp(-z))",
        "silu is z times the sigmoid of z: use the rule for products",
    ),
}


def backward(random: Random, seed: str) -> tuple[Program, list[Item]]:
    """Return the backward pass of a layer, to complete."""
    name, rows = pick(random, list(_ACTIVATIONS)), random.random() < 0.5
    activation = _ACTIVATIONS[name]
    product, shapes = (
        ("x @ W + b", "x (batch, inputs), W (inputs, units), b (units,), da (batch, units)")
        if rows
        else ("W @ x + b", "x (inputs, batch), W (units, inputs), b (units, 1), da (units, batch)")
    )
    forward = (
        f'\n\ndef forward(x, W, b):\n    """Return the activations a = {name}(z) of a layer, z = {product}."""\n'
        f"    z = {product}\n    return {activation.value}\n"
    )
    sums = (
        ("x.T @ dz", "dz.sum(axis=0)", "dz @ W.T")
        if rows
        else ("dz @ x.T", "dz.sum(axis=1, keepdims=True)", "W.T @ dz")
    )
    program = _program(
        "backward",
        seed,
        f"The backward pass of a layer of {name} units.",
        "def backward(x, W, b, da):",
        f"Return the gradients (dW, db, dx) of the loss, each in the shape of W, b and x.\n\n"
        f"    da is the gradient of the loss with respect to the activations a = forward(x, W, b). The examples are\n"
        f"    the {'rows' if rows else 'columns'} of x. Shapes: {shapes}.",
        f"z = {product}\na = {activation.value}\n"
        f"dz = da * ({activation.slope})  # the chain rule, with the slope of {name}\n"
        f"dW = {sums[0]}  # z grows by x for each weight; the product sums over the batch\n"
        f"db = {sums[1]}  # z grows by 1 for each bias, in every example\n"
        f"dx = {sums[2]}  # z grows by W for each input; the product sums over the units\nreturn dW, db, dx",
        Case(name, rows),
        forward,
    )
    first = (
        "compute dz, the gradient of the weighted inputs z: it is da times the slope of the activation at z",
        activation.hint,
    )
    items = [
        Item(
            "dW",
            "gradient of the weights",
            (*first, "each weight multiplies an input: dW is a matrix product of dz and x, summed over the batch"),
        ),
        Item(
            "db",
            "gradient of the biases",
            (*first, "a bias is added for every example: sum dz over the batch, and keep the shape of b"),
        ),
        Item(
            "dx",
            "gradient of the inputs",
            (*first, "an input reaches every unit: dx is a matrix product of dz and W, summed over the units"),
        ),
    ]
    return program, items


class _Rule(NamedTuple):
    """An update rule: its arrays of state, its formula, its choices of hyperparameters, its code and hints."""

    states: tuple[str, ...]
    formula: str
    numbers: Mapping[str, Sequence[float]]
    code: str
    hints: tuple[str, str]


_RATES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_EPSILON = {"epsilon": (1e-8,)}
_SQUARED = "np.sqrt of the average divides the gradient; epsilon is added after the root"

_RULES = {
    "momentum": _Rule(
        ("v",),
        "v <- momentum * v - rate * g,  w <- w + v",
        {"momentum": (0.5, 0.8, 0.9, 0.95)},
        "v = momentum * v - rate * g  # the velocity remembers earlier gradients\nreturn w + v, v",
        ("compute the new velocity v first", "the weights move by the new velocity"),
    ),
    "nesterov": _Rule(
        ("v",),
        "v <- momentum * v - rate * g,  w <- w + momentum * v - rate * g",
        {"momentum": (0.5, 0.8, 0.9, 0.95)},
        "v = momentum * v - rate * g  # as with momentum\n"
        "return w + momentum * v - rate * g, v  # the step that the new velocity would make next",
        ("compute the new velocity v first", "the weights look ahead: they use the new velocity and g again"),
    ),
    "adagrad": _Rule(
        ("s",),
        "s <- s + g**2,  w <- w - rate * g / (sqrt(s) + epsilon)",
        _EPSILON,
        "s = s + g**2  # never shrinks, so the steps become smaller\nreturn w - rate * g / (np.sqrt(s) + epsilon), s",
        ("s is the sum of all squared gradients so far, this one included", _SQUARED),
    ),
    "rmsprop": _Rule(
        ("s",),
        "s <- rho * s + (1 - rho) * g**2,  w <- w - rate * g / (sqrt(s) + epsilon)",
        {"rho": (0.8, 0.9, 0.95, 0.99), **_EPSILON},
        "s = rho * s + (1 - rho) * g**2  # forgets old gradients, unlike the sum of adagrad\n"
        "return w - rate * g / (np.sqrt(s) + epsilon), s",
        ("s is a running average of the squared gradients, this one included", _SQUARED),
    ),
    "adam": _Rule(
        ("m", "v"),
        "m <- beta1 * m + (1 - beta1) * g,  v <- beta2 * v + (1 - beta2) * g**2,\n"
        "    w <- w - rate * M / (sqrt(V) + epsilon),  M = m / (1 - beta1**t),  V = v / (1 - beta2**t)",
        {"beta1": (0.8, 0.9, 0.95), "beta2": (0.99, 0.999), **_EPSILON},
        "m = beta1 * m + (1 - beta1) * g\nv = beta2 * v + (1 - beta2) * g**2\n"
        "M, V = m / (1 - beta1**t), v / (1 - beta2**t)  # both averages began at 0, and are too small at first\n"
        "return w - rate * M / (np.sqrt(V) + epsilon), m, v",
        ("update both averages, m of the gradient and v of its square", "return m and v, not the corrected M and V"),
    ),
}


def update_rule(random: Random, seed: str) -> tuple[Program, list[Item]]:
    """Return a step of an update rule, to complete."""
    name = pick(random, list(_RULES))
    rule = _RULES[name]
    numbers = {"rate": pick(random, _RATES)} | {key: pick(random, values) for key, values in rule.numbers.items()}
    returned = ", ".join(("w", *rule.states))
    states, are, start = (
        (rule.states[0], "is an array", "is zero") if len(rule.states) == 1 else ("m and v", "are arrays", "are zero")
    )
    program = _program(
        "update-rule",
        seed,
        f"A step of the update rule {name}.",
        f"def update({returned}, g, t):",
        f"Return ({returned}) after step t, which is 1 for the first step.\n\n    {rule.formula}\n\n"
        f"    w is an array of weights, g its gradient. {states} {are} of the same shape and {start} before step 1.",
        rule.code,
        Case(name, numbers=tuple(numbers.items())),
        "\n" + "".join(f"{key} = {value}\n" for key, value in numbers.items()),
    )
    items = [
        Item("first", "weights after the first step", rule.hints),
        Item("second", "weights after the second step", (*rule.hints, f"return the new {states} as well")),
        Item("tenth", "weights after ten steps", (*rule.hints, "nothing but the arguments may carry state")),
    ]
    return program, items


class _Loss(NamedTuple):
    """A loss of an output function: its formula, its code with ``AXIS`` for that of the classes, and hints."""

    title: str
    formula: str
    code: str
    gradient: str
    hint: str


_LOSSES = {
    "cross_entropy softmax": _Loss(
        "cross-entropy of softmax outputs",
        "C = -sum of y ln a,  a = exp(z) / sum of exp(z)",
        "shifted = z - z.max(axis=AXIS, keepdims=True)  # leaves a unchanged, and exp cannot overflow\n"
        "log_a = shifted - np.log(np.exp(shifted).sum(axis=AXIS, keepdims=True))\n"
        "C = -(y * log_a).sum(axis=AXIS)\ndz = np.exp(log_a) - y  # a - y: the slope of softmax cancels",
        "the slope of the output function cancels against that of the logarithm: little is left",
        "subtract the largest z of each example before exp, and compute ln a without computing a",
    ),
    "binary_cross_entropy sigmoid": _Loss(
        "binary cross-entropy of sigmoid outputs",
        "C = -sum of (y ln a + (1 - y) ln(1 - a)),  a = 1 / (1 + exp(-z))",
        "# -ln a = ln(1 + exp(-z)) and -ln(1 - a) = ln(1 + exp(z)), so C = ln(1 + exp(z)) - y z\n"
        "C = (np.logaddexp(0, z) - y * z).sum(axis=AXIS)\n"
        "dz = np.exp(-np.logaddexp(0, -z)) - y  # a - y: the slope of the sigmoid cancels",
        "the slope of the output function cancels against that of the logarithm: little is left",
        "both logarithms are those of a sum of exponentials, which np.logaddexp computes without overflow",
    ),
    "mse sigmoid": _Loss(
        "squared error of sigmoid outputs",
        "C = 1/2 * sum of (y - a)**2,  a = 1 / (1 + exp(-z))",
        "a = np.exp(-np.logaddexp(0, -z))  # the sigmoid, without overflow\n"
        "C = 0.5 * ((y - a)**2).sum(axis=AXIS)\ndz = (a - y) * a * (1 - a)  # dC/da times the slope of the sigmoid",
        "the chain rule: the gradient of a times the slope of the sigmoid",
        "an overflow of exp must end in an a of zero, not in nan",
    ),
    "mse softmax": _Loss(
        "squared error of softmax outputs",
        "C = 1/2 * sum of (y - a)**2,  a = exp(z) / sum of exp(z)",
        "e = np.exp(z - z.max(axis=AXIS, keepdims=True))\na = e / e.sum(axis=AXIS, keepdims=True)\n"
        "C = 0.5 * ((y - a)**2).sum(axis=AXIS)\n"
        "# da_j/dz_i = a_j (1 - a_i) for i = j, otherwise -a_j a_i\n"
        "dz = a * (a - y - (a * (a - y)).sum(axis=AXIS, keepdims=True))",
        "every output depends on every z: sum the products of a - y and da/dz over the outputs",
        "subtract the largest z of each example before exp",
    ),
}


def loss(random: Random, seed: str) -> tuple[Program, list[Item]]:
    """Return a loss with its gradient, to complete."""
    name, rows, mean = pick(random, list(_LOSSES)), random.random() < 0.5, random.random() < 0.5
    chosen = _LOSSES[name]
    shape, axis = ("(batch, classes)", 1) if rows else ("(classes, batch)", 0)
    over = "mean" if mean else "sum"
    batch = f"z.shape[{1 - axis}]"
    program = _program(
        "loss",
        seed,
        f"The {chosen.title}, and its gradient.",
        "def loss(z, y):",
        f"Return the {over} of C over the batch, and the gradient of that with respect to z.\n\n"
        f"    {chosen.formula}\n\n"
        f"    The sums are over the classes. z and y have the shape {shape}, and y contains a 1 for the\n"
        "    true class of each example, otherwise 0. Large z, such as 1000 and -1000, must not overflow.",
        chosen.code.replace("AXIS", str(axis))
        + (f"\nreturn C.mean(), dz / {batch}" if mean else "\nreturn C.sum(), dz"),
        Case(name, rows, mean),
    )
    last = (
        f"the {over} over the batch divides each gradient by the number of examples"
        if mean
        else "the sum over the batch leaves the gradient of each example as it is"
    )
    items = [
        Item("value", "loss", ("compute the loss of each example, then combine them", f"the result is their {over}")),
        Item("gradient", "gradient of z", (chosen.gradient, last)),
        Item("large", "loss and gradient for large z", ("try z = 1000: which step overflows?", chosen.hint)),
    ]
    return program, items
