"""Averaged weights: an exponential mean over the steps of training, evaluated instead of the last weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Parameters, State, Statistics, blocks, entries_of, put_entries


class Average:
    """The running mean of the parameters and running statistics of K networks (Polyak & Juditsky 1992).

    After step t: average ← d average + (1 − d) weights with d = min(decay, (1 + t) / (10 + t)), so that the
    initial weights are soon forgotten, however long the memory. ``decays`` is ``(K,)``; 0 is no averaging.
    """

    def __init__(self, network: Network, decays: np.ndarray) -> None:
        self.decays = np.asarray(decays, np.float64)
        self.network = network
        self.parameters = Parameters(network.architecture, network.members, network.dtype)
        self.statistics = Statistics(network.architecture, network.members, network.dtype)
        np.copyto(self.parameters.flat, network.parameters.flat)
        np.copyto(self.statistics.flat, network.statistics.flat)
        self.steps = 0
        self._uniform = bool((self.decays == self.decays[0]).all())
        self._blocks = blocks([network.parameters, self.parameters], uniform=self._uniform)
        buffer = np.empty(max(block.arrays[0].size for block in self._blocks), network.dtype)
        self._scratch = [buffer[: block.arrays[0].size].reshape(block.arrays[0].shape) for block in self._blocks]

    def update(self) -> None:
        """Take the weights as they are after a step into the average."""
        self.steps += 1
        weights = 1 - np.minimum(self.decays, (1 + self.steps) / (10 + self.steps))
        share = weights.astype(self.network.dtype).reshape(-1, 1, 1)
        flat_share = share[0, 0, 0] if self._uniform else share
        for ((w, average), _), scratch in zip(self._blocks, self._scratch, strict=True):
            np.subtract(w, average, out=scratch)
            scratch *= flat_share
            average += scratch
        ours, theirs = self.statistics, self.network.statistics
        for average, statistic in zip(ours.arrays, theirs.arrays, strict=True):
            average += share * (statistic - average)

    def state(self, member: int) -> State:
        """One network's averages, and the steps that went into them."""
        return {
            "steps": self.steps,
            "parameters": entries_of(self.parameters.arrays, member),
            "statistics": entries_of(self.statistics.arrays, member),
        }

    def restore(self, states: Sequence[State]) -> None:
        """Continue from the averages of each network, all after the same number of steps."""
        self.steps = states[0]["steps"]
        for member, state in enumerate(states):
            put_entries(self.parameters.arrays, member, state["parameters"])
            put_entries(self.statistics.arrays, member, state["statistics"])
