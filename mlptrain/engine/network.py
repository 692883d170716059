"""K multilayer perceptrons of one shape: parameters, and the forward pass of the plain network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.arrays import aligned
from mlptrain.engine.initializers import layer_initializers
from mlptrain.engine.losses import outputs
from mlptrain.engine.normalization import fold
from mlptrain.engine.state import State, entries_of, put_entries

Weights = tuple[Sequence[np.ndarray], Sequence[np.ndarray]]
"""The weights (out, in) and the biases (out,) of each layer of one network."""


@dataclass(frozen=True)
class Architecture:
    """What K networks have in common: layer sizes from input to output, and the functions between them.

    With ``batch_norm`` the weighted inputs of the hidden layers are normalised before the activation.
    """

    layers: tuple[int, ...]
    activation: str
    output: str
    loss: str
    batch_norm: bool = False

    @property
    def parameters(self) -> int:
        """Weights, biases and gains of one network."""
        gains = sum(self.layers[1:-1]) if self.batch_norm else 0
        return gains + sum(out * (inputs + 1) for inputs, out in pairwise(self.layers))


class Parameters:
    """The parameters of K networks, or their gradients: one flat array, and each as a view of it.

    ``flat`` holds all weights, then all biases, then the gains of batch normalisation; ``weights[l]`` is
    ``(K, out, in)``, ``biases[l]`` and ``gains[l]`` ``(K, out, 1)``. An update that is the same for every
    entry is one operation on ``flat``; ``weight_entries`` of them are weights.
    """

    def __init__(self, architecture: Architecture, members: int, dtype: np.dtype) -> None:
        layers = architecture.layers
        shapes = [(members, out, inputs) for inputs, out in pairwise(layers)]
        shapes += [(members, out, 1) for out in layers[1:]]
        shapes += [(members, out, 1) for out in layers[1:-1] if architecture.batch_norm]
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        depth = len(layers) - 1
        self.flat = aligned((ends[-1],), dtype)
        self.flat[:] = 0
        self.weight_entries = int(ends[depth - 1])
        views = [part.reshape(shape) for part, shape in zip(np.split(self.flat, ends[:-1]), shapes, strict=True)]
        self.weights, self.biases, self.gains = views[:depth], views[depth : 2 * depth], views[2 * depth :]

    @property
    def arrays(self) -> list[np.ndarray]:
        """Every view, in the order of ``flat``, each with the model axis first."""
        return self.weights + self.biases + self.gains


class Statistics:
    """The running means and variances of the normalised layers of K networks, as views of one flat array."""

    def __init__(self, architecture: Architecture, members: int, dtype: np.dtype) -> None:
        shapes = [(members, out, 1) for out in architecture.layers[1:-1] if architecture.batch_norm] * 2
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes], dtype=int)
        self.flat = np.zeros(ends[-1] if shapes else 0, dtype)
        parts = np.split(self.flat, ends[:-1]) if shapes else []
        views = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        self.means, self.variances = views[: len(views) // 2], views[len(views) // 2 :]
        for variance in self.variances:
            variance[:] = 1

    @property
    def arrays(self) -> list[np.ndarray]:
        """Every view, in the order of ``flat``, each with the model axis first."""
        return self.means + self.variances


class Network:
    """K networks of one architecture; member k is row k of every array."""

    def __init__(self, architecture: Architecture, members: int = 1, dtype: str | np.dtype = "float32") -> None:
        self.architecture = architecture
        self.members = members
        self.dtype = np.dtype(dtype)
        self.parameters = Parameters(architecture, members, self.dtype)
        self.statistics = Statistics(architecture, members, self.dtype)
        for gains in self.parameters.gains:
            gains[:] = 1

    def initialize(self, init: str, generators: Sequence[np.random.Generator]) -> None:
        """Draw the initial weights of member k from ``generators[k]``, layer by layer."""
        layers = self.architecture.layers
        initializers = layer_initializers(init, self.architecture.activation, len(layers) - 1)
        for k, rng in enumerate(generators):
            for index, (initializer, sizes) in enumerate(zip(initializers, pairwise(layers), strict=True)):
                weights, biases = initializer(rng, *sizes)
                self.parameters.weights[index][k] = weights
                self.parameters.biases[index][k, :, 0] = biases

    def assign(self, member: int, weights: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> None:
        """Set the parameters of one member: ``weights[l]`` ``(out, in)``, ``biases[l]`` ``(out,)``."""
        for index, (layer_weights, layer_biases) in enumerate(zip(weights, biases, strict=True)):
            self.parameters.weights[index][member] = layer_weights
            self.parameters.biases[index][member, :, 0] = layer_biases

    def member(self, member: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Copies of one member's weights ``(out, in)`` and biases ``(out,)``, layer by layer."""
        return (
            [weights[member].copy() for weights in self.parameters.weights],
            [biases[member, :, 0].copy() for biases in self.parameters.biases],
        )

    def entries(self, member: int) -> np.ndarray:
        """A copy of one member's parameters (n,), in the order of ``flat``."""
        return entries_of(self.parameters.arrays, member)

    def weights_of(self, entries: np.ndarray) -> Weights:
        """Weights and biases from a plain member's ``entries``."""
        shapes = [array.shape[1:] for array in self.parameters.weights]
        shapes += [bias.shape[1:2] for bias in self.parameters.biases]
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        arrays = [part.reshape(shape) for part, shape in zip(np.split(entries, ends)[:-1], shapes, strict=True)]
        return arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]

    def state(self, member: int) -> State:
        """One member's parameters and running statistics."""
        return {
            "parameters": self.entries(member),
            "statistics": entries_of(self.statistics.arrays, member),
        }

    def restore(self, states: Sequence[State]) -> None:
        """Set every member's parameters and running statistics."""
        for member, state in enumerate(states):
            put_entries(self.parameters.arrays, member, state["parameters"])
            put_entries(self.statistics.arrays, member, state["statistics"])

    def plain(self) -> Network:
        """A network without normalisation that computes what this one does with its running statistics.

        It is this network where that has no normalisation, else a new one that ``refresh`` keeps up to date.
        """
        if not self.architecture.batch_norm:
            return self
        plain = Network(replace(self.architecture, batch_norm=False), self.members, self.dtype)
        refresh(plain, self.parameters, self.statistics)
        return plain


