"""The exercises ``neuron`` and ``two-layer``: a forward and a backward pass by hand."""

from __future__ import annotations

from fractions import Fraction
from math import exp, log
from random import Random

from mlptrain.exercises.exercise import ROUNDED, TOLERANCE, Item, decimal, exact, factor, pick

LEAST = 0.02
"""Smallest size of a rounded answer and of the change of a weight: zero and a wrong sign must not be accepted."""

MOST = 100
"""Bound of the numbers of ``two-layer``."""

TENTHS = tuple(number / 10 for number in range(-9, 10) if number)


def neuron(random: Random) -> list[Item]:
    """Return the questions about a sigmoid neuron with two inputs and one step of gradient descent."""
    while True:
        x = [pick(random, (-3, -2, -1, 1, 2, 3)) for _ in range(2)]
        w = [pick(random, TENTHS) for _ in range(2)]
        b, y, rate = pick(random, TENTHS), pick(random, (0, 1)), pick(random, (0.5, 1, 2))
        quadratic = random.random() < 0.5
        z = round(w[0] * x[0] + w[1] * x[1] + b, 1)
        a = 1 / (1 + exp(-z))
        dz = (a - y) * a * (1 - a) if quadratic else a - y
        dw = [dz * x[0], dz * x[1]]
        loss = (a - y) ** 2 / 2 if quadratic else -log(a if y else 1 - a)
        if 0.5 <= abs(z) <= 2 and min(abs(dz), loss, rate * abs(dw[0]), abs(w[0] - rate * dw[0])) >= LEAST:
            break
    formula = "C = (a - y)**2 / 2" if quadratic else "C = -(y ln a + (1 - y) ln(1 - a))"
    given = (
        f"z = w1 * x1 + w2 * x2 + b,   a = sigmoid(z) = 1 / (1 + exp(-z)),\n{formula}\n"
        f"for x1 = {x[0]}, x2 = {x[1]}, w1 = {decimal(w[0])}, w2 = {decimal(w[1])}, b = {decimal(b)}, y = {y}"
    )

    def rounded(name: str, question: str, answer: float, hints: tuple[str, ...], *solution: str) -> Item:
        return Item(name, f"{question} {ROUNDED}", hints, solution, given, Fraction(answer), TOLERANCE)

    if quadratic:
        chain = f"dC/dz = dC/da * da/dz = (a - y) * a * (1 - a) = ({a:.3f} - {y}) * {a:.3f} * (1 - {a:.3f}) = {dz:.3f}"
        last = "dC/da is a - y, and da/dz is the slope of the sigmoid, a times its distance from one"
        loss_steps = f"C = (a - y)**2 / 2 = ({a:.3f} - {y})**2 / 2 = {loss:.3f}"
    else:
        chain = f"dC/dz = a - y = {a:.3f} - {y} = {dz:.3f}, because the slope a * (1 - a) of the sigmoid cancels"
        last = "the slope of the sigmoid cancels: only the difference of output and target is left"
        loss_steps = f"C = -ln {'a' if y else '(1 - a)'} = -ln {a if y else 1 - a:.3f} = {loss:.3f}"
    terms = " + ".join(f"{factor(weight)} * {factor(value)}" for weight, value in zip(w, x, strict=True))
    new = w[0] - rate * dw[0]
    return [
        Item(
            "z",
            "weighted input z",
            ("multiply each input by its weight", "add the products, then the bias"),
            (f"z = w1 * x1 + w2 * x2 + b = {terms} + {factor(b)} = {decimal(z)}",),
            given,
            exact(z),
        ),
        rounded(
            "a",
            "activation a",
            a,
            (
                f"put your z into the sigmoid; a is {'above' if z > 0 else 'below'} one half, because z is "
                f"{'positive' if z > 0 else 'negative'}",
                "a calculator gives exp(-z); add one and take the reciprocal",
            ),
            f"a = 1 / (1 + exp({decimal(-z)})) = 1 / (1 + {exp(-z):.3f}) = {a:.3f}",
        ),
        rounded(
            "loss",
            "loss C",
            loss,
            (
                "put a and y into the formula of C",
                "square the difference, then halve it"
                if quadratic
                else "one term vanishes: minus the logarithm of the probability of the true class is left",
            ),
            loss_steps,
        ),
        rounded(
            "dz",
            "dC/dz, the gradient of z",
            dz,
            ("the chain rule says dC/dz = dC/da * da/dz", last),
            chain,
        ),
        *(
            rounded(
                f"dw{number}",
                f"dC/dw{number}, the gradient of w{number}",
                dw[number - 1],
                (
                    f"the chain rule says dC/dw{number} = dC/dz * dz/dw{number}",
                    f"w{number} is multiplied by x{number}, so that is dz/dw{number}",
                ),
                f"dC/dw{number} = dC/dz * x{number} = {factor(round(dz, 3))} * {factor(x[number - 1])} "
                f"= {dw[number - 1]:.3f}",
            )
            for number in (1, 2)
        ),
        rounded(
            "db",
            "dC/db, the gradient of b",
            dz,
            ("the chain rule says dC/db = dC/dz * dz/db", "b is added to z: how much does z change with it?"),
            f"dC/db = dC/dz * 1 = {dz:.3f}",
        ),
        rounded(
            "w1",
            f"w1 after a step of gradient descent with learning rate {decimal(rate)}",
            new,
            ("a step goes against the gradient", "subtract the learning rate times dC/dw1 from w1"),
            f"w1 - rate * dC/dw1 = {decimal(w[0])} - {decimal(rate)} * {factor(round(dw[0], 3))} = {new:.3f}",
        ),
    ]


