"""Figures of a network on a part of the data: loss, accuracy, confusion matrix, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mlptrain.datasets.batches import Batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.engine.losses import PAIRINGS, outputs
from mlptrain.engine.network import ForwardPass, Network
from mlptrain.engine.parameters import Architecture, Weights
from mlptrain.errors import DataError, UsageError
from mlptrain.models.model import Model, require_finite

# Images evaluated at once: the hidden activations of a few hundred units stay in a core's second-level cache.
BATCH = 512


class Evaluator:
    """Evaluates a network on fixed images, again and again, in buffers of its own."""

    def __init__(self, network: Network, dataset: Dataset, indices: np.ndarray) -> None:
        classes = network.architecture.layers[-1]
        self.network = network
        self.batches = Batches(dataset, indices, BATCH, classes, network.dtype)
        sizes = {self.batches.batch_size, len(indices) % self.batches.batch_size} - {0}
        self.passes = {size: ForwardPass(network, size) for size in sizes}
        self.labels = dataset.labels[indices]
        self.targets = np.equal(self.labels, np.arange(classes)[:, np.newaxis]).astype(network.dtype)
        self._logits = np.empty((network.members, classes, len(indices)), network.dtype)
        self._buffers = {size: np.empty((network.members, classes, size), network.dtype) for size in self.passes}

    def logits(self) -> np.ndarray:
        """Weighted inputs of the output units (K, classes, n); the array is reused by the next call."""
        start = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for chunk in self.batches.epoch():
                for x in chunk.x:
                    size = len(x)
                    self.passes[size].forward(x, self._buffers[size])
                    self._logits[:, :, start : start + size] = self._buffers[size]
                    start += size
        return self._logits

    def figures(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean loss (K,) and accuracy (K,) of the networks as they stand."""
        architecture, logits = self.network.architecture, self.logits()
        losses, hits = losses_and_hits(architecture.loss, architecture.output, logits, self.targets, self.labels)
        with np.errstate(over="ignore"):
            return losses.mean(axis=-1, dtype=np.float64), hits.mean(axis=-1)


def figures_together(
    architecture: Architecture, weights: Sequence[Weights], dtype: str, dataset: Dataset, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss (K,) and accuracy (K,) of plain networks of one architecture, in one pass over some images."""
    network = Network(replace(architecture, batch_norm=False), len(weights), dtype)
    for member, pair in enumerate(weights):
        network.assign(member, *pair)
    return Evaluator(network, dataset, indices).figures()


def losses_and_hits(
    loss: str, output: str, logits: np.ndarray, targets: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Loss and whether the guess is right, for each example.

    ``logits`` (..., classes, n), one-hot ``targets`` and ``labels`` that broadcast to it; results (..., n).
    The guess is the class of the largest weighted input, the first of several.
    """
    shape = (*logits.shape[:-2], logits.shape[-1])
    z, y = _class_by_class(logits), _class_by_class(np.broadcast_to(targets, logits.shape))
    with np.errstate(over="ignore", invalid="ignore"):
        losses = PAIRINGS[loss, output].value(z, y).reshape(shape)
    return losses, z.argmax(axis=0).reshape(shape) == labels


def _class_by_class(array: np.ndarray) -> np.ndarray:
    """(..., classes, n) as (classes, examples), a contiguous row a class.

    Reductions over the classes then run along whole rows: the figures of 204 batches of 10 take a third of the time.
    """
    return np.ascontiguousarray(np.moveaxis(array, -2, 0)).reshape(array.shape[-2], -1)


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of one class; 0 where nothing was guessed or nothing is there."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Mistake:
    """An image (height, width) in [0, 1], at ``index`` of the dataset, that was taken for another class.

    ``confidence`` is the output for the class guessed.
    """

    index: int
    image: np.ndarray
    truth: str
    guess: str
    confidence: float


@dataclass(frozen=True)
class Evaluation:
    """How a model does on a part of the data; ``confusion[truth][guess]`` counts images.

    ``loss`` is None where it has no meaning: several models that were trained on different losses.
    ``mistakes`` are the worst, as many as were asked for, the most confident first.
    """

    split: str
    count: int
    loss: float | None
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    class_names: tuple[str, ...]
    mistakes: tuple[Mistake, ...] = ()

    @cached_property
    def per_class(self) -> list[ClassFigures]:
        """Figures class by class: precision TP/(TP+FP), recall TP/(TP+FN), F1 their harmonic mean."""
        matrix = np.array(self.confusion)
        result = []
        for index, name in enumerate(self.class_names):
            hits, guessed, there = int(matrix[index, index]), matrix[:, index].sum(), matrix[index].sum()
            precision, recall = hits / max(1, guessed), hits / max(1, there)
            f1 = 2 * hits / max(1, guessed + there)
            result.append(ClassFigures(name, float(precision), float(recall), float(f1), int(there)))
        return result

    def confused_pairs(self, count: int) -> list[tuple[str, str, int]]:
        """The most frequent mistakes as (truth, guess, images), most frequent first."""
        names = self.class_names
        pairs = [
            (names[truth], names[guess], images)
            for truth, row in enumerate(self.confusion)
            for guess, images in enumerate(row)
            if truth != guess and images
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:count]


def evaluate_models(
    models: Sequence[Model], dataset: Dataset, indices: np.ndarray, split: str, mistakes: int = 0
) -> Evaluation:
    """Evaluate a model, or several by the mean of their output activations, on some images of a dataset.

    ``mistakes`` of the wrong guesses are kept.

    Raises
    ------
    DataError
        The images are of another size than a model takes, or have classes that it does not know; or what it computes
        of them is not finite.
    """
    if not models:
        raise UsageError("no model to evaluate; give at least one")
    if not len(indices):
        raise UsageError(f"the {split} part of this split is empty; choose another part with --split")
    for model in models:
        _check_fits(model, dataset)
    if len({model.architecture.layers[-1] for model in models}) > 1:
        raise UsageError("these models tell different numbers of classes apart; evaluate them one by one")
    labels = dataset.labels[indices]
    classes = models[0].architecture.layers[-1]
    loss: float | None
    targets = np.equal(labels, np.arange(classes)[:, np.newaxis]).astype(np.float64)
    if len(models) == 1:
        architecture, logits = models[0].architecture, _finite_logits(models[0], dataset, indices)
        losses, hits = losses_and_hits(architecture.loss, architecture.output, logits, targets, labels)
        guesses, loss = logits.argmax(axis=0), float(require_finite(losses).mean(dtype=np.float64))
        with np.errstate(over="ignore"):
            mean = outputs(architecture.output, logits)
    else:
        mean = _mean_outputs(models, dataset, indices)
        guesses = mean.argmax(axis=0)
        hits, loss = guesses == labels, _loss_of_outputs(models, mean, targets)
    matrix, names = confusion_of(labels, guesses, classes), models[0].class_names
    worst = _worst(mean.max(axis=0), guesses, dataset, indices, names, mistakes)
    return Evaluation(split, len(indices), loss, float(hits.mean()), matrix, names, worst)


def confusion_of(labels: np.ndarray, guesses: np.ndarray, classes: int) -> tuple[tuple[int, ...], ...]:
    """How many images of each class (rows) were taken for each (columns); ``labels`` and ``guesses`` (n,)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, guesses), 1)
    return tuple(tuple(row) for row in matrix.tolist())


def _worst(
    confidence: np.ndarray,
    guesses: np.ndarray,
    dataset: Dataset,
    indices: np.ndarray,
    names: tuple[str, ...],
    count: int,
) -> tuple[Mistake, ...]:
    """The wrong guesses of the highest confidence (n,), with their images."""
    return tuple(
        Mistake(
            int(indices[place]),
            dataset.images[indices[place]].reshape(dataset.shape) / np.float32(255),
            names[dataset.labels[indices[place]]],
            names[guesses[place]],
            float(confidence[place]),
        )
        for place in worst_mistakes(confidence, guesses, dataset.labels[indices], count)
    )


def worst_mistakes(confidence: np.ndarray, guesses: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Positions of the most confident wrong guesses, the most confident first, of equals the first; arrays (n,)."""
    wrong = np.flatnonzero(guesses != labels)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count]


