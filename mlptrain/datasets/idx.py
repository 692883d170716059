"""The IDX file format of MNIST, limited to unsigned bytes, plain or gzipped.

A file consists of a big-endian header and a body in C order: two zero bytes, the type (0x08: unsigned byte), the
number of dimensions, the size of each dimension in four bytes, then one byte per element. The body is read directly
into its array. Memory is allocated only after the length of the file shows that the declared shape is possible.
"""

from __future__ import annotations

import gzip
import math
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlptrain.engine.arrays import Bytes
from mlptrain.errors import DataError
from mlptrain.system.files import reason, write_atomic

MAX_BYTES = 2**31
"""Largest body that is read, in bytes."""

GZIP_MAGIC = b"\x1f\x8b"

_UNSIGNED_BYTE = 0x08

_TYPES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}

_MAX_DEFLATE_RATIO = 1032  # no deflate stream inflates to more than 1032 times its length

_PIECE_BYTES = 2**18

_DAMAGED = "the file is damaged or incomplete; download or copy it again"

_ReadInto = Callable[[memoryview], int]

_Name = str | Path  # of the file, in error messages


def idx_shape(path: Path, *, dimensions: int) -> tuple[int, ...]:
    """Return the shape that the header of an IDX file declares, without reading the body.

    Raises
    ------
    DataError
        As for `read_idx`, except for faults that only the body shows.
    """
    with _opened(path, dimensions) as (shape, _):
        return shape


def read_idx(path: Path, out: Bytes) -> None:
    """Read an IDX file of unsigned bytes into ``out``, a C-contiguous uint8 array of the shape from `idx_shape`.

    The content, not the name, decides whether it is gzipped.

    Raises
    ------
    DataError
        The file is missing, unreadable, not an IDX file of unsigned bytes, of another shape, larger than `MAX_BYTES`,
        or its body is not exactly as long as its header declares.
    """
    with _opened(path, out.ndim) as (shape, readinto):
        if shape != out.shape:
            hint = "do not change the file while it is read"
            raise _invalid(path, f"shape {_times(shape)}", f"{_times(out.shape)}, as read before", hint)
        _read_body(path, out, readinto)


def read_idx_images(stream: BinaryIO, name: str, *, limit: int = MAX_BYTES) -> Bytes:
    """Read one image (height, width) or several (n, height, width) of at most ``limit`` bytes from a seekable stream.

    Error messages call the stream ``name``.

    Raises
    ------
    DataError
        As for `read_idx`.
    """
    with _begun(name, stream, (2, 3), limit) as (shape, readinto):
        array = np.empty(shape, np.uint8)
        _read_body(name, array, readinto)
        return array


def write_idx(path: Path, array: Bytes) -> None:
    """Write a uint8 array as an IDX file, atomically; a name ``*.gz`` selects gzip with reproducible bytes.

    Raises
    ------
    ValueError
        The array is not uint8 or is empty.
    DataError
        The file cannot be written.
    """
    if array.dtype != np.uint8 or array.ndim == 0 or array.size == 0:
        raise ValueError(f"expected a uint8 array that is not empty (got {array.dtype} of shape {array.shape})")
    header = struct.pack(f">HBB{array.ndim}I", 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    body = np.ascontiguousarray(array).data.cast("B")

    def write(stream: BinaryIO) -> None:
        stream.write(header)
        stream.write(body)

    def write_gzip(stream: BinaryIO) -> None:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=stream, mtime=0) as member:
            member.write(header)
            member.write(body)

    write_atomic(path, write_gzip if path.suffix == ".gz" else write)


def _read_body(name: _Name, array: Bytes, readinto: _ReadInto) -> None:
    """Fill ``array`` with the body, which must have exactly its length."""
    filled = _fill(readinto, array.data.cast("B"))
    if filled < array.size:
        raise _invalid(name, f"the body ends after {filled} bytes", f"{_times(array.shape)} = {array.size}")
    if _fill(readinto, memoryview(bytearray(1))):
        raise _invalid(name, f"the body is longer than {filled} bytes", f"{_times(array.shape)} = {array.size}")