def two_layer(random: Random) -> list[Item]:
    """Return the questions about a network with two inputs, two relu units and one linear output."""
    small = (-3, -2, -1, 1, 2, 3)
    while True:
        x = [pick(random, (1, 2, 3)), pick(random, (-2, -1, 0.5, 1.5, 2))]
        w = [[pick(random, small) for _ in range(2)] for _ in range(2)]
        b, v, y = [pick(random, small) for _ in range(2)], [pick(random, small) for _ in range(2)], pick(random, small)
        c = pick(random, small)
        z = [w[unit][0] * x[0] + w[unit][1] * x[1] + b[unit] for unit in range(2)]
        a = [max(0.0, value) for value in z]
        out = v[0] * a[0] + v[1] * a[1] + c
        error = out - y
        dz = [error * v[unit] if z[unit] > 0 else 0.0 for unit in range(2)]
        loss = error**2 / 2
        numbers = [*z, out, loss, error * a[0], error * a[1], dz[0] * x[0], dz[1] * x[1]]
        if 0 not in z and max(z) > 0 and error and max(map(abs, numbers)) <= MOST:
            break
    given = (
        "z1 = w11 * x1 + w12 * x2 + b1,   z2 = w21 * x1 + w22 * x2 + b2,\n"
        "out = v1 * relu(z1) + v2 * relu(z2) + c,   C = (out - y)**2 / 2\n"
        f"for x1 = {x[0]}, x2 = {decimal(x[1])}, y = {y}, v1 = {v[0]}, v2 = {v[1]}, c = {c},\n"
        + ",\n".join(f"{'    '}w{n}1 = {w[n - 1][0]}, w{n}2 = {w[n - 1][1]}, b{n} = {b[n - 1]}" for n in (1, 2))
    )
    items = []

    def add(name: str, question: str, answer: float, hints: tuple[str, ...], steps: str) -> None:
        solution = (f"{steps} = {decimal(answer)}",)
        items.append(Item(name, question, hints, solution, given, exact(answer)))

    for n in (1, 2):
        terms = " + ".join(f"{factor(weight)} * {factor(value)}" for weight, value in zip(w[n - 1], x, strict=True))
        add(
            f"z{n}",
            f"weighted input z{n} of unit {n}",
            z[n - 1],
            ("multiply each input by its weight", "add the products, then the bias of the unit"),
            f"z{n} = w{n}1 * x1 + w{n}2 * x2 + b{n} = {terms} + {factor(b[n - 1])}",
        )
    terms = " + ".join(f"{factor(v[unit])} * {decimal(a[unit])}" for unit in range(2))
    add(
        "out",
        "output out",
        out,
        ("relu turns negative numbers into zero and keeps the others", "add both products, then c"),
        f"out = v1 * relu(z1) + v2 * relu(z2) + c = {terms} + {factor(c)}",
    )
    add(
        "loss",
        "loss C",
        loss,
        ("subtract the target from the output", "square the difference, then halve it"),
        f"C = (out - y)**2 / 2 = ({decimal(out)} - {factor(y)})**2 / 2 = {factor(error)}**2 / 2",
    )
    add(
        "dout",
        "dC/dout, the gradient of out",
        error,
        ("the square brings a factor that the half cancels", "the difference of output and target is left"),
        f"dC/dout = out - y = {decimal(out)} - {factor(y)}",
    )
    for n in (1, 2):
        add(
            f"dv{n}",
            f"dC/dv{n}, the gradient of v{n}",
            error * a[n - 1],
            (f"the chain rule says dC/dv{n} = dC/dout * dout/dv{n}", f"v{n} is multiplied by relu(z{n})"),
            f"dC/dv{n} = dC/dout * relu(z{n}) = {factor(error)} * {decimal(a[n - 1])}",
        )
    for n in (1, 2):
        slope = int(z[n - 1] > 0)
        add(
            f"dz{n}",
            f"dC/dz{n}, the gradient of z{n}",
            dz[n - 1],
            (
                f"the chain rule says dC/dz{n} = dC/dout * v{n} * the slope of relu at z{n}",
                "relu sends the gradient on if its input is positive, otherwise it stops it",
            ),
            f"dC/dz{n} = dC/dout * v{n} * relu'(z{n}) = {factor(error)} * {factor(v[n - 1])} * {slope}",
        )
    for n, i in ((1, 1), (1, 2), (2, 1)):
        add(
            f"dw{n}{i}",
            f"dC/dw{n}{i}, the gradient of w{n}{i}",
            dz[n - 1] * x[i - 1],
            (
                f"the chain rule says dC/dw{n}{i} = dC/dz{n} * dz{n}/dw{n}{i}",
                f"w{n}{i} is the weight of input x{i} in unit z{n}",
            ),
            f"dC/dw{n}{i} = dC/dz{n} * x{i} = {factor(dz[n - 1])} * {factor(x[i - 1])}",
        )
    add(
        "db2",
        "dC/db2, the gradient of b2",
        dz[1],
        ("the chain rule says dC/db2 = dC/dz2 * dz2/db2", "b2 is added to z2: how much does z2 change with it?"),
        f"dC/db2 = dC/dz2 * 1 = {factor(dz[1])} * 1",
    )
    return items
