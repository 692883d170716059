"""NumPy archives with reproducible bytes, and a reader that checks every size before it allocates memory."""

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
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mlptrain.config.values import shown_key
from mlptrain.errors import DataError
from mlptrain.system.files import reason, write_atomic

MAX_MEMBERS = 1_000

MAX_HEADER_BYTES = 4_096

MAX_DIRECTORY_BYTES = 256 * MAX_MEMBERS  # an entry takes 46 bytes, its name, and 28 bytes if the member is large

# Only the header that NumPy writes is accepted. NumPy's own reader evaluates the header as a Python literal.
_MAGIC = b"\x93NUMPY\1\0"

_HEADER = re.compile(
    rb"\{'descr': '(?P<type>[<>|][fiubU][0-9]{1,9})', 'fortran_order': (?P<fortran>False|True), "
    rb"'shape': \((?P<shape>|[0-9]{1,20},|[0-9]{1,20}(, [0-9]{1,20}){1,31})\), \} *\n"
)


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write ``arrays`` uncompressed, in their order, with a fixed date, so that equal arrays give equal bytes.

    Raises
    ------
    DataError
        The file cannot be written; an existing file is left unchanged.
    """

    def write(stream: BinaryIO) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

    write_atomic(path, write)


def read_npz(path: Path, limit: int) -> dict[str, NDArray[Any]]:
    """Read every array of an archive whose arrays have at most ``limit`` bytes in total.

    Members must be uncompressed arrays of numbers or text, exactly as long as their headers declare. A file therefore
    cannot make the reader allocate more memory than the length of the file.

    Raises
    ------
    DataError
        The file is missing, unreadable, damaged, too large, or not such an archive.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # opening a pipe would block
            raise ValueError("not a regular file")
        with _BoundedFile(path) as stream, zipfile.ZipFile(stream) as archive:
            stream.max_read = sys.maxsize
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise ValueError(f"contains {len(members)} arrays, expected at most {MAX_MEMBERS}")
            total, size = sum(member.file_size for member in members), path.stat().st_size
            if total > min(limit, size):
                raise ValueError(f"declares {total} bytes of arrays, expected at most {min(limit, size)}")
            return {member.filename.removesuffix(".npy"): _read(archive, member) for member in members}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path}: damaged, or not a NumPy archive ({error})\nhint: copy the file again, or train again"
        ) from error


class _BoundedFile(io.BufferedReader):
    """A file that refuses reads of more than ``max_read`` bytes.

    `zipfile` reads the whole directory of an archive, which may list millions of members, at once.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.max_read = MAX_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        if size is not None and size > self.max_read:
            raise ValueError(f"its directory has {size} bytes, expected at most {MAX_MEMBERS} arrays")
        content: bytes = super().read(size)
        return content


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    name = shown_key(member.filename)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    return parse_npy(archive.read(member), name)


def parse_npy(content: bytes, name: str) -> NDArray[Any]:
    """Return the array in the content of a .npy file, numbers or text in C order; messages begin with ``name``.

    Raises
    ------
    ValueError
        The content is not such an array, or not as long as its header declares.
    """
    start = len(_MAGIC) + 2
    end = start + int.from_bytes(content[len(_MAGIC) : start], "little")
    has_header = content.startswith(_MAGIC) and end <= start + MAX_HEADER_BYTES
    header = _HEADER.fullmatch(content[start:end]) if has_header else None
    if header is None:
        raise ValueError(f"{name}: not a .npy header of version 1.0 for numbers or text")
    if header["fortran"] == b"True":
        raise ValueError(f"{name}: array is in Fortran order; save np.ascontiguousarray(array) instead")
    try:
        dtype = np.dtype(header["type"].decode())
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error
    shape = tuple(int(length) for length in header["shape"].split(b",") if length.strip())
    if math.prod(shape) * dtype.itemsize != len(content) - end:
        raise ValueError(f"{name}: contains {len(content) - end} bytes for shape {shape} of {dtype}")
    flat = np.frombuffer(content, dtype, offset=end)
    if dtype.kind == "U" and flat.view(np.dtype("u4").newbyteorder(dtype.byteorder)).max(initial=0) > sys.maxunicode:
        raise ValueError(f"{name}: text contains invalid characters")
    array: NDArray[Any] = flat.reshape(shape).copy()
    return array
