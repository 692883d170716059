"""Jobs: the config, data and split of a run before training, and the metrics of the trained network."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain import __version__
from mlptrain.config.config import Config, argument, as_config, plain_values
from mlptrain.datasets.batches import batch_size_of
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.dataset import load_dataset as _load_dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.engine.parameters import Architecture
from mlptrain.engine.products import mkl_version
from mlptrain.errors import UsageError
from mlptrain.models.evaluation import evaluate_weights
from mlptrain.models.model import Model
from mlptrain.system.machine import available_cores, processor, threads_in_use
from mlptrain.training.lrfind import STEPS, RangeTest, range_test
from mlptrain.training.memory import check_memory
from mlptrain.training.reports import METRIC_NAMES, EpochReport, Outcome, RunStart
from mlptrain.training.stack import architecture_of

SAVED_METRICS = ("epochs", "best_epoch", *METRIC_NAMES)
"""Attributes of an outcome that ``metrics.json`` contains unchanged."""


def load_dataset(name: str = "sample", *, data_dir: str | Path | None = None) -> Dataset:
    """Load a dataset by name (sample, mnist, fashion-mnist, kmnist) or from a folder of IDX files.

    The dataset has images as bytes ``(n, pixels)`` and labels ``(n,)``. ``data_dir`` is the folder of downloaded
    datasets; `data_folder` describes its default.

    Raises
    ------
    DataError
        Files are missing or damaged.
    """
    return _load_dataset(name, data_dir)


@dataclass(frozen=True)
class Job:
    """A run that can be trained: resolved config, data, split, and the model with the initial weights, if any.

    ``start_name`` is the name of that model in messages.
    """

    config: Config
    dataset: Dataset
    split: Split
    start: Model | None
    start_name: str | None = None

    @property
    def architecture(self) -> Architecture:
        """Architecture of the network."""
        return architecture_of(self.config, self.dataset.images.shape[1], self.dataset.classes)

    @property
    def saved_config(self) -> dict[str, Any]:
        """Config for files, without the path of a folder of data, which does not decide the result."""
        values = plain_values(self.config)
        return values | ({"dataset": "folder"} if Path(values["dataset"]).is_absolute() else {})

    @property
    def origin(self) -> dict[str, Any]:
        """Everything that decides the result of the run, by key."""
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

    def describe(
        self, name: str, history: tuple[EpochReport, ...] = (), step: int = 0, *, fresh: bool = False
    ) -> RunStart:
        """Return the report that begins a run, which has finished the epochs of ``history`` and ``step`` batches."""
        architecture, config, split = self.architecture, self.config, self.split
        images, batch_size = len(split.train), batch_size_of(config, len(split.train))
        return RunStart(
            name=name,
            dataset=self.dataset.name,
            splits=(images, len(split.validation), len(split.test)),
            layers=architecture.layers,
            activation=config.activation,
            output=config.output,
            loss=config.loss,
            optimizer=config.optimizer,
            parameters=architecture.parameter_count,
            epochs=config.epochs,
            steps=-(-images // batch_size),
            batch_size=batch_size,
            threads=threads_in_use(),
            history=history,
            step=step,
            start=None if history or step else self.start_name,
            fresh=fresh,
        )


def prepare(
    config: Config,
    *,
    data_dir: str | Path | None = None,
    start: Model | None = None,
    start_name: str | None = None,
) -> Job:
    """Load the data, split it, and check that the network can be trained; nothing is written.

    ``start`` has the initial weights, in place of random ones; ``start_name`` is its name in messages.

    Raises
    ------
    ConfigError, DataError, UsageError
        The split or the network is impossible, the data is missing or damaged, or ``start`` has other layers.
    """
    config = config.resolve()
    dataset = load_dataset(config.dataset, data_dir=data_dir)
    split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
    job = Job(config, dataset, split, start, start_name)
    architecture = job.architecture
    check_memory(config, architecture, len(split.train))
    if start is not None and start.architecture.layers != architecture.layers:
        expected, given = ("-".join(map(str, layers)) for layers in (architecture.layers, start.architecture.layers))
        hidden = argument("hidden", start.architecture.layers[1:-1])
        raise UsageError(f"--from: the layers must be {expected} (got {given})\nhint: set {hidden}")
    return job


def lr_find(
    config: Config | Mapping[str, Any] | str | Path, *, steps: int = STEPS, data_dir: str | Path | None = None
) -> RangeTest:
    """Suggest a learning rate after a range test of ``steps`` batches, in which the rate rises until the loss does.

    ``config`` is a config, a mapping of its keys, or the path of a config file. Nothing is saved.

    Raises
    ------
    UsageError, ConfigError, DataError
        There are fewer than two steps, or the network cannot be trained.
    """
    if steps < 2:
        raise UsageError(f"steps must be at least 2 (got {steps})")
    job = prepare(as_config(config), data_dir=data_dir)
    return range_test(job.config, job.dataset, job.split, steps)


def versions() -> dict[str, str]:
    """Return the versions on which the result depends."""
    mkl = mkl_version()
    return {
        "mlptrain": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        **({} if mkl is None else {"mkl": mkl}),
    }


def add_test_metrics(job: Job, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes with their metrics on the test split, and those of diverged networks unchanged.

    The networks differ from the job's architecture at most in the sizes of hidden layers, and are evaluated together.
    One whose test loss is not finite diverged.
    """
    weights = [outcome.weights for outcome in outcomes if outcome.weights is not None]
    if not weights:
        return list(outcomes)
    losses, accuracies = evaluate_weights(job.architecture, weights, job.config.dtype, job.dataset, job.split.test)
    measured = iter(zip(losses.tolist(), accuracies.tolist(), strict=True))
    return [outcome if outcome.weights is None else _tested(outcome, *next(measured)) for outcome in outcomes]


def _tested(outcome: Outcome, loss: float, accuracy: float) -> Outcome:
    if not math.isfinite(loss):
        return outcome.as_diverged("training diverged: the test loss is not finite\nhint: use a smaller learning_rate")
    return replace(outcome, test_loss=loss, test_accuracy=accuracy)


def metrics_of(job: Job, outcome: Outcome) -> dict[str, Any]:
    """Return the content of ``metrics.json`` except for the folder; numbers that are not finite become null.

    The run finishes now, on this machine.
    """
    values = {name: getattr(outcome, name) for name in SAVED_METRICS}
    rate = outcome.samples_per_second
    return {
        **{key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()},
        "parameters": job.architecture.parameter_count,
        "seconds": round(outcome.seconds, 4),
        "samples_per_second": None if rate is None else round(rate),
        "stopped": outcome.stopped,
        "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {"processor": processor(), "cores": available_cores(), "system": platform.system()},
        "versions": versions(),
        "threads": threads_in_use(),
        "data_fingerprint": job.dataset.fingerprint,
        "split_fingerprint": job.split.fingerprint,
    }


def outcome_of(metrics: Mapping[str, Any]) -> Outcome:
    """Return the outcome, without weights, that ``metrics.json`` was written from."""
    seconds, rate = metrics.get("seconds") or 0.0, metrics.get("samples_per_second") or 0.0
    values: dict[str, Any] = {name: metrics.get(name) for name in SAVED_METRICS}
    return Outcome(
        **values,
        seconds=seconds,
        samples=round(seconds * rate),
        stopped=metrics.get("stopped"),
        weights=None,
    )
