"""Batch normalisation of weighted inputs, and its running statistics (Ioffe & Szegedy 2015).

y = γ ẑ + β with ẑ = (z − mean) / √(variance + ε). The shift β is stored as the bias of the layer, beside its weights
and gains γ. Arrays are ``(K, units, batch)``, or ``(units, batch)`` for a single network; gains, shifts and statistics
are ``(K, units, 1)`` or ``(units, 1)``.
"""

from __future__ import annotations

import numpy as np

from mlptrain.engine.arrays import Floats

EPSILON = 1e-5
MOMENTUM = 0.1  # share of the new batch in the running statistics


class BatchNorm:
    """The normalisation of one layer for batches of one size, with its own buffers.

    ``gains`` and ``shifts`` are γ and β. ``forward`` updates ``running_mean`` and ``running_variance`` in place.

    A batch of one example is normalised by the running statistics and does not change them: with its own statistics,
    every ẑ would be 0 and only β would get a gradient.
    """

    def __init__(
        self,
        gains: Floats,
        shifts: Floats,
        running_mean: Floats,
        running_variance: Floats,
        batch_size: int,
    ) -> None:
        self.gains, self.shifts = gains, shifts
        self.running_mean, self.running_variance = running_mean, running_variance
        self.batch_size = batch_size
        self.normalized = np.empty((*gains.shape[:-1], batch_size), gains.dtype)
        self.inverse = np.empty_like(gains)
        self.ones = np.ones((batch_size, 1), gains.dtype)
        self._column = np.empty_like(gains)

    def forward(self, z: Floats) -> None:
        """Replace z by γ ẑ + β, and update the running statistics: mean ← 0.9 mean + 0.1 mean of the batch.

        The running variance uses the unbiased variance of the batch, as PyTorch does.
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

    def backward(self, delta: Floats, scratch: Floats, gain_gradient: Floats, shift_gradient: Floats) -> None:
        """Replace δ = dC/dy by dC/dz, and write dC/dγ and dC/dβ.

        dC/dβ = Σ δ, dC/dγ = Σ δ ẑ, dC/dz = γ / √(variance + ε) · (δ − (dC/dβ + ẑ dC/dγ) / batch), with sums over the
        batch. For a batch of one example the statistics are constants: dC/dz = γ / √(variance + ε) · δ.
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
    weights: Floats,
    gains: Floats,
    shifts: Floats,
    running_mean: Floats,
    running_variance: Floats,
    out_weights: Floats,
    out_biases: Floats,
) -> None:
    """Write the plain layer that computes the same as a layer with normalisation by its running statistics.

    W′ = s W and b′ = β − s · mean with s = γ / √(variance + ε).
    """
    scale = gains / np.sqrt(running_variance + EPSILON)
    np.multiply(weights, scale, out=out_weights)
    np.subtract(shifts, scale * running_mean, out=out_biases)
