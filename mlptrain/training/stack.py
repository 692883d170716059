"""Stacks: networks that train side by side, and the key that their configs must have in common.

`plan_wave` in ``sweeps/planning.py`` decides which trials of a sweep form a stack.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from mlptrain.config.config import Config, batch_seed_of
from mlptrain.engine.arrays import Floats
from mlptrain.engine.averaging import Average
from mlptrain.engine.backprop import Timed, TrainingPass, untimed
from mlptrain.engine.dropout import Dropout
from mlptrain.engine.layers import LayerStatistics, measure_layers
from mlptrain.engine.network import Network, refresh_plain
from mlptrain.engine.optimizers import OPTIMIZERS, Optimizer, Penalties
from mlptrain.engine.parameters import Architecture, Weights
from mlptrain.engine.schedules import make_schedule
from mlptrain.engine.state import State, add_prefix, select_prefix
from mlptrain.engine.streams import restore_generator, save_generator, stream

_SHARED = (
    *("dataset", "split", "split_seed", "subset", "augment", "activation", "output", "init", "batch_norm"),
    *("loss", "optimizer", "batch_size", "dtype"),
)


def stack_key(config: Config) -> Hashable:
    """Return what configs must have in common to train in one stack: data, batches, depth, functions, update rule.

    Networks with and without input dropout, or weight averaging, are kept apart because all would pay for it.
    """
    values = [getattr(config, key) for key in _SHARED]
    return (*values, len(config.hidden), batch_seed_of(config), config.input_dropout > 0, config.ema is not None)


def architecture_of(config: Config, inputs: int, classes: int, *others: Config) -> Architecture:
    """Return the config's layer sizes and functions for images of ``inputs`` pixels in ``classes`` classes.

    With the ``others`` of a stack, the sizes of hidden layers are the largest ones.
    """
    hidden = (max(sizes) for sizes in zip(config.hidden, *(other.hidden for other in others), strict=True))
    return Architecture((inputs, *hidden, classes), config.activation, config.output, config.loss, config.batch_norm)


def _each(configs: Sequence[Config], key: str, absent: float = 0.0) -> Floats:
    """Return the values of a key, one per network (K,); null becomes ``absent``."""
    values = [getattr(config, key) for config in configs]
    return np.array([absent if value is None else value for value in values], np.float64)


def _dropout_rates(configs: Sequence[Config], layer: int) -> Floats:
    """Return the dropout rates of a hidden layer, one per network (K,)."""
    rates = [config.dropout[layer] if isinstance(config.dropout, tuple) else config.dropout for config in configs]
    return np.array(rates, np.float64)


class Stack:
    """K networks, each with its config's hidden sizes, seed, rate, schedule, penalties and dropout.

    The configs have the same `stack_key`. ``steps`` is the number of updates of the whole run: one for all networks,
    or one per network. ``network`` is in training; ``plain`` has the same networks as they are evaluated and saved,
    without normalisation and with averaged weights.
    """

    def __init__(
        self,
        configs: Sequence[Config],
        inputs: int,
        classes: int,
        steps: int | Sequence[int],
        start: Weights | None = None,
        timed: Timed = untimed,
    ) -> None:
        """``start`` are initial weights and biases for all networks, in place of random ones."""
        first = configs[0]
        self.configs = configs
        self._timed = timed
        sizes = [(inputs, *config.hidden, classes) for config in configs]
        self.network = Network(architecture_of(first, inputs, classes, *configs), len(configs), first.dtype, sizes)
        self.network.initialize(first.init, [stream(config.seed, "init") for config in configs])
        if start is not None:
            for member in range(len(configs)):
                self.network.assign(member, *start)
        self.total_steps = np.broadcast_to(steps, len(configs)).tolist()
        schedules = [
            make_schedule(kind.name, kind.model_dump(exclude_none=True, exclude={"name", "warmup"}), kind.warmup)
            for kind in (config.schedule for config in configs)
        ]
        self.schedules = [schedule for schedule, _ in schedules]
        self.plateaus = [plateau for _, plateau in schedules]
        self.base_rates = _each(configs, "learning_rate")
        self.last_rates = self.base_rates
        self._constant = all(config.schedule.name == "constant" and not config.schedule.warmup for config in configs)
        penalties = Penalties(
            _each(configs, "l1"),
            _each(configs, "l2"),
            _each(configs, "clip_norm", math.inf),
            _each(configs, "max_norm", math.inf),
        )
        totals = zip(configs, self.total_steps, strict=True)
        same = len({(config.learning_rate, config.schedule, total) for config, total in totals}) == 1
        same &= len(configs) == 1 or first.schedule.name != "plateau"
        hyperparameters = {key: _each(configs, key) for key in OPTIMIZERS[first.optimizer].hyperparameters}
        self.optimizer = Optimizer(
            first.optimizer, self.network, hyperparameters, penalties, same_rates=same, descend=True
        )
        self._update = timed("update", self.optimizer.update)
        decays = _each(configs, "ema")
        self.average = Average(self.network, decays) if decays.any() else None
        self.plain = self.network.plain()
        if self.average is not None and self.plain is self.network:
            self.plain = Network(self.network.architecture, len(configs), first.dtype, sizes)
        self.refresh()
        self._smoothing = _each(configs, "label_smoothing").astype(self.network.dtype)
        self._generators = [stream(config.seed, "dropout") for config in configs]
        self._passes: dict[int, TrainingPass] = {}
        self._scales: dict[int, Any] = {}

    def _make_pass(self, batch_size: int) -> TrainingPass:
        network = self.network
        pixels, *hidden, _ = zip(*network.sizes, strict=True)

        def dropout(rates: Floats, units: Sequence[int], columns: int) -> Dropout | None:
            shape = network.members, max(units), columns
            return Dropout(rates, self._generators, shape, network.dtype, units) if rates.any() else None

        return TrainingPass(
            network,
            batch_size,
            self.optimizer.gradients,
            [dropout(_dropout_rates(self.configs, layer), units, batch_size) for layer, units in enumerate(hidden)],
            dropout(_each(self.configs, "input_dropout"), [batch_size] * network.members, pixels[0]),
            self._timed,
            descend=self.optimizer.descends,
        )

    def targets(self, y: Floats) -> Floats:
        """Return one-hot targets (..., classes, batch) with label smoothing (Szegedy et al. 2016).

        y′ = (1 − s) y + s / classes; if s differs between the networks, y′ is (..., K, classes, batch).
        """
        smoothing = self._smoothing
        if not smoothing.any():
            return y
        if (smoothing == smoothing[0]).all():
            smoothed: Floats = y * (1 - smoothing[0]) + smoothing[0] / y.shape[-2]
            return smoothed
        share = smoothing.reshape(-1, 1, 1)
        each: Floats = y[..., np.newaxis, :, :] * (1 - share) + share / y.shape[-2]
        return each

    def rates(self) -> Floats:
        """Return the learning rates of the next step (K,)."""
        if self._constant:
            return self.base_rates
        step, pairs = self.optimizer.steps, zip(self.schedules, self.total_steps, strict=True)
        rates: Floats = self.base_rates * np.array([schedule(step, steps) for schedule, steps in pairs])
        return rates

    def step(self, x: Floats, y: Floats, logits: Floats, rates: Floats | None = None) -> None:
        """Train on a batch ``x`` (batch, pixels) with targets ``y``, and write the weighted inputs into ``logits``.

        ``rates`` (K,) replace the learning rates of the schedules.
        """
        rates = self.rates() if rates is None else rates
        batch_size = len(x)
        if (work := self._passes.get(batch_size)) is None:
            work = self._passes[batch_size] = self._make_pass(batch_size)
        if rates is not self.base_rates:
            scale = self.optimizer.delta_scale(rates, batch_size)
        elif (scale := self._scales.get(batch_size)) is None:
            scale = self._scales[batch_size] = self.optimizer.delta_scale(rates, batch_size)
        work.forward(x, logits)
        work.backward(x, y, logits, scale)
        self._update(rates)
        if self.average is not None:
            self.average.update()
        self.last_rates = rates

    def layers(self, x: Floats, y: Floats) -> list[tuple[LayerStatistics, ...]]:
        """Return the statistics of each network's layers on a batch, as `measure_layers` does.

        The learning rates are those of the last step; before the first step, those of the first.
        """
        rates = self.last_rates if self.optimizer.steps else self.rates()
        return measure_layers(self.network, self.optimizer, x, self.targets(y), rates)

    def refresh(self) -> None:
        """Update ``plain`` after training steps."""
        source: Network | Average = self.average or self.network
        if source is not self.plain:
            refresh_plain(self.plain, source.parameters, source.statistics)

    def end_epoch(self, losses: Sequence[float | None]) -> None:
        """Pass the validation loss of each network to the schedules that depend on it."""
        for plateau, loss in zip(self.plateaus, losses, strict=True):
            if plateau is not None and loss is not None:
                plateau.observe(loss)

    def state(self, member: int) -> State:
        """Return everything that the next step of one network depends on besides its config and the batch."""
        plateau = self.plateaus[member]
        return {
            "steps": self.optimizer.steps,
            "rate": float(self.last_rates[member]),
            "dropout": save_generator(self._generators[member]),
            **add_prefix("network", self.network.state(member)),
            **add_prefix("optimizer", self.optimizer.state(member)),
            **add_prefix("average", {} if self.average is None else self.average.state(member)),
            **add_prefix("plateau", {} if plateau is None else plateau.state()),
        }

    def restore(self, states: Sequence[State]) -> None:
        """Continue from the state of each network, all after the same number of steps."""
        self.last_rates = np.array([state["rate"] for state in states])
        self.network.restore([select_prefix("network", state) for state in states])
        self.optimizer.restore([select_prefix("optimizer", state) for state in states])
        if self.average is not None:
            self.average.restore([select_prefix("average", state) for state in states])
        for state, plateau, generator in zip(states, self.plateaus, self._generators, strict=True):
            restore_generator(generator, state["dropout"])
            if plateau is not None:
                plateau.restore(select_prefix("plateau", state))
        self.refresh()

    def keep(self, members: Sequence[int]) -> Stack:
        """Return a stack of some of the networks, which continue as they would in this one."""
        inputs, *_, classes = self.network.architecture.layers
        configs = [self.configs[member] for member in members]
        steps = [self.total_steps[member] for member in members]
        kept = Stack(configs, inputs, classes, steps, timed=self._timed)
        kept.restore([self.state(member) for member in members])
        return kept
