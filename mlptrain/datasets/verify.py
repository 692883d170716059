"""Verification of downloaded datasets: each published file is verified, missing or damaged."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlptrain.config.registry import DatasetInfo, RemoteFile
from mlptrain.system.files import reason

Status = Literal["verified", "fetched", "missing", "damaged"]

PIECE_BYTES = 2**20
"""Number of bytes read at once."""


@dataclass(frozen=True)
class FileState:
    """State of a published file in a data folder.

    ``bytes`` is the size of the file at ``path``, ``fault`` the reason why it is damaged, and ``source`` the mirror or
    folder from which it was fetched.
    """

    dataset: str
    file: RemoteFile
    path: Path
    status: Status
    bytes: int | None = None
    fault: str = ""
    source: str | None = None

    @property
    def good(self) -> bool:
        """True if the file at ``path`` equals the published one."""
        return self.status in ("verified", "fetched")


class Digests:
    """Size, MD5 and SHA-256 of bytes that arrive in pieces."""

    def __init__(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def update(self, piece: bytes) -> None:
        """Add the next piece."""
        self.size += len(piece)
        self._md5.update(piece)
        self._sha256.update(piece)

    def fault(self, file: RemoteFile) -> str:
        """Describe how the bytes differ from the published file; empty if they do not."""
        if file.size is not None and self.size != file.size:
            return size_fault(self.size, file.size)
        for name, found, expected in (
            ("SHA-256", self._sha256.hexdigest(), file.sha256),
            ("MD5", self._md5.hexdigest(), file.md5),
        ):
            if found != expected:
                return f"wrong {name} {found[:12]}..., expected {expected[:12]}..."
        return ""


def size_fault(found: int, expected: int) -> str:
    """Describe a wrong size."""
    return f"{found:,} bytes, expected {expected:,}"


def check_dataset(info: DatasetInfo, data_dir: Path) -> tuple[FileState, ...]:
    """Compare the files in ``data_dir/NAME`` with the published digests, without changing anything."""
    return tuple(_check_file(info.name, file, data_dir / info.name / file.name) for file in info.files)


def _check_file(dataset: str, file: RemoteFile, path: Path) -> FileState:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
            return FileState(dataset, file, path, "damaged", fault="not a regular file")
        if file.size not in (None, status.st_size):
            return FileState(dataset, file, path, "damaged", status.st_size, size_fault(status.st_size, file.size))
        digests = Digests()
        with path.open("rb") as stream:
            while piece := stream.read(PIECE_BYTES):
                digests.update(piece)
    except FileNotFoundError:
        return FileState(dataset, file, path, "missing")
    except OSError as error:
        return FileState(dataset, file, path, "damaged", fault=f"cannot be read: {reason(error)}")
    fault = digests.fault(file)
    return FileState(dataset, file, path, "damaged" if fault else "verified", digests.size, fault)