@contextmanager
def _opened(path: Path, dimensions: int) -> Iterator[tuple[tuple[int, ...], _ReadInto]]:
    """Open a file; yield its checked shape and a function that reads from the body into a buffer."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would block
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise _invalid(path, f"is {kind}", "an IDX file", "give the path of the file itself")
        with path.open("rb") as stream, _begun(path, stream, (dimensions,), MAX_BYTES) as begun:
            yield begun
    except FileNotFoundError as error:
        raise _invalid(path, "no such file", "an IDX file", "check the path") from error
    except OSError as error:
        hint = "check the path and its permissions"
        raise _invalid(path, f"cannot be read: {reason(error)}", "a readable IDX file", hint) from error


@contextmanager
def _begun(
    name: _Name, stream: BinaryIO, dimensions: tuple[int, ...], limit: int
) -> Iterator[tuple[tuple[int, ...], _ReadInto]]:
    """Do the same as `_opened` for a seekable stream, with one of several numbers of ``dimensions``."""
    try:
        length = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        gzipped = stream.read(2) == GZIP_MAGIC
        stream.seek(0)
        # RawIOBase and BufferedIOBase both have readinto; their common type in typing does not.
        readinto: _ReadInto = _inflating(name, stream) if gzipped else stream.readinto  # type: ignore[attr-defined]
        shape = _read_header(name, readinto, dimensions)
        _check_length(name, shape, length, gzipped, limit)
        yield shape, readinto
    except zlib.error as error:
        raise _invalid(name, f"the gzip data are damaged ({error})", "a valid gzip file") from error


def _read_header(name: _Name, readinto: _ReadInto, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    header = memoryview(bytearray(4 + 4 * dimensions[-1]))
    magic = header[:4]
    complete = f"an IDX header of {len(header)} bytes"
    filled = _fill(readinto, magic)
    if filled < len(magic):
        raise _invalid(name, f"the file ends after {filled} bytes", complete)
    if magic[0] or magic[1]:
        start = bytes((0, 0, _UNSIGNED_BYTE, dimensions[-1])).hex(" ")
        hint = "this is not an IDX file; give the path of another one, or download it again"
        raise _invalid(name, f"the file starts with {magic.hex(' ')}", f"{start}, an IDX header", hint)
    if magic[2] != _UNSIGNED_BYTE:
        found = f"the elements have IDX type 0x{magic[2]:02x} ({_TYPES.get(magic[2], 'unknown')})"
        raise _invalid(name, found, "type 0x08 (unsigned bytes)", "convert the file to unsigned bytes")
    if magic[3] not in dimensions:
        hint = "images have 3 dimensions and labels have 1; check that two files are not swapped"
        raise _invalid(name, f"the number of dimensions is {magic[3]}", " or ".join(map(str, dimensions)), hint)
    header = header[: 4 + 4 * magic[3]]
    filled += _fill(readinto, header[4:])
    if filled < len(header):
        raise _invalid(name, f"the file ends after {filled} bytes", complete)
    return struct.unpack_from(f">{magic[3]}I", header, 4)


def _check_length(name: _Name, shape: tuple[int, ...], length: int, gzipped: bool, limit: int) -> None:
    """Check that a file of ``length`` bytes can contain the shape, before memory is allocated."""
    declared = math.prod(shape)
    total = declared + 4 + 4 * len(shape)
    found = f"the header declares {_times(shape)} = {declared} bytes"
    if declared == 0:
        raise _invalid(name, found, "every dimension above 0")
    if declared > limit:
        raise _invalid(name, found, f"at most {limit}", "the file is damaged or too large; download or shrink it")
    if gzipped and total > length * _MAX_DEFLATE_RATIO:
        possible = f"at most the {length * _MAX_DEFLATE_RATIO} bytes that {length} gzipped bytes can contain"
        raise _invalid(name, found, possible)
    if not gzipped and total != length:
        raise _invalid(name, f"{found}, but the file has {length} bytes", f"{total} bytes with the header")


def _inflating(name: _Name, stream: BinaryIO) -> _ReadInto:
    """Return a ``readinto`` for the single gzip member of ``stream`` that inflates no more than the buffer takes."""
    member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def readinto(buffer: memoryview) -> int:
        while not member.eof:
            packed = member.unconsumed_tail or stream.read(_PIECE_BYTES)
            piece = member.decompress(packed, min(len(buffer), _PIECE_BYTES))
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if not packed and not member.eof:
                raise _invalid(name, "the gzip data end early", "a complete gzip file")
        if member.unused_data or stream.read(1):
            raise _invalid(name, "more bytes follow the gzip data", "a single gzip member")
        return 0

    return readinto


def _fill(readinto: _ReadInto, buffer: memoryview) -> int:
    """Fill ``buffer`` as far as possible and return the number of bytes filled."""
    filled = 0
    while filled < len(buffer):
        count = readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _invalid(name: _Name, found: str, expected: str, hint: str = _DAMAGED) -> DataError:
    return DataError(f"{name}: {found}\nexpected {expected}\nhint: {hint}")
