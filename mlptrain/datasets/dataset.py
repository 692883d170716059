"""Datasets in memory, loaded from the embedded sample, from a downloaded dataset or from a folder of IDX files."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlptrain.config.registry import DATASET_NAMES, DATASETS, SAMPLE, STEMS
from mlptrain.datasets.cache import Decoded, folder_entry_name, load_cached
from mlptrain.datasets.idx import idx_shape, read_idx
from mlptrain.engine.arrays import Bytes
from mlptrain.errors import DataError
from mlptrain.system.files import reason
from mlptrain.system.text import shell_word

MAX_LABEL = 99
"""Largest label in a folder of the user's own."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images: the ``train_count`` images of the training file, then those of the test file.

    ``images`` (n, pixels) and ``labels`` (n,) are uint8, C-contiguous and read-only, because processes may share their
    memory; ``shape`` is (height, width). ``fingerprint`` identifies the bytes and their division into training and
    test file, regardless of the folder that they were read from.
    """

    name: str
    images: Bytes = field(repr=False)
    labels: Bytes = field(repr=False)
    train_count: int
    shape: tuple[int, int]
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)


class FilePair(NamedTuple):
    """An IDX file of images and the file of their labels."""

    images: Path
    labels: Path


def data_folder(data_dir: str | Path | None = None) -> Path:
    """Return the absolute path of the data folder.

    It is ``data_dir``, else ``MLPTRAIN_DATA_DIR``, else ``./data`` if it exists, else the user's folder for the data of
    programs, such as ``~/.local/share/mlptrain``.
    """
    given = data_dir or os.environ.get("MLPTRAIN_DATA_DIR")
    folder = Path(given or "data")
    if not given and not folder.is_dir():
        from platformdirs import user_data_path  # takes 5 ms, and most runs do not need it

        folder = user_data_path("mlptrain", appauthor=False)
    try:
        return folder.absolute()
    except FileNotFoundError:  # the working folder was deleted
        return folder


def load_dataset(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Load ``sample``, a registered dataset from ``data_dir/name``, or else the folder of IDX files ``name``.

    `data_folder` describes the default of ``data_dir``.

    Raises
    ------
    DataError
        Files are missing, damaged, inconsistent with each other, or contain a label out of range.
    """
    folder = Path() if name == SAMPLE else data_folder(data_dir)
    pairs = find_files(name, folder)
    decoded = _load_decoded(name, pairs, folder)
    info = DATASETS.get(name)
    _check_labels(pairs, decoded, MAX_LABEL if info is None else len(info.class_names) - 1)
    count, height, width = decoded.images.shape
    return Dataset(
        name=name,
        images=decoded.images.reshape(count, height * width),
        labels=decoded.labels,
        train_count=decoded.train_count,
        shape=(height, width),
        class_names=_numbered_classes(decoded.labels) if info is None else info.class_names,
        fingerprint=decoded.fingerprint,
    )


def _load_decoded(name: str, pairs: tuple[FilePair, ...], data_dir: Path) -> Decoded:
    """Return the contents of the files, if possible from the cache in ``data_dir``.

    The sample is not cached, because it loads fast; nor is a folder of the user's own that would contain the cache.
    """
    if name == SAMPLE:
        return read_files(pairs)
    if name in DATASETS:
        entry_name = name
    else:
        folder = _own_folder(name).resolve()
        if data_dir.resolve().is_relative_to(folder):
            return read_files(pairs)
        entry_name = folder_entry_name(folder)
    return load_cached(data_dir, entry_name, [path for pair in pairs for path in pair], lambda: read_files(pairs))


def find_files(name: str, data_dir: Path) -> tuple[FilePair, ...]:
    """Find the files of a dataset without reading them: the training pair and, if there is one, the test pair.

    Raises
    ------
    DataError
        The folder or some of its files are missing.
    """
    if name == SAMPLE:
        folder = Path(__file__).parent / "sample"
        return (FilePair(folder / "images-idx3-ubyte.gz", folder / "labels-idx1-ubyte.gz"),)
    try:
        return _registered_files(name, data_dir) if name in DATASETS else _folder_files(_own_folder(name))
    except OSError as error:
        raise DataError(
            f"{error.filename or name}: cannot be read: {reason(error)}\n"
            "expected a folder of IDX files\n"
            "hint: check the path and its permissions"
        ) from error