def _check_fits(model: Model, dataset: Dataset) -> None:
    pixels, classes = model.architecture.layers[0], model.architecture.layers[-1]
    height, width = dataset.shape
    if dataset.images.shape[1] != pixels:
        raise DataError(
            f"{dataset.name}: images of {height} x {width} pixels; this model takes {pixels} numbers an image\n"
            "choose a dataset of the shape that the model was trained on"
        )
    if int(dataset.labels.max()) >= classes:
        raise DataError(
            f"{dataset.name}: labels up to {int(dataset.labels.max())}; this model knows classes 0 to {classes - 1}"
        )


def _mean_outputs(models: Sequence[Model], dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """Output activations (classes, n), averaged over the models in float64."""
    total = np.zeros((models[0].architecture.layers[-1], len(indices)))
    for model in models:
        logits = _finite_logits(model, dataset, indices)
        with np.errstate(over="ignore"):
            total += outputs(model.architecture.output, logits)
    return total / len(models)


def _finite_logits(model: Model, dataset: Dataset, indices: np.ndarray) -> np.ndarray:
    """The model's weighted inputs of the output units (classes, n)."""
    return require_finite(Evaluator(model.network(), dataset, indices).logits()[0])


def _loss_of_outputs(models: Sequence[Model], a: np.ndarray, y: np.ndarray) -> float | None:
    """The models' common loss at outputs ``a`` (classes, n), or None where they have none in common."""
    losses = {model.architecture.loss for model in models}
    if len(losses) > 1:
        return None
    floor = np.finfo(np.float64).tiny
    values = {
        "mse": lambda: 0.5 * ((y - a) ** 2).sum(axis=0),
        "cross_entropy": lambda: -(y * np.log(np.maximum(a, floor))).sum(axis=0),
        "binary_cross_entropy": lambda: (
            -(y * np.log(np.maximum(a, floor)) + (1 - y) * np.log(np.maximum(1 - a, floor))).sum(axis=0)
        ),
    }
    with np.errstate(over="ignore"):
        return float(require_finite(values[losses.pop()]()).mean())
