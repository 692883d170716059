"""The run folder: how its files are written and read, and how a new folder is claimed."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from mlptrain.config.config import Config, dump_yaml, load_config
from mlptrain.errors import DataError, UsageError
from mlptrain.models.model import Model, load_model_file, save_model
from mlptrain.runs.files import CHECKPOINT, CONFIG, HISTORY, LAYERS, METRICS, MODEL, is_complete
from mlptrain.runs.history import HEADING, LAYER_HEADING, layer_rows_of, row_of
from mlptrain.system.files import (
    BINARY,
    WINDOWS,
    make_folder,
    reason,
    when_closed,
    windows_fault,
    write_text_atomic,
)
from mlptrain.system.lock import locked
from mlptrain.system.text import shell_line
from mlptrain.training.reports import EpochReport, LayersReport

MAX_NAME_BYTES = 255
"""Length of a name on the usual file systems; with a shorter limit the system reports an error later."""

OTHER_FOLDER = "choose another folder with --runs-dir"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, for writing; ``check`` raises DataError if it is no longer in its place."""

    path: Path
    check: Callable[[], object] = lambda: None

    @contextmanager
    def locked(self) -> Iterator[RunFolder]:
        """Keep other processes out of the folder while the block runs, and check its place before each write."""
        with locked(self.path) as check:
            yield replace(self, check=check)

    def begin(self, config: Config, history: Iterable[EpochReport] = (), layers: Iterable[LayersReport] = ()) -> None:
        """Write the resolved config, and the history and layer statistics of the finished epochs."""
        write_text_atomic(self.path / CONFIG, dump_yaml(config))
        write_text_atomic(self.path / HISTORY, HEADING + "".join(map(row_of, history)))
        write_text_atomic(self.path / LAYERS, LAYER_HEADING + "".join(map(layer_rows_of, layers)))

    def append(self, report: EpochReport | LayersReport) -> None:
        """Add the row of an epoch to the history, or its rows to the layer statistics, in one write.

        Raises
        ------
        DataError
            They cannot be written.
        """
        self.check()
        name, rows = (HISTORY, row_of(report)) if isinstance(report, EpochReport) else (LAYERS, layer_rows_of(report))
        path = self.path / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | BINARY)
            try:
                if os.write(descriptor, rows.encode()) < len(rows):  # a full disk takes some bytes and reports no error
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written: {reason(error)}\nhint: free some space, then resume the run with --resume"
            ) from error

    def finish(self, model: Model, metrics: Mapping[str, Any], *, complete: bool = True) -> None:
        """Write the model, then the metrics; the checkpoint of a ``complete`` run is deleted."""
        self.check()
        save_model(self.path / MODEL, model)
        write_text_atomic(self.path / METRICS, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
        if complete:
            _unlink(self.path / CHECKPOINT)

    @property
    def complete(self) -> bool:
        """True if the run has its metrics and no checkpoint to resume from."""
        return is_complete(self.path)


def load_run_config(path: Path) -> Config:
    """Return the resolved config of a run folder."""
    if not (path / CONFIG).is_file():
        raise DataError(f"{path / CONFIG}: no such file\nhint: train the run again")
    return load_config(path / CONFIG)


def load_run_model(path: Path) -> Model:
    """Return the model of a run folder."""
    if not (path / MODEL).is_file():
        raise DataError(f"{path / MODEL}: no such file; the run has not ended, or it diverged\nhint: train it again")
    return load_model_file(path / MODEL)


def claim_next(runs_dir: Path, stem: str) -> RunFolder:
    """Make the folder ``stem-NNN`` with the next free number; two processes get different ones."""
    run_path(runs_dir, f"{stem}-001")  # refuses a stem that leads out of ``runs_dir``
    make_folder(runs_dir, OTHER_FOLDER)
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
    """Make the folder of a named run, or take over that of an existing run, whose files stay only with ``resume``.

    Raises
    ------
    UsageError
        The name leads out of ``runs_dir``, the run exists and may not be overwritten, or another process uses it.
    DataError
        The folder cannot be made.
    """
    path = run_path(runs_dir, name)
    make_folder(path.parent, OTHER_FOLDER)
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
    """Return the path of a run; names may have folders (``sweep/trials/0001``) but not lead out of ``runs_dir``.

    The path ``runs_dir/name`` means the name.
    """
    given = PurePath(name)
    if given != runs_dir and given.is_relative_to(runs_dir):
        given = given.relative_to(runs_dir)
    if not given.parts or given.anchor or ".." in given.parts:
        raise UsageError(f"--run must be a name or a relative path within {runs_dir} (got {name!r})")
    faults = ((part, windows_fault(part)) for part in given.parts if WINDOWS)
    if found := next((f"{part!r} cannot be the name of a folder: {fault}" for part, fault in faults if fault), None):
        raise UsageError(f"--run {name!r}: {found}\nhint: use letters, digits, ._- and / only")
    if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in given.parts):
        raise _unwritable(runs_dir / given, OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))
    return runs_dir / given


def resume_command(command: str, path: Path, options: Mapping[str, object]) -> str:
    """Return the command that resumes a run or a sweep by its file; options that are None or False are left out."""
    words = ["mlptrain", command, str(path)]
    for option, value in options.items():
        if value is not None and value is not False:
            words += [option] if value is True else [option, str(value)]
    return shell_line(words)


def check_claimable(runs_dir: Path, name: str, *, overwrite: bool, resume: bool = False) -> None:
    """Raise the errors of ``claim`` for an existing run, before the data is loaded."""
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
            f"{path}: this run exists\n"
            "hint: resume it with --resume, replace it with --overwrite, or choose another --run"
        )
    # Hidden files are the lock, and temporary files of a process that was killed before it had written the config.
    visible = path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir())
    if not path.is_dir() or (visible and not (path / CONFIG).is_file()):
        raise UsageError(f"{path}: not a run folder (it has no {CONFIG})\nhint: choose another --run")


def _clear(path: Path) -> None:
    """Delete the files of the run that is replaced; other files stay."""
    for name in (METRICS, MODEL, CHECKPOINT, HISTORY, LAYERS, CONFIG):
        _unlink(path / name)


def _unlink(path: Path) -> None:
    try:
        when_closed(lambda: path.unlink(missing_ok=True))
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> DataError:
    hint = "choose a shorter --run" if error.errno == errno.ENAMETOOLONG else OTHER_FOLDER
    return DataError(f"{path}: cannot be written: {reason(error)}\nhint: {hint}")
