"""Evaluation of networks on a split of a dataset: loss, accuracy, confusion matrix, metrics per class, mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mlptrain.datasets.batches import Batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.engine.arrays import Floats, Indices, Integers
from mlptrain.engine.losses import PAIRINGS, outputs
from mlptrain.engine.network import ForwardPass, Network
from mlptrain.engine.parameters import Architecture, Weights
from mlptrain.errors import DataError, UsageError
from mlptrain.models.augmentation import SEED, STRENGTH, mean_outputs_of_copies
from mlptrain.models.model import Model, require_finite
from mlptrain.system.html import Cell, fragment, grey_image, note, row, shade, table
from mlptrain.system.text import keras_number

# Images per forward pass. The activations of a few hundred hidden units then fit the second-level cache of a core.
BATCH = 512

MAX_CLASSES = 20  # of a confusion matrix in a notebook

MAX_MISTAKES = 10  # mistakes that are drawn in a notebook


class Evaluator:
    """A repeatable evaluation of a network on fixed images, with buffers that are allocated once."""

    def __init__(self, network: Network, dataset: Dataset, indices: Indices) -> None:
        classes = network.architecture.layers[-1]
        self.network = network
        self.batches = Batches(dataset, indices, BATCH, classes, network.dtype)
        sizes = {self.batches.batch_size, len(indices) % self.batches.batch_size} - {0}
        self.passes = {size: ForwardPass(network, size) for size in sizes}
        self.labels = dataset.labels[indices]
        self.targets = np.equal(self.labels, np.arange(classes)[:, np.newaxis]).astype(network.dtype)
        self._logits = np.empty((network.members, classes, len(indices)), network.dtype)
        self._buffers = {size: np.empty((network.members, classes, size), network.dtype) for size in self.passes}

    def logits(self) -> Floats:
        """Return the weighted inputs of the output units (K, classes, n), in an array that the next call overwrites."""
        start = 0
        with np.errstate(over="ignore", invalid="ignore"):
            for chunk in self.batches.epoch():
                for x in chunk.x:
                    size = len(x)
                    self.passes[size].forward(x, self._buffers[size])
                    self._logits[:, :, start : start + size] = self._buffers[size]
                    start += size
        return self._logits

    def metrics(self) -> tuple[Floats, Floats]:
        """Return the mean loss (K,) and the accuracy (K,) with the present weights of the network."""
        architecture, logits = self.network.architecture, self.logits()
        losses, correct = score_examples(architecture.loss, architecture.output, logits, self.targets, self.labels)
        with np.errstate(over="ignore"):
            return losses.mean(axis=-1, dtype=np.float64), correct.mean(axis=-1)


def evaluate_weights(
    architecture: Architecture, weights: Sequence[Weights], dtype: str, dataset: Dataset, indices: Indices
) -> tuple[Floats, Floats]:
    """Return the mean loss (K,) and the accuracy (K,) of K networks without normalisation, evaluated together.

    The networks have the functions of the architecture, and any sizes of hidden layers.
    """
    sizes = [(architecture.layers[0], *(len(each) for each in biases)) for _, biases in weights]
    largest = tuple(map(max, zip(*sizes, strict=True)))
    network = Network(replace(architecture, layers=largest, batch_norm=False), len(weights), dtype, sizes)
    for member, pair in enumerate(weights):
        network.assign(member, *pair)
    return Evaluator(network, dataset, indices).metrics()


def score_examples(loss: str, output: str, logits: Floats, targets: Floats, labels: Integers) -> tuple[Floats, Floats]:
    """Return, for each example, the loss (..., n) and whether the predicted label is the true one (..., n).

    ``logits`` has shape (..., classes, n); one-hot ``targets`` and ``labels`` broadcast to it. The predicted label is
    the class with the largest weighted input, the first of several.
    """
    shape = (*logits.shape[:-2], logits.shape[-1])
    z, y = _classes_first(logits), _classes_first(np.broadcast_to(targets, logits.shape))
    with np.errstate(over="ignore", invalid="ignore"):
        losses = PAIRINGS[loss, output].value(z, y).reshape(shape)
    return losses, z.argmax(axis=0).reshape(shape) == labels


def _classes_first(array: Floats) -> Floats:
    """Return ``array`` (..., classes, n) as (classes, examples).

    Reductions over the classes then run along contiguous rows, which is three times as fast for batches of 10.
    """
    return np.ascontiguousarray(np.moveaxis(array, -2, 0)).reshape(array.shape[-2], -1)


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one class; a ratio is 0 if its denominator is 0. ``support`` is the number of its images."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Mistake:
    """An image with a wrong predicted label.

    ``image`` (height, width) is in [0, 1] and has the index ``index`` in the dataset. ``truth`` is the name of the true
    class, ``guess`` that of the predicted class, and ``confidence`` the output for the latter.
    """

    index: int
    image: Floats = field(repr=False)
    truth: str
    guess: str
    confidence: float


@dataclass(frozen=True)
class Augmented:
    """Metrics of the outputs averaged over deformed copies of each image.

    ``strength`` is the fraction of the training augmentation, ``seed`` that of the deformations. ``loss`` is None for
    several models that were trained with different losses.
    """

    copies: int
    strength: float
    seed: int
    loss: float | None
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """Results of a model on a split; ``confusion[i][j]`` is the number of images of class i with predicted label j.

    ``loss`` is None for several models that were trained with different losses. ``mistakes`` are in the order of
    decreasing confidence. ``augmented`` has the metrics with test-time augmentation; all others are without it.
    """

    split: str
    count: int
    loss: float | None
    accuracy: float
    confusion: tuple[tuple[int, ...], ...] = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    mistakes: tuple[Mistake, ...] = field(default=(), repr=False)
    augmented: Augmented | None = field(default=None, repr=False)

    @cached_property
    def per_class(self) -> list[ClassMetrics]:
        """Metrics per class: precision TP/(TP+FP), recall TP/(TP+FN), and F1, their harmonic mean."""
        matrix = np.array(self.confusion)
        result = []
        for index, name in enumerate(self.class_names):
            correct, predicted, support = int(matrix[index, index]), matrix[:, index].sum(), matrix[index].sum()
            precision, recall = correct / max(1, predicted), correct / max(1, support)
            f1 = 2 * correct / max(1, predicted + support)
            result.append(ClassMetrics(name, float(precision), float(recall), float(f1), int(support)))
        return result

    def confused_pairs(self, count: int) -> list[tuple[str, str, int]]:
        """Return the ``count`` most frequent mistakes as (true class, predicted class, number of images)."""
        names = self.class_names
        pairs = [
            (names[true], names[predicted], images)
            for true, row in enumerate(self.confusion)
            for predicted, images in enumerate(row)
            if true != predicted and images
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:count]

    def _repr_html_(self) -> str:
        """Return the metrics per class, the confusion matrix and the first mistakes, for notebooks."""
        classes = [
            [m.label, *(f"{value:.4f}" for value in (m.precision, m.recall, m.f1)), f"{m.support:,}"]
            for m in self.per_class
        ]
        tables = [table(("class", "precision", "recall", "F1", "support"), classes)]
        if len(self.class_names) <= MAX_CLASSES:
            tables.append(self._matrix())
        mistakes = [
            grey_image(m.image.tolist(), f"{m.truth} → {m.guess} ({m.confidence:.1%})", scale=2)
            for m in self.mistakes[:MAX_MISTAKES]
        ]
        return fragment(
            f"{self.split}: {shown_metrics(self)}",
            note(f"{self.count:,} images"),
            *([note(f"augmented: {shown_metrics(self.augmented)}")] if self.augmented else []),
            row(*tables),
            *([note("mistakes: true → predicted label (confidence)"), row(*mistakes)] if mistakes else []),
        )

    def _matrix(self) -> str:
        """Return the confusion matrix, in which mistakes are shaded by their share of the true label's images."""
        counts = np.array(self.confusion)
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        np.fill_diagonal(shares, 0)
        shares /= shares.max() or 1
        rows: list[list[Cell]] = [
            [name, *((str(count) if count else "·", shade(share)) for count, share in zip(*pair, strict=True))]
            for name, *pair in zip(self.class_names, counts.tolist(), shares.tolist(), strict=True)
        ]
        return table(("", *self.class_names), rows, "rows: true label, columns: predicted label")


