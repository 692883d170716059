"""What ``import mlptrain`` offers: train, evaluate and load, from Python as from the command line."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain import __version__
from mlptrain.batching import batch_size_of
from mlptrain.config import Config, plain_values
from mlptrain.datasets.dataset import Dataset, default_data_dir
from mlptrain.datasets.dataset import load_dataset as _load_dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.engine.network import Architecture
from mlptrain.errors import DivergedError, UsageError
from mlptrain.evaluation import Evaluation, evaluate_models, figures_together
from mlptrain.footprint import check_memory
from mlptrain.members import Outcome
from mlptrain.model import Model, load_model_file, model_of
from mlptrain.reports import EpochReport, Report, RunEnd, RunStart
from mlptrain.runs import (
    RunFolder,
    check_claimable,
    claim,
    claim_next,
    find_run,
    load_run_config,
    load_run_model,
)
from mlptrain.stack import architecture_of
from mlptrain.threads import configured_threads
from mlptrain.trainer import Trainer

PARTS = ("train", "validation", "test", "all")


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

    def describe(self, name: str) -> RunStart:
        """What is about to be trained, for people."""
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
            configured_threads(),
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


@dataclass(frozen=True)
class TrainResult:
    """A finished run: the model, its figures as in ``metrics.json``, one report an epoch, and its folder."""

    model: Model
    metrics: dict[str, Any]
    history: tuple[EpochReport, ...]
    folder: Path | None


def train(
    config: Config,
    *,
    run: str | None = None,
    name: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    time_limit: float | None = None,
    start: Model | None = None,
    on_report: Callable[[Report], object] = lambda report: None,
) -> TrainResult:
    """Train a network: epochs with validation, the test part once at the end.

    With ``run`` (its folder's name under ``runs_dir``) or ``name`` (a stem: the run is ``name-NNN``) the run is
    kept in a folder; with neither nothing is written. ``on_report`` is called with every report as it comes;
    ``time_limit`` is in seconds.

    Raises
    ------
    UsageError, ConfigError, DataError
        What was asked for cannot be done; no folder is left behind.
    DivergedError
        The loss became non-finite; config and history stay in the folder, no model is written.
    KeyboardInterrupt
        As it came, with what the folder keeps as its text.
    """
    if run is not None:
        check_claimable(Path(runs_dir), run, overwrite=overwrite)
    job = prepare(config, data_dir=data_dir, start=start)
    folder: RunFolder | None = None
    if run is not None:
        folder = claim(Path(runs_dir), run, overwrite=overwrite)
    elif name is not None:
        folder = claim_next(Path(runs_dir), name)
    if folder is not None:
        folder.begin(job.config)
    start_report = job.describe(str(folder.path) if folder else "not kept")
    on_report(start_report)
    history: list[EpochReport] = []

    def pass_on(report: Report) -> None:
        if isinstance(report, EpochReport):
            history.append(report)
            if folder is not None:
                folder.append(report)
        on_report(report)

    weights = None if start is None else (start.weights, start.biases)
    trainer = Trainer([job.config], job.dataset, job.split, weights)
    try:
        outcome = _drive(trainer, time_limit, pass_on)
    except KeyboardInterrupt:
        kept = f"; {folder.path} keeps the history of {len(history)} finished epochs, no model" if folder else ""
        raise KeyboardInterrupt(f"interrupted in epoch {len(history) + 1}{kept}") from None
    if outcome.weights is None:
        raise DivergedError(str(outcome.diverged))
    del trainer
    test_loss, test_accuracy = figures_together(
        job.architecture, [outcome.weights], job.config.dtype, job.dataset, job.split.test
    )
    if not math.isfinite(test_loss[0]):
        raise DivergedError("training diverged: the test loss is not a finite number\ntry a smaller learning_rate")
    end = _run_end(outcome, float(test_loss[0]), float(test_accuracy[0]))
    saved_config = plain_values(job.config)
    if Path(saved_config["dataset"]).is_absolute():
        saved_config["dataset"] = "folder"  # a model's bytes tell no path; its data is in data_fingerprint
    model = model_of(job.architecture, outcome.weights, job.dataset.class_names, saved_config)
    metrics = _metrics(job, end, folder)
    if folder is not None:
        folder.finish(model, metrics)
    on_report(end)
    return TrainResult(model, metrics, tuple(history), folder.path if folder else None)


def _drive(trainer: Trainer, time_limit: float | None, on_report: Callable[[Report], object]) -> Outcome:
    """Pass every report of the trainer's one network on and return its outcome."""
    for report in trainer.run(time_limit):
        if isinstance(report, Outcome):
            return report
        on_report(report)
    raise AssertionError("a run without an outcome")


def _run_end(outcome: Outcome, test_loss: float, test_accuracy: float) -> RunEnd:
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


def _metrics(job: Job, end: RunEnd, folder: RunFolder | None) -> dict[str, Any]:
    """The content of ``metrics.json``; numbers that are not finite become null."""
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
        "run": str(folder.path) if folder else None,
        **{key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in figures.items()},
        "parameters": job.architecture.parameters,
        "seconds": round(end.seconds, 4),
        "samples_per_second": None if end.samples_per_second is None else round(end.samples_per_second),
        "stopped": end.stopped,
        "versions": {"mlptrain": __version__, "numpy": np.__version__, "python": platform.python_version()},
        "threads": configured_threads(),
        "data_fingerprint": job.dataset.fingerprint,
        "split_fingerprint": job.split.fingerprint,
    }


