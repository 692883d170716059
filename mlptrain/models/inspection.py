"""What a trained network does on a part of the data, beyond its accuracy: what excites its units, how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlptrain.datasets.dataset import Dataset
from mlptrain.engine.losses import outputs
from mlptrain.engine.network import ForwardPass
from mlptrain.models.evaluation import BATCH
from mlptrain.models.model import Model, require_finite

BINS = 10


@dataclass(frozen=True)
class Inspection:
    """Outputs ``probabilities`` (n, classes) and ``labels`` (n,) for the images ``indices`` (n,) of a dataset.

    ``excitation[l]`` (units, classes) is the mean activation of each unit of hidden layer l over the images of a
    class; nan where the part holds none.
    """

    indices: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    excitation: tuple[np.ndarray, ...]

    @property
    def guesses(self) -> np.ndarray:
        """The class of the largest output (n,), the first of several."""
        guesses: np.ndarray = self.probabilities.argmax(axis=1)
        return guesses

    @property
    def confidence(self) -> np.ndarray:
        """The largest output (n,)."""
        confidence: np.ndarray = self.probabilities.max(axis=1)
        return confidence


def inspect(model: Model, dataset: Dataset, indices: np.ndarray) -> Inspection:
    """Run a model over some images of a dataset, ``BATCH`` at a time, and keep what its units did.

    Raises
    ------
    DataError
        What it computes is not finite.
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
    with np.errstate(invalid="ignore"):
        counts = np.bincount(labels, minlength=classes)
        excitation = tuple(total / np.where(counts, counts, np.nan) for total in sums)
    return Inspection(indices, labels, probabilities, excitation)


def favourites(excitation: np.ndarray, count: int = 2) -> np.ndarray:
    """The classes (units, count) that excite each unit most, the strongest first; ``excitation`` (units, classes)."""
    order: np.ndarray = np.argsort(-np.nan_to_num(excitation, nan=-np.inf), axis=1, kind="stable")[:, :count]
    return order


def most_influential(model: Model, layer: int, count: int) -> np.ndarray:
    """Up to ``count`` units of a hidden layer, in order, whose outgoing weights have the largest norms."""
    strength = np.linalg.norm(model.weights[layer + 1].astype(np.float64), axis=0)
    return np.sort(np.argsort(-strength, kind="stable")[:count])


@dataclass(frozen=True)
class Calibration:
    """Images by confidence, in bins of equal width over [0, 1]; means (bins,) are nan where ``counts`` are 0.

    ``error`` is the expected calibration error Σ_b n_b/n · |accuracy_b − confidence_b|
    (Guo, Pleiss, Sun & Weinberger 2017, eq. 3).
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def calibrate(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> Calibration:
    """Compare how sure a model is with how often it is right; ``confidence`` (n,) in [0, 1], ``correct`` (n,)."""
    place = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    counts = np.bincount(place, minlength=bins)
    there = np.where(counts, counts, np.nan)
    mean_confidence = np.bincount(place, weights=confidence, minlength=bins) / there
    accuracy = np.bincount(place, weights=correct, minlength=bins) / there
    error = float(np.nansum(counts * np.abs(accuracy - mean_confidence)) / max(1, len(place)))
    return Calibration(counts, mean_confidence, accuracy, error)
