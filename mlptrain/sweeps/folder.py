"""The folder of a sweep: its files, the run folders that are kept, and the states of paused trials."""

from __future__ import annotations

import json
import shutil
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlptrain.config.config import dump_yaml
from mlptrain.config.values import described, difference
from mlptrain.engine.state import State
from mlptrain.errors import DataError, UsageError
from mlptrain.runs.checkpoint import load_state, save_state
from mlptrain.runs.files import BASE, BEST, HISTORY, JOURNAL, LAYERS, LEADERBOARD, METRICS, SWEEP, TRIALS, load_metrics
from mlptrain.runs.folder import RunFolder, load_run_config
from mlptrain.runs.history import layers_until, read_history
from mlptrain.sweeps.journal import FREE_SPACE, read_record
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.sweepfile import read_sweep
from mlptrain.sweeps.trials import PAUSED, Result, Trial, config_key, trial_name
from mlptrain.system.files import make_folder, reason, temporary_beside, when_closed, write_text_atomic

STATES = "states"


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's folder; ``keep`` names the run folders that stay: best, all or none."""

    path: Path
    keep: str = "best"

    @property
    def journal(self) -> Path:
        """The path of ``journal.jsonl``."""
        return self.path / JOURNAL

    @property
    def leaderboard(self) -> Path:
        """The path of ``leaderboard.csv``."""
        return self.path / LEADERBOARD

    def run(self, trial: int) -> Path:
        """Return the path of a trial's run folder."""
        return self.path / TRIALS / trial_name(trial)

    def state(self, trial: int) -> Path:
        """Return the path of a paused trial's state."""
        return self.path / STATES / f"{trial_name(trial)}.npz"

    def begin(self, spec: Spec) -> None:
        """Write ``base.yaml`` and ``sweep.yaml``, or check that the folder is that of the same sweep.

        Raises
        ------
        UsageError, DataError
            The folder is that of another sweep; the message lists the differences, if ``sweep.yaml`` is there.
        """
        if not (self.path / SWEEP).is_file():
            read_record(self.journal, spec).check(spec)  # before anything is written
            write_text_atomic(self.path / BASE, dump_yaml(spec.base_config))
            write_text_atomic(self.path / SWEEP, spec.yaml())
            return
        before = read_sweep(self.path / SWEEP)
        if before.digest != spec.digest:
            changed = described(difference(before.facts(), spec.facts()), 2)
            raise UsageError(
                f"{self.path}: this is another sweep: {changed or 'the order of the parameters has changed'}\n"
                "hint: undo the change and use --resume, or start a new sweep under another --run"
            )

    def store(self, trial: Trial, result: Result, *, needed: bool) -> None:
        """Write what a worker process has sent and ``keep`` asks for: a run folder, and the state of a paused trial.

        With ``keep: best`` the run folders of paused and of ``needed`` trials are written.

        Raises
        ------
        DataError
            A file cannot be written.
        """
        if result.state is not None:
            make_folder(self.path / STATES, FREE_SPACE, parents=False)
            save_state(self.state(trial.number), result.state)
        if self.keep == "all" or (self.keep == "best" and (needed or result.status == PAUSED)):
            self._store_run(trial, result)

    def _store_run(self, trial: Trial, result: Result) -> None:
        """Write a run folder, whose history and layer statistics begin with those of earlier waves."""
        folder = RunFolder(self.run(trial.number))
        for path in (folder.path.parent, folder.path):
            make_folder(path, FREE_SPACE, parents=False)
        first = result.history[0].epoch if result.history else 1
        earlier = read_history(folder.path / HISTORY)[: first - 1] if first > 1 else ()
        measured = layers_until(folder.path / LAYERS, first - 1) if first > 1 else ()
        (folder.path / METRICS).unlink(missing_ok=True)
        folder.begin(trial.config, (*earlier, *result.history), (*measured, *result.layers))
        if result.model is not None:
            folder.finish(result.model, {"run": str(folder.path), **result.metrics})

    def load_state(self, trial: int) -> State | None:
        """Return the state of a paused trial; None if it has none."""
        path = self.state(trial)
        return load_state(path, "delete the file, and the trial starts again") if path.is_file() else None

    def prune(self, ended: Container[int], needed: Container[int]) -> None:
        """Remove the states of trials that have ended and, unless all are kept, the run folders that are not needed."""
        for trial, path in _numbered(self.path / STATES):
            if trial in ended:
                path.unlink(missing_ok=True)
        if self.keep != "all":
            for trial, path in _numbered(self.path / TRIALS):
                if trial in ended and trial not in needed:
                    shutil.rmtree(path, ignore_errors=True)

    def publish(self, best: Result) -> Path | None:
        """Make ``best/`` a copy of the best trial's run folder; return its path, None if that was not kept."""
        source, target = self.run(best.trial), self.path / BEST
        if (source / METRICS).is_file():
            return self.copy_best(source)
        return target if is_run_of(target, best) else None

    def copy_best(self, source: Path) -> Path:
        """Replace ``best/`` by a copy of a run folder, and return its path.

        Raises
        ------
        DataError
            The copy cannot be written.
        """
        target = self.path / BEST
        temporary, old = temporary_beside(target), temporary_beside(target)
        try:
            temporary.mkdir()
            shutil.copytree(source, temporary, dirs_exist_ok=True)
            text = json.dumps({**load_metrics(temporary), "run": str(target)}, indent=2)
            write_text_atomic(temporary / METRICS, text + "\n")
            with suppress(FileNotFoundError):
                when_closed(lambda: target.rename(old))
            when_closed(lambda: temporary.rename(target))
        except OSError as error:
            raise DataError(f"{target}: cannot be written: {reason(error)}\nhint: {FREE_SPACE}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
        return target

    def tidy(self) -> None:
        """Remove what only a sweep in progress needs."""
        shutil.rmtree(self.path / STATES, ignore_errors=True)
        if self.keep != "all":
            shutil.rmtree(self.path / TRIALS, ignore_errors=True)

    def runs(self, best: int | None) -> dict[int, str]:
        """Return the paths of the run folders that are kept, by trial; ``best`` is the number of the best one."""
        found = {}
        if best is not None and (self.path / BEST / METRICS).is_file():
            found[best] = str(self.path / BEST)
        if self.keep == "all":
            found |= {trial: str(path) for trial, path in _numbered(self.path / TRIALS) if (path / METRICS).is_file()}
        return found


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    """Return the numbers of trials and the paths of the entries of a folder that are named by them."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return [(int(path.stem), path) for path in paths if path.stem.isdecimal()]


def is_run_of(path: Path, result: Result) -> bool:
    """Return True if a folder is the finished run of a trial."""
    return (path / METRICS).is_file() and config_key(load_run_config(path)) == result.key
