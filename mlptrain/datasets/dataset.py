"""A dataset in memory, from the embedded sample, a downloaded dataset or a folder of IDX files."""

from __future__ import annotations

import hashlib
import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mlptrain.config.registry import DATASET_NAMES, DATASETS, SAMPLE, STEMS
from mlptrain.datasets.cache import Decoded, folder_entry_name, load_cached
from mlptrain.datasets.idx import idx_shape, read_idx
from mlptrain.errors import DataError
from mlptrain.system.files import reason

MAX_LABEL = 99

_SAMPLE_FOLDER = Path(__file__).parent / "sample"

_DEFAULT_DATA_DIR = Path("data")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images: the training file's ``train_count`` first, then the test file's.

    ``images`` (n, pixels) uint8, C-contiguous; ``labels`` (n,) uint8; neither can be written to, because
    processes may share their memory; ``shape`` (height, width);
    ``fingerprint`` names these bytes and this division into files, wherever they were read from.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    train_count: int
    shape: tuple[int, int]
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)


class FilePair(NamedTuple):
    """An IDX file of images and the one of their labels."""

    images: Path
    labels: Path


@dataclass(frozen=True)
class DatasetFiles:
    """Where a dataset's files lie; ``test`` is None where there is only a training pair."""

    train: FilePair
    test: FilePair | None

    @property
    def pairs(self) -> tuple[FilePair, ...]:
        """The pairs there are, training first."""
        return (self.train,) if self.test is None else (self.train, self.test)


class DatasetArrays(NamedTuple):
    """``images`` (n, height, width) and ``labels`` (n,), uint8; ``train_count`` of them for training."""

    images: np.ndarray
    labels: np.ndarray
    train_count: int


def load_dataset(name: str, data_dir: Path) -> Dataset:
    """Load ``sample``, a registered dataset from ``data_dir/name``, or else the folder of IDX files ``name``.

    Raises
    ------
    DataError
        Files are missing, damaged, do not belong together, or hold a label out of range.
    """
    files = find_files(name, data_dir)
    decoded = _decoded(name, files, data_dir)
    registered = DATASETS.get(name)
    _check_labels(
        files, decoded.labels, decoded.train_count, len(registered.class_names) - 1 if registered else MAX_LABEL
    )
    count, height, width = decoded.images.shape
    return Dataset(
        name=name,
        images=decoded.images.reshape(count, height * width),
        labels=decoded.labels,
        train_count=decoded.train_count,
        shape=(height, width),
        class_names=registered.class_names if registered else _digits(decoded.labels),
        fingerprint=decoded.fingerprint,
    )


def _decoded(name: str, files: DatasetFiles, data_dir: Path) -> Decoded:
    """What the files hold, by way of the cache in ``data_dir``.

    Not cached are the sample, which is read in no time, and a folder of the user's own that the cache would lie in.
    """

    def decode() -> Decoded:
        images, labels, train_count = read_files(files)
        images.setflags(write=False)
        labels.setflags(write=False)
        return Decoded(images, labels, train_count, _fingerprint(images, labels, train_count))

    if name == SAMPLE:
        return decode()
    if name not in DATASETS:
        folder = _own_folder(name).resolve()
        if data_dir.resolve().is_relative_to(folder):
            return decode()
        name = folder_entry_name(folder)
    return load_cached(data_dir, name, [path for pair in files.pairs for path in pair], decode)


def find_files(name: str, data_dir: Path) -> DatasetFiles:
    """The files of a dataset by the rules of `load_dataset`, without reading them.

    Raises
    ------
    DataError
        The folder or some of its files are missing.
    """
    if name == SAMPLE:
        pair = FilePair(_SAMPLE_FOLDER / "images-idx3-ubyte.gz", _SAMPLE_FOLDER / "labels-idx1-ubyte.gz")
        return DatasetFiles(pair, None)
    try:
        return _registered_files(name, data_dir) if name in DATASETS else _folder_files(_own_folder(name))
    except OSError as error:
        raise DataError(
            f"{error.filename or name}: cannot be read: {reason(error)}\n"
            "expected a folder of IDX files\n"
            "check the path and its permissions"
        ) from error


def read_files(files: DatasetFiles) -> DatasetArrays:
    """Read a dataset's files into one array of images and one of labels, without a copy on the way.

    Raises
    ------
    DataError
        A file is damaged; labels and images differ in number, training and test images in shape.
    """
    shapes = [_pair_shape(pair) for pair in files.pairs]
    if files.test is not None and shapes[0][1:] != shapes[1][1:]:
        found = [f"{height} x {width}" for _, height, width in shapes]
        raise DataError(
            f"{files.train.images}: images of {found[0]} pixels\n"
            f"expected those of {files.test.images} to be the same, not {found[1]}\n"
            "put files together that belong to one dataset"
        )
    total = sum(shape[0] for shape in shapes)
    images = np.empty((total, *shapes[0][1:]), np.uint8)
    labels = np.empty(total, np.uint8)
    start = 0
    for pair, shape in zip(files.pairs, shapes, strict=True):
        end = start + shape[0]
        read_idx(pair.images, dimensions=3, out=images[start:end])
        read_idx(pair.labels, dimensions=1, out=labels[start:end])
        start = end
    return DatasetArrays(images, labels, shapes[0][0])