def refresh(plain: Network, parameters: Parameters, statistics: Statistics) -> None:
    """Write into a plain network what parameters and running statistics compute together."""
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
    """The forward pass of a plain network for batches of one size, in buffers of its own."""

    def __init__(self, network: Network, batch_size: int) -> None:
        members, layers = network.members, network.architecture.layers
        self.network = network
        self.batch_size = batch_size
        self.apply = ACTIVATIONS[network.architecture.activation].apply
        # The first layer of all K networks is one product: (K·out, in) times (in, batch), without a copy.
        self.first_weights = network.parameters.weights[0].reshape(-1, layers[0])
        self.activations = [np.empty((members, units, batch_size), network.dtype) for units in layers[1:-1]]
        self.scratch = [np.empty_like(a) for a in self.activations]

    def forward(self, x: np.ndarray, logits: np.ndarray) -> None:
        """Write the weighted inputs of the output units, a = f(W·a + b) layer by layer and W·a + b at the end.

        ``x`` is ``(batch, inputs)``, one example a row; ``logits`` ``(K, classes, batch)``.
        """
        parameters = self.network.parameters
        outs = [*self.activations, logits]
        np.matmul(self.first_weights, x.T, out=outs[0].reshape(-1, self.batch_size))
        outs[0] += parameters.biases[0]
        for index in range(1, len(outs)):
            a = outs[index - 1]
            self.apply(a, self.scratch[index - 1])
            np.matmul(parameters.weights[index], a, out=outs[index])
            outs[index] += parameters.biases[index]


def predict(network: Network, x: np.ndarray) -> np.ndarray:
    """The output activations ``(K, classes, n)`` of a plain network for examples ``x`` ``(n, inputs)``."""
    logits = np.empty((network.members, network.architecture.layers[-1], len(x)), network.dtype)
    ForwardPass(network, len(x)).forward(np.ascontiguousarray(x, network.dtype), logits)
    return outputs(network.architecture.output, logits)