def load_model(run: str | Path, *, runs_dir: str | Path = "runs") -> Model:
    """Load a model: from a run (a path, or a name under ``runs_dir``) or from a ``model.npz``.

    Raises
    ------
    DataError
        Missing or damaged.
    """
    with suppress(OSError):  # a name that is too long, for one: find_run says what is wrong
        if Path(run).is_file():
            return load_model_file(Path(run))
    return load_run_model(find_run(str(run), Path(runs_dir)))


def evaluate(
    models: Model | Sequence[Model],
    dataset: Dataset,
    split: Split | None = None,
    part: str = "test",
) -> Evaluation:
    """Measure a model, or the averaged outputs of several, on a part of a dataset.

    ``part`` is train, validation or test of ``split``; or all, and without a split always all, images.

    Raises
    ------
    DataError, UsageError
        The images do not fit the model, or the part is empty.
    """
    if part not in PARTS:
        raise UsageError(f"split {part!r}: expected one of {', '.join(PARTS)}")
    if split is None or part == "all":
        part, indices = "all", np.arange(len(dataset.labels))
    else:
        indices = getattr(split, part)
    return evaluate_models([models] if isinstance(models, Model) else list(models), dataset, indices, part)


def evaluate_runs(
    runs: Sequence[str],
    *,
    part: str = "test",
    dataset: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
) -> Evaluation:
    """Measure runs, several by their averaged outputs, on a part of the split that they were trained with.

    ``dataset`` names another dataset, split by the first run's rule.

    Raises
    ------
    UsageError
        The runs were trained on different splits of the data, so that no part of one is unseen by all.
    """
    if not runs:
        raise UsageError("no run to evaluate; give at least one")
    folders = [find_run(run, Path(runs_dir)) for run in runs]
    configs = [load_run_config(folder) for folder in folders]
    models = [load_run_model(folder) for folder in folders]
    keys = [(config.dataset, config.split, config.split_seed, config.subset) for config in configs]
    other = next((index for index, key in enumerate(keys) if key[:3] != keys[0][:3]), None)
    if other is not None and dataset is None and part != "all":
        raise UsageError(
            f"{folders[0]} and {folders[other]} were trained on different splits or data, so their averages would\n"
            "be measured on images that one of them has seen; name data that is new to both with --dataset"
        )
    data = load_dataset(dataset or configs[0].dataset, data_dir=data_dir)
    if part == "all":
        return evaluate(models, data)
    subset = configs[0].subset if dataset is None else None
    split = make_split(data, configs[0].split, seed=configs[0].split_seed, subset=subset)
    return evaluate(models, data, split, part)
