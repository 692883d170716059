"""Files written whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from mlptrain.errors import DataError


def reason(error: OSError) -> str:
    """The operating system's own words for an error, without errno and path."""
    return (error.strerror or str(error) or type(error).__name__).lower()


def temporary_beside(path: Path) -> Path:
    """A name beside ``path`` that no other process uses; hidden, ending in ``.tmp``."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def sync_folder(folder: Path) -> None:
    """Make a rename within ``folder`` durable, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_folder(folder: Path, hint: str) -> None:
    """Make a folder and its parents, unless they exist.

    Raises
    ------
    DataError
        The folder cannot be made; ``hint`` ends the message.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written: {reason(error)}; {hint}") from error


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, make it durable, and rename it to ``path``.

    Raises
    ------
    DataError
        The file cannot be written; whatever stood at ``path`` is untouched.
    """
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {reason(error)}; free space or choose another folder") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 ``text`` to ``path``, whole or not at all."""
    write_atomic(path, lambda stream: stream.write(text.encode()))


if sys.platform != "win32":
    import fcntl

OLD_SECONDS = 24 * 3600

_NAME = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}\.tmp")  # as `mlptrain.system.files.temporary_beside` makes them


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in ``folder`` that nobody writes any more; what cannot be removed stays.

    Such a file is a day old, or its process is gone and its lock free. Process numbers alone would not do:
    containers that share a folder each count their own.
    """
    with suppress(OSError):
        for path in list(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match:
                with suppress(OSError):
                    _remove_if_left(path, int(match[1]))


def hold(stream: BinaryIO) -> bool:
    """Lock a new temporary file for as long as it is open; False where it was taken for a leftover before that.

    Where locks do not work it is not locked.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return os.fstat(stream.fileno()).st_nlink > 0
    return True


def _remove_if_left(path: Path, process: int) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return
    if time.time() - status.st_mtime > OLD_SECONDS:
        path.unlink()
    elif sys.platform != "win32" and not _lives(process):
        with path.open("rb") as stream:
            try:
                fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # somebody writes it
                return
            except OSError:  # no locks here: the number decides
                pass
            path.unlink()  # while the lock keeps others from taking it


def _lives(process: int) -> bool:
    """Whether another process has that number here; not on Windows, where asking would end it."""
    if process == os.getpid():
        return False  # what this one writes is held
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
