"""Fault points: the moments before, within and after each call that changes a file.

`installed` replaces the calls by which mlptrain writes (`os.open`, `os.write`, `os.fsync`, `os.replace`, `os.unlink`,
`os.mkdir`, and the writes of files opened with mode "xb") by ones that say at each such moment where they are. The
moment within a write has written half of the bytes.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

Reached = Callable[[str], object]
"""Told the name of a moment, such as ``within write .checkpoint.npz.tmp`` or ``before replace model.npz``."""


@contextmanager
def installed(folder: Path, reached: Reached) -> Iterator[None]:
    """Call ``reached`` at every fault point of files below ``folder`` while the block runs."""
    paths: dict[int, str] = {}  # what descriptors stand for

    def role(path: Any) -> str | None:
        """Return a file's name without the parts that differ between processes; None for files elsewhere."""
        text = paths.get(path, "") if isinstance(path, int) else os.fsdecode(path)
        if not text.startswith(str(folder)):
            return None
        return re.sub(r"\.[0-9]+\.[0-9a-f]{8}\.tmp$", ".tmp", Path(text).name)

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(path: Any, *rest: Any, **options: Any) -> Any:
            file = role(path)
            if file is None:
                return call(path, *rest, **options)
            reached(f"before {name} {file}")
            result = call(path, *rest, **options)
            if name == "open":
                paths[result] = os.fsdecode(path)
            reached(f"after {name} {file}")
            return result

        return wrapper

    def half(file: str, write: Callable[[bytes], int], content: bytes) -> int:
        """Write in two halves, with fault points around them."""
        reached(f"before write {file}")
        done = write(content[: len(content) // 2])
        reached(f"within write {file}")
        done += write(content[done:])
        reached(f"after write {file}")
        return done

    plain_write, plain_open, plain_close = os.write, Path.open, os.close

    def os_write(descriptor: int, content: bytes) -> int:
        file = role(descriptor)
        if file is None:
            return plain_write(descriptor, content)
        return half(file, lambda part: plain_write(descriptor, part), content)

    def os_close(descriptor: int) -> None:
        paths.pop(descriptor, None)
        plain_close(descriptor)

    class Raw(io.FileIO):
        def write(self, content: Any, /) -> int:
            file = role(self.name)
            assert file is not None
            return half(file, super().write, bytes(content))

    def path_open(path: Path, mode: str = "r", *rest: Any, **options: Any) -> Any:
        file = role(path)
        if mode != "xb" or file is None:
            return plain_open(path, mode, *rest, **options)
        reached(f"before open {file}")
        stream: BinaryIO = io.BufferedWriter(Raw(path, "xb"))
        paths[stream.fileno()] = str(path)
        reached(f"after open {file}")
        return stream

    patches: dict[str, Any] = {
        name: wrapped(name, getattr(os, name)) for name in ("open", "fsync", "replace", "unlink", "mkdir")
    }
    with mock.patch.multiple(os, write=os_write, close=os_close, **patches), mock.patch.object(Path, "open", path_open):
        yield
