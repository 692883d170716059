"""Temporary files that a killed process left behind."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

OLD_SECONDS = 24 * 3600

_NAME = re.compile(r"\..+\.(\d+)\.[0-9a-f]{8}\.tmp")  # as `mlptrain.files.temporary_beside` makes them


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
