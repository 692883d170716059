"""The IDX file format of MNIST, unsigned bytes only, plain or gzipped.

A file is a header of big-endian numbers and a body in C order: two zero bytes, the type (0x08: unsigned
byte), the number of dimensions, four bytes for the size of each, then one byte an entry. The body is read
straight into its array, and nothing that a header declares is believed before the file's length allows it.
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

from mlptrain.errors import DataError
from mlptrain.system.files import reason, write_atomic

MAX_BYTES = 2**31

_UNSIGNED_BYTE = 0x08

_TYPES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}

GZIP_MAGIC = b"\x1f\x8b"

_DEFLATE_LIMIT = 1032  # no deflate stream inflates to more than 1032 times its length

_PIECE = 2**18

_DAMAGED = "the file is damaged or cut short: fetch or make it again"

_ReadInto = Callable[[memoryview], int]

Name = str | Path
"""What stands for the file in an error."""


def idx_shape(path: Path, *, dimensions: int) -> tuple[int, ...]:
    """The shape that an IDX file's header declares, checked against the file's length; the body is not read.

    Raises
    ------
    DataError
        As for `read_idx`, except for what only the body shows.
    """
    with _opened(path, (dimensions,)) as (shape, _):
        return shape


def read_idx(path: Path, *, dimensions: int, out: np.ndarray | None = None) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped or plain by its content, whatever its name.

    Parameters
    ----------
    dimensions : 3 for images (n, height, width), 1 for labels (n,).
    out : a C-contiguous uint8 array of the shape of `idx_shape` to read into; None makes one.

    Returns
    -------
    ndarray, uint8, of the declared shape; ``out`` itself where it is given.

    Raises
    ------
    DataError
        The file is missing, unreadable, not such a file, larger than `MAX_BYTES`, or its body is not exactly
        as long as its header declares.
    """
    with _opened(path, (dimensions,)) as (shape, readinto):
        array = np.empty(shape, np.uint8) if out is None else out
        if array.shape != shape:
            wanted = f"{_times(array.shape)} as a moment before"
            raise _refused(path, f"{_times(shape)} entries", wanted, "leave the file alone while it is read")
        _read_body(path, array, readinto)
        return array


def read_idx_images(stream: BinaryIO, name: str, *, limit: int = MAX_BYTES) -> np.ndarray:
    """Read one image (height, width) or many (n, height, width) from a stream that can seek.

    ``name`` stands for the stream in errors; at most ``limit`` bytes are read.

    Raises
    ------
    DataError
        As for `read_idx`.
    """
    with _begun(name, stream, (2, 3), limit) as (shape, readinto):
        array = np.empty(shape, np.uint8)
        _read_body(name, array, readinto)
        return array


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write a uint8 array as IDX, whole or not at all; named ``*.gz``: gzipped, to the same bytes each time.

    Raises
    ------
    ValueError
        The array is not uint8 or is empty.
    DataError
        The file cannot be written.
    """
    if array.dtype != np.uint8 or array.ndim == 0 or array.size == 0:
        raise ValueError(f"expected a uint8 array with entries, not {array.dtype} of shape {array.shape}")
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


def _read_body(name: Name, array: np.ndarray, readinto: _ReadInto) -> None:
    """Fill ``array`` with the body, which must be exactly as long."""
    filled = _fill(readinto, array.data.cast("B"))
    if filled < array.size:
        raise _refused(name, f"the body ends after {filled} bytes", f"{_times(array.shape)} = {array.size}")
    if _fill(readinto, memoryview(bytearray(1))):
        raise _refused(name, f"the body goes on after {filled} bytes", f"just these, {_times(array.shape)}")


@contextmanager
def _opened(path: Path, dimensions: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], _ReadInto]]:
    """The checked shape, and a function that fills a buffer from the body and returns how far."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise _refused(path, f"this is {kind}", "an IDX file", "name the file itself")
        with path.open("rb") as stream, _begun(path, stream, dimensions, MAX_BYTES) as begun:
            yield begun
    except FileNotFoundError as error:
        raise _refused(path, "no such file", "an IDX file", "check the path, or fetch or make it") from error
    except OSError as error:
        remedy = "check the path and its permissions"
        raise _refused(path, f"cannot be read: {reason(error)}", "a readable IDX file", remedy) from error