def shown_metrics(result: Evaluation | Augmented) -> str:
    """Return the text ``loss 0.0312, accuracy 0.9912``, without a loss that is None."""
    loss = "" if result.loss is None else f"loss {keras_number(result.loss)}, "
    return f"{loss}accuracy {keras_number(result.accuracy)}"


def evaluate_models(
    models: Sequence[Model],
    dataset: Dataset,
    indices: Indices,
    split: str,
    mistakes: int = 0,
    augment: int | None = None,
) -> Evaluation:
    """Evaluate one model, or the mean outputs of several, on the images ``indices`` of a dataset.

    ``split`` is the name of these images in the result, ``mistakes`` the number of mistakes to return, ``augment`` the
    number of deformed copies of each image for test-time augmentation.

    Raises
    ------
    UsageError
        There is no model or no image, the models have different numbers of classes, or ``augment`` is given and a model
        was trained without augmentation.
    DataError
        The images or labels do not fit a model, or its outputs are not finite.
    """
    if not models:
        raise UsageError("no model to evaluate\nhint: name at least one run")
    if not len(indices):
        raise UsageError(f"{split} split is empty\nhint: choose another one with --split")
    for model in models:
        _check_fits(model, dataset)
    if len({model.architecture.layers[-1] for model in models}) > 1:
        raise UsageError("the models have different numbers of classes\nhint: evaluate each of them alone")
    labels = dataset.labels[indices]
    classes, names = models[0].architecture.layers[-1], models[0].class_names
    targets = np.equal(labels, np.arange(classes)[:, np.newaxis]).astype(np.float64)
    loss: float | None
    if len(models) == 1:
        architecture, logits = models[0].architecture, _finite_logits(models[0], dataset, indices)
        losses, _ = score_examples(architecture.loss, architecture.output, logits, targets, labels)
        loss = float(require_finite(losses).mean(dtype=np.float64))
        predicted = logits.argmax(axis=0)
        with np.errstate(over="ignore"):
            a = outputs(architecture.output, logits)
    else:
        a = _mean_outputs(models, dataset, indices)
        loss = _loss_of_outputs(models, a, targets)
        predicted = a.argmax(axis=0)
    confidence, accuracy = a.max(axis=0), float((predicted == labels).mean())
    worst = tuple(
        Mistake(
            int(indices[row]),
            dataset.images[indices[row]].reshape(dataset.shape) / np.float32(255),
            names[labels[row]],
            names[predicted[row]],
            float(confidence[row]),
        )
        for row in worst_mistakes(confidence, predicted, labels, mistakes)
    )
    augmented = None
    if augment is not None:
        images = dataset.images[indices].reshape(-1, *dataset.shape)
        a = np.mean([mean_outputs_of_copies(model, images, augment) for model in models], axis=0).T
        hits = a.argmax(axis=0) == labels
        augmented = Augmented(augment, STRENGTH, SEED, _loss_of_outputs(models, a, targets), float(hits.mean()))
    confusion = confusion_matrix(labels, predicted, classes)
    return Evaluation(split, len(indices), loss, accuracy, confusion, names, worst, augmented)


