"""K multilayer perceptrons of one architecture, and their forward pass for evaluation.

Hidden layers may differ in size between the networks (see `mlptrain.engine.parameters`). Padding has no weights to the
next layer, so the activations of padding have no effect on a forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.arrays import Floats
from mlptrain.engine.initializers import layer_initializers
from mlptrain.engine.losses import outputs
from mlptrain.engine.normalization import fold
from mlptrain.engine.parameters import Architecture, Parameters, Shape, Statistics, Weights, lean, split_views
from mlptrain.engine.products import multiplication
from mlptrain.engine.state import State


class Network:
    """K networks of one architecture; member k is row k of every array.

    ``sizes[k]`` are the layer sizes of network k, by default those of the architecture, which has the largest ones. A
    network is *plain* if it has no batch normalisation.
    """

    def __init__(
        self,
        architecture: Architecture,
        members: int = 1,
        dtype: str | np.dtype = "float32",
        sizes: Sequence[Shape] | None = None,
    ) -> None:
        self.architecture = architecture
        self.members = members
        self.dtype = np.dtype(dtype)
        self.sizes = sizes or [architecture.layers] * members
        self.parameters = Parameters(architecture, members, self.dtype, self.sizes)
        self.statistics = Statistics(architecture, members, self.dtype, self.sizes)
        for gains, mask in zip(self.parameters.gains, self.masks(), strict=False):
            gains[:] = 1 if mask is None else mask

    def masks(self) -> list[Floats | None]:
        """Return an array ``(K, units, 1)`` per hidden layer, 0 for padding and 1 for units; None without padding."""
        found: list[Floats | None] = []
        for layer, units in enumerate(self.architecture.layers[1:-1], start=1):
            own = np.array([layers[layer] for layers in self.sizes]).reshape(-1, 1, 1)
            mask = np.arange(units).reshape(1, -1, 1) < own
            found.append(None if mask.all() else mask.astype(self.dtype))
        return found

    def initialize(self, init: str, generators: Sequence[np.random.Generator]) -> None:
        """Draw the initial weights of member k from ``generators[k]``, layer by layer."""
        initializers = layer_initializers(init, self.architecture.activation, len(self.architecture.layers) - 1)
        for k, rng in enumerate(generators):
            pairs = zip(initializers, pairwise(self.sizes[k]), strict=True)
            self.assign(k, *zip(*(initializer(rng, *sizes) for initializer, sizes in pairs), strict=True))

    def assign(self, member: int, weights: Sequence[Floats], biases: Sequence[Floats]) -> None:
        """Set the parameters of one member: ``weights[l]`` ``(out, in)``, ``biases[l]`` ``(out,)``."""
        for index, (layer_weights, layer_biases) in enumerate(zip(weights, biases, strict=True)):
            units, inputs = layer_weights.shape
            self.parameters.weights[index][member, :units, :inputs] = layer_weights
            self.parameters.biases[index][member, :units, 0] = layer_biases

    def member(self, member: int) -> Weights:
        """Return copies of one member's weights ``(out, in)`` and biases ``(out,)``, layer by layer."""
        return self.unflatten(member, self.flatten(member))

    def flatten(self, member: int) -> Floats:
        """Return a copy (n,) of one member's parameters: all weights, all biases, all gains."""
        return self.parameters.read(member)

    def unflatten(self, member: int, entries: Floats) -> Weights:
        """Return the weights and biases in ``entries``, which are those of a member's `flatten`, as views."""
        layers = self.sizes[member]
        arrays = split_views(entries, [(out, inputs) for inputs, out in pairwise(layers)] + [(n,) for n in layers[1:]])
        return arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]

    def state(self, member: int) -> State:
        """Return one member's parameters and running statistics."""
        return {"parameters": self.flatten(member), "statistics": self.statistics.read(member)}

    def restore(self, states: Sequence[State]) -> None:
        """Set every member's parameters and running statistics."""
        for member, state in enumerate(states):
            self.parameters.write(member, state["parameters"])
            self.statistics.write(member, state["statistics"])

    def plain(self) -> Network:
        """Return a plain network that computes the same as this one with its running statistics.

        Return this network itself if it is plain, otherwise a new one; `refresh_plain` updates it.
        """
        if not self.architecture.batch_norm:
            return self
        plain = Network(replace(self.architecture, batch_norm=False), self.members, self.dtype, self.sizes)
        refresh_plain(plain, self.parameters, self.statistics)
        return plain


def refresh_plain(plain: Network, parameters: Parameters, statistics: Statistics) -> None:
    """Write the layers into ``plain`` that compute the same as ``parameters`` with the running statistics."""
    target = plain.parameters
    if not parameters.gains:
        np.copyto(target.flat, parameters.flat)
        return
    for index, gains in enumerate(parameters.gains):
        fold(
            parameters.weights[index],
            gains,
            parameters.biases[index],
            statistics.means[index],
            statistics.variances[index],
            target.weights[index],
            target.biases[index],
        )
    np.copyto(target.weights[-1], parameters.weights[-1])
    np.copyto(target.biases[-1], parameters.biases[-1])


class ForwardPass:
    """The forward pass of a plain network for batches of one size, with its own buffers."""

    def __init__(self, network: Network, batch_size: int) -> None:
        members, layers = network.members, network.architecture.layers
        self.network = network
        self.batch_size = batch_size
        self.flat_product = multiplication()
        self.product = self.flat_product if members == 1 else np.matmul
        self.apply = ACTIVATIONS[network.architecture.activation].apply
        # One product computes the first layer of all K networks: (K·out, in) times (in, batch).
        self.first_weights = network.parameters.weights[0].reshape(-1, layers[0])
        self.activations = [np.empty((members, units, batch_size), network.dtype) for units in layers[1:-1]]
        self.scratch = [np.empty_like(a) for a in self.activations]

    def forward(self, x: Floats, logits: Floats) -> None:
        """Write the weighted inputs of the output units for ``x`` (batch, inputs) into ``logits`` (K, classes, batch).

        a = f(W·a + b) for each hidden layer, and W·a + b for the output layer.
        """
        parameters = self.network.parameters
        outs = [*self.activations, logits]
        self.flat_product(self.first_weights, x.T, out=outs[0].reshape(-1, self.batch_size))
        outs[0] += parameters.biases[0]
        for index in range(1, len(outs)):
            a = outs[index - 1]
            self.apply(a, self.scratch[index - 1])
            self.product(lean(parameters.weights[index]), lean(a), out=lean(outs[index]))
            outs[index] += parameters.biases[index]


def predict(network: Network, x: Floats) -> Floats:
    """Return the output activations ``(K, classes, n)`` of a plain network for examples ``x`` ``(n, inputs)``."""
    logits = np.empty((network.members, network.architecture.layers[-1], len(x)), network.dtype)
    ForwardPass(network, len(x)).forward(np.ascontiguousarray(x, network.dtype), logits)
    return outputs(network.architecture.output, logits)
