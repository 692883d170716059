"""Output functions and losses: each allowed pair with its loss per example and its output delta.

Weighted inputs z and targets y are ``(..., classes, batch)``, and y sums to 1 over the classes. A loss has one value
per example, ``(..., batch)``; the cost of a batch is their mean. The cross-entropies are computed from z rather than
from the outputs a, so that they stay finite and exact where a rounds to 0 or 1. The deltas contain the rounding errors
of a, because exact ones would take half as long again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from mlptrain.engine.activations import logistic
from mlptrain.engine.arrays import Floats


@cache
def _ones(classes: int, dtype: np.dtype) -> Floats:
    return np.ones((1, classes), dtype)


def _sum_classes(a: Floats, column: Floats) -> None:
    """Write the sums over the classes into ``column`` (..., 1, batch).

    A product with ones takes 0.5 µs for 10 × 10 values, ``np.add.reduce`` 1.1.
    """
    product = np.dot if a.ndim == 2 else np.matmul
    product(_ones(a.shape[-2], a.dtype), a, out=column)


def softmax(z: Floats, out: Floats, column: Floats) -> None:
    """a_i = exp(z_i) / Σ_j exp(z_j), computed from z − max z so that nothing overflows.

    ``column`` (..., 1, batch) is scratch.
    """
    np.maximum.reduce(z, axis=-2, keepdims=True, out=column)
    np.subtract(z, column, out=out)
    np.exp(out, out=out)
    _sum_classes(out, column)
    np.divide(out, column, out=out)


def _sigmoid(z: Floats, out: Floats, column: Floats) -> None:
    logistic(z, out)


def _linear(z: Floats, out: Floats, column: Floats) -> None:
    np.copyto(out, z)


OUTPUTS: dict[str, Callable[[Floats, Floats, Floats], None]] = {
    "softmax": softmax,
    "sigmoid": _sigmoid,
    "linear": _linear,
}


def outputs(output: str, z: Floats) -> Floats:
    """Return the activations a of the output units for weighted inputs ``z`` (..., classes, batch)."""
    a = np.empty_like(z)
    OUTPUTS[output](z, a, np.empty((*z.shape[:-2], 1, z.shape[-1]), z.dtype))
    return a


def cross_entropy(z: Floats, y: Floats) -> Floats:
    """C = −Σ y ln a with a = softmax(z): ln Σ exp(z − max z) − Σ y (z − max z).

    The sum over the classes is 1 for the largest z, plus a rest that may be too small to change 1. The rest is summed
    separately.
    """
    shifted = z - z.max(axis=-2, keepdims=True)
    weighted = (y * shifted).sum(axis=-2)
    np.exp(shifted, out=shifted)
    largest = np.floor(shifted)  # 1 for the largest z, or for each of several
    shifted -= largest
    value: Floats = np.log1p(shifted.sum(axis=-2) + (largest.sum(axis=-2) - 1)) - weighted
    return value


def binary_cross_entropy(z: Floats, y: Floats) -> Floats:
    """C = −Σ [y ln a + (1 − y) ln(1 − a)] with a = σ(z): Σ max(z, 0) − z y + ln(1 + exp(−|z|))."""
    value: Floats = (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).sum(axis=-2)
    return value


def _squared_error(output: str) -> Callable[[Floats, Floats], Floats]:
    def mse(z: Floats, y: Floats) -> Floats:
        """C = ½ Σ (y − a)², of which the mean over n examples is the quadratic cost 1/(2n) Σ ‖y − a‖²."""
        error = outputs(output, z)
        error -= y
        error *= error
        value: Floats = 0.5 * error.sum(axis=-2)
        return value

    return mse


DeltaFunction = Callable[[Floats, Floats, Floats, Floats, Floats], None]
"""A function of (z, y, delta, scratch, column) that writes dC/dz into ``delta``.

``scratch`` has the shape of ``delta``, ``column`` that of one of its rows.
"""


def _plain_delta(output: str) -> DeltaFunction:
    """dC/dz = a − y: the derivative of the output function cancels (Nielsen, eq. 66)."""
    activate = OUTPUTS[output]

    def delta_function(z: Floats, y: Floats, delta: Floats, scratch: Floats, column: Floats) -> None:
        activate(z, delta, column)
        delta -= y

    return delta_function


def _mse_sigmoid_delta(z: Floats, y: Floats, delta: Floats, scratch: Floats, column: Floats) -> None:
    """dC/dz = (a − y) a (1 − a) (Nielsen, eq. BP1a)."""
    logistic(z, delta)
    np.subtract(1, delta, out=scratch)
    scratch *= delta
    delta -= y
    delta *= scratch


def _mse_softmax_delta(z: Floats, y: Floats, delta: Floats, scratch: Floats, column: Floats) -> None:
    """dC/dz_i = a_i (e_i − Σ_j a_j e_j) with e = a − y, from da_j/dz_i = a_j ([i = j] − a_i)."""
    softmax(z, scratch, column)
    np.subtract(scratch, y, out=delta)
    delta *= scratch
    _sum_classes(delta, column)
    scratch *= column
    delta -= scratch


@dataclass(frozen=True)
class Pairing:
    """A loss of an output function: ``value(z, y)`` is C for each example, ``delta`` writes dC/dz."""

    value: Callable[[Floats, Floats], Floats]
    delta: DeltaFunction


PAIRINGS: dict[tuple[str, str], Pairing] = {
    ("cross_entropy", "softmax"): Pairing(cross_entropy, _plain_delta("softmax")),
    ("binary_cross_entropy", "sigmoid"): Pairing(binary_cross_entropy, _plain_delta("sigmoid")),
    ("mse", "sigmoid"): Pairing(_squared_error("sigmoid"), _mse_sigmoid_delta),
    ("mse", "softmax"): Pairing(_squared_error("softmax"), _mse_softmax_delta),
    ("mse", "linear"): Pairing(_squared_error("linear"), _plain_delta("linear")),
}
"""Every legal pair of a loss and an output; the first output of a loss is the one that ``output: auto`` chooses."""

UNSOUND: dict[tuple[str, str], str] = {
    ("cross_entropy", "sigmoid"): "sigmoid outputs are not a distribution: all ones would cost nothing",
    ("cross_entropy", "linear"): "linear outputs may be negative and then have no logarithm",
    ("binary_cross_entropy", "softmax"): "it judges each output separately, and softmax couples them",
    ("binary_cross_entropy", "linear"): "linear outputs may be negative and then have no logarithm",
}
"""Reasons why the other pairs are not in `PAIRINGS`."""


def outputs_for(loss: str) -> tuple[str, ...]:
    """Return the outputs that may be paired with a loss, its default first."""
    return tuple(output for other, output in PAIRINGS if other == loss)
