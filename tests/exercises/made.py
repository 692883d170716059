"""Checks of generated exercises that the suite makes for some seeds and ``tests.stress.exercises`` for many."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path

from mlptrain.exercises.call import call_file
from mlptrain.exercises.checking import expected_results, judge
from mlptrain.exercises.exercise import Exercise, read_number

Numbers = dict[str, float]

_NUMERAL = re.compile(r"(?<![\w.])-?[0-9]+(?:\.[0-9]+)?(?![\w.])")


def check_numbers(exercise: Exercise) -> None:
    """Check that the stated solution is accepted, wrong answers refused, and hints without the answer."""
    for item in exercise.items:
        where = (exercise.kind, exercise.seed, item.id)
        stated = read_number(item.stated)
        assert item.accepts(stated), where
        wrong = {stated + step for step in (Fraction(1, 50), -Fraction(1, 50), 1, -1)}
        if item.answer:
            wrong |= {-stated, stated * 2, Fraction(0), stated * 10}
        assert not any(item.accepts(number) for number in wrong), where
        for hint in item.hints:
            assert not any(item.accepts(Fraction(found)) for found in _NUMERAL.findall(hint)), (where, hint)
        assert item.hints and any(item.stated in line for line in item.solution), where


def check_short(exercise: Exercise) -> None:
    """Check that all numbers can be handled by hand."""
    for item in exercise.items:
        digits = re.sub(r"\D", "", item.stated)
        assert len(digits) <= 5 and len(item.stated.partition(".")[2]) <= 3, (exercise.seed, item)
        assert all(len(number.lstrip("-")) <= 4 for number in _NUMERAL.findall(item.given)), item.given
        assert all(len(line) <= 78 for line in item.given.splitlines()), item.given


def is_accepted(exercise: Exercise, text: str, path: Path) -> dict[str, bool]:
    """Return for each item whether a program passes, run in this process."""
    assert exercise.program is not None
    path.write_text(text, encoding="utf-8")
    calls, expected = expected_results(exercise)
    answer = call_file(str(path), exercise.program.function, calls)
    assert not answer["printed"], answer["printed"]
    return {name: reason is None for name, reason in judge(exercise, path, answer, expected).reasons.items()}


def perturbed(text: str) -> list[str]:
    """Return the program with each of its last results changed."""
    *lines, last = text.rstrip("\n").split("\n")
    results = _split(last.removeprefix("    return "))
    return [
        "\n".join(
            [*lines, "    return " + ", ".join([*results[:n], f"1.01 * ({results[n]}) + 0.01", *results[n + 1 :]])]
        )
        for n in range(len(results))
    ]


def _split(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts, depth = [""], 0
    for character in text.partition("  #")[0]:
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def check_program_text(exercise: Exercise, path: Path) -> None:
    """Check that the solution passes, that changed results and the file to complete do not, and the hints."""
    assert exercise.program is not None
    accepted = is_accepted(exercise, exercise.program.finished, path)
    assert all(accepted.values()), (exercise.seed, accepted)
    assert not any(is_accepted(exercise, exercise.program.unfinished, path).values())
    for text in perturbed(exercise.program.finished):
        assert not all(is_accepted(exercise, text, path).values()), text
    body = exercise.program.finished.rpartition('"""')[2].splitlines()
    steps = [line.partition("#")[0].rpartition(" = ")[2].strip() for line in body if " = " in line]
    hints = [hint for item in exercise.items for hint in item.hints]
    assert hints and not any(len(step) > 2 and step in hint for step in steps for hint in hints)


def given_numbers(given: str) -> Numbers:
    """Return the numbers of a question by their names."""
    return {name: float(value) for name, value in re.findall(r"(\w+) = (-?[0-9.]+)(?=[,\s]|$)", given)}


def slope(function: Callable[[Numbers], float], numbers: Mapping[str, float], name: str, h: float = 1e-5) -> float:
    """Return the derivative with respect to one of the numbers, by a central difference."""
    above, below = ({**numbers, name: numbers[name] + step} for step in (h, -h))
    return (function(above) - function(below)) / (2 * h)


def relu(z: float) -> float:
    return max(0.0, z)


def check_graphs(exercise: Exercise) -> None:
    """Compare values and gradients of ``chain-rule`` with Python and with central differences."""
    for item in exercise.items:
        expression, _, values = item.given.partition(" = ")[2].partition("   for ")
        numbers = given_numbers(values)

        def value(numbers: Numbers, expression: str = expression) -> float:
            return float(eval(expression, {"relu": relu, "max": max, "min": min}, dict(numbers)))

        found = slope(value, numbers, item.id[1:]) if item.id[1:] else value(numbers)
        assert math.isclose(found, item.answer, abs_tol=1e-6), (exercise.seed, item)


