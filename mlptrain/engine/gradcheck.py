"""Gradients by central differences: what backpropagation must agree with."""

from __future__ import annotations

import numpy as np

from mlptrain.engine.losses import PAIRINGS
from mlptrain.engine.network import ForwardPass, Network, Parameters, TrainingPass


def cost(network: Network, x: np.ndarray, y: np.ndarray) -> float:
    """Mean cost of a batch, summed over the K networks: ``x`` ``(n, inputs)``, ``y`` ``(classes, n)``."""
    architecture = network.architecture
    logits = np.empty((network.members, architecture.layers[-1], len(x)), network.dtype)
    ForwardPass(network, len(x)).forward(x, logits)
    values = PAIRINGS[architecture.loss, architecture.output].value(logits, y)
    return float(values.mean(axis=-1).sum())


def analytic_gradient(network: Network, x: np.ndarray, y: np.ndarray) -> Parameters:
    """The gradient of ``cost`` by backpropagation."""
    layers = network.architecture.layers
    gradients = Parameters(layers, network.members, network.dtype)
    logits = np.empty((network.members, layers[-1], len(x)), network.dtype)
    step = TrainingPass(network, len(x), gradients)
    step.forward(x, logits)
    step.backward(x, y, logits, 1 / len(x))
    return gradients


def numerical_gradient(network: Network, x: np.ndarray, y: np.ndarray, h: float = 1e-5) -> Parameters:
    """The gradient of ``cost`` by (C(w + h) − C(w − h)) / 2h, entry by entry; for float64 networks.

    The error of the quotient is of order h², that of its rounding of order 1e-16 / h.
    """
    gradients = Parameters(network.architecture.layers, network.members, network.dtype)
    flat = network.parameters.flat
    for index in range(flat.size):
        value = flat[index]
        flat[index] = value + h
        above = cost(network, x, y)
        flat[index] = value - h
        below = cost(network, x, y)
        flat[index] = value
        gradients.flat[index] = (above - below) / (2 * h)
    return gradients


def relative_error(analytic: Parameters, numerical: Parameters) -> float:
    """The largest ‖a − n‖ / (‖a‖ + ‖n‖) over the parameter arrays; 0 where both are 0."""
    worst = 0.0
    for a, n in zip(analytic.arrays, numerical.arrays, strict=True):
        total = float(np.linalg.norm(a) + np.linalg.norm(n))
        if total > 0:
            worst = max(worst, float(np.linalg.norm(a - n)) / total)
    return worst