def confusion_matrix(labels: Integers, predicted: Integers, classes: int) -> tuple[tuple[int, ...], ...]:
    """Count the images of each true class (rows) with each predicted label (columns); both arrays are (n,)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return tuple(tuple(row) for row in matrix.tolist())


def worst_mistakes(confidence: Floats, predicted: Integers, labels: Integers, count: int) -> Indices:
    """Return the positions of the ``count`` wrong predictions with the highest confidence, in decreasing order.

    The arrays are (n,). Equal confidences stay in the order of the images.
    """
    wrong = np.flatnonzero(predicted != labels)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count]


def _check_fits(model: Model, dataset: Dataset) -> None:
    inputs, classes = model.architecture.layers[0], model.architecture.layers[-1]
    height, width = dataset.shape
    if dataset.images.shape[1] != inputs:
        raise DataError(
            f"{dataset.name}: images have {height} x {width} pixels, but the model has {inputs} inputs\n"
            "hint: choose a dataset with images of the size that the model was trained on"
        )
    highest = int(dataset.labels.max())
    if highest >= classes:
        raise DataError(
            f"{dataset.name}: labels go up to {highest}, but the model has only classes 0 to {classes - 1}\n"
            "hint: choose a dataset with the classes that the model was trained on"
        )


def _mean_outputs(models: Sequence[Model], dataset: Dataset, indices: Indices) -> Floats:
    """Return the output activations (classes, n), averaged over the models in float64."""
    total = np.zeros((models[0].architecture.layers[-1], len(indices)))
    for model in models:
        logits = _finite_logits(model, dataset, indices).astype(np.float64)  # float32 would round outputs to 0 or 1
        with np.errstate(over="ignore"):
            total += outputs(model.architecture.output, logits)
    return total / len(models)


def _finite_logits(model: Model, dataset: Dataset, indices: Indices) -> Floats:
    """Return the weighted inputs of the output units (classes, n)."""
    return require_finite(Evaluator(model.network(), dataset, indices).logits()[0])


def _log(a: Floats) -> Floats:
    """Return ln a, at least the logarithm of the smallest positive number."""
    logarithm: Floats = np.log(np.maximum(a, np.finfo(np.float64).tiny))
    return logarithm


LOSSES_OF_OUTPUTS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "mse": lambda a, y: 0.5 * ((y - a) ** 2).sum(axis=0),
    "cross_entropy": lambda a, y: -(y * _log(a)).sum(axis=0),
    "binary_cross_entropy": lambda a, y: -(y * _log(a) + (1 - y) * _log(1 - a)).sum(axis=0),
}
"""The losses of the engine as functions of outputs a and targets y, both (classes, n). The engine's own functions need
weighted inputs, which averaged outputs do not have."""


def _loss_of_outputs(models: Sequence[Model], a: Floats, y: Floats) -> float | None:
    """Return the mean loss at outputs ``a`` (classes, n), or None if the models have different losses."""
    losses = {model.architecture.loss for model in models}
    if len(losses) > 1:
        return None
    with np.errstate(over="ignore"):
        return float(require_finite(LOSSES_OF_OUTPUTS[losses.pop()](a, y)).mean())
