"""Files that are written completely or not at all, and their temporary files."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from mlptrain.errors import DataError

WINDOWS = os.name == "nt"

BINARY = getattr(os, "O_BINARY", 0)
"""Flag for ``os.open``: without it, Windows adds a carriage return to every line feed."""


def _module(name: str) -> Any:
    """Return a module that some systems lack; None on those."""
    try:
        return import_module(name)
    except ImportError:
        return None


_fcntl, _msvcrt = _module("fcntl"), _module("msvcrt")  # of POSIX systems, and of Windows


def reason(error: OSError) -> str:
    """Return the operating system's description of an error, without errno and path."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def temporary_beside(path: Path) -> Path:
    """Return a path beside ``path`` that no other process uses; the name begins with a dot and ends in ``.tmp``."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def sync_folder(folder: Path) -> None:
    """Make renames within ``folder`` durable, if the system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path, hint: str, *, parents: bool = True) -> None:
    """Create a folder and, with ``parents``, those above it, unless they exist.

    Raises
    ------
    DataError
        The folder cannot be created; ``hint`` ends the message.
    """
    try:
        folder.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {reason(error)}\nhint: {hint}") from error


CLOSE_SECONDS = 2.0 if WINDOWS else 0.0
"""Time in which other programs, such as virus scanners, may close a file that is to be replaced or deleted."""


def when_closed(action: Callable[[], object]) -> None:
    """Call ``action``, which renames or deletes a file or folder, again while Windows refuses because a file is open.

    Raises
    ------
    OSError
        The action failed, on Windows for `CLOSE_SECONDS`.
    """
    end = time.monotonic() + CLOSE_SECONDS
    while True:
        try:
            action()
            return
        except PermissionError:
            if time.monotonic() >= end:
                raise
        time.sleep(0.02)


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, make it durable, and rename it to ``path``.

    Raises
    ------
    DataError
        The file cannot be written; an earlier file at ``path`` is unchanged.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        when_closed(lambda: temporary.replace(path))
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written: {reason(error)}\nhint: free some space, or choose another folder"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)


def write_text_atomic(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, with the bytes of file names that are not, as `write_atomic` does."""
    write_atomic(path, lambda stream: stream.write(text.encode(errors="surrogateescape")))


def append_text(path: Path, text: str, hint: str) -> None:
    """Append ``text`` to a file in one write; a missing file is created.

    Raises
    ------
    DataError
        The file cannot be written; ``hint`` ends the message.
    """
    data = text.encode(errors="surrogateescape")
    try:
        with path.open("ab", buffering=0) as stream:
            if stream.write(data) < len(data):  # a full disk takes some bytes and reports no error
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {reason(error)}\nhint: {hint}") from error


LEFTOVER_SECONDS = 24 * 3600
"""Age from which any temporary file counts as a leftover."""

_TEMPORARY = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}\.tmp")  # the names of `temporary_beside`


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in ``folder`` that no process is writing, except those that cannot be removed.

    Such a file is older than a day, or it is not locked and its process has ended. The lock is checked as well, because
    containers that share a folder number their processes separately.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            match = _TEMPORARY.fullmatch(path.name)
            if match:
                with suppress(OSError):
                    _remove_if_left(path, int(match[1]))


def try_lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it.

    The position in the file becomes its start. Without effect on file systems without locks.
    """
    return _lock(descriptor, shared=False) is not False


def is_locked(descriptor: int) -> bool | None:
    """Return whether another process has locked an open file; None if the file system has no locks.

    Until the file is closed, the caller has a shared lock, which does not disturb others that call this. On Windows,
    which lacks such locks, it has an exclusive one for a moment.
    """
    granted = _lock(descriptor, shared=True)
    return None if granted is None else not granted


def _lock(descriptor: int, *, shared: bool) -> bool | None:
    """Lock an open file without waiting; return whether that succeeded, None if there are no locks."""
    try:
        if _fcntl is not None:
            _fcntl.flock(descriptor, (_fcntl.LOCK_SH if shared else _fcntl.LOCK_EX) | _fcntl.LOCK_NB)
        elif _msvcrt is not None:
            _lock_byte(descriptor, _msvcrt.LK_NBLCK)
            if shared:
                _lock_byte(descriptor, _msvcrt.LK_UNLCK)
        else:
            return None
    except BlockingIOError:
        return False
    except OSError as error:  # the file system has no locks
        return False if _fcntl is None and isinstance(error, PermissionError) else None
    return True


_LOCKED_BYTE = 2**30  # Windows keeps other processes from reading a locked byte, so it is beyond the end of the file


def _lock_byte(descriptor: int, mode: int) -> None:
    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    try:
        _msvcrt.locking(descriptor, mode, 1)
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)


_DEVICES = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])( *\.| *$)", re.IGNORECASE)


def windows_fault(name: str) -> str:
    """Describe why a file or folder cannot have this name on Windows; empty if it can."""
    if _DEVICES.match(name):
        return "it is the name of a device"
    if found := re.search(r'[<>:"|?*\\/\x00-\x1f]', name):
        return f"it contains {found[0]!r}"
    return "it ends with a full stop or a space" if name.endswith((".", " ")) else ""


def is_removed(descriptor: int) -> bool:
    """Return True if an open file has been removed from its folder."""
    return os.fstat(descriptor).st_nlink == 0


def is_in_place(path: Path, descriptor: int) -> bool:
    """Return True if an open file is still the one at ``path``, or if that cannot be found out."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # the next write has the reason
        return True


def check_in_place(path: Path, descriptor: int) -> None:
    """Check that the folder of an open file is still the same, before more files are written to it.

    Raises
    ------
    DataError
        The file at ``path`` is missing or another one.
    """
    if not is_in_place(path, descriptor):
        raise DataError(
            f"{path.parent}: the folder was deleted, moved or replaced while in use (its {path.name} is gone)\n"
            "hint: start again under another --run, or continue in the moved folder with --resume"
        )


def lock_temporary(stream: BinaryIO) -> bool:
    """Lock a new temporary file until it is closed; return False if `remove_leftovers` got it first."""
    return try_lock(stream.fileno()) and not is_removed(stream.fileno())


def _remove_if_left(path: Path, process: int) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return
    if time.time() - status.st_mtime > LEFTOVER_SECONDS:
        path.unlink()
    elif not WINDOWS and not _is_running(process):
        with path.open("rb") as stream:
            if try_lock(stream.fileno()):
                path.unlink()  # while it is locked


def _is_running(process: int) -> bool:
    """Return True if another process has this number; on Windows, ``os.kill`` would end it."""
    if process == os.getpid():
        return False  # an earlier process had the same number; the downloads of this one are locked
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
