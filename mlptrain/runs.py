"""The run folder: claimed once, its files written whole, found again by name."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mlptrain.config import Config, dump_yaml, load_config
from mlptrain.errors import DataError, UsageError
from mlptrain.files import reason, write_text_atomic
from mlptrain.history import HEADING, row_of
from mlptrain.lock import locked
from mlptrain.model import Model, load_model_file, save_model
from mlptrain.reports import EpochReport

CONFIG, HISTORY, METRICS, MODEL, CHECKPOINT = (
    "config.yaml",
    "history.csv",
    "metrics.json",
    "model.npz",
    "checkpoint.npz",
)
MAX_METRICS = 2**20


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and how its files are written."""

    path: Path

    def begin(self, config: Config, history: Iterable[EpochReport] = ()) -> None:
        """Write the resolved config, and a history of the epochs finished so far."""
        write_text_atomic(self.path / CONFIG, dump_yaml(config))
        write_text_atomic(self.path / HISTORY, HEADING + "".join(map(row_of, history)))

    def append(self, report: EpochReport) -> None:
        """Add an epoch's row to the history, in one write.

        Raises
        ------
        DataError
            The row cannot be written.
        """
        row = row_of(report)
        path = self.path / HISTORY
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            try:
                if os.write(descriptor, row.encode()) < len(row):  # a full disk takes a part without an error
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written: {reason(error)}; see to it, then go on with --resume"
            ) from error

    def finish(self, model: Model, metrics: Mapping[str, Any], *, complete: bool = True) -> None:
        """Write the model, then the metrics; a run that is ``complete`` needs no checkpoint any more."""
        save_model(self.path / MODEL, model)
        write_text_atomic(self.path / METRICS, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
        if complete:
            _unlink(self.path / CHECKPOINT)

    @property
    def complete(self) -> bool:
        """Whether the run has its result and nothing to be continued from."""
        return (self.path / METRICS).is_file() and not (self.path / CHECKPOINT).exists()


def claim_next(runs_dir: Path, stem: str) -> RunFolder:
    """Make the folder ``stem-NNN`` with the next free number; of two processes each gets its own."""
    run_path(runs_dir, f"{stem}-001")  # refuses what leads out
    _make_folder(runs_dir)
    pattern = re.compile(re.escape(stem) + r"-(\d{3,})")
    taken = [int(match[1]) for entry in runs_dir.iterdir() if (match := pattern.fullmatch(entry.name))]
    number = max(taken, default=0) + 1
    while True:
        path = runs_dir / f"{stem}-{number:03d}"
        try:
            path.mkdir()
            return RunFolder(path)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise _unwritable(path, error) from error


def claim(runs_dir: Path, name: str, *, overwrite: bool = False, resume: bool = False) -> RunFolder:
    """Make the folder of a run named by the user, or take an existing run's: emptied, or as it is with ``resume``.

    Raises
    ------
    UsageError
        The name leads out of ``runs_dir``, or the run exists and is not to be overwritten, or in use.
    DataError
        The folder cannot be made.
    """
    path = run_path(runs_dir, name)
    _make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        _check_replaceable(path, overwrite or resume)
        if not resume:
            with locked(path):
                _clear(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    return RunFolder(path)


def run_path(runs_dir: Path, name: str) -> Path:
    """Where a run of this name lies; names may hold folders (``sweep/trials/0001``) but not lead out."""
    parts = PurePath(name).parts
    if not parts or PurePath(name).is_absolute() or ".." in parts:
        raise UsageError(f"--run {name!r}: expected a name, or names with / between them, within {runs_dir}")
    return runs_dir / name


def check_claimable(runs_dir: Path, name: str, *, overwrite: bool, resume: bool = False) -> None:
    """Raise now what ``claim`` would raise for an existing run, before time is spent on loading data."""
    path = run_path(runs_dir, name)
    try:
        exists = path.exists()
    except OSError as error:  # a name that is too long, for one
        raise _unwritable(path, error) from error
    if exists:
        _check_replaceable(path, overwrite or resume)


def _check_replaceable(path: Path, allowed: bool) -> None:
    if not allowed:
        raise UsageError(
            f"{path}: this run exists already; go on with it by --resume, replace it by --overwrite, or choose "
            "another --run"
        )
    # Hidden files are the lock's, and unfinished ones of a process that was killed before it had written the config.
    visible = path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir())
    if not path.is_dir() or (visible and not (path / CONFIG).is_file()):
        raise UsageError(f"{path}: not a run folder (no {CONFIG} in it), so it is left alone")


def _clear(path: Path) -> None:
    """Remove the files of the run that is replaced; whatever else lies there stays."""
    for name in (METRICS, MODEL, CHECKPOINT, HISTORY, CONFIG):
        _unlink(path / name)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: cannot be written: {reason(error)}; choose another folder with --runs-dir")


def find_run(run: str, runs_dir: Path) -> Path:
    """The folder of RUN: a path, or a name under ``runs_dir``.

    Raises
    ------
    DataError
        Neither is a run folder.
    """
    for path in (Path(run), runs_dir / run):
        with suppress(OSError):
            if (path / CONFIG).is_file() or (path / MODEL).is_file():
                return path
    raise DataError(f"{run}: no run there (looked for {CONFIG} in {run} and {runs_dir / run}); train one first")


def load_run_config(path: Path) -> Config:
    """The resolved config of a run folder."""
    if not (path / CONFIG).is_file():
        raise DataError(f"{path / CONFIG}: no such file; the run folder is not complete: train it again")
    return load_config(path / CONFIG)


def load_run_model(path: Path) -> Model:
    """The model of a run folder."""
    if not (path / MODEL).is_file():
        raise DataError(f"{path / MODEL}: no such file; the run has not ended (or diverged): train it again")
    return load_model_file(path / MODEL)


def load_metrics(path: Path) -> dict[str, Any]:
    """The content of a run folder's ``metrics.json``.

    Raises
    ------
    DataError
        Missing, unreadable or damaged.
    """
    file = path / METRICS
    try:
        with file.open("rb") as stream:
            metrics = json.loads(stream.read(MAX_METRICS))
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {reason(error)}; train the run again") from error
    except (ValueError, RecursionError):
        metrics = None
    figures = [metrics.get(key) for key in ("test_loss", "test_accuracy")] if isinstance(metrics, dict) else [None]
    if not all(isinstance(figure, int | float) for figure in figures):
        raise DataError(f"{file}: damaged, not the figures of a run; replace the run with --overwrite")
    result: dict[str, Any] = metrics
    return result
