"""The exercise ``counting``: losses, numbers of parameters and steps per epoch by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import log
from random import Random

from mlptrain.exercises.exercise import ROUNDED, TOLERANCE, Item, decimal, exact, pick, shuffled


def counting(random: Random) -> list[Item]:
    """Return the questions: about losses, then parameters, then steps."""
    return [*_losses(random), *_parameters(random), *_steps(random)]


def _losses(random: Random) -> list[Item]:
    tenths = (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9)
    outputs, true = [pick(random, tenths) for _ in range(3)], int(random.random() * 3)
    targets = [int(index == true) for index in range(3)]
    squares = sum((y - a) ** 2 for a, y in zip(outputs, targets, strict=True)) / 2
    terms = " + ".join(f"({y} - {a})**2" for a, y in zip(outputs, targets, strict=True))
    probabilities = shuffled(random, pick(random, ((0.1, 0.2, 0.7), (0.1, 0.3, 0.6), (0.2, 0.3, 0.5), (0.1, 0.4, 0.5))))
    likely = int(random.random() * 3)
    first, second = pick(random, tenths), pick(random, tenths)
    classes = pick(random, (2, 3, 4, 5, 6, 8, 12, 20, 26, 47, 50, 100))
    return [
        Item(
            "squared",
            "C = 1/2 * sum of (y - a)**2",
            ("subtract each output from its target", "square the differences, add them, then halve the sum"),
            (f"C = 1/2 * ({terms}) = {decimal(squares)}",),
            f"three outputs a = {_listed(outputs)} with the targets y = {_listed(targets)}",
            exact(squares),
        ),
        Item(
            "cross_entropy",
            f"cross-entropy {ROUNDED}",
            (
                "only the probability of the true class counts",
                "take minus the natural logarithm of that probability",
            ),
            (f"C = -ln {probabilities[likely]} = {-log(probabilities[likely]):.3f}",),
            f"softmax outputs {_listed(probabilities)}; the true class is the {('first', 'second', 'third')[likely]}",
            Fraction(-log(probabilities[likely])),
            TOLERANCE,
        ),
        Item(
            "binary",
            f"binary cross-entropy, C = -sum of (y ln a + (1 - y) ln(1 - a)) {ROUNDED}",
            (
                "each output adds one term, because the other one vanishes",
                "where the target is zero, take the probability of the opposite",
            ),
            (f"C = -ln {first} - ln(1 - {second}) = {-log(first) - log(1 - second):.3f}",),
            f"two sigmoid outputs a = {_listed([first, second])} with the targets y = (1, 0)",
            Fraction(-log(first) - log(1 - second)),
            TOLERANCE,
        ),
        Item(
            "untrained",
            f"its cross-entropy {ROUNDED}",
            (
                "an untrained network that has no preference gives every class the same probability",
                "take minus the natural logarithm of that probability",
            ),
            (f"C = -ln(1/{classes}) = ln {classes} = {log(classes):.3f}",),
            f"a network gives each of {classes} classes the same probability",
            Fraction(log(classes)),
            TOLERANCE,
        ),
    ]


def _parameters(random: Random) -> list[Item]:
    wide = (784, pick(random, (10, 15, 20, 30, 40, 50, 60, 80, 100)), 10)
    deep = tuple(pick(random, choices) for choices in (range(5, 31), range(4, 16), range(3, 11), range(2, 6)))
    return [
        Item(
            name,
            "number of weights and biases",
            (
                "the first number is that of the inputs; each later one is a layer of units",
                "each unit has one weight for each unit of the layer before, and one bias",
                "count layer by layer, then add",
            ),
            (
                " + ".join(f"({inputs} * {units} + {units})" for inputs, units in pairwise(sizes))
                + f" = {_count(sizes)}",
            ),
            f"a network {'-'.join(map(str, sizes))}",
            Fraction(_count(sizes)),
        )
        for name, sizes in (("parameters", wide), ("deep", deep))
    ]


def _steps(random: Random) -> list[Item]:
    batch = pick(random, (8, 10, 20, 25, 30, 32, 40, 50, 60, 64))
    full, rest = pick(random, range(10, 61)), pick(random, range(1, batch))
    images, epochs = full * batch + rest, pick(random, (3, 5, 10, 20, 30))
    given = f"training on {images} images in batches of {batch}; the last batch may be smaller"
    return [
        Item(
            "steps",
            "steps per epoch",
            (
                "divide the number of images by the batch size",
                "round up, because the smaller last batch is a step, too",
            ),
            (f"{images} / {batch} = {images / batch:.2f}, rounded up: {full + 1}",),
            given,
            Fraction(full + 1),
        ),
        Item(
            "last_batch",
            "number of images in the last batch",
            ("all other batches are full", "subtract the images in full batches from all images"),
            (f"{images} - {full} * {batch} = {rest}",),
            given,
            Fraction(rest),
        ),
        Item(
            "updates",
            f"updates of the weights in {epochs} epochs",
            ("each step updates the weights once", "multiply the steps per epoch by the number of epochs"),
            (f"{full + 1} * {epochs} = {(full + 1) * epochs}",),
            given,
            Fraction((full + 1) * epochs),
        ),
    ]


def _count(sizes: tuple[int, ...]) -> int:
    return sum(inputs * units + units for inputs, units in pairwise(sizes))


def _listed(numbers: list[float] | list[int]) -> str:
    return f"({', '.join(map(str, numbers))})"
