"""A run made ready: config, data, split and network, and all that decides what it comes to."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain import __version__
from mlptrain.config.config import Config, plain_values
from mlptrain.datasets.batches import batch_size_of
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.dataset import load_dataset as _load_dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.engine.parameters import Architecture
from mlptrain.errors import UsageError
from mlptrain.models.model import Model
from mlptrain.runs.checkpoint import Checkpoint
from mlptrain.system.machine import threads_in_use
from mlptrain.training.members import Outcome
from mlptrain.training.memory import check_memory
from mlptrain.training.reports import RunEnd, RunStart
from mlptrain.training.stack import architecture_of


def default_data_dir() -> Path:
    """The data folder where none is named: ``MLPTRAIN_DATA_DIR``, else ``data``."""
    return Path(os.environ.get("MLPTRAIN_DATA_DIR") or "data")


def load_dataset(name: str = "sample", *, data_dir: str | Path | None = None) -> Dataset:
    """Load a dataset by name (sample, mnist, fashion-mnist, kmnist) or from a folder of IDX files.

    Returns its images as bytes ``(n, pixels)`` and labels ``(n,)``.

    Raises
    ------
    DataError
        Missing or damaged files.
    """
    return _load_dataset(name, default_data_dir() if data_dir is None else Path(data_dir))


@dataclass(frozen=True)
class Job:
    """A run made ready: config, data, split, and the model whose weights it starts from, if any."""

    config: Config
    dataset: Dataset
    split: Split
    start: Model | None

    @property
    def architecture(self) -> Architecture:
        """The network to train."""
        return architecture_of(self.config, self.dataset.images.shape[1], self.dataset.classes)

    @property
    def saved_config(self) -> dict[str, Any]:
        """The config as files keep it: a folder of data without its path, which is not what decides a result."""
        values = plain_values(self.config)
        return values | ({"dataset": "folder"} if Path(values["dataset"]).is_absolute() else {})

    @property
    def origin(self) -> dict[str, Any]:
        """All that decides the run's result, by key."""
        digest = hashlib.sha256()
        for array in (*self.start.weights, *self.start.biases) if self.start is not None else ():
            digest.update(array.tobytes())
        return {
            **self.saved_config,
            "data_fingerprint": self.dataset.fingerprint,
            "split_fingerprint": self.split.fingerprint,
            "start": None if self.start is None else f"sha256:{digest.hexdigest()}",
            **{f"{name} version": version for name, version in versions().items()},
            "threads": threads_in_use(),
        }

    def describe(self, name: str, checkpoint: Checkpoint | None = None) -> RunStart:
        """What is about to be trained, from ``checkpoint`` on where it goes on, for people."""
        architecture, config, split = self.architecture, self.config, self.split
        batch = batch_size_of(config, len(split.train))
        parts = (len(split.train), len(split.validation), len(split.test))
        return RunStart(
            name,
            self.dataset.name,
            parts,
            architecture.layers,
            config.activation,
            config.output,
            config.loss,
            config.optimizer,
            architecture.parameters,
            config.epochs,
            -(-parts[0] // batch),
            batch,
            threads_in_use(),
            resumed=checkpoint is not None,
            history=() if checkpoint is None else checkpoint.history,
            step=0 if checkpoint is None else checkpoint.state["step"],
        )


def prepare(config: Config, *, data_dir: str | Path | None = None, start: Model | None = None) -> Job:
    """Load the data, split it, and check that the network can be trained; writes nothing.

    ``start`` gives the initial weights instead of the config's seed.

    Raises
    ------
    ConfigError, DataError, UsageError
        The split or the network is impossible, the data missing or damaged, or ``start`` of another shape.
    """
    config = config.resolve()
    dataset = load_dataset(config.dataset, data_dir=data_dir)
    split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
    job = Job(config, dataset, split, start)
    architecture = job.architecture
    check_memory(config, architecture, len(split.train))
    if start is not None and start.architecture.layers != architecture.layers:
        raise UsageError(
            f"--from: a model of layers {'-'.join(map(str, start.architecture.layers))}; this config builds "
            f"{'-'.join(map(str, architecture.layers))}: set hidden to the model's"
        )
    return job


def versions() -> dict[str, str]:
    return {"mlptrain": __version__, "numpy": np.__version__, "python": platform.python_version()}


def run_end(outcome: Outcome, test_loss: float, test_accuracy: float) -> RunEnd:
    """The result of a run, with the figures of its model on the test part."""
    rate = outcome.samples / outcome.seconds if outcome.seconds > 0 else None
    return RunEnd(
        outcome.epochs,
        outcome.best_epoch,
        outcome.loss,
        outcome.accuracy,
        outcome.val_loss,
        outcome.val_accuracy,
        test_loss,
        test_accuracy,
        outcome.seconds,
        rate,
        outcome.stopped,
    )


def metrics_of(job: Job, end: RunEnd) -> dict[str, Any]:
    """The content of ``metrics.json`` but for the folder; numbers that are not finite become null."""
    figures = {
        key: getattr(end, key)
        for key in (
            "epochs",
            "best_epoch",
            "loss",
            "accuracy",
            "val_loss",
            "val_accuracy",
            "test_loss",
            "test_accuracy",
        )
    }
    return {
        **{key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in figures.items()},
        "parameters": job.architecture.parameters,
        "seconds": round(end.seconds, 4),
        "samples_per_second": None if end.samples_per_second is None else round(end.samples_per_second),
        "stopped": end.stopped,
        "versions": versions(),
        "threads": threads_in_use(),
        "data_fingerprint": job.dataset.fingerprint,
        "split_fingerprint": job.split.fingerprint,
    }
