"""NumPy archives: written to reproducible bytes, read with every size checked before memory is taken."""

from __future__ import annotations

import io
import math
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlptrain.config.values import shown_key
from mlptrain.errors import DataError
from mlptrain.system.files import reason, write_atomic

MAX_MEMBERS = 1_000

MAX_HEADER = 4_096

MAX_DIRECTORY = 256 * MAX_MEMBERS  # bytes; an entry takes 46, its name, and 28 where it is large

# A .npy member as NumPy writes it; its own reader evaluates the header as Python, and so much else passes there.
_MAGIC = b"\x93NUMPY\1\0"

_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[<>|][fiubU][0-9]{1,9})', 'fortran_order': (?P<fortran>False|True), "
    rb"'shape': \((?P<shape>|[0-9]{1,20},|[0-9]{1,20}(, [0-9]{1,20}){1,31})\), \} *\n"
)


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write ``arrays`` uncompressed, in order, dated 1980: equal arrays give equal bytes.

    Raises
    ------
    DataError
        The file cannot be written; what stood there is untouched.
    """

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

    write_atomic(path, write)


def read_npz(path: Path, limit: int) -> dict[str, np.ndarray]:
    """Read every array of an archive whose arrays take at most ``limit`` bytes together.

    Members must be stored uncompressed, numbers or text, and as long as their headers declare: a file cannot
    make the reader take more memory than its own length.

    Raises
    ------
    DataError
        Missing, unreadable, damaged, too large, or not such an archive.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # opening a pipe would wait for ever
            raise DataError(f"{path}: no regular file; expected a NumPy archive")
        with _File(path) as stream, zipfile.ZipFile(stream) as archive:
            stream.most = sys.maxsize
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise DataError(f"{path}: {len(members)} arrays; expected at most {MAX_MEMBERS}")
            total = sum(member.file_size for member in members)
            if total > min(limit, path.stat().st_size):
                raise DataError(f"{path}: declares {total} bytes of arrays, more than the file or a model holds")
            return {member.filename.removesuffix(".npy"): _read(archive, member, path) for member in members}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: damaged, or not a NumPy archive ({error}); train or copy it again") from error


class _File(io.BufferedReader):
    """A file that refuses to read more than ``most`` bytes at once: a directory of millions of members is one read."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.most = MAX_DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does."""
        if size is not None and size > self.most:
            raise DataError(f"{self.name}: a directory of {size} bytes; expected at most {MAX_MEMBERS} arrays")
        content: bytes = super().read(size)
        return content


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """One array, after its header has been held against the member's real length."""
    name = shown_key(member.filename)
    if member.compress_type != zipfile.ZIP_STORED:
        raise DataError(f"{path}: {name} is compressed; expected arrays as mlptrain stores them")
    return parse_npy(archive.read(member), name)


def parse_npy(content: bytes, name: str) -> np.ndarray:
    """The array of a whole .npy file or member, numbers or text in C order; ``name`` stands for it in errors.

    Raises
    ------
    ValueError
        Not such an array, or not as long as its header declares.
    """
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    header = _HEADER.fullmatch(content[start:end]) if content.startswith(_MAGIC) and end <= start + MAX_HEADER else None
    if header is None:
        raise ValueError(f"{name}: no .npy header of version 1.0 for numbers or text")
    if header["fortran"] == b"True":
        raise ValueError(f"{name}: its columns are stored first; save np.ascontiguousarray of it")
    try:
        dtype = np.dtype(header["type"].decode())
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error
    shape = tuple(int(length) for length in header["shape"].split(b",") if length.strip())
    if math.prod(shape) * dtype.itemsize != len(content) - end:
        raise ValueError(f"{name}: {len(content) - end} bytes for shape {shape} of {dtype}")
    flat = np.frombuffer(content, dtype, offset=end)
    if dtype.kind == "U" and flat.view(np.dtype("u4").newbyteorder(dtype.byteorder)).max(initial=0) > sys.maxunicode:
        raise ValueError(f"{name}: text of characters that do not exist")
    array: np.ndarray = flat.reshape(shape).copy()
    return array
