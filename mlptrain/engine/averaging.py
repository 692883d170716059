"""Averaged weights: an exponential moving average over the steps of training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlptrain.engine.arrays import Floats
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Parameters, Statistics, make_blocks
from mlptrain.engine.state import State


class Average:
    """The averaged parameters and running statistics of K networks (Polyak & Juditsky 1992).

    After step t: average ← d average + (1 − d) w with d = min(decay, (1 + t) / (10 + t)). The average starts at the
    initial weights; the bound on d soon removes their influence. ``decays`` is ``(K,)``; with 0 the average is w.
    """

    def __init__(self, network: Network, decays: Floats) -> None:
        self.decays = np.asarray(decays, np.float64)
        self.network = network
        shape = network.architecture, network.members, network.dtype, network.sizes
        self.parameters, self.statistics = Parameters(*shape), Statistics(*shape)
        np.copyto(self.parameters.flat, network.parameters.flat)
        np.copyto(self.statistics.flat, network.statistics.flat)
        self.steps = 0
        self._uniform = bool((self.decays == self.decays[0]).all())
        self._blocks = make_blocks([network.parameters, self.parameters], uniform=self._uniform)

    def update(self) -> None:
        """Move the average towards the weights after a step."""
        self.steps += 1
        shares = 1 - np.minimum(self.decays, (1 + self.steps) / (10 + self.steps))
        share = shares.astype(self.network.dtype).reshape(-1, 1, 1)
        flat_share = share[0, 0, 0] if self._uniform else share
        for (w, average), scratch, _ in self._blocks:
            np.subtract(w, average, out=scratch)
            scratch *= flat_share
            average += scratch
        for average, statistic in zip(self.statistics.arrays, self.network.statistics.arrays, strict=True):
            average += share * (statistic - average)

    def state(self, member: int) -> State:
        """Return one network's averages and the number of averaged steps."""
        return {
            "steps": self.steps,
            "parameters": self.parameters.read(member),
            "statistics": self.statistics.read(member),
        }

    def restore(self, states: Sequence[State]) -> None:
        """Continue from the states of all networks, which have the same number of steps."""
        self.steps = states[0]["steps"]
        for member, state in enumerate(states):
            self.parameters.write(member, state["parameters"])
            self.statistics.write(member, state["statistics"])
