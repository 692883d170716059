"""Small datasets, configs and models that the tests share."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.config.config import Config
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.network import Network
from mlptrain.engine.parameters import Architecture
from mlptrain.errors import DivergedError
from mlptrain.models.model import Model
from mlptrain.training.reports import Outcome


@cache
def sample() -> Dataset:
    return load_dataset("sample", Path("no-data"))


def dataset(count: int = 60, pixels: int = 6, classes: int = 3, seed: int = 0) -> Dataset:
    """Return random images whose labels are 0, 1, …, 0, 1, … in order."""
    images = np.random.default_rng(seed).integers(0, 256, (count, pixels), np.uint8)
    labels = (np.arange(count) % classes).astype(np.uint8)
    return Dataset("made", images, labels, count, (1, pixels), tuple(map(str, range(classes))), "sha256:made")


def split(train: int, validation: int = 0, test: int = 0) -> Split:
    """Return a split in which the first images are for training and the next for validation and test."""
    parts = np.split(np.arange(train + validation + test), [train, train + validation])
    return Split(parts[0], parts[1], parts[2], "sha256:made")


def kept(outcome: Outcome, architecture: Architecture, dtype: str) -> Network:
    """Return the network of a run; raise `DivergedError` if the run has none."""
    if outcome.weights is None:
        raise DivergedError(str(outcome.diverged))
    network = Network(replace(architecture, batch_norm=False), 1, dtype)
    network.assign(0, *outcome.weights)
    return network


def config(**values: Any) -> Config:
    return Config(**values).resolve()


def model(
    weights: list[Any],
    biases: list[Any],
    *,
    activation: str = "sigmoid",
    output: str = "softmax",
    loss: str = "cross_entropy",
    dtype: str = "float64",
    names: tuple[str, ...] | None = None,
) -> Model:
    w = tuple(np.array(layer, dtype) for layer in weights)
    b = tuple(np.array(layer, dtype) for layer in biases)
    layers = (w[0].shape[1], *map(len, b))
    names = names or tuple(map(str, range(layers[-1])))
    return Model(Architecture(layers, activation, output, loss), w, b, names, {"seed": 0})


def random_model(*layers: int, seed: int = 0, **functions: Any) -> Model:
    rng = np.random.default_rng(seed)
    pairs = list(pairwise(layers))
    weights = [rng.standard_normal((out, fan_in)) for fan_in, out in pairs]
    return model(weights, [rng.standard_normal(out) for _, out in pairs], **functions)


@contextmanager
def processor_seconds_below(limit: float) -> Iterator[None]:
    """Bound the processor time of a block; ``limit`` is for an idle machine, and three times as much is allowed.

    The block runs without the tracer of coverage, which would multiply its time.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    start = time.process_time()
    try:
        yield
        assert time.process_time() - start < 3 * limit
    finally:
        sys.settrace(tracer)
