"""One run while it trains: its reports are stored and passed on, its checkpoints written, its signals obeyed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlptrain.checkpoint import Checkpoint, changes, described, load_checkpoint, unusable
from mlptrain.datasets.leftovers import remove_leftovers
from mlptrain.errors import UsageError
from mlptrain.members import Outcome
from mlptrain.reports import EpochReport, Progress
from mlptrain.runs import CHECKPOINT, RunFolder
from mlptrain.saver import Saver
from mlptrain.signals import Interrupted, Signals
from mlptrain.trainer import Trainer

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
