"""Gradients by central differences: what backpropagation must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Parameters


def cost(step: TrainingPass, network: Network, x: np.ndarray, y: np.ndarray) -> float:
    """Mean cost of a batch as ``step`` trains on it, summed over the K networks.

    ``x`` is ``(n, inputs)``, ``y`` ``(classes, n)``.
    """
    architecture = network.architecture
    logits = np.empty((network.members, architecture.layers[-1], len(x)), network.dtype)
    step.forward(x, logits)
    values = PAIRINGS[architecture.loss, architecture.output].value(logits, y)
    return float(values.mean(axis=-1).sum())


def analytic_gradient(network: Network, x: np.ndarray, y: np.ndarray, **dropout: Any) -> Parameters:
    """The gradient of ``cost`` by backpropagation; ``dropout`` are the keywords of ``TrainingPass``."""
    gradients = Parameters(network.architecture, network.members, network.dtype)
    logits = np.empty((network.members, network.architecture.layers[-1], len(x)), network.dtype)
    step = TrainingPass(network, len(x), gradients, **dropout)
    step.forward(x, logits)
    step.backward(x, y, logits, 1 / len(x))
    return gradients


def numerical_gradient(network: Network, x: np.ndarray, y: np.ndarray, h: float = 1e-5, **dropout: Any) -> Parameters:
    """The gradient of ``cost`` by (C(w + h) − C(w − h)) / 2h, entry by entry; for float64 networks.

    The error of the quotient is of order h², that of its rounding of order 1e-16 / h. Dropout must draw the
    same masks every time.
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
    """The largest ‖a − n‖ / (‖a‖ + ‖n‖) over the parameter arrays.

    An array's norms count for at least a thousandth of the whole gradient's: some gradients vanish (a shift
    below another normalisation), and then both sides are nothing but rounding.
    """
    least = 1e-3 * float(np.linalg.norm(analytic.flat) + np.linalg.norm(numerical.flat))
    worst = 0.0
    for a, n in zip(analytic.arrays, numerical.arrays, strict=True):
        total = max(float(np.linalg.norm(a) + np.linalg.norm(n)), least)
        if total > 0:
            worst = max(worst, float(np.linalg.norm(a - n)) / total)
    return worst
