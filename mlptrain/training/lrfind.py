"""The learning-rate range test: raise the rate step by step and see where the loss turns (Smith 2017)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mlptrain.config.config import Config, batch_seed_of
from mlptrain.datasets.batches import Batches, training_batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.streams import stream
from mlptrain.models.evaluation import losses_and_hits
from mlptrain.training.stack import Stack

LOWEST, HIGHEST = 1e-6, 100.0

STEPS = 200

SMOOTHING = 0.9

GIVE_UP = 4.0  # times the best loss


@dataclass(frozen=True)
class RangeTest:
    """Rates, the loss of each step, its running mean, and the rate suggested (None where the loss never fell).

    ``stopped`` says whether the loss passed four times its best before the highest rate was reached.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    stopped: bool


def range_test(config: Config, dataset: Dataset, split: Split, steps: int = STEPS) -> RangeTest:
    """Train the config's network for ``steps`` batches while its rate rises exponentially from 1e-6 to 100.

    The rate takes the place of config's rate and schedule; all else is as in training. The test ends early
    where the smoothed loss passes four times its best. The network is the test's own: nothing that anybody
    else trains is touched.
    """
    batches = training_batches(config, dataset, split)
    stack = Stack([config], dataset.images.shape[1], dataset.classes, steps)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, stopped = 0.0, False
    growth = (HIGHEST / LOWEST) ** (1 / max(1, steps - 1))
    for loss in _steps(config, batches, stack, growth, steps):
        if not math.isfinite(loss):
            stopped = True
            break
        rates.append(LOWEST * growth ** len(rates))
        losses.append(loss)
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING ** len(losses)))
        if smoothed[-1] > GIVE_UP * min(smoothed):
            stopped = True
            break
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed), stopped)


def _steps(config: Config, batches: Batches, stack: Stack, growth: float, steps: int) -> Iterator[float]:
    """The loss of each step, measured before its update, at rates that grow from step to step."""
    seed = batch_seed_of(config)
    order, done, epoch = stream(seed, "batches"), 0, 0
    while True:
        epoch += 1

        def augment(number: int, epoch: int = epoch) -> np.random.Generator:
            return stream(seed, "augment", epoch, number)

        for chunk in batches.epoch(order, augment):
            logits = np.empty((1, chunk.y.shape[1], chunk.labels.shape[1]), stack.network.dtype)
            for x, y, target, labels in zip(chunk.x, chunk.y, stack.targets(chunk.y), chunk.labels, strict=True):
                if done == steps:
                    return
                with np.errstate(over="ignore", invalid="ignore"):
                    stack.step(x, target, logits, np.array([LOWEST * growth**done]))
                values, _ = losses_and_hits(config.loss, config.output, logits, y, labels)
                done += 1
                yield float(values.mean(dtype=np.float64))


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """A tenth of the rate at which the smoothed loss is lowest, to two digits: well before it turns.

    None where the loss never fell below 95 % of its start. (The rate of the steepest fall, the other common
    choice, was tried: with sigmoid outputs and mse it marks where the biases are learnt, a tenth of a good rate.)
    """
    if not smoothed or min(smoothed) > 0.95 * smoothed[0]:
        return None
    return float(f"{rates[smoothed.index(min(smoothed))] / 10:.2g}")