def read_files(pairs: tuple[FilePair, ...]) -> Decoded:
    """Read the files of a dataset into one array of images and one of labels, without a second copy in memory.

    Raises
    ------
    DataError
        A file is damaged, the numbers of labels and images differ, or training and test images differ in shape.
    """
    shapes = [_pair_shape(pair) for pair in pairs]
    if shapes[0][1:] != shapes[-1][1:]:
        train, test = (f"{height} x {width}" for _, height, width in shapes)
        raise DataError(
            f"{pairs[1].images}: images of {test} pixels\n"
            f"expected {train}, as in {pairs[0].images}\n"
            "hint: use files of one dataset only"
        )
    total = sum(shape[0] for shape in shapes)
    images = np.empty((total, *shapes[0][1:]), np.uint8)
    labels = np.empty(total, np.uint8)
    start = 0
    for pair, shape in zip(pairs, shapes, strict=True):
        end = start + shape[0]
        read_idx(pair.images, images[start:end])
        read_idx(pair.labels, labels[start:end])
        start = end
    images.setflags(write=False)
    labels.setflags(write=False)
    return Decoded(images, labels, shapes[0][0], _fingerprint(images, labels, shapes[0][0]))


def _pair_shape(pair: FilePair) -> tuple[int, ...]:
    """Return the shape (n, height, width) of the images, after checking that there are n labels."""
    shape = idx_shape(pair.images, dimensions=3)
    (labels,) = idx_shape(pair.labels, dimensions=1)
    if labels != shape[0]:
        raise DataError(
            f"{pair.labels}: {labels} labels\n"
            f"expected {shape[0]}, one for each image of {pair.images}\n"
            "hint: use files of one dataset only"
        )
    return shape


def _registered_files(name: str, data_dir: Path) -> tuple[FilePair, ...]:
    folder = data_dir / name
    found = {stem: path for stem in STEMS if (path := _first(folder, f"{stem}.gz", stem))}
    missing = [f"{stem}.gz" for stem in STEMS if stem not in found]
    if missing:
        option = "" if data_dir == data_folder() else f" --data-dir {shell_word(str(data_dir))}"
        raise DataError(
            f"{folder}: missing {', '.join(missing)}\n"
            f"hint: run `mlptrain download {name}{option}`, or set `dataset: sample`"
        )
    return _as_pairs(found)


def _folder_files(folder: Path) -> tuple[FilePair, ...]:
    if not folder.is_dir():
        problem = "is not a folder" if folder.exists() else "no such folder"
        raise DataError(
            f"{folder}: {problem}\n"
            f"expected {', '.join(DATASET_NAMES)}, or a folder of IDX files\n"
            "hint: check the spelling and the working folder"
        )
    found = {}
    for stem in STEMS:
        dotted = stem.replace("-idx", ".idx")
        if path := _first(folder, f"{stem}.gz", stem, f"{dotted}.gz", dotted):
            found[stem] = path
    required = STEMS if found.keys() & STEMS[2:] else STEMS[:2]
    missing = [stem for stem in required if stem not in found]
    if missing:
        raise DataError(
            f"{folder}: missing {', '.join(missing)}\n"
            f"expected {' and '.join(STEMS[:2])}, plain or .gz; t10k-* optional\n"
            "hint: add the missing files, or set `dataset` to another folder"
        )
    return _as_pairs(found)


def _as_pairs(found: dict[str, Path]) -> tuple[FilePair, ...]:
    paths = list(found.values())
    return tuple(FilePair(*pair) for pair in zip(paths[::2], paths[1::2], strict=True))


def _own_folder(name: str) -> Path:
    """Return a folder of the user's own; no shell has expanded a ``~`` in a config."""
    folder = Path(name)
    with suppress(RuntimeError):  # the user after the ``~`` does not exist
        folder = folder.expanduser()
    return folder


def _first(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _check_labels(pairs: tuple[FilePair, ...], decoded: Decoded, highest: int) -> None:
    largest = int(decoded.labels.argmax())
    if decoded.labels[largest] > highest:
        in_train = largest < decoded.train_count
        pair, index = (pairs[0], largest) if in_train else (pairs[1], largest - decoded.train_count)
        raise DataError(
            f"{pair.labels}: label {decoded.labels[largest]} at index {index}\n"
            f"expected labels from 0 to {highest}\n"
            "hint: correct the labels and write the file again"
        )


def _numbered_classes(labels: Bytes) -> tuple[str, ...]:
    return tuple(str(label) for label in range(max(10, int(labels.max()) + 1)))


def _fingerprint(images: Bytes, labels: Bytes, train_count: int) -> str:
    digest = hashlib.sha256()
    digest.update(f"images {images.shape} labels {labels.shape} train {train_count}\n".encode())
    digest.update(images.data)
    digest.update(labels.data)
    return f"sha256:{digest.hexdigest()}"
