"""A lock that admits one process at a time to a folder, and that the system releases when the process ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from mlptrain.errors import DataError, UsageError
from mlptrain.system.files import check_in_place, is_in_place, is_removed, reason, try_lock

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Keep other processes out of an existing ``folder`` while the block runs.

    The value is a function that checks that the folder is still in its place, see `check_in_place`.

    The lock is an flock of the file ``.lock`` in the folder, not its existence: the kernel releases it when the process
    ends, so a file left by a killed process blocks nobody. The file names the process, for the message. Programs that
    the block starts do not inherit the lock; a fork without exec does.

    Without effect on file systems without locks (some network mounts) and on Windows. If locks are local to a machine,
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


def _acquire(path: Path) -> int:
    """Open and lock the file, again if another process removes it in between; return its descriptor."""
    while True:
        try:
            # O_NOFOLLOW: a symbolic link in a folder written by others could overwrite another file.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            hint = "hint: check the permissions of the folder"
            raise DataError(f"{path}: cannot be written: {reason(error)}\n{hint}") from error
        try:
            if not try_lock(descriptor):
                raise UsageError(_busy(descriptor, path))
            if not is_removed(descriptor):
                with suppress(OSError):  # the disk is full: locked, but without the name of the process
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _busy(descriptor: int, path: Path) -> str:
    holder = os.read(descriptor, 200).decode(errors="replace").strip()
    if not holder or not holder.isprintable():
        holder = "another process"
    return f"{path.parent}: in use by {holder}\nhint: wait until it ends, or choose another --run"
