"""Batch normalisation of weighted inputs, and its running statistics (Ioffe & Szegedy 2015).

Arrays are ``(K, units, batch)``, or ``(units, batch)`` of a single network; a statistic is ``(K, units, 1)`` or
``(units, 1)``. The layer's bias is the shift β, so that a layer has weights, biases and gains γ: y = γ ẑ + β with
ẑ = (z − mean) / √(variance + ε).
"""

from __future__ import annotations

import numpy as np

EPSILON = 1e-5

MOMENTUM = 0.1  # share of the newest batch in the running statistics


class BatchNorm:
    """The normalisation of one layer for batches of one size, in buffers of its own.

    ``gains`` and ``shifts`` are the layer's γ and β, ``running_mean`` and ``running_variance`` its running
    statistics; all are views that are read and updated in place.

    A batch of a single example has no variance: it is normalised by the running statistics, which it leaves
    as they are. (By its own statistics every ẑ would be 0, and it would teach nothing but β.)
    """

    def __init__(
        self,
        gains: np.ndarray,
        shifts: np.ndarray,
        running_mean: np.ndarray,
        running_variance: np.ndarray,
        batch_size: int,
    ) -> None:
        self.gains, self.shifts = gains, shifts
        self.running_mean, self.running_variance = running_mean, running_variance
        self.batch_size = batch_size
        self.normalized = np.empty((*gains.shape[:-1], batch_size), gains.dtype)
        self.inverse = np.empty_like(gains)
        self.ones = np.ones((batch_size, 1), gains.dtype)
        self._column = np.empty_like(gains)

    def forward(self, z: np.ndarray) -> None:
        """Replace z by γ ẑ + β, and move the running statistics by a tenth towards the batch's.

        The running variance takes the unbiased estimate, as in PyTorch.
        """
        batch, column, normalized = self.batch_size, self._column, self.normalized
        if batch == 1:
            np.subtract(z, self.running_mean, out=z)
            np.add(self.running_variance, EPSILON, out=self.inverse)
        else:
            np.matmul(z, self.ones, out=column)
            column /= batch
            z -= column
            column -= self.running_mean
            column *= MOMENTUM
            self.running_mean += column
            np.multiply(z, z, out=normalized)
            np.matmul(normalized, self.ones, out=self.inverse)
            self.inverse /= batch
            np.multiply(self.inverse, batch / (batch - 1), out=column)
            column -= self.running_variance
            column *= MOMENTUM
            self.running_variance += column
            self.inverse += EPSILON
        np.sqrt(self.inverse, out=self.inverse)
        np.reciprocal(self.inverse, out=self.inverse)
        np.multiply(z, self.inverse, out=normalized)
        np.multiply(normalized, self.gains, out=z)
        z += self.shifts

    def backward(
        self, delta: np.ndarray, scratch: np.ndarray, gain_gradient: np.ndarray, shift_gradient: np.ndarray
    ) -> None:
        """Turn dC/dy into dC/dz in place, and write dC/dγ and dC/dβ.

        dC/dβ = Σ δ, dC/dγ = Σ δ ẑ, dC/dz = γ / √(variance + ε) · (δ − (dC/dβ + ẑ dC/dγ) / batch), sums over
        the batch; a batch of one sees its statistics as constants, and the second term falls away.
        """
        np.multiply(delta, self.normalized, out=scratch)
        np.matmul(scratch, self.ones, out=gain_gradient)
        np.matmul(delta, self.ones, out=shift_gradient)
        if self.batch_size > 1:
            column = self._column
            np.divide(gain_gradient, self.batch_size, out=column)
            self.normalized *= column
            delta -= self.normalized
            np.divide(shift_gradient, self.batch_size, out=column)
            delta -= column
        np.multiply(self.inverse, self.gains, out=self._column)
        delta *= self._column


def fold(
    weights: np.ndarray,
    gains: np.ndarray,
    shifts: np.ndarray,
    running_mean: np.ndarray,
    running_variance: np.ndarray,
    out_weights: np.ndarray,
    out_biases: np.ndarray,
) -> None:
    """Write the plain layer that does what weights and normalisation by running statistics do together.

    W′ = s W and b′ = β − s · mean with s = γ / √(variance + ε).
    """
    scale = gains / np.sqrt(running_variance + EPSILON)
    np.multiply(weights, scale, out=out_weights)
    np.subtract(shifts, scale * running_mean, out=out_biases)
