"""Cache of decoded datasets: ``.npy`` files that processes map into memory and share, so that gzip is inflated once.

An entry is a folder ``.cache/NAME-KEY`` of the data folder with ``images.npy``, ``labels.npy`` and ``entry.json``,
which holds their checksum. KEY is a digest of the dataset's files, so an entry never becomes outdated; a damaged one
is written again. The cache only saves time: if it cannot be read or written, the files are decoded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlptrain.datasets.idx import GZIP_MAGIC
from mlptrain.engine.arrays import Bytes
from mlptrain.errors import DataError
from mlptrain.system.files import remove_leftovers, write_atomic, write_text_atomic

MAX_FOLDER_ENTRIES = 4
"""Number of entries kept for folders of the user's own; each registered dataset has one."""

_PIECE_BYTES = 2**20


@dataclass(frozen=True, eq=False)
class Decoded:
    """Contents of a dataset's files: ``images`` (n, height, width) and ``labels`` (n,), uint8 and read-only.

    The first ``train_count`` images are those of the training file.
    """

    images: Bytes
    labels: Bytes
    train_count: int
    fingerprint: str


def load_cached(data_dir: Path, name: str, sources: Sequence[Path], decode: Callable[[], Decoded]) -> Decoded:
    """Return ``decode()``, mapped from the cache in ``data_dir`` if these ``sources`` were decoded before.

    A new entry replaces the older ones of the same ``name``. Files are not cached if none is gzipped, because they
    load as fast as an entry. ``data_dir`` itself is never created.

    Raises
    ------
    DataError
        Only from ``decode``.
    """
    key = _source_key(sources)
    if key is None:
        return decode()
    entry = data_dir / ".cache" / f"{name}-{key}"
    found = _read(entry)
    if found is not None:
        return found
    decoded = decode()
    if _source_key(sources) != key:  # the files were changed while they were decoded
        return decoded
    with suppress(OSError, DataError):
        _write(entry, decoded)
        _remove_older(entry, name)
    found = _read(entry)
    if found is None:  # the disk is full, for example
        shutil.rmtree(entry, ignore_errors=True)
        return decoded
    return found  # mapped, so that the memory of ``decoded`` is freed


def folder_entry_name(folder: Path) -> str:
    """Return the ``name`` of the entries for a folder of the user's own, given by its resolved path."""
    return f"folder-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"


def _source_key(sources: Sequence[Path]) -> str | None:
    """Return the digest of the files; None if one cannot be read or none is gzipped."""
    digests = b""
    gzipped = False
    try:
        for source in sources:
            digest = hashlib.sha256()
            with source.open("rb") as stream:
                gzipped |= stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC
                stream.seek(0)
                while piece := stream.read(_PIECE_BYTES):
                    digest.update(piece)
            digests += digest.digest()
    except OSError:
        return None
    return hashlib.sha256(digests).hexdigest()[:32] if gzipped else None


def _checksum(decoded: Decoded) -> int:
    """Return the CRC-32 of everything in an entry; it takes half as long as SHA-256."""
    facts = f"{decoded.images.dtype} {decoded.images.shape} {decoded.train_count} {decoded.fingerprint}"
    return zlib.crc32(decoded.labels.data, zlib.crc32(decoded.images.data, zlib.crc32(facts.encode())))


def _read(entry: Path) -> Decoded | None:
    """Map an entry into memory; None if it is missing or damaged."""
    try:
        facts = json.loads((entry / "entry.json").read_bytes())
        images, labels = (np.asarray(np.load(entry / name, mmap_mode="r")) for name in ("images.npy", "labels.npy"))
        decoded = Decoded(images, labels, facts["train_count"], facts["fingerprint"])
        return decoded if facts["crc32"] == _checksum(decoded) else None
    except Exception:  # a damaged header of an array raises errors of many kinds
        return None


def _write(entry: Path, decoded: Decoded) -> None:
    entry.parent.mkdir(exist_ok=True)
    entry.mkdir(exist_ok=True)
    remove_leftovers(entry)
    write_atomic(entry / "images.npy", lambda stream: np.save(stream, decoded.images))
    write_atomic(entry / "labels.npy", lambda stream: np.save(stream, decoded.labels))
    facts = {
        "train_count": decoded.train_count,
        "fingerprint": decoded.fingerprint,
        "crc32": _checksum(decoded),
    }
    write_text_atomic(entry / "entry.json", json.dumps(facts))


def _remove_older(entry: Path, name: str) -> None:
    """Remove the other entries of the same dataset, and all but the newest for folders of the user's own."""
    older = set(entry.parent.glob(f"{name}-*"))
    by_age = sorted(entry.parent.glob("folder-*"), key=lambda path: path.stat().st_mtime_ns)
    for path in older.union(by_age[:-MAX_FOLDER_ENTRIES]) - {entry}:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)  # version 0.1 wrote files
