"""Activation functions of the hidden units, each with its derivative taken from its output.

Arrays are ``(K, units, batch)``. ``apply`` turns the weighted inputs z into the activations a in place;
``backward`` multiplies ``delta`` (the gradient with respect to a) by the derivative at z, in place, which
leaves the gradient with respect to z. Because the derivative is a function of a, nothing else is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Activation:
    """A function of z and the step of the chain rule through it; see the module for shapes."""

    apply: Callable[[np.ndarray], object]
    backward: Callable[[np.ndarray, np.ndarray, np.ndarray], object]


def logistic(z: np.ndarray, out: np.ndarray) -> None:
    """σ(z) = 1 / (1 + exp(−z)), to full relative precision in the lower tail; ``out`` may be ``z``."""
    np.negative(z, out=out)
    np.exp(out, out=out)  # overflows to inf for z < −88 in float32, which the reciprocal turns into 0
    out += 1
    np.reciprocal(out, out=out)


def sigmoid(z: np.ndarray) -> None:
    """a = σ(z) = 1 / (1 + exp(−z))."""
    logistic(z, z)


def sigmoid_backward(delta: np.ndarray, a: np.ndarray, scratch: np.ndarray) -> None:
    """σ′(z) = σ(z) (1 − σ(z)) = a (1 − a)."""
    np.subtract(1, a, out=scratch)
    scratch *= a
    delta *= scratch


def tanh(z: np.ndarray) -> None:
    """a = tanh(z)."""
    np.tanh(z, out=z)


def tanh_backward(delta: np.ndarray, a: np.ndarray, scratch: np.ndarray) -> None:
    """tanh′(z) = 1 − tanh²(z) = 1 − a²."""
    np.multiply(a, a, out=scratch)
    np.subtract(1, scratch, out=scratch)
    delta *= scratch


def relu(z: np.ndarray) -> None:
    """a = max(z, 0)."""
    np.maximum(z, 0, out=z)


def relu_backward(delta: np.ndarray, a: np.ndarray, scratch: np.ndarray) -> None:
    """relu′(z) = 1 where z > 0, else 0; z > 0 exactly where a > 0."""
    np.greater(a, 0, out=scratch)
    delta *= scratch


ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": Activation(sigmoid, sigmoid_backward),
    "tanh": Activation(tanh, tanh_backward),
    "relu": Activation(relu, relu_backward),
}
