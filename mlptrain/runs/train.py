"""One run while it trains: its reports are stored and passed on, its checkpoints written, its signals obeyed."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlptrain.config.config import Config, plain_values
from mlptrain.errors import DivergedError, UsageError
from mlptrain.models.model import Model, model_of
from mlptrain.runs.checkpoint import Checkpoint, Saver, changes, described, load_checkpoint, unusable
from mlptrain.runs.finished import load_metrics, load_run_config, load_run_model
from mlptrain.runs.folder import CHECKPOINT, CONFIG, HISTORY, RunFolder, check_claimable, claim, claim_next, run_path
from mlptrain.runs.history import read_history
from mlptrain.runs.job import add_test_metrics, metrics_of, outcome_of, prepare
from mlptrain.runs.job import default_data_dir as default_data_dir
from mlptrain.system.files import remove_leftovers
from mlptrain.system.lock import locked
from mlptrain.system.signals import Interrupted, Signals
from mlptrain.training.reports import EpochReport, Outcome, Progress, Report
from mlptrain.training.trainer import Trainer

TIME_LIMIT = "time_limit"


def begin(
    folder: RunFolder | None, trainer: Trainer, origin: Mapping[str, Any], *, resume: bool = False, force: bool = False
) -> Checkpoint:
    """Where training starts: with ``resume`` at the folder's checkpoint, if there is one, else at the beginning.

    The trainer is put there, and the folder's config and history are made those of that place; what is returned has
    no more of the state than ``epoch`` and ``step``. ``force`` goes on although the origin is not that of the
    checkpoint.

    Raises
    ------
    DataError
        The checkpoint is damaged.
    UsageError
        The origin differs, or the checkpoint does not fit the network that the config asks for now.
    """
    start = Checkpoint(origin, {"epoch": 0, "step": 0})
    if folder is not None:
        remove_leftovers(folder.path)
        if resume and (folder.path / CHECKPOINT).exists():
            start = _restored(folder.path / CHECKPOINT, trainer, origin, force)
        folder.begin(trainer.configs[0], start.history)
    return start


def _restored(path: Path, trainer: Trainer, origin: Mapping[str, Any], force: bool) -> Checkpoint:
    checkpoint = load_checkpoint(path)
    if origin["start"] is None:  # weights that have been trained need not be named again
        origin = {**origin, "start": checkpoint.origin.get("start")}
    changed = changes(checkpoint.origin, origin)
    if changed and not force:
        raise UsageError(
            f"{path.parent}: {described(changed)}\n"
            "resume with what the run was begun with, or go on all the same with --force (which metrics.json records)"
        )
    epoch, step = checkpoint.state.get("epoch"), checkpoint.state.get("step")
    if type(step) is not int or epoch != len(checkpoint.history) or step < 0:
        raise unusable(path, "it does not say where in training it was written")
    try:
        trainer.restore([dict(checkpoint.state)])
        if step > trainer.steps:
            raise ValueError(f"it was written after step {step} of an epoch that has {trainer.steps}")
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        if changed:
            raise UsageError(f"{path}: does not fit any more: {described(changed)}\n{error}") from error
        raise unusable(path, str(error)) from error
    forced = checkpoint.forced
    if changed:
        forced = (*forced, {"epoch": epoch, "step": step, "changed": changed})
    return replace(checkpoint, origin=origin, state={"epoch": epoch, "step": step}, forced=forced)


def drive(
    trainer: Trainer,
    folder: RunFolder | None,
    checkpoint: Checkpoint,
    time_limit: float | None,
    on_report: Callable[[Progress | EpochReport], object],
    how_to_resume: str,
) -> tuple[Outcome, tuple[EpochReport, ...]]:
    """Train to the end; the outcome and the whole history, that of ``checkpoint``, where training starts, included.

    With a ``folder`` every epoch is a row and a checkpoint there, and within an epoch one is written where the
    config's ``checkpoint_seconds`` have passed. Where a time limit ends it, the last one is written when this returns.

    Raises
    ------
    Interrupted
        A signal came: the step under way was finished and a checkpoint written; a second signal does not wait.
    DataError
        A row or a checkpoint could not be written; the last whole checkpoint stays.
    """
    history = list(checkpoint.history)

    def snapshot() -> Checkpoint:
        return replace(checkpoint, state=trainer.state(), history=tuple(history))

    try:
        with ExitStack() as stack:
            saver = None
            if folder is not None:
                saver = Saver(folder.path / CHECKPOINT, trainer.configs[0].checkpoint_seconds)
                stack.enter_context(saver)
            signals = stack.enter_context(Signals(trainer.halt))
            outcome = None
            for report in trainer.run(time_limit):
                if isinstance(report, Outcome):
                    outcome = report
                    break
                if isinstance(report, EpochReport):
                    history.append(report)
                    if folder is not None:
                        folder.append(report)
                if saver is not None and (isinstance(report, EpochReport) or saver.due):
                    saver.save(snapshot)
                on_report(report)
            if saver is not None and (outcome is None or outcome.stopped == TIME_LIMIT):
                saver.save(snapshot)
                saver.flush()
            elif saver is not None and outcome is not None and outcome.diverged is None:
                saver.drop()
            if outcome is None:
                raise Interrupted(signals.received or signal.SIGINT)
            return outcome, tuple(history)
    except KeyboardInterrupt as error:
        number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
        raise Interrupted(number, f"interrupted in epoch {len(history) + 1}{how_to_resume}") from None


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
        if outcome.diverged is not None:
            raise _diverged(outcome.diverged, folder, len(history) + 1)
        (outcome,) = add_test_metrics(job, [outcome])
        if outcome.weights is None:
            raise DivergedError(str(outcome.diverged))
        model = model_of(job.architecture, outcome.weights, job.dataset.class_names, job.saved_config)
        metrics = {"run": str(folder.path) if folder else None, **metrics_of(job, outcome)}
        if checkpoint.forced:
            metrics["forced"] = list(checkpoint.forced)
        if folder is not None:
            folder.finish(model, metrics, complete=outcome.stopped != TIME_LIMIT)
        on_report(outcome)
        return TrainResult(model, metrics, history, folder.path if folder else None)


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
    on_report(outcome_of(metrics))
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
