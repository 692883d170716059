"""NumPy archives: written to reproducible bytes, read with every size checked before memory is taken."""

from __future__ import annotations

import io
import math
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlptrain.errors import DataError
from mlptrain.files import reason, write_atomic

MAX_MEMBERS = 1_000
MAX_HEADER = 4_096
_MAGIC_LENGTH = 6  # of a .npy member: \x93NUMPY; then two bytes of version


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
        with zipfile.ZipFile(path) as archive:
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
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"{path}: damaged, or not a NumPy archive ({error}); train or copy it again") from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """One array, after its header has been held against the member's real length."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise DataError(f"{path}: {member.filename} is compressed; expected arrays as mlptrain stores them")
    return parse_npy(archive.read(member), member.filename)


def parse_npy(content: bytes, name: str) -> np.ndarray:
    """The array of a whole .npy file or member, numbers or text in C order; ``name`` stands for it in errors.

    Raises
    ------
    ValueError
        Not such an array, or not as long as its header declares.
    """
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{name}: .npy version {version}")
    if int.from_bytes(content[_MAGIC_LENGTH + 2 : _MAGIC_LENGTH + 4], "little") > MAX_HEADER:
        raise ValueError(f"{name}: header too long")
    try:
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=MAX_HEADER)
    except Exception as error:  # its parser meets hostile text with IndexError, TypeError, TokenError and others
        raise ValueError(f"{name}: no .npy header") from error
    if dtype.kind not in "fiubU":
        raise ValueError(f"{name}: arrays of {dtype} are not read")
    if fortran_order:
        raise ValueError(f"{name}: its columns are stored first; save np.ascontiguousarray of it")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"{name}: {len(content) - stream.tell()} bytes for shape {shape} of {dtype}")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    if dtype.kind == "U" and flat.view(np.dtype("u4").newbyteorder(dtype.byteorder)).max(initial=0) > sys.maxunicode:
        raise ValueError(f"{name}: text of characters that do not exist")
    array: np.ndarray = flat.reshape(shape).copy()
    return array