def _pair_shape(pair: FilePair) -> tuple[int, ...]:
    """The shape (n, height, width) of a pair's images, of which there are as many as labels."""
    shape = idx_shape(pair.images, dimensions=3)
    (labels,) = idx_shape(pair.labels, dimensions=1)
    if labels != shape[0]:
        raise DataError(
            f"{pair.images}: {shape[0]} images\n"
            f"expected as many labels as images, but {pair.labels} holds {labels}\n"
            "put files together that belong to one dataset"
        )
    return shape


def _registered_files(name: str, data_dir: Path) -> DatasetFiles:
    folder = data_dir / name
    found = {role: _first(folder, [f"{stem}.gz", stem]) for role, stem in STEMS.items()}
    missing = [f"{STEMS[role]}.gz" for role, path in found.items() if path is None]
    if missing:
        option = "" if data_dir == _DEFAULT_DATA_DIR else f" --data-dir {shlex.quote(str(data_dir))}"
        title = DATASETS[name].title
        what = "does not hold the dataset" if len(missing) == len(STEMS) else f"{', '.join(missing)} missing"
        raise DataError(
            f"{folder}: {what}\n"
            f"expected the four files of {title}, {STEMS['train_images']}.gz and so on\n"
            f"run `mlptrain download {name}{option}`, or set `dataset: sample`"
        )
    return _as_files(found)


def _own_folder(name: str) -> Path:
    """The folder of that name; no shell has expanded a ``~`` that stands in a config."""
    folder = Path(name)
    with suppress(RuntimeError):  # a user that does not exist: it stays as written
        folder = folder.expanduser()
    return folder


def _folder_files(folder: Path) -> DatasetFiles:
    expected = f"expected {STEMS['train_images']} and {STEMS['train_labels']} (.gz or not; t10k-* optional)"
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "no such folder"
        raise DataError(
            f"{folder}: {what}, and not the name of a dataset\n"
            f"expected {', '.join(DATASET_NAMES)}, or a folder of IDX files\n"
            "check the spelling and the working folder"
        )
    found = {role: _first(folder, _accepted(stem)) for role, stem in STEMS.items()}
    for part in ("train", "test"):
        images, labels = found[f"{part}_images"], found[f"{part}_labels"]
        if (images is None) != (labels is None):
            there = images or labels
            lacking = STEMS[f"{part}_images" if images is None else f"{part}_labels"]
            raise DataError(
                f"{there}: the other half of the pair is missing\n"
                f"expected {lacking} beside it, with or without .gz\n"
                "add that file, or take this one away"
            )
    if found["train_images"] is None:
        what = "no IDX files" if found["test_images"] is None else "a t10k pair but no training pair"
        raise DataError(f"{folder}: holds {what}\n{expected}\nput these files there, or name another folder")
    return _as_files(found)


def _as_files(found: dict[str, Path | None]) -> DatasetFiles:
    """The files by role, once they are known to be complete pairs."""
    train_images, train_labels, test_images, test_labels = (found[role] for role in STEMS)
    assert train_images is not None and train_labels is not None
    test = FilePair(test_images, test_labels) if test_images is not None and test_labels is not None else None
    return DatasetFiles(FilePair(train_images, train_labels), test)


def _accepted(stem: str) -> list[str]:
    """The names under which a file of a user's own folder is looked for, the best first."""
    dotted = stem.replace("-idx", ".idx")
    return [f"{stem}.gz", stem, f"{dotted}.gz", dotted]


def _first(folder: Path, names: list[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _check_labels(files: DatasetFiles, labels: np.ndarray, train_count: int, highest: int) -> None:
    worst = int(labels.argmax())
    if labels[worst] > highest:
        pair, place = (files.train, worst) if worst < train_count else (files.pairs[-1], worst - train_count)
        raise DataError(
            f"{pair.labels}: label {labels[worst]} at entry {place} (counted from 0)\n"
            f"expected labels from 0 to {highest}\n"
            "correct the labels and make the file again"
        )


def _digits(labels: np.ndarray) -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(max(10, int(labels.max()) + 1)))


def _fingerprint(images: np.ndarray, labels: np.ndarray, train_count: int) -> str:
    digest = hashlib.sha256()
    digest.update(f"images {images.shape} labels {labels.shape} train {train_count}\n".encode())
    digest.update(images.data)
    digest.update(labels.data)
    return f"sha256:{digest.hexdigest()}"
