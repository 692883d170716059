"""Decoded datasets kept as plain bytes that every process maps into its memory, so that gzip is inflated once.

An entry is a page of header, then the images, then the labels. It is named after the digest of the files that
it was decoded from, so it cannot be out of date; a checksum covers every byte of it, so damage is found. Then
it is made again. It only saves time: where it cannot be read or written all goes on without it.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mlptrain.errors import DataError
from mlptrain.system.files import remove_leftovers, write_atomic

FOLDER = ".cache"

KEPT = 4  # entries for folders of the user's own, the latest; a named dataset has one

_FOLDER_NAME = "folder-"

_MAGIC = b"mlptrain"

_VERSION = 1

_CHECKSUM = struct.Struct("<8sI")  # magic, CRC-32 of all that follows these twelve bytes

_FIELDS = struct.Struct("<I4Q32s32s")  # version, images, height, width, train_count, source key, fingerprint

_HEADER_BYTES = 4096  # one page, so that the images begin on one

_GZIP_MAGIC = b"\x1f\x8b"

_PIECE = 2**20


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a dataset's files hold: ``images`` (n, height, width) and ``labels`` (n,), uint8, not writeable."""

    images: np.ndarray
    labels: np.ndarray
    train_count: int
    fingerprint: str


def cached(data_dir: Path, name: str, sources: Sequence[Path], decode: Callable[[], Decoded]) -> Decoded:
    """What ``decode`` gives, mapped from ``data_dir/.cache`` where it was given before for the same ``sources``.

    ``name`` is the dataset's: an older entry of that name goes when a new one is written. ``data_dir`` itself is
    not made. Files that are all unpacked are read as fast as the cache is, so there is none of them.

    Raises
    ------
    DataError
        By ``decode`` alone.
    """
    stamps = _stamps(sources)
    key = _source_key(sources)
    if key is None or stamps is None:
        return decode()
    path = data_dir / FOLDER / f"{name}-{key.hex()[:32]}.bytes"
    found = _read(path, key)
    if found is not None:
        return found
    decoded = decode()
    # What was decoded is what was digested only if nobody wrote to the files in between.
    if _stamps(sources) == stamps and _write(path, key, decoded):
        _remove_others(path, name)
        found = _read(path, key)  # mapped like everybody's; the memory of ``decoded`` is given back
    return found or decoded


def folder_name(folder: Path) -> str:
    """The name of the entry for a folder of the user's own, which is its path's digest."""
    return f"{_FOLDER_NAME}{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]}"


def _source_key(sources: Sequence[Path]) -> bytes | None:
    """The digest of the digests of the files; None where one cannot be read or none is gzipped."""
    digests = b""
    zipped = False
    try:
        for source in sources:
            digest = hashlib.sha256()
            with source.open("rb") as stream:
                piece = stream.read(_PIECE)
                zipped |= piece.startswith(_GZIP_MAGIC)
                while piece:
                    digest.update(piece)
                    piece = stream.read(_PIECE)
            digests += digest.digest()
    except OSError:
        return None
    return hashlib.sha256(digests).digest() if zipped else None


def _stamps(sources: Sequence[Path]) -> list[tuple[int, int, int]] | None:
    try:
        return [(s.st_ino, s.st_size, s.st_mtime_ns) for s in (source.stat() for source in sources)]
    except OSError:
        return None


def _read(path: Path, key: bytes) -> Decoded | None:
    """The entry at ``path``, mapped; None where there is none or it is damaged in any byte."""
    try:
        with path.open("rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # ValueError: empty
        return None
    if len(mapped) < _HEADER_BYTES:
        return None
    magic, checksum = _CHECKSUM.unpack_from(mapped)
    version, count, height, width, train_count, source, fingerprint = _FIELDS.unpack_from(mapped, _CHECKSUM.size)
    size = count * height * width
    if (magic, version, source, _HEADER_BYTES + size + count) != (_MAGIC, _VERSION, key, len(mapped)):
        return None
    data = np.frombuffer(mapped, np.uint8)
    if zlib.crc32(memoryview(mapped)[_CHECKSUM.size :]) != checksum:
        return None
    images = data[_HEADER_BYTES:][:size].reshape(count, height, width)
    return Decoded(images, data[_HEADER_BYTES + size :], train_count, f"sha256:{fingerprint.hex()}")


def _write(path: Path, key: bytes, decoded: Decoded) -> bool:
    """Whether the entry could be written, whole."""
    fingerprint = bytes.fromhex(decoded.fingerprint.removeprefix("sha256:"))
    fields = _FIELDS.pack(_VERSION, *decoded.images.shape, decoded.train_count, key, fingerprint)
    rest = fields.ljust(_HEADER_BYTES - _CHECKSUM.size, b"\0")
    parts = (rest, decoded.images.data.cast("B"), decoded.labels.data.cast("B"))
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)

    def write(stream: BinaryIO) -> None:
        stream.write(_CHECKSUM.pack(_MAGIC, checksum))
        for part in parts:
            stream.write(part)

    try:
        path.parent.mkdir(exist_ok=True)
        remove_leftovers(path.parent)
        write_atomic(path, write)
    except (OSError, DataError):
        return False
    return True


def _remove_others(path: Path, name: str) -> None:
    """Remove the older entries of the same dataset, and of folders of the user's own all but the latest."""
    with suppress(OSError):
        old = [entry for entry in path.parent.glob(f"{name}-*.bytes") if entry != path]
        folders = sorted(path.parent.glob(f"{_FOLDER_NAME}*.bytes"), key=lambda entry: -entry.stat().st_mtime_ns)
        for entry in {*old, *folders[KEPT:]} - {path}:
            with suppress(OSError):
                entry.unlink()
