"""Optimisers: each is one update rule for a weight array, its gradient and its state, in place.

With per-network numbers (rates, momenta) the arrays have the model axis first and the numbers are ``(K, 1, 1)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mlptrain.engine.network import Network, Parameters

Number = np.ndarray | float

# Entries of a weight array that a rule of several passes works on at once: with its gradient and one state array
# they take 768 kB in float32, within a core's second-level cache.
BLOCK = 65_536


def sgd(w: np.ndarray, step: np.ndarray, state: tuple[np.ndarray, ...], h: Mapping[str, Number]) -> None:
    """w ← w − η g (Robbins & Monro 1951); ``step`` is η g."""
    np.subtract(w, step, out=w)


def momentum(w: np.ndarray, step: np.ndarray, state: tuple[np.ndarray, ...], h: Mapping[str, Number]) -> None:
    """v ← μ v − η g;  w ← w + v (Polyak 1964, in the form of Sutskever et al. 2013); ``step`` is η g."""
    (velocity,) = state
    velocity *= h["momentum"]
    velocity -= step
    w += velocity


@dataclass(frozen=True)
class Rule:
    """An update rule, the number of state arrays it keeps, and the hyperparameters it reads."""

    update: Callable[[np.ndarray, np.ndarray, tuple[np.ndarray, ...], Mapping[str, Number]], None]
    states: int
    hyperparameters: tuple[str, ...] = ()


OPTIMIZERS: dict[str, Rule] = {
    "sgd": Rule(sgd, states=0),
    "momentum": Rule(momentum, states=1, hyperparameters=("momentum",)),
}


class Optimizer:
    """A rule at work on the parameters of K networks.

    Both rules are linear in the gradient, so the rate is not multiplied into every gradient: it rides on the
    output delta (see ``TrainingPass.backward``), whose ten rows are the smallest array of the step.
    """

    def __init__(self, name: str, network: Network, hyperparameters: Mapping[str, np.ndarray]) -> None:
        """``hyperparameters`` has an array ``(K,)`` for each name that the rule reads."""
        self.rule = OPTIMIZERS[name]
        self.gradients = Parameters(network.architecture.layers, network.members, network.dtype)
        self.states = [
            Parameters(network.architecture.layers, network.members, network.dtype) for _ in range(self.rule.states)
        ]
        values = {key: np.asarray(hyperparameters[key], network.dtype) for key in self.rule.hyperparameters}
        uniform = all((value == value[0]).all() for value in values.values())
        tensors = [network.parameters, self.gradients, *self.states]
        if uniform:
            self.hyperparameters: dict[str, Number] = {key: value[0] for key, value in values.items()}
            block = BLOCK if self.rule.states else network.parameters.flat.size
            starts = range(0, network.parameters.flat.size, block)
            groups = [[tensor.flat[start : start + block] for tensor in tensors] for start in starts]
        else:
            self.hyperparameters = {key: value.reshape(-1, 1, 1) for key, value in values.items()}
            groups = [list(arrays) for arrays in zip(*(tensor.arrays for tensor in tensors), strict=True)]
        self.groups = [(group[0], group[1], tuple(group[2:])) for group in groups]

    def update(self) -> None:
        """Apply the rule to every parameter, from the steps η g that the backward pass left in ``gradients``."""
        update, h = self.rule.update, self.hyperparameters
        for w, step, state in self.groups:
            update(w, step, state, h)
