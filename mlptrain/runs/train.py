"""Training a run: its reports as a generator, with a run folder, checkpoints and resumption.

After each epoch a row is added to the history and a `Checkpoint` is handed to a thread that writes it (`Saver`).
After Ctrl-C the step in progress finishes, the last checkpoint is written, and `Interrupted` is raised.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlptrain.config.config import Config, as_config, plain_values
from mlptrain.config.values import described, difference
from mlptrain.errors import DivergedError, UsageError
from mlptrain.models.model import Model, make_model
from mlptrain.runs.checkpoint import Checkpoint, Saver, load_checkpoint, unusable
from mlptrain.runs.diagnosis import Diagnosis, curves_of, diagnose
from mlptrain.runs.files import CHECKPOINT, CONFIG, HISTORY, LAYERS, load_metrics
from mlptrain.runs.finished import load_start
from mlptrain.runs.folder import (
    RunFolder,
    check_claimable,
    claim,
    claim_next,
    load_run_config,
    load_run_model,
    resume_command,
    run_path,
)
from mlptrain.runs.fragments import metrics_and_curves
from mlptrain.runs.history import layers_until, read_history, read_layers, report_of
from mlptrain.runs.job import Job, add_test_metrics, metrics_of, outcome_of, prepare
from mlptrain.runs.locate import Run, is_selection
from mlptrain.system.files import remove_leftovers
from mlptrain.system.html import fragment
from mlptrain.system.signals import Interrupted, Signals
from mlptrain.training.profiling import Clock
from mlptrain.training.reports import TIME_LIMIT, EpochReport, LayersReport, Outcome, Report
from mlptrain.training.trainer import Trainer


@dataclass(frozen=True)
class TrainResult:
    """A finished run: the model, its metrics as in ``metrics.json``, one report per epoch, and its folder.

    ``config`` is resolved. ``layers`` has the statistics of the layers, before the first epoch and after each one.
    """

    model: Model
    metrics: dict[str, Any]
    history: tuple[EpochReport, ...]
    folder: Path | None
    config: Config
    layers: tuple[LayersReport, ...] = ()

    @property
    def diagnosis(self) -> Diagnosis:
        """Diagnosis of the learning curves and the statistics of the layers."""
        return diagnose(curves_of(self.history), self.config, len(self.model.class_names), self.layers)

    def __repr__(self) -> str:
        folder = None if self.folder is None else str(self.folder)
        sizes, accuracy = self.model.architecture.layers, self.metrics.get("test_accuracy")
        return f"TrainResult(folder={folder!r}, layers={sizes}, epochs={len(self.history)}, test_accuracy={accuracy})"

    def _repr_html_(self) -> str:
        """Return the metrics and the learning curves, for notebooks."""
        architecture = self.model.architecture
        sizes = "-".join(map(str, architecture.layers))
        return fragment(
            f"{self.folder or 'not kept'}: {sizes} {architecture.activation}, {architecture.loss}",
            metrics_and_curves(self.metrics, self.history),
        )


def run(
    config: Config | Mapping[str, Any] | str | Path,
    *,
    run: str | None = None,
    name: str | None = None,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    force: bool = False,
    time_limit: float | None = None,
    start: Model | Run | None = None,
    clock: Clock | None = None,
) -> Generator[Report | TrainResult, None, None]:
    """Train a network and yield reports: RunStart, then Progress, EpochReport and LayersReport, Outcome, TrainResult.

    The network is validated after each epoch and tested once at the end. Nothing happens before the first report is
    requested. Closing the generator early (as leaving a ``for`` loop over it does) interrupts the run: a checkpoint is
    written, the lock is released, and the signal handlers are restored.

    Parameters
    ----------
    config
        A config, a mapping of its keys, or the path of a config file.
    run, name
        ``run`` names the run folder under ``runs_dir``. Otherwise ``name`` is a prefix that gets a number. Without
        either nothing is written.
    data_dir
        The folder of downloaded datasets; `mlptrain.datasets.dataset.data_folder` describes its default.
    overwrite
        Replace the run if it exists.
    resume
        Continue ``run`` from its checkpoint, to the same model as without the interruption. A run that does not exist
        is started, and a complete one yields its result.
    force
        Resume although config, data or versions have changed.
    time_limit
        Seconds after which training ends; the network is tested, and a checkpoint is kept.
    start
        The model whose weights are used instead of random ones: a model, or what `mlptrain.load_model` accepts.
    clock
        Times the phases of training.

    Raises
    ------
    UsageError, ConfigError, DataError
        The run cannot be trained as requested; no new folder is left behind.
    DivergedError
        The loss became non-finite; config, history and checkpoint stay in the folder, no model is written.
    Interrupted
        A signal arrived (a KeyboardInterrupt); the message has the command that resumes the run.
    """
    config, runs_dir = as_config(config), Path(runs_dir)
    if resume and (run is None or overwrite):
        problem = "cannot be combined with --overwrite" if overwrite else "the name of the run is missing"
        raise UsageError(f"--resume: {problem}\nhint: resume a run with --run NAME --resume")
    if run is not None:
        check_claimable(runs_dir, run, overwrite=overwrite, resume=resume)
        existing = RunFolder(run_path(runs_dir, run))
        if resume and existing.complete:
            result = yield from _load_result(existing, config.resolve())
            yield result
            return
    if resume and isinstance(start, str) and is_selection(start) and (existing.path / CHECKPOINT).exists():
        start = None  # another run may be the latest by now; the checkpoint has the weights
    model, start_name = load_start(start, runs_dir)
    job = prepare(config, data_dir=data_dir, start=model, start_name=start_name)
    folder = None
    if run is not None:
        folder = claim(runs_dir, run, overwrite=overwrite, resume=resume)
    elif name is not None:
        folder = claim_next(runs_dir, name)
    with nullcontext() if folder is None else folder.locked() as folder:
        if folder is not None and resume and folder.complete:  # finished by another process while the data was loaded
            result = yield from _load_result(folder, job.config)
        else:
            hint = "" if folder is None else f"\nhint: resume with: {run_command(folder.path, runs_dir, data_dir)}"
            result = yield from _train(job, folder, resume, force, time_limit, clock, hint)
    yield result


def _load_result(folder: RunFolder, config: Config) -> Generator[Report, None, TrainResult]:
    """Yield the outcome of a complete run and return its result."""
    changed = difference(plain_values(load_run_config(folder.path).resolve()), plain_values(config))
    if changed:
        raise UsageError(
            f"{folder.path}: the run is complete, and {described(changed)}\n"
            "hint: choose another --run, or replace the run with --overwrite"
        )
    metrics = load_metrics(folder.path)
    history, layers = read_history(folder.path / HISTORY, config.epochs), read_layers(folder.path / LAYERS)
    result = TrainResult(load_run_model(folder.path), metrics, history, folder.path, config, layers)
    yield outcome_of(metrics)
    return result


def run_command(path: Path, runs_dir: Path, data_dir: str | Path | None = None) -> str:
    """Return the command that resumes the run in a folder below ``runs_dir``."""
    options = {
        "--run": path.relative_to(runs_dir),
        "--resume": True,
        "--runs-dir": None if runs_dir == Path("runs") else runs_dir,
        "--data-dir": data_dir,
    }
    return resume_command("train", path / CONFIG, options)


def _train(
    job: Job,
    folder: RunFolder | None,
    resume: bool,
    force: bool,
    time_limit: float | None,
    clock: Clock | None,
    hint: str,
) -> Generator[Report, None, TrainResult]:
    """Train and test the network of a job, save it in the folder, and return the result.

    With ``resume`` training continues from the folder's checkpoint, if there is one.
    """
    weights = None if job.start is None else (job.start.weights, job.start.biases)
    trainer = Trainer([job.config], job.dataset, job.split, weights, clock)
    checkpoint, layers = Checkpoint(job.origin, {}), list[LayersReport]()
    if folder is not None:
        remove_leftovers(folder.path)
        if resume and (folder.path / CHECKPOINT).exists():
            checkpoint = _restore(folder.path / CHECKPOINT, trainer, checkpoint.origin, force)
            if trainer.epoch or trainer.step:
                layers += layers_until(folder.path / LAYERS, trainer.epoch)
        folder.begin(job.config, checkpoint.history, layers)
    name = "not kept" if folder is None else str(folder.path)
    fresh = resume and not (checkpoint.history or trainer.step)
    yield job.describe(name, checkpoint.history, trainer.step, fresh=fresh)
    outcome, history = yield from _train_epochs(trainer, folder, checkpoint, layers, time_limit, clock, hint)
    del trainer  # its memory is needed for the test
    if outcome.diverged is not None and folder is not None:
        folder.append(report_of(len(history) + 1, {}))  # a row without metrics
        raise DivergedError(f"{outcome.diverged}; see `mlptrain diagnose {folder.path}`")
    (outcome,) = add_test_metrics(job, [outcome])
    if outcome.weights is None:
        raise DivergedError(str(outcome.diverged))
    model = make_model(job.architecture, outcome.weights, job.dataset.class_names, job.saved_config)
    metrics = {"run": None if folder is None else str(folder.path), **metrics_of(job, outcome)}
    if checkpoint.forced:
        metrics["forced"] = list(checkpoint.forced)
    if folder is not None:
        folder.finish(model, metrics, complete=outcome.stopped != TIME_LIMIT)
    yield outcome
    return TrainResult(model, metrics, history, None if folder is None else folder.path, job.config, tuple(layers))


def _restore(path: Path, trainer: Trainer, origin: Mapping[str, Any], force: bool) -> Checkpoint:
    """Restore the trainer from a checkpoint, and return the checkpoint without its state and with a new ``origin``.

    A change of the origin is added to the forced changes.

    Raises
    ------
    DataError
        The checkpoint is damaged.
    UsageError
        The origin has changed, and ``force`` is false or the checkpoint does not fit the network.
    """
    checkpoint = load_checkpoint(path)
    if origin["start"] is None:  # the initial weights need not be named again
        origin = {**origin, "start": checkpoint.origin.get("start")}
    changed = difference(checkpoint.origin, origin)
    if changed and not force:
        raise UsageError(
            f"{path.parent}: {described(changed)}\n"
            "hint: resume with the config and data of the run, or resume with --force (metrics.json records it)"
        )
    try:
        trainer.restore([checkpoint.state])
        if trainer.epoch != len(checkpoint.history):
            raise ValueError(f"it has {len(checkpoint.history)} rows of history after {trainer.epoch} epochs")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        if changed:
            raise UsageError(
                f"{path}: does not fit the changed run: {described(changed)}\n"
                "hint: resume with the config and data of the run, or replace the run with --overwrite"
            ) from error
        raise unusable(path, str(error)) from error
    forced = checkpoint.forced
    if changed:
        forced = (*forced, {"epoch": trainer.epoch, "step": trainer.step, "changed": changed})
    return replace(checkpoint, origin=origin, state={}, forced=forced)


def _train_epochs(
    trainer: Trainer,
    folder: RunFolder | None,
    start: Checkpoint,
    layers: list[LayersReport],
    time_limit: float | None,
    clock: Clock | None,
    hint: str,
) -> Generator[Report, None, tuple[Outcome, tuple[EpochReport, ...]]]:
    """Train to the end and return the outcome and the whole history, that of ``start`` included; extend ``layers``.

    With a folder, each epoch becomes rows of its files and a checkpoint; within an epoch a checkpoint is written every
    ``checkpoint_seconds``.

    Raises
    ------
    Interrupted
        A signal halted the trainer after its step, and the checkpoint is written; or a second signal arrived.
    DataError
        A row or a checkpoint cannot be written; the last whole checkpoint stays.
    """
    history = list(start.history)
    saver = None
    if folder is not None:
        saver = Saver(folder.path / CHECKPOINT, trainer.configs[0].checkpoint_seconds)

    def snapshot() -> Checkpoint:
        if folder is not None:
            folder.check()
        return replace(start, state=trainer.state(), history=tuple(history))

    def save_now() -> None:
        if saver is not None:
            saver.save(snapshot)
            saver.flush()

    try:
        with saver or nullcontext(), Signals(trainer.halt) as signals:
            outcome = None
            reports = trainer.run(time_limit)
            try:
                for report in reports if clock is None else clock.reports(reports):
                    if isinstance(report, Outcome):
                        outcome = report
                        break
                    if isinstance(report, EpochReport | LayersReport) and folder is not None:
                        folder.append(report)
                    if isinstance(report, LayersReport):
                        layers.append(report)
                        if report.epoch:  # its EpochReport comes next; only then is the epoch complete
                            continue
                    if isinstance(report, EpochReport):
                        history.append(report)
                    if saver is not None and (isinstance(report, EpochReport) or saver.due):
                        saver.save(snapshot)
                    yield report
                    if isinstance(report, EpochReport):
                        yield layers[-1]
            except GeneratorExit:
                if not signals.repeated:  # the second signal stops the run at once, without another checkpoint
                    save_now()
                raise
            if outcome is None or outcome.stopped == TIME_LIMIT:
                save_now()
            elif saver is not None and outcome.diverged is None:
                saver.drop()
            if outcome is None:
                assert signals.received is not None, "only a signal halts the trainer"
                raise Interrupted(signals.received)
            return outcome, tuple(history)
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        raise Interrupted(number, f"interrupted in epoch {len(history) + 1}{hint}") from None
