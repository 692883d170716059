"""Published datasets brought into a data folder, from mirrors or from another folder, and verified."""

from __future__ import annotations

import stat
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mlptrain.config.registry import DatasetInfo, RemoteFile
from mlptrain.datasets.transfer import Failure, Incoming, Limits, Mirror, transfer
from mlptrain.datasets.verify import PIECE, FileState, check_dataset
from mlptrain.errors import DataError, UsageError
from mlptrain.system.files import reason, remove_leftovers


@dataclass(frozen=True)
class Arriving:
    """So many bytes of a file have come, none of them at first; ``size``, where it is known, is all of them."""

    dataset: str
    file: RemoteFile
    received: int
    size: int | None


@dataclass(frozen=True)
class TryFailed:
    """A try at a file failed; ``next_mirror`` is asked after ``wait`` seconds."""

    dataset: str
    file: RemoteFile
    mirror: str
    why: str
    next_mirror: str
    wait: float


Event = Arriving | TryFailed | FileState

OnEvent = Callable[[Event], object]


def ignore(event: Event) -> None:
    """An ``on_event`` that shows nothing."""


def check_mirror(url: str) -> str:
    """``url`` with a slash at its end.

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
        raise UsageError(f"--mirror {url}: expected the address of a folder, such as http://127.0.0.1:8000/")
    return url if url.endswith("/") else f"{url}/"


def mirrors_of(info: DatasetInfo, url: str | None = None) -> tuple[Mirror, ...]:
    """The mirrors of a dataset, that of ``url`` first: its files lie there, or in a folder of the dataset's name."""
    published = tuple(Mirror((address,)) for address in info.mirrors)
    if url is None:
        return published
    return Mirror((check_mirror(url), f"{check_mirror(url)}{info.name}/")), *published


def fetch(
    info: DatasetInfo,
    data_dir: Path,
    mirrors: Sequence[Mirror],
    *,
    force: bool = False,
    limits: Limits | None = None,
    sleep: Callable[[float], object] = time.sleep,
    on_event: OnEvent = ignore,
) -> tuple[FileState, ...]:
    """Verify the files in ``data_dir/NAME`` and fetch those that are missing or damaged, or with ``force`` all.

    Each file is placed as soon as it is verified, by a rename; so what lies there is at any moment a verified
    file or what lay there before, and after a failure the verified ones are kept, for the next run to go on
    from. Nothing else is left: no part of a file, no folder that was not there.

    A file is tried ``limits.tries`` times in all. A mirror that gives the wrong thing (another digest, an HTML
    page, 404, endless redirects, a certificate that does not hold) is not asked again; one that cannot be
    reached comes last; one that answers and fails (5xx, cut off, stalled) is asked again, after a wait that
    doubles each time, as long as a try is left for every mirror not yet asked. It is then asked for the rest of
    what it sent; another mirror is asked for the whole file, because nothing is known of those bytes.

    Raises
    ------
    DataError
        A file could not be had, with the reason of each mirror; or it cannot be written.
    """
    plan = _plan(info, data_dir, force)
    states = []
    for state in plan:
        if not state.good:
            state = _fetch_file(state, mirrors, limits or Limits(), sleep, on_event)
        on_event(state)
        states.append(state)
    return tuple(states)


def copy_from(
    info: DatasetInfo, data_dir: Path, folder: Path, *, force: bool = False, on_event: OnEvent = ignore
) -> tuple[FileState, ...]:
    """As `fetch`, from the files that lie in ``folder``, or in its subfolder of the dataset's name; they stay there.

    Raises
    ------
    DataError
        A file that is needed is not there as published, or it cannot be written; others are placed all the same.
    """
    if not folder.is_dir():
        raise DataError(f"--from {folder}: no such folder\nexpected one that holds {info.files[0].name} and so on")
    states, faults = [], []
    for state in _plan(info, data_dir, force):
        if not state.good:
            copied, fault = _copy_file(state, folder)
            if fault:
                faults.append(fault)
                continue
            state = copied
        on_event(state)
        states.append(state)
    if faults:
        found = "\n".join(f"  {fault}" for fault in faults)
        raise DataError(
            f"--from {folder}: {len(faults)} of the {len(info.files)} files of {info.title} not as published\n{found}\n"
            f"fetch them with `mlptrain download {info.name}`"
        )
    return tuple(states)


def _plan(info: DatasetInfo, data_dir: Path, force: bool) -> list[FileState]:
    """What lies there; with ``force`` nothing is good."""
    remove_leftovers(data_dir / info.name)
    states = check_dataset(info, data_dir)
    return [FileState(info.name, state.file, state.path, "missing") for state in states] if force else list(states)


def _fetch_file(
    state: FileState,
    mirrors: Sequence[Mirror],
    limits: Limits,
    sleep: Callable[[float], object],
    on_event: OnEvent,
) -> FileState:
    dataset, file = state.dataset, state.file
    reasons: dict[Mirror, str] = {}
    queue = deque(mirrors)
    wait = limits.backoff
    with Incoming(state.path) as incoming:
        for tries_left in reversed(range(limits.tries)):
            mirror = queue[0]
            on_event(Arriving(dataset, file, incoming.received, file.size))
            try:
                transfer(
                    mirror,
                    file,
                    incoming,
                    limits,
                    lambda received, size: on_event(Arriving(dataset, file, received, size)),
                )
                incoming.place()
                return FileState(dataset, file, state.path, "fetched", incoming.received, source=str(mirror))
            except Failure as failure:
                reasons[mirror] = str(failure)
                unasked = sum(other not in reasons for other in queue)
                if failure.then == "drop":
                    queue.popleft()
                elif failure.then == "move" or tries_left <= unasked:
                    queue.rotate(-1)
            if not queue or not tries_left:
                break
            if queue[0] != mirror:
                incoming.restart()
            pause = wait if queue[0] in reasons else 0.0
            on_event(TryFailed(dataset, file, str(mirror), reasons[mirror], str(queue[0]), pause))
            if pause:
                sleep(pause)
                wait *= 2
    found = "\n".join(f"  {mirror}: {why}" for mirror, why in reasons.items())
    raise DataError(
        f"{state.path}: could not be downloaded\n{found}\n"
        "check the network and run it again, or name --mirror URL, or --from DIR with files that you have"
    )


def _copy_file(state: FileState, folder: Path) -> tuple[FileState, str]:
    """The state after copying from ``folder``, or why it was not copied."""
    file = state.file
    fault = ""
    for source in (folder / file.name, folder / state.dataset / file.name):
        try:
            if not stat.S_ISREG(source.stat().st_mode):
                fault = f"{source}: no regular file"
                continue
            with source.open("rb") as stream, Incoming(state.path) as incoming:
                most = file.size or Limits().most_bytes
                while incoming.received <= most and (piece := stream.read(PIECE)):
                    incoming.write(piece)
                wrong = incoming.fault(file)
                if not wrong:
                    incoming.place()
                    return FileState(
                        state.dataset, file, state.path, "fetched", incoming.received, source=str(folder)
                    ), ""
                fault = f"{source}: {wrong}"
        except FileNotFoundError:
            continue
        except OSError as error:
            fault = f"{source}: cannot be read: {reason(error)}"
    if fault:
        return state, fault
    stem = file.name.removesuffix(".gz")
    for unpacked in (folder / stem, folder / state.dataset / stem):
        if unpacked.exists():
            words = f"{file.name}: not there, only {stem}; the digests are of the .gz as published"
            return state, f"{words} (unpacked files can be used with `dataset={unpacked.parent}`)"
    return state, f"{file.name}: not there"
