"""The learning-rate range test (Smith 2017): the loss of each step while the rate rises exponentially."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import numpy as np

from mlptrain.config.config import Config, batch_seed_of
from mlptrain.datasets.batches import Batches, training_batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.streams import stream
from mlptrain.models.evaluation import score_examples
from mlptrain.system.html import Cell, bar, fragment, table
from mlptrain.system.text import keras_number
from mlptrain.training.stack import Stack

LOWEST, HIGHEST = 1e-6, 100.0  # learning rates

STEPS = 200

MAX_ROWS = 20  # rows that a notebook shows

SMOOTHING = 0.9  # share of the previous mean in the smoothed loss

MAX_RISE = 4.0  # smoothed loss at which the test stops, in multiples of its minimum

MIN_FALL = 0.95  # smoothed loss that must be reached for a suggestion, in multiples of the first


@dataclass(frozen=True)
class RangeTest:
    """The learning rate and loss of each step, the smoothed losses, and a suggestion (None if the loss did not fall).

    ``stopped`` is True if the loss rose too far before the highest rate was reached.
    """

    rates: tuple[float, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    smoothed: tuple[float, ...] = field(repr=False)
    suggestion: float | None
    stopped: bool

    def _repr_html_(self) -> str:
        """Return the suggestion, and the losses at some of the rates, for notebooks."""
        found = "the loss did not fall" if self.suggestion is None else f"suggested learning_rate={self.suggestion:g}"
        top = max(self.smoothed, default=1.0)
        every = max(1, -(-len(self.rates) // MAX_ROWS))
        columns = (values[::every] for values in (self.rates, self.losses, self.smoothed))
        rows: list[list[Cell]] = [
            [f"{rate:.2g}", keras_number(loss), (keras_number(mean), bar(mean / top))]
            for rate, loss, mean in zip(*columns, strict=True)
        ]
        return fragment(found, table(("learning rate", "loss", "smoothed loss"), rows))


def range_test(config: Config, dataset: Dataset, split: Split, steps: int = STEPS) -> RangeTest:
    """Train the config's network for ``steps`` batches while its rate rises exponentially from 1e-6 to 100.

    That rate replaces the config's rate and schedule. The test stops early if the smoothed loss exceeds four times
    its minimum.
    """
    batches = training_batches(config, dataset, split)
    stack = Stack([config], dataset.images.shape[1], dataset.classes, steps)
    rates: list[float] = []
    losses: list[float] = []
    smoothed: list[float] = []
    average, stopped = 0.0, False
    growth = (HIGHEST / LOWEST) ** (1 / max(1, steps - 1))
    for loss in _losses(config, batches, stack, growth, steps):
        if not math.isfinite(loss):
            stopped = True
            break
        rates.append(LOWEST * growth ** len(rates))
        losses.append(loss)
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING ** len(losses)))
        if smoothed[-1] > MAX_RISE * min(smoothed):
            stopped = True
            break
    return RangeTest(tuple(rates), tuple(losses), tuple(smoothed), suggest(rates, smoothed), stopped)


def _losses(config: Config, batches: Batches, stack: Stack, growth: float, steps: int) -> Iterator[float]:
    """Yield the loss of each step, measured before its update."""
    seed = batch_seed_of(config)
    order, done = stream(seed, "batches"), 0
    for epoch in count(1):
        for chunk in batches.epoch(order, partial(stream, seed, "augment", epoch)):
            logits = np.empty((1, chunk.y.shape[1], chunk.labels.shape[1]), stack.network.dtype)
            for x, y, target, labels in zip(chunk.x, chunk.y, stack.targets(chunk.y), chunk.labels, strict=True):
                if done == steps:
                    return
                with np.errstate(over="ignore", invalid="ignore"):
                    stack.step(x, target, logits, np.array([LOWEST * growth**done]))
                values, _ = score_examples(config.loss, config.output, logits, y, labels)
                done += 1
                yield float(values.mean(dtype=np.float64))


def suggest(rates: Sequence[float], smoothed: Sequence[float]) -> float | None:
    """Return a tenth of the rate with the lowest smoothed loss, rounded to two digits.

    None if the loss never fell below 95 % of its start. The rate of the steepest fall, the other common choice, is a
    tenth of a good one for sigmoid outputs with mse: the rate at which the biases are learnt.
    """
    if not smoothed or min(smoothed) > MIN_FALL * smoothed[0]:
        return None
    return float(f"{rates[smoothed.index(min(smoothed))] / 10:.2g}")
