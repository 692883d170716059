"""Gradients by central differences, for comparison with backpropagation."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Parameters


def cost(step: TrainingPass, network: Network, x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean cost of a batch in the training pass ``step``, summed over the K networks.

    ``x`` is ``(n, inputs)``, ``y`` ``(classes, n)``.
    """
    architecture = network.architecture
    logits = np.empty((network.members, architecture.layers[-1], len(x)), network.dtype)
    step.forward(x, logits)
    values = PAIRINGS[architecture.loss, architecture.output].value(logits, y)
    return float(values.mean(axis=-1).sum())


def analytic_gradient(network: Network, x: np.ndarray, y: np.ndarray, **dropout: Any) -> Parameters:
    """Return the gradient of ``cost`` by backpropagation; ``dropout`` are keywords of ``TrainingPass``."""
    gradients = Parameters(network.architecture, network.members, network.dtype, network.sizes)
    logits = np.empty((network.members, network.architecture.layers[-1], len(x)), network.dtype)
    step = TrainingPass(network, len(x), gradients, **dropout)
    step.forward(x, logits)
    step.backward(x, y, logits, 1 / len(x))
    return gradients


def numerical_gradient(network: Network, x: np.ndarray, y: np.ndarray, h: float = 1e-5, **dropout: Any) -> Parameters:
    """Return the gradient of ``cost`` by (C(w + h) − C(w − h)) / 2h, entry by entry, of a float64 network.

    The error of the quotient is of order h², that of its rounding of order 1e-16 / h. Dropout must always draw the same
    masks.
    """
    gradients = Parameters(network.architecture, network.members, network.dtype)
    step = TrainingPass(network, len(x), gradients, **dropout)
    flat = network.parameters.flat
    for index in range(flat.size):
        value = flat[index]
        flat[index] = value + h
        above = cost(step, network, x, y)
        flat[index] = value - h
        below = cost(step, network, x, y)
        flat[index] = value
        gradients.flat[index] = (above - below) / (2 * h)
    return gradients


def relative_error(analytic: Parameters, numerical: Parameters) -> float:
    """Return the largest ‖a − n‖ / (‖a‖ + ‖n‖) over the parameter arrays.

    The denominator is at least a thousandth of that of the whole gradient: some gradients are 0 (a shift below another
    normalisation), and both sides are then only rounding errors.
    """
    least = 1e-3 * float(np.linalg.norm(analytic.flat) + np.linalg.norm(numerical.flat))
    worst = 0.0
    for a, n in zip(analytic.arrays, numerical.arrays, strict=True):
        total = max(float(np.linalg.norm(a) + np.linalg.norm(n)), least)
        if total > 0:
            worst = max(worst, float(np.linalg.norm(a - n)) / total)
    return worst
