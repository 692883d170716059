"""A lock that admits one process at a time to a folder, and that the system releases when the process ends."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from mlptrain.errors import DataError, UsageError
from mlptrain.system.files import (
    BINARY,
    WINDOWS,
    check_in_place,
    is_in_place,
    is_locked,
    is_removed,
    reason,
    try_lock,
)

LOCK = ".lock"

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""A symbolic link in a folder written by others could overwrite another file."""

QUIET_SECONDS = 300
"""Time without a change of the folder after which a process that no lock can prove to be running counts as ended.

A run writes at least every ``checkpoint_seconds``, which is 60 by default.
"""


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Keep other processes out of an existing ``folder`` while the block runs.

    The value is a function that checks that the folder is still in its place, see `check_in_place`.

    The lock is a lock of the file ``.lock`` in the folder, not its existence: the system releases it when the process
    ends, so a file left by a killed process blocks nobody. The file names the process, for the message. Programs that
    the block starts do not inherit the lock; a fork without exec does.

    Without effect on file systems without locks (some network mounts). If locks are local to a machine,
    as with NFS mounted with ``local_lock``, other machines are not kept out.

    Raises
    ------
    UsageError
        Another process, or another call in this process, uses the folder.
    DataError
        The file cannot be created.
    """
    path = folder / LOCK
    descriptor = _acquire(path)
    try:
        yield partial(check_in_place, path, descriptor)
    finally:
        # Unlink it before releasing the lock, so that a process that has opened it meanwhile sees that it is removed.
        with suppress(OSError):
            if is_in_place(path, descriptor):  # not the lock of a process that has replaced the folder
                path.unlink()
        os.close(descriptor)
        if WINDOWS:  # where an open file cannot be deleted, neither by this process nor while another one locks it
            with suppress(OSError):
                path.unlink()


def _acquire(path: Path) -> int:
    """Open and lock the file, again if another process removes it in between; return its descriptor."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | BINARY | _NOFOLLOW, 0o666)
        except OSError as error:
            hint = "hint: check the permissions of the folder"
            raise DataError(f"{path}: cannot be written: {reason(error)}\n{hint}") from error
        try:
            if not try_lock(descriptor):
                if is_locked(descriptor):  # else only by `is_in_use` in another process, for microseconds
                    raise UsageError(_busy(descriptor, path))
            elif not is_removed(descriptor):
                with suppress(OSError):  # the disk is full: locked, but without the name of the process
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"process {os.getpid()} on {_host()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def is_in_use(folder: Path) -> bool:
    """Return whether another process keeps a folder with `locked`, without waiting and without disturbing it.

    A lock of another machine may not be visible here, and some file systems have none. If the lock file names such
    a process, it is in use while it changes at least every `QUIET_SECONDS`.
    """
    try:
        descriptor = os.open(folder / LOCK, os.O_RDONLY | _NOFOLLOW)
    except OSError:
        return False
    try:
        found = is_locked(descriptor)
        if found or (found is False and _holder(descriptor).rpartition(" on ")[2] in ("", _host())):
            return found
        newest = max(entry.stat().st_mtime for entry in os.scandir(folder))
        return time.time() - newest < QUIET_SECONDS
    except (OSError, ValueError):  # deleted meanwhile
        return False
    finally:
        os.close(descriptor)


def _busy(descriptor: int, path: Path) -> str:
    holder = _holder(descriptor)
    if not holder or not holder.isprintable():
        holder = "another process"
    return f"{path.parent}: in use by {holder}\nhint: wait until it ends, or choose another --run"


def _holder(descriptor: int) -> str:
    """Return the process that a lock file names."""
    return os.read(descriptor, 200).decode(errors="replace").strip()


@cache
def _host() -> str:
    return socket.gethostname()