@contextmanager
def _begun(
    name: Name, stream: BinaryIO, dimensions: tuple[int, ...], limit: int
) -> Iterator[tuple[tuple[int, ...], _ReadInto]]:
    """As `_opened`, of an open stream that can seek."""
    try:
        length = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        zipped = stream.read(2) == GZIP_MAGIC
        stream.seek(0)
        # RawIOBase and BufferedIOBase both have it, their common type in typing has not.
        readinto: _ReadInto = _inflating(name, stream) if zipped else stream.readinto  # type: ignore[attr-defined]
        shape = _read_header(name, readinto, dimensions)
        _check_length(name, shape, length, zipped, limit)
        yield shape, readinto
    except zlib.error as error:
        raise _refused(name, f"the gzip data are wrong ({error})", "an undamaged gzip file") from error


def _read_header(name: Name, readinto: _ReadInto, dimensions: tuple[int, ...]) -> tuple[int, ...]:
    header = memoryview(bytearray(4 + 4 * dimensions[-1]))
    magic = header[:4]
    wanted = f"an IDX header of {len(header)} bytes"
    filled = _fill(readinto, magic)
    if filled < len(magic):
        raise _refused(name, f"the file ends after {filled} bytes", wanted)
    if magic[0] or magic[1]:
        begins = f"{bytes((0, 0, _UNSIGNED_BYTE, dimensions[-1])).hex(' ')}, as an IDX file of bytes does"
        remedy = "this is no IDX file: name another one, or fetch or make it again"
        raise _refused(name, f"the file begins with {magic.hex(' ')}", begins, remedy)
    if magic[2] != _UNSIGNED_BYTE:
        found = f"the entries are of IDX type 0x{magic[2]:02x} ({_TYPES.get(magic[2], 'unknown')})"
        raise _refused(name, found, "type 0x08 (unsigned bytes)", "make the file again with unsigned bytes")
    if magic[3] not in dimensions:
        remedy = "images have 3 dimensions and labels 1: are two files swapped?"
        expected = " or ".join(map(str, dimensions))
        raise _refused(name, f"the number of dimensions is {magic[3]}", expected, remedy)
    header = header[: 4 + 4 * magic[3]]
    filled += _fill(readinto, header[4:])
    if filled < len(header):
        raise _refused(name, f"the file ends after {filled} bytes", wanted)
    return struct.unpack_from(f">{magic[3]}I", header, 4)


def _check_length(name: Name, shape: tuple[int, ...], length: int, zipped: bool, limit: int) -> None:
    """Refuse a shape that a file of ``length`` bytes cannot hold, before memory for it is taken."""
    declared = math.prod(shape)
    total = declared + 4 + 4 * len(shape)
    found = f"the header declares {_times(shape)} = {declared} bytes"
    if declared == 0:
        raise _refused(name, found, "every dimension above 0")
    if declared > limit:
        remedy = "the file is damaged or too large: fetch it again, or make a smaller one"
        raise _refused(name, found, f"at most {limit}", remedy)
    if zipped and total > length * _DEFLATE_LIMIT:
        possible = f"at most the {length * _DEFLATE_LIMIT} that {length} gzipped bytes can hold"
        raise _refused(name, found, possible)
    if not zipped and total != length:
        raise _refused(name, f"{found}, the file has {length} bytes", f"{total} bytes with the header")


def _inflating(name: Name, stream: BinaryIO) -> _ReadInto:
    """A ``readinto`` for the one gzip member that ``stream`` must hold; inflates no more than asked for."""
    member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    def readinto(buffer: memoryview) -> int:
        while not member.eof:
            packed = member.unconsumed_tail or stream.read(_PIECE)
            piece = member.decompress(packed, min(len(buffer), _PIECE))
            if piece:
                buffer[: len(piece)] = piece
                return len(piece)
            if not packed and not member.eof:
                raise _refused(name, "the gzip data end early", "a whole gzip file")
        if member.unused_data or stream.read(1):
            raise _refused(name, "more bytes follow the gzip data", "one gzip member and nothing else")
        return 0

    return readinto


def _fill(readinto: _ReadInto, buffer: memoryview) -> int:
    """Fill ``buffer`` as far as the bytes go; the number of bytes filled."""
    filled = 0
    while filled < len(buffer):
        count = readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _refused(name: Name, found: str, expected: str, remedy: str = _DAMAGED) -> DataError:
    return DataError(f"{name}: {found}\nexpected {expected}\n{remedy}")
