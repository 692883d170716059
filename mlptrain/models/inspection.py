"""Inspection of a trained network: outputs per image, mean activations per class, influential units, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlptrain.datasets.dataset import Dataset
from mlptrain.engine.arrays import Booleans, Floats, Indices, Integers
from mlptrain.engine.losses import outputs
from mlptrain.engine.network import ForwardPass
from mlptrain.models.evaluation import BATCH
from mlptrain.models.model import Model, require_finite

BINS = 10


@dataclass(frozen=True)
class Inspection:
    """Activations of a network for the images ``indices`` (n,) of a dataset, which have the labels ``labels`` (n,).

    ``probabilities`` (n, classes) are the outputs. ``mean_activations[l]`` (units, classes) is the mean activation of
    each unit of hidden layer l over the images of a class, nan for a class without images.
    """

    indices: Indices
    labels: Integers
    probabilities: Floats
    mean_activations: tuple[Floats, ...]

    @property
    def predicted_labels(self) -> Indices:
        """Predicted labels (n,): the class with the largest output, the first of several."""
        labels: Indices = self.probabilities.argmax(axis=1)
        return labels

    @property
    def confidence(self) -> Floats:
        """The largest output (n,)."""
        confidence: Floats = self.probabilities.max(axis=1)
        return confidence


def inspect(model: Model, dataset: Dataset, indices: Indices) -> Inspection:
    """Run ``model`` on the images ``indices`` of a dataset and record its activations.

    Raises
    ------
    DataError
        The outputs are not finite.
    """
    network, classes, labels = model.network(), model.architecture.layers[-1], dataset.labels[indices]
    probabilities = np.empty((len(indices), classes))
    sums = [np.zeros((units, classes)) for units in model.architecture.layers[1:-1]]
    for start in range(0, len(indices), BATCH):
        rows = indices[start : start + BATCH]
        x = np.ascontiguousarray(dataset.images[rows], network.dtype) / network.dtype.type(255)
        forward, logits = ForwardPass(network, len(rows)), np.empty((1, classes, len(rows)), network.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            forward.forward(x, logits)
            probabilities[start : start + BATCH] = outputs(model.architecture.output, require_finite(logits))[0].T
        one_hot = np.equal(dataset.labels[rows][:, np.newaxis], np.arange(classes)).astype(np.float64)
        for total, a in zip(sums, forward.activations, strict=True):
            total += a[0] @ one_hot
    counts = np.bincount(labels, minlength=classes)
    mean_activations = tuple(total / np.where(counts, counts, np.nan) for total in sums)
    return Inspection(indices, labels, probabilities, mean_activations)


def strongest_classes(mean_activations: Floats, count: int = 2) -> Indices:
    """Return, for each unit, the ``count`` classes with the highest mean activation, the highest first.

    ``mean_activations`` is (units, classes), the result (units, count).
    """
    order: Indices = np.argsort(-np.nan_to_num(mean_activations, nan=-np.inf), axis=1, kind="stable")
    return order[:, :count]


def most_influential_units(model: Model, layer: int, count: int) -> Indices:
    """Return up to ``count`` units of a hidden layer, in order, whose outgoing weights have the largest norms."""
    norms = np.linalg.norm(model.weights[layer + 1].astype(np.float64), axis=0)
    return np.sort(np.argsort(-norms, kind="stable")[:count])


@dataclass(frozen=True)
class Calibration:
    """Mean confidence and accuracy of images in `BINS` bins of confidence, which have equal widths within [0, 1].

    All arrays are (BINS,); means are nan in bins without images. ``error`` is the expected calibration error
    Σ_b n_b/n · |accuracy_b − confidence_b| (Guo, Pleiss, Sun & Weinberger 2017, eq. 3).
    """

    counts: Integers
    confidence: Floats
    accuracy: Floats
    error: float


def measure_calibration(confidence: Floats, correct: Booleans) -> Calibration:
    """Compare ``confidence`` (n,) in [0, 1] with ``correct`` (n,), which is True for correct predicted labels."""
    bin_of = np.minimum((np.asarray(confidence) * BINS).astype(int), BINS - 1)
    counts = np.bincount(bin_of, minlength=BINS)
    denominators = np.where(counts, counts, np.nan)
    mean_confidence = np.bincount(bin_of, weights=confidence, minlength=BINS) / denominators
    accuracy = np.bincount(bin_of, weights=correct, minlength=BINS) / denominators
    error = float(np.nansum(counts * np.abs(accuracy - mean_confidence)) / max(1, len(bin_of)))
    return Calibration(counts, mean_confidence, accuracy, error)
