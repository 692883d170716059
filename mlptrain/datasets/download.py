"""Downloads: published datasets fetched from mirrors or copied from another folder, and verified."""

from __future__ import annotations

import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlptrain.config.registry import DatasetInfo, RemoteFile
from mlptrain.datasets.transfer import Failure, IncomingFile, Limits, Mirror, transfer
from mlptrain.datasets.verify import PIECE_BYTES, FileState, check_dataset
from mlptrain.errors import DataError, UsageError
from mlptrain.system.files import reason, remove_leftovers


@dataclass(frozen=True)
class FileProgress:
    """Progress of a file: ``received`` bytes of ``size``, if it is known."""

    dataset: str
    file: RemoteFile
    received: int
    size: int | None


@dataclass(frozen=True)
class AttemptFailed:
    """A failed attempt to get a file; ``next_mirror`` is tried after ``wait`` seconds."""

    dataset: str
    file: RemoteFile
    mirror: str
    why: str
    next_mirror: str
    wait: float


Event = FileProgress | AttemptFailed | FileState

OnEvent = Callable[[Event], object]


def checked_mirror(url: str) -> str:
    """Return ``url`` with a slash at its end.

    Raises
    ------
    UsageError
        It is not the http or https address of a folder.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or any(c in url for c in "?#") or not url.isprintable() or " " in url:
        shown = url.rpartition("@")[2]  # without user name and password
        raise UsageError(
            f"--mirror {shown}: expected the address of a folder\nhint: for example `--mirror http://127.0.0.1:8000/`"
        )
    return url if url.endswith("/") else f"{url}/"


def mirrors_of(info: DatasetInfo, url: str | None = None) -> tuple[Mirror, ...]:
    """Return the mirrors of a dataset: first ``url`` or its folder named after the dataset, then the published ones."""
    published = tuple(Mirror((address,)) for address in info.mirrors)
    if url is None:
        return published
    address = checked_mirror(url)
    return Mirror((address, f"{address}{info.name}/")), *published


def fetch(
    info: DatasetInfo,
    data_dir: Path,
    mirrors: Sequence[Mirror],
    *,
    force: bool = False,
    limits: Limits | None = None,
    sleep: Callable[[float], object] = time.sleep,
    on_event: OnEvent = lambda event: None,
) -> tuple[FileState, ...]:
    """Verify the files in ``data_dir/NAME`` and fetch those that are missing or damaged, or all of them if ``force``.

    A file gets its name when it is verified, so that each file is always either a verified or the previous one. After
    a failure the verified files stay; incomplete files and new empty folders are removed.

    Each file is tried ``limits.tries`` times, not counting attempts that made progress at ``limits.min_speed`` or more,
    the wait included. A mirror with a wrong answer (other bytes, an HTML page, 404, endless redirects, an invalid
    certificate) is not tried again, and one that cannot be reached or is too slow is tried last. One that answers but
    fails (5xx, a broken or stalled connection) is tried again for the rest of the file, after a wait that doubles each
    time, if enough tries are left for the mirrors not yet tried. From another mirror the whole file is requested,
    because the bytes of the first may be wrong.

    Raises
    ------
    DataError
        A file could not be downloaded, with the reason for each mirror, or could not be written.
    """
    remove_leftovers(data_dir / info.name)
    states = []
    for state in _plan(info, data_dir, force):
        if not state.good:
            state = _fetch_file(state, mirrors, limits or Limits(), sleep, on_event)
        on_event(state)
        states.append(state)
    return tuple(states)


def copy_from(
    info: DatasetInfo,
    data_dir: Path,
    folder: Path,
    *,
    force: bool = False,
    on_event: OnEvent = lambda event: None,
) -> tuple[FileState, ...]:
    """Do the same as `fetch` with the files in ``folder``, or in its subfolder named after the dataset.

    Raises
    ------
    DataError
        A file is missing there or not as published, or could not be written; the others are copied.
    """
    if not folder.is_dir():
        raise DataError(f"--from {folder}: no such folder\nhint: name a folder that contains {info.files[0].name}")
    remove_leftovers(data_dir / info.name)
    states, faults = [], []
    for state in _plan(info, data_dir, force):
        if not state.good:
            try:
                state = _copy_file(state, folder)
            except Failure as failure:
                faults.append(f"  {failure}")
                continue
        on_event(state)
        states.append(state)
    if faults:
        found = "\n".join(faults)
        raise DataError(
            f"--from {folder}: {len(faults)} of the {len(info.files)} files of {info.title} missing or damaged\n"
            f"{found}\nhint: run `mlptrain download {info.name}`"
        )
    return tuple(states)


def _plan(info: DatasetInfo, data_dir: Path, force: bool) -> tuple[FileState, ...]:
    """Return the state of each file; if ``force``, all count as missing."""
    if force:
        return tuple(FileState(info.name, file, data_dir / info.name / file.name, "missing") for file in info.files)
    return check_dataset(info, data_dir)


def _fetch_file(
    state: FileState,
    mirrors: Sequence[Mirror],
    limits: Limits,
    sleep: Callable[[float], object],
    on_event: OnEvent,
) -> FileState:
    dataset, file = state.dataset, state.file

    def show_progress(received: int, size: int | None) -> None:
        on_event(FileProgress(dataset, file, received, size))

    reasons: dict[Mirror, str] = {}
    queue = deque(mirrors)
    tries, wait = limits.tries, limits.backoff
    most = 0  # bytes that the best attempt had received from this mirror
    with IncomingFile(state.path) as incoming:
        while True:
            mirror, began = queue[0], time.monotonic()
            show_progress(incoming.received, file.size)
            try:
                transfer(mirror, file, incoming, limits, show_progress)
                incoming.finish()
                return FileState(dataset, file, state.path, "fetched", incoming.received, source=str(mirror))
            except Failure as failure:
                reasons[mirror] = str(failure)
                seconds = time.monotonic() - began + limits.backoff
                if failure.action == "retry" and incoming.received - most >= limits.min_speed * seconds:
                    wait = limits.backoff
                else:
                    tries -= 1
                    untried = sum(other not in reasons for other in queue)
                    if failure.action == "drop":
                        queue.popleft()
                    elif failure.action == "defer" or tries <= untried:
                        queue.rotate(-1)
                most = 0 if failure.discard else max(most, incoming.received)
            if not queue or not tries:
                break
            if queue[0] != mirror:
                incoming.restart()
                most = 0
            pause = wait if queue[0] in reasons else 0.0
            on_event(AttemptFailed(dataset, file, str(mirror), reasons[mirror], str(queue[0]), pause))
            if pause:
                sleep(pause)
                wait *= 2
    found = "\n".join(f"  {mirror}: {why}" for mirror, why in reasons.items())
    raise DataError(
        f"{state.path}: could not be downloaded\n{found}\n"
        "hint: check the network and try again, or use `--mirror URL`, or `--from DIR` with files that you have"
    )


def _copy_file(state: FileState, folder: Path) -> FileState:
    """Copy one file.

    Raises
    ------
    Failure
        The folder does not contain the published file.
    """
    name = state.file.name
    fault = ""
    for source in (folder / name, folder / state.dataset / name):
        try:
            return _copy_source(source, state, folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            fault = f"{source}: cannot be read: {reason(error)}"
        except Failure as failure:
            fault = f"{source}: {failure}"
    stem = name.removesuffix(".gz")
    for unpacked in (folder / stem, folder / state.dataset / stem):
        if not fault and unpacked.exists():
            fault = f"{name}: missing, only {stem} is there (use unpacked files with `dataset={unpacked.parent}`)"
    raise Failure(fault or f"{name}: missing", "drop")


def _copy_source(source: Path, state: FileState, folder: Path) -> FileState:
    if not stat.S_ISREG(source.stat().st_mode):
        raise Failure("not a regular file", "drop")
    with source.open("rb") as stream, IncomingFile(state.path) as incoming:
        limit = state.file.size or Limits().max_bytes
        while incoming.received <= limit and (piece := stream.read(PIECE_BYTES)):
            incoming.write(piece)
        if fault := incoming.fault(state.file):
            raise Failure(fault, "drop")
        incoming.finish()
        return FileState(state.dataset, state.file, state.path, "fetched", incoming.received, source=str(folder))
