"""What of a published dataset lies in a data folder: each file verified, missing or damaged."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlptrain.config.registry import DatasetInfo, RemoteFile
from mlptrain.system.files import reason

Status = Literal["verified", "fetched", "missing", "damaged"]

PIECE = 2**20


@dataclass(frozen=True)
class FileState:
    """A published file and what lies, or now lies, at ``path``.

    ``bytes`` there; ``fault`` says in words why it is damaged; ``source`` is the mirror or folder from which
    it was fetched.
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
        """Whether the published bytes lie there."""
        return self.status in ("verified", "fetched")


class Digests:
    """Length, MD5 and SHA-256 of bytes that come in pieces."""

    def __init__(self) -> None:
        self.count = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def update(self, piece: bytes | memoryview) -> None:
        """Take the next piece in."""
        self.count += len(piece)
        self._md5.update(piece)
        self._sha256.update(piece)

    def fault(self, file: RemoteFile) -> str:
        """In what the bytes differ from those of ``file`` as published, in words; empty where in nothing."""
        if file.size is not None and self.count != file.size:
            return f"{self.count:,} bytes, expected {file.size:,}"
        for name, found, expected in (
            ("SHA-256", self._sha256.hexdigest(), file.sha256),
            ("MD5", self._md5.hexdigest(), file.md5),
        ):
            if found != expected:
                return f"wrong {name} {found[:12]}..., expected {expected[:12]}..."
        return ""


def check_dataset(info: DatasetInfo, data_dir: Path) -> tuple[FileState, ...]:
    """Compare what lies in ``data_dir/NAME`` with the published digests; changes nothing."""
    return tuple(check_file(info, file, data_dir / info.name / file.name) for file in info.files)


def check_file(info: DatasetInfo, file: RemoteFile, path: Path) -> FileState:
    """The state of one file; whatever is there and cannot be read as a file is damaged."""
    try:
        status = path.stat()
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            return FileState(info.name, file, path, "damaged", fault="no regular file")
        digests = Digests()
        if file.size in (None, size):
            with path.open("rb") as stream:
                while piece := stream.read(PIECE):
                    digests.update(piece)
        else:
            digests.count = size
    except FileNotFoundError:
        return FileState(info.name, file, path, "missing")
    except OSError as error:
        return FileState(info.name, file, path, "damaged", fault=f"cannot be read: {reason(error)}")
    fault = digests.fault(file)
    return FileState(info.name, file, path, "damaged" if fault else "verified", size, fault)
