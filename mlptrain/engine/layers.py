"""Statistics of the layers of networks on a batch: how far units are from saturation, and how fast weights change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.arrays import Floats
from mlptrain.engine.backprop import HiddenLayer, TrainingPass
from mlptrain.engine.losses import outputs
from mlptrain.engine.network import Network
from mlptrain.engine.optimizers import Optimizer

SATURATED = 0.1
"""Share of the steepest slope below which an activation is saturated: σ(z) < 0.026 or > 0.974, |tanh z| > 0.949."""

DEAD = 0.005
"""Slope below which a unit passes practically no gradient; a unit is dead if it does so for no example of the batch."""


class LayerStatistics(NamedTuple):
    """The statistics of one layer of one network on a batch.

    ``z`` are the weighted inputs, after batch normalisation if there is one, and ``a`` the activations, over all units
    and examples. ``saturated`` is the share of activations whose slope is below `SATURATED` of the steepest one, None
    if the activation does not level out on both sides. ``dead`` is the share of units whose slope is below `DEAD` for
    every example, None if it does. Both are None for the output layer. ``gradient_norm`` and ``weight_norm`` are the
    Frobenius norms of dC/dW and W, and ``update_ratio`` is the norm of the next change of W relative to that of W.
    """

    z_mean: float
    z_sd: float
    a_mean: float
    a_sd: float
    saturated: float | None
    dead: float | None
    gradient_norm: float
    weight_norm: float
    update_ratio: float


def measure_layers(
    network: Network, optimizer: Optimizer, x: Floats, y: Floats, rates: Floats
) -> list[tuple[LayerStatistics, ...]]:
    """Return the statistics of each layer, input side first, of each of K networks; nothing but the gradients changes.

    The pass is that of a training step on ``x`` (batch, inputs) with targets ``y`` (classes, batch) or
    (K, classes, batch), without dropout: batch normalisation uses the statistics of the batch. The change of the
    weights is the one that ``optimizer`` would make with this gradient at the learning rates ``rates`` (K,).
    """
    members, batch, architecture = network.members, len(x), network.architecture
    running = network.statistics.flat.copy()
    work = TrainingPass(network, batch, optimizer.gradients, keep_z=True)
    logits = np.empty((members, architecture.layers[-1], batch), network.dtype)
    with np.errstate(all="ignore"):
        work.forward(x, logits)
        hidden = [
            _hidden_units(layer, architecture.activation, [sizes[index] for sizes in network.sizes])
            for index, layer in enumerate(work.hidden, start=1)
        ]
        output = _moments([*logits]) + _moments([*outputs(architecture.output, logits)]) + [[None] * members] * 2
        work.backward(x, y, logits, 1 / batch)
        np.copyto(network.statistics.flat, running)
        gradient_norms, weight_norms = _norms(optimizer.gradients.weights), _norms(network.parameters.weights)
        for gradient in optimizer.gradients.arrays:
            gradient *= optimizer.delta_scale(rates, 1)
        ratios = _norms(optimizer.preview(rates).weights) / weight_norms
    norms = zip(gradient_norms.tolist(), weight_norms.tolist(), ratios.tolist(), strict=True)
    layers = [zip(*units, *of_layer, strict=True) for units, of_layer in zip([*hidden, output], norms, strict=True)]
    return [tuple(map(LayerStatistics._make, each)) for each in zip(*layers, strict=True)]


def _hidden_units(layer: HiddenLayer, name: str, units: Sequence[int]) -> list[list[float | None]]:
    """Return the statistics of hidden units after the forward pass, from ``z_mean`` to ``dead``, each with K values.

    ``units`` (K,) are the numbers of units of the networks.
    """
    activation = ACTIVATIONS[name]
    absent: list[float | None] = [None] * len(units)
    assert layer.z is not None
    slope = np.ones_like(layer.z)
    activation.backward(slope, layer.backward_input.copy(), layer.scratch.copy())
    z, a, slopes = (
        [member[:count] for member, count in zip(array.reshape(len(units), -1, array.shape[-1]), units, strict=True)]
        for array in (layer.z, layer.a, slope)
    )
    shares = [absent, absent]
    if activation.steepest is None:
        shares[1] = [float((np.abs(member) < DEAD).all(axis=1).mean()) for member in slopes]
    else:
        shares[0] = [float((member < SATURATED * activation.steepest).mean()) for member in slopes]
    return _moments(z) + _moments(a) + shares


def _moments(values: Sequence[Floats]) -> list[list[float | None]]:
    """Return the means and standard deviations of arrays, such as the activations (units, batch) of K networks."""
    return [
        [float(each.mean(dtype=np.float64)) for each in values],
        [float(each.std(dtype=np.float64)) for each in values],
    ]


def _norms(arrays: Sequence[Floats]) -> Floats:
    """Return the norm of each network's part of the arrays (K, out, in), as (arrays, K)."""
    return np.sqrt([[np.dot(row, row) for row in array.reshape(len(array), -1)] for array in arrays], dtype=np.float64)
