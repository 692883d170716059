"""What ``import mlptrain`` offers: train, evaluate and load, from Python as from the command line."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.checkpoint import changes, described
from mlptrain.config import Config, plain_values
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split, make_split
from mlptrain.errors import DivergedError, UsageError
from mlptrain.evaluation import Evaluation, evaluate_models, figures_together
from mlptrain.history import read_history
from mlptrain.job import Job, load_dataset, prepare
from mlptrain.job import default_data_dir as default_data_dir  # offered here too
from mlptrain.lock import locked
from mlptrain.members import Outcome
from mlptrain.metrics import metrics_of, run_end
from mlptrain.model import Model, load_model_file, model_of
from mlptrain.prediction import Prediction, predict_pictures
from mlptrain.reports import EpochReport, Report, RunEnd
from mlptrain.runs import (
    CONFIG,
    HISTORY,
    RunFolder,
    check_claimable,
    claim,
    claim_next,
    find_run,
    load_metrics,
    load_run_config,
    load_run_model,
    run_path,
)
from mlptrain.session import TIME_LIMIT, begin, drive
from mlptrain.trainer import Trainer

PARTS = ("train", "validation", "test", "all")


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
    resume: bool = False,
    force: bool = False,
    time_limit: float | None = None,
    start: Model | None = None,
    on_report: Callable[[Report], object] = lambda report: None,
    watch: Callable[[Trainer], object] = lambda trainer: None,
) -> TrainResult:
    """Train a network: epochs with validation, the test part once at the end.

    With ``run`` (its folder's name under ``runs_dir``) or ``name`` (a stem: the run is ``name-NNN``) the run is
    kept in a folder; with neither nothing is written. ``on_report`` is called with every report as it comes;
    ``time_limit`` is in seconds. ``watch`` is called with the trainer before it trains (``Profiler.watch``).

    ``resume`` goes on with ``run`` from its checkpoint, to the same model as if it had never been interrupted; it
    starts a run that is not there, and gives the result of a complete one. ``force`` goes on with another config or
    data than the run was begun with.

    Raises
    ------
    UsageError, ConfigError, DataError
        What was asked for cannot be done; no folder is left behind.
    DivergedError
        The loss became non-finite; config and history stay in the folder, no model is written.
    Interrupted
        A KeyboardInterrupt whose text says how to go on.
    """
    runs_dir = Path(runs_dir)
    if resume and (run is None or overwrite):
        with_what = "--overwrite" if overwrite else "no name of a run"
        raise UsageError(f"--resume with {with_what}: name the run to go on with, as in --run NAME --resume")
    if run is not None:
        check_claimable(runs_dir, run, overwrite=overwrite, resume=resume)
        if resume and (path := RunFolder(run_path(runs_dir, run))).complete:
            return _complete(path, config.resolve(), on_report)
    job = prepare(config, data_dir=data_dir, start=start)
    with ExitStack() as stack:
        folder: RunFolder | None = None
        if run is not None:
            folder = claim(runs_dir, run, overwrite=overwrite, resume=resume)
        elif name is not None:
            folder = claim_next(runs_dir, name)
        if folder is not None:
            stack.enter_context(locked(folder.path))
            if resume and folder.complete:  # by another process, while this one loaded the data
                return _complete(folder, job.config, on_report)
        weights = None if start is None else (start.weights, start.biases)
        trainer = Trainer([job.config], job.dataset, job.split, weights)
        checkpoint = begin(folder, trainer, job.origin, resume=resume, force=force)
        resumed = checkpoint if checkpoint.history or checkpoint.state["step"] else None
        on_report(job.describe(str(folder.path) if folder else "not kept", resumed))
        watch(trainer)
        how = "" if folder is None else f"; go on with: {_resume_command(folder, runs_dir, data_dir)}"
        outcome, history = drive(trainer, folder, checkpoint, time_limit, on_report, how)
        del trainer
        if outcome.weights is None:
            raise _diverged(str(outcome.diverged), folder, len(history) + 1)
        model, metrics, end = _tested(job, outcome)
        metrics = {"run": str(folder.path) if folder else None, **metrics}
        if checkpoint.forced:
            metrics["forced"] = list(checkpoint.forced)
        if folder is not None:
            folder.finish(model, metrics, complete=outcome.stopped != TIME_LIMIT)
        on_report(end)
        return TrainResult(model, metrics, history, folder.path if folder else None)


def _tested(job: Job, outcome: Outcome) -> tuple[Model, dict[str, Any], RunEnd]:
    """The model that a run comes to, with its figures, those on the test part included."""
    assert outcome.weights is not None
    losses, accuracies = figures_together(
        job.architecture, [outcome.weights], job.config.dtype, job.dataset, job.split.test
    )
    if not math.isfinite(losses[0]):
        raise DivergedError("training diverged: the test loss is not a finite number\ntry a smaller learning_rate")
    end = run_end(outcome, float(losses[0]), float(accuracies[0]))
    model = model_of(job.architecture, outcome.weights, job.dataset.class_names, job.saved_config)
    return model, metrics_of(job, end), end


def _complete(folder: RunFolder, config: Config, on_report: Callable[[Report], object]) -> TrainResult:
    """The result of a run that has ended."""
    before = load_run_config(folder.path).resolve()
    changed = changes(plain_values(before), plain_values(config))
    if changed:
        raise UsageError(
            f"{folder.path}: complete, and {described(changed)}\nchoose another --run, or replace it with --overwrite"
        )
    metrics = load_metrics(folder.path)
    history = read_history(folder.path / HISTORY, config.epochs)
    model = load_run_model(folder.path)
    figures: dict[str, Any] = {field.name: metrics.get(field.name) for field in fields(RunEnd)}
    on_report(RunEnd(**figures))
    return TrainResult(model, metrics, history, folder.path)


def _resume_command(folder: RunFolder, runs_dir: Path, data_dir: str | Path | None) -> str:
    """The command that goes on with a run."""
    words = [
        "mlptrain",
        "train",
        str(folder.path / CONFIG),
        "--run",
        str(folder.path.relative_to(runs_dir)),
        "--resume",
    ]
    words += ["--runs-dir", str(runs_dir)] if runs_dir != Path("runs") else []
    words += ["--data-dir", str(data_dir)] if data_dir is not None else []
    return shlex.join(words)


def _diverged(message: str, folder: RunFolder | None, epoch: int) -> DivergedError:
    """The error of a run that diverged, noted in its history where it has a folder."""
    if folder is None:
        return DivergedError(message)
    folder.append_diverged(epoch)
    return DivergedError(f"{message}\n{folder.path} keeps the history: mlptrain diagnose {folder.path}")


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


def predict(model: Model, images: Sequence[str | Path]) -> list[Prediction]:
    """Classify the pictures in image files (PNG, JPEG, ``.npy``, IDX): a digit is looked for where it is not framed.

    Raises
    ------
    DataError, UsageError
        A file cannot be read or holds no digit, or reading its format needs a library that is not installed.
    """
    return predict_pictures(model, [str(image) for image in images])


def evaluate(
    models: Model | Sequence[Model],
    dataset: Dataset,
    split: Split | None = None,
    part: str = "test",
    *,
    mistakes: int = 0,
) -> Evaluation:
    """Measure a model, or the averaged outputs of several, on a part of a dataset.

    ``part`` is train, validation or test of ``split``; or all, and without a split always all, images. So many of
    the worst ``mistakes`` are kept.

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
    return evaluate_models([models] if isinstance(models, Model) else list(models), dataset, indices, part, mistakes)


def evaluate_runs(
    runs: Sequence[str],
    *,
    part: str = "test",
    dataset: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    mistakes: int = 0,
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
        return evaluate(models, data, mistakes=mistakes)
    subset = configs[0].subset if dataset is None else None
    split = make_split(data, configs[0].split, seed=configs[0].split_seed, subset=subset)
    return evaluate(models, data, split, part, mistakes=mistakes)
