"""The folder of a sweep: what it holds, which run folders are kept in it, and what a paused trial goes on from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlptrain.errors import DataError, UsageError
from mlptrain.runs.checkpoint import load_state, save_state
from mlptrain.runs.finished import load_metrics, load_run_config
from mlptrain.runs.folder import HISTORY, METRICS, RunFolder
from mlptrain.runs.history import read_history
from mlptrain.sweeps.executors import State, Trained
from mlptrain.sweeps.journal import JOURNAL
from mlptrain.sweeps.leaderboard import LEADERBOARD
from mlptrain.sweeps.spec import Spec, changes
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import Result, Trial, config_key
from mlptrain.system.files import make_folder, reason, temporary_beside, write_text_atomic

SWEEP, BASE, BEST, TRIALS, STATES = "sweep.yaml", "base.yaml", "best", "trials", "states"


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's folder; ``keep`` is best, all or none."""

    path: Path
    keep: str = "best"

    @property
    def journal(self) -> Path:
        """``journal.jsonl``."""
        return self.path / JOURNAL

    @property
    def leaderboard(self) -> Path:
        """``leaderboard.csv``."""
        return self.path / LEADERBOARD

    def begin(self, spec: Spec) -> None:
        """Write ``base.yaml`` and ``sweep.yaml``, or hold a sweep that goes on against what they hold.

        Raises
        ------
        UsageError
            It is another sweep; the message says what has changed.
        """
        if not (self.path / SWEEP).is_file():
            write_text_atomic(self.path / BASE, spec.base_yaml())
            write_text_atomic(self.path / SWEEP, spec.yaml())
            return
        before = read_sweep(self.path / SWEEP)
        if before.digest != spec.digest:
            found = changes(before.facts(), spec.facts()) or ["the order of the parameters has changed"]
            more = f" (and {len(found) - 2} more)" if len(found) > 2 else ""
            raise UsageError(
                f"{self.path}: was begun as another sweep: {'; '.join(found[:2])}{more}\n"
                "undo the change to go on with --resume, or start a new sweep under another --run"
            )

    def trial(self, trial: int) -> Path:
        """The run folder of a trial, where it is kept."""
        return self.path / TRIALS / f"{trial:04d}"

    def store(self, trial: Trial, trained: Trained) -> None:
        """Keep a trained member as a run folder; epochs of a paused trial's earlier rungs stay in its history.

        Raises
        ------
        DataError
            It cannot be written.
        """
        folder = RunFolder(self.trial(trial.number))
        make_folder(folder.path, "free space, then go on with --resume")
        first = trained.history[0].epoch if trained.history else 1
        earlier = read_history(folder.path / HISTORY)[: first - 1] if first > 1 else ()
        with suppress(FileNotFoundError):
            (folder.path / METRICS).unlink()
        folder.begin(trial.config, (*earlier, *trained.history))
        if trained.model is not None:
            folder.finish(trained.model, {"run": str(folder.path), **trained.metrics})

    def store_state(self, trial: int, state: State) -> None:
        """Keep what a paused trial goes on from."""
        make_folder(self.path / STATES, "free space, then go on with --resume")
        save_state(self._state(trial), state)

    def load_state(self, trial: int) -> State | None:
        """What a paused trial goes on from; None where it has to begin again."""
        path = self._state(trial)
        return load_state(path, "delete the file, and the trial starts again") if path.is_file() else None

    def _state(self, trial: int) -> Path:
        return self.path / STATES / f"{trial:04d}.npz"

    def prune(self, ended: Iterable[int], needed: Iterable[int]) -> None:
        """Remove the states of trials that have ended, and with ``keep: best`` the run folders that none needs."""
        wanted = set(needed)
        for trial in ended:
            self._state(trial).unlink(missing_ok=True)
            if self.keep != "all" and trial not in wanted:
                shutil.rmtree(self.trial(trial), ignore_errors=True)

    def publish(self, best: Result | None) -> Path | None:
        """Make ``best/`` a copy of the best trial's run folder; None where that was not kept."""
        target = self.path / BEST
        if best is None:
            return None
        source = self.trial(best.trial)
        if not (source / METRICS).is_file():
            kept = (target / METRICS).is_file() and config_key(load_run_config(target)) == best.key
            return target if kept else None
        return self.copy_best(source)

    def copy_best(self, source: Path) -> Path:
        """Make ``best/`` a copy of a run folder, in place of the one before.

        Raises
        ------
        DataError
            It cannot be written.
        """
        target = self.path / BEST
        temporary, old = temporary_beside(target), temporary_beside(target)
        try:
            shutil.copytree(source, temporary)
            text = json.dumps({**load_metrics(temporary), "run": str(target)}, indent=2)
            write_text_atomic(temporary / METRICS, text + "\n")
            with suppress(FileNotFoundError):
                target.rename(old)
            temporary.rename(target)
        except OSError as error:
            raise _unwritable(target, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        return target

    def tidy(self) -> None:
        """Remove what only a sweep under way needs."""
        shutil.rmtree(self.path / STATES, ignore_errors=True)
        if self.keep != "all":
            shutil.rmtree(self.path / TRIALS, ignore_errors=True)

    def runs(self, best: Result | None) -> dict[int, str]:
        """The run folders that are there, by trial: ``best/``, and with ``keep: all`` those of ``trials/``."""
        found = (
            {} if best is None or not (self.path / BEST / METRICS).is_file() else {best.trial: str(self.path / BEST)}
        )
        if self.keep == "all" and (self.path / TRIALS).is_dir():
            names = (path for path in (self.path / TRIALS).iterdir() if path.name.isdecimal())
            found |= {int(path.name): str(path) for path in names if (path / METRICS).is_file()}
        return found


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be written: {reason(error)}; free space, then go on with --resume")
