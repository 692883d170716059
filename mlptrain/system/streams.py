"""Standard streams that drop output which cannot be written, so that the work continues when nobody can read it."""

from __future__ import annotations

import errno
import io
import os
import sys
from select import select
from typing import Any, TextIO

from mlptrain.errors import DataError
from mlptrain.system.files import reason


class _Descriptor(io.RawIOBase):
    """A descriptor that drops everything from the first failed write on, and remembers its ``failure``.

    A closed pipe raises BrokenPipeError, once. ``missing`` tells that the program was started without the descriptor.
    """

    def __init__(self, number: int, *, missing: bool) -> None:
        self.failure: OSError | None = None
        self._missing = missing
        # Of a Windows console, ``open`` returns a stream that takes UTF-8, whatever the code page is.
        self._raw = open(number, "wb", buffering=0, closefd=False)  # noqa: SIM115

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def write(self, data: Any, /) -> int:
        """Write some of the bytes, and return how many."""
        try:
            while self.failure is None:
                if self._missing:
                    raise OSError(errno.EBADF, "it is closed")
                written: int | None = self._raw.write(data)
                if written is not None:
                    return written
                select([], [self], [])  # another program has made the descriptor non-blocking, and it is full
        except OSError as error:
            self.failure = error
            if isinstance(error, BrokenPipeError):
                raise
        return len(data)


class _Output(io.TextIOWrapper):
    """A text stream on a descriptor, with the encoding and buffering of ``stream``."""

    def __init__(self, number: int, stream: TextIO | None, *, missing: bool) -> None:
        self._raw = _Descriptor(number, missing=missing)
        super().__init__(
            io.BufferedWriter(self._raw),
            encoding=getattr(stream, "encoding", None),
            errors=getattr(stream, "errors", "backslashreplace"),
            line_buffering=getattr(stream, "line_buffering", True),
            write_through=getattr(stream, "write_through", False),
        )

    @property
    def failure(self) -> OSError | None:
        return self._raw.failure


def guard_streams() -> None:
    """Let the standard streams of this process drop what cannot be written, and open those that are closed.

    Closed descriptors become the null device: otherwise the next files that are opened would get their numbers, and
    messages would be written into them. Streams that another program has replaced are left alone.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: TextIO | None = getattr(sys, name)
        missing = stream is None
        try:
            os.fstat(number)
        except OSError:
            missing = True
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest free number, which is this one
        if number == 0:
            sys.stdin = stream or open(number, closefd=False)  # noqa: SIM115
        elif stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _Output(number, stream, missing=missing))


def check_written() -> None:
    """Check that standard output has taken everything that was printed.

    Raises
    ------
    DataError
        Some of it was dropped.
    """
    sys.stdout.flush()
    failure = getattr(sys.stdout, "failure", None)
    if failure is not None:
        hint = "write the output to another file, or to a pipe"
        raise DataError(f"standard output: cannot be written: {reason(failure)}\nhint: {hint}")


def is_pipe_closed() -> bool:
    """Return True if the reader of standard output or standard error has closed its pipe."""
    return any(isinstance(getattr(stream, "failure", None), BrokenPipeError) for stream in (sys.stdout, sys.stderr))
