"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
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
