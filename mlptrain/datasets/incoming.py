"""A file on its way into a data folder: digested while it comes, and seen under its name only when it is right."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from mlptrain.datasets.inventory import Digests
from mlptrain.datasets.leftovers import hold
from mlptrain.datasets.registry import RemoteFile
from mlptrain.errors import DataError
from mlptrain.files import reason, sync_folder, temporary_beside

TRIES = 5  # at making a temporary file, against others that remove things at that moment


class Incoming:
    """Bytes for ``target``, kept in a temporary file beside it until `place` renames that.

    A context: leaving it removes the temporary file, and the folders that were made for it where they are
    empty. File and folders are made with the first bytes. ``parts`` counts the answers that the bytes are of.

    Raises
    ------
    DataError
        By all methods: the folder or the file cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.parts = 0
        self._digests = Digests()
        self._temporary: Path | None = None
        self._stream: BinaryIO | None = None
        self._made: list[Path] = []

    @property
    def received(self) -> int:
        """Bytes so far."""
        return self._digests.count

    def write(self, piece: bytes) -> None:
        """Append the next bytes."""
        try:
            stream = self._stream or self._open()
            stream.write(piece)
        except OSError as error:
            raise self._unwritable(error) from error
        self._digests.update(piece)

    def restart(self) -> None:
        """Forget what has come."""
        self.parts = 0
        self._digests = Digests()
        if self._stream is not None:
            try:
                self._stream.seek(0)
                self._stream.truncate()
            except OSError as error:
                raise self._unwritable(error) from error

    def fault(self, file: RemoteFile) -> str:
        """In what the bytes differ from those of ``file``, in words; empty where in nothing."""
        return self._digests.fault(file)

    def place(self) -> None:
        """Make the bytes durable and give them their name; only to be called where `fault` finds none."""
        try:
            stream = self._stream or self._open()
            stream.flush()
            os.fsync(stream.fileno())
            if sys.platform == "win32":
                stream.close()  # nothing open can be renamed there; elsewhere it stays locked until it is
            assert self._temporary is not None
            self._temporary.replace(self.target)
        except OSError as error:
            raise self._unwritable(error) from error
        sync_folder(self.target.parent)

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk shows again when the rest of the buffer is written
            if self._stream is not None:
                self._stream.close()
        with suppress(OSError):
            if self._temporary is not None:
                self._temporary.unlink()
        for folder in self._made:
            with suppress(OSError):  # not empty: somebody uses it
                folder.rmdir()

    def _open(self) -> BinaryIO:
        folder = self.target.parent
        for _ in range(TRIES):
            self._made += [path for path in (folder, *folder.parents) if not path.exists() and path not in self._made]
            folder.mkdir(parents=True, exist_ok=True)
            self._temporary = temporary_beside(self.target)  # known before it is there, for Ctrl-C may come between
            with suppress(FileNotFoundError):  # another process, which failed, has just removed the empty folder
                self._stream = self._temporary.open("xb")
                if hold(self._stream):
                    return self._stream
                self._stream.close()
                self._stream = None
        raise FileNotFoundError(errno.ENOENT, "its folder is removed again and again")

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self.target}: cannot be written: {reason(error)}\nfree space, or choose another folder with --data-dir"
        )