def check_neuron(exercise: Exercise) -> None:
    """Compare the answers of ``neuron`` with formulas and central differences, and with those of rounded steps."""
    given, answers = exercise.items[0].given, {item.id: item for item in exercise.items}
    n = given_numbers(given)
    rate = float(answers["w1"].question.partition("rate ")[2].split()[0])

    def loss(n: Numbers) -> float:
        z = n["w1"] * n["x1"] + n["w2"] * n["x2"] + n["b"] + n.get("dz", 0)
        a = 1 / (1 + math.exp(-z))
        return (a - n["y"]) ** 2 / 2 if "/ 2" in given else -math.log(a if n["y"] else 1 - a)

    gradients = {f"d{name}": slope(loss, n, name) for name in ("w1", "w2", "b")}
    expected = {**gradients, "loss": loss(n), "dz": slope(loss, {**n, "dz": 0.0}, "dz")}
    expected["w1"] = n["w1"] - rate * gradients["dw1"]
    for name, value in expected.items():
        assert math.isclose(value, answers[name].answer, abs_tol=1e-6), (exercise.seed, name)
    a = round(1 / (1 + math.exp(-float(answers["z"].answer))), 3)
    dz = round((a - n["y"]) * a * (1 - a) if "/ 2" in given else a - n["y"], 3)
    dw = [round(dz * n["x1"], 3), round(dz * n["x2"], 3)]
    loss_by_hand = (a - n["y"]) ** 2 / 2 if "/ 2" in given else -math.log(a if n["y"] else 1 - a)
    by_hand = {"a": a, "loss": loss_by_hand, "dz": dz, "dw1": dw[0], "dw2": dw[1], "w1": n["w1"] - rate * dw[0]}
    for name, value in by_hand.items():
        assert answers[name].accepts(Fraction(f"{value:.3f}")), (exercise.seed, name)


def check_two_layer(exercise: Exercise) -> None:
    """Compare the answers of ``two-layer`` with formulas and central differences."""
    answers = {item.id: item.answer for item in exercise.items}
    n = given_numbers(exercise.items[0].given)

    def forward(n: Numbers) -> dict[str, float]:
        z = {f"z{u}": n[f"w{u}1"] * n["x1"] + n[f"w{u}2"] * n["x2"] + n[f"b{u}"] + n.get(f"z{u}", 0) for u in (1, 2)}
        out = n["v1"] * relu(z["z1"]) + n["v2"] * relu(z["z2"]) + n["c"]
        return {**z, "out": out, "loss": (out - n["y"]) ** 2 / 2}

    for name, value in forward(n).items():
        assert math.isclose(value, answers.pop(name), abs_tol=1e-9), (exercise.seed, name)
    n |= {"z1": 0.0, "z2": 0.0}
    for name, answer in answers.items():
        by = "c" if name == "dout" else name[1:]
        assert math.isclose(slope(lambda n: forward(n)["loss"], n, by), answer, abs_tol=1e-6), (exercise.seed, name)


def check_counting(exercise: Exercise) -> None:
    """Compare the answers of ``counting`` with the engine's losses and parameters, and with batches that are cut."""
    import numpy as np

    from mlptrain.engine.losses import PAIRINGS
    from mlptrain.engine.parameters import Architecture

    items = {item.id: item for item in exercise.items}

    def lists(name: str) -> list[np.ndarray]:
        found = re.findall(r"\(([0-9., ]+)\)", items[name].given)
        return [np.array([[float(number)] for number in each.split(",")]) for each in found]

    a, y = lists("squared")
    assert math.isclose(PAIRINGS["mse", "linear"].value(a, y)[0], items["squared"].answer)
    (p,) = lists("cross_entropy")
    true = ("first", "second", "third").index(items["cross_entropy"].given.split()[-1])
    cost = PAIRINGS["cross_entropy", "softmax"].value(np.log(p), np.eye(3)[:, [true]])[0]
    assert math.isclose(cost, items["cross_entropy"].answer)
    a, y = lists("binary")
    cost = PAIRINGS["binary_cross_entropy", "sigmoid"].value(np.log(a / (1 - a)), y)[0]
    assert math.isclose(cost, items["binary"].answer)
    classes = int(re.findall("[0-9]+", items["untrained"].given)[0])
    cost = PAIRINGS["cross_entropy", "softmax"].value(np.zeros((classes, 1)), np.eye(classes)[:, [0]])[0]
    assert math.isclose(cost, items["untrained"].answer)
    for name in ("parameters", "deep"):
        layers = tuple(map(int, items[name].given.removeprefix("a network ").split("-")))
        assert Architecture(layers, "relu", "softmax", "cross_entropy").parameter_count == items[name].answer
    images, batch = map(int, re.findall("[0-9]+", items["steps"].given))
    epochs = int(re.findall("[0-9]+", items["updates"].question)[0])
    batches = [len(range(images)[start : start + batch]) for start in range(0, images, batch)]
    assert [items[name].answer for name in ("steps", "last_batch", "updates")] == [
        len(batches),
        batches[-1],
        len(batches * epochs),
    ]


ORACLES = {
    "chain-rule": check_graphs,
    "neuron": check_neuron,
    "two-layer": check_two_layer,
    "counting": check_counting,
}
