"""One process at a time in a folder, by a lock that ends with its process however it ends."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlptrain.errors import DataError, UsageError
from mlptrain.system.files import reason

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold an existing ``folder`` for this process alone while the block runs.

    The lock belongs to the open file ``.lock`` within, not to its being there: the kernel drops it when the process
    ends, so a file that a killed process left behind keeps nobody out. The file says who holds it, for the message.
    Programs started in the block by exec do not inherit it; a bare fork does, and would hold it too.

    Where the file system knows no locks (some network mounts, Windows) the block runs without one; where it keeps
    them to one machine, as NFS mounted with ``local_lock`` does, other machines are not kept out.

    Raises
    ------
    UsageError
        Another process, or another call in this one, holds the folder.
    DataError
        The lock's file cannot be made there.
    """
    path = folder / LOCK
    descriptor = _acquire(path)
    try:
        yield
    finally:
        # Removed while it is still held, so that whoever opened it meanwhile sees that it is no longer the file there.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _acquire(path: Path) -> int:
    """The descriptor of the lock's file, which is the one that lies there now and is held by nobody else."""
    while True:
        try:
            # Not through a link: a folder from a stranger could make the file that it points to be written over.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {reason(error)}; is the folder still there?") from error
        try:
            if _lock(descriptor, path):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return descriptor
        except OSError:  # a full disk: who holds it cannot be said, and is held all the same
            return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> bool:
    """Lock the open file; False where it was removed meanwhile by the one that held it before."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(_busy(descriptor, path)) from None
        except OSError:  # no locks here
            return True
        return os.fstat(descriptor).st_nlink > 0
    return True


def _busy(descriptor: int, path: Path) -> str:
    """What to say to the second one."""
    holder = os.read(descriptor, 200).decode(errors="replace").strip()
    who = holder if holder.isprintable() and holder else "another process"
    return f"{path.parent}: in use by {who}; wait until it ends, or choose another --run"
