"""The run folder: claimed once, its files written whole, found again by name."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from mlptrain.config import Config, dump_yaml, load_config
from mlptrain.errors import DataError, UsageError
from mlptrain.files import reason, write_text_atomic
from mlptrain.history import COLUMNS, HEADING, row_of
from mlptrain.model import Model, load_model_file, save_model
from mlptrain.reports import EpochReport

CONFIG, HISTORY, METRICS, MODEL = "config.yaml", "history.csv", "metrics.json", "model.npz"


@dataclass(frozen=True)
class RunFolder:
    """A run's folder and how its files are written."""

    path: Path

    def begin(self, config: Config) -> None:
        """Write the resolved config and an empty history."""
        write_text_atomic(self.path / CONFIG, dump_yaml(config))
        write_text_atomic(self.path / HISTORY, HEADING)

    def append(self, report: EpochReport) -> None:
        """Add an epoch's row to the history, in one write.

        Raises
        ------
        DataError
            The row cannot be written.
        """
        self._append(row_of(report))

    def append_diverged(self, epoch: int) -> None:
        """Add the row of the epoch in which training diverged: it has no figures.

        Raises
        ------
        DataError
            The row cannot be written.
        """
        self._append(f"{epoch}{',' * (len(COLUMNS) - 1)}\n")

    def _append(self, row: str) -> None:
        path = self.path / HISTORY
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
            try:
                if os.write(descriptor, row.encode()) < len(row):  # a full disk takes a part without an error
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {reason(error)}; free space, then train again") from error

    def finish(self, model: Model, metrics: Mapping[str, Any]) -> None:
        """Write the model, then the metrics: a run with metrics is complete."""
        save_model(self.path / MODEL, model)
        write_text_atomic(self.path / METRICS, json.dumps(metrics, indent=2, allow_nan=False) + "\n")


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


def claim(runs_dir: Path, name: str, *, overwrite: bool = False) -> RunFolder:
    """Make the folder of a run named by the user, or take an existing run's with ``overwrite``.

    Raises
    ------
    UsageError
        The name leads out of ``runs_dir``, or the run exists and is not to be overwritten.
    DataError
        The folder cannot be made.
    """
    path = run_path(runs_dir, name)
    _make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        _check_replaceable(path, overwrite)
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


def check_claimable(runs_dir: Path, name: str, *, overwrite: bool) -> None:
    """Raise now what ``claim`` would raise for an existing run, before time is spent on loading data."""
    path = run_path(runs_dir, name)
    try:
        exists = path.exists()
    except OSError as error:  # a name that is too long, for one
        raise _unwritable(path, error) from error
    if exists:
        _check_replaceable(path, overwrite)


def _check_replaceable(path: Path, overwrite: bool) -> None:
    if not overwrite:
        raise UsageError(f"{path}: this run exists already; choose another --run, or replace it with --overwrite")
    if not path.is_dir() or (any(path.iterdir()) and not (path / CONFIG).is_file()):
        raise UsageError(f"{path}: not a run folder (no {CONFIG} in it), so --overwrite leaves it alone")


def _clear(path: Path) -> None:
    """Remove the files of the run that is replaced; whatever else lies there stays."""
    for name in (METRICS, MODEL, HISTORY, CONFIG):
        try:
            (path / name).unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path / name, error) from error


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
