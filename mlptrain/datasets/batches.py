"""Batches: shuffled images gathered from bytes into float blocks of equal batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from mlptrain.config.config import Config
from mlptrain.datasets.augment import Augmentation, Augmenter
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.parameters import aligned

# Images gathered at once. One call for many batches instead of one a batch; as float32 they take 6.4 MB, which
# stays in a shared third-level cache until the products have used it.
CHUNK = 2048


@dataclass(frozen=True)
class Chunk:
    """``steps`` batches of one size: ``x`` (steps, batch, pixels) in [0, 1], one-hot ``y`` (steps, classes, batch),
    ``labels`` (steps, batch). The arrays are buffers, overwritten by the next chunk but one.
    """

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray

    def after(self, steps: int) -> Chunk:
        """The batches that follow the first ``steps``."""
        return Chunk(self.x[steps:], self.y[steps:], self.labels[steps:])


def _items(images: np.ndarray) -> np.ndarray:
    """Images (n, pixels) as n items of as many bytes, without a copy."""
    return images.view(f"V{images.shape[1]}")[:, 0]


class _Buffers:
    """Where one chunk is made."""

    def __init__(self, rows: int, pixels: int, classes: int, dtype: np.dtype) -> None:
        self.bytes = np.empty((rows, pixels), np.uint8)
        self.x = aligned((rows, pixels), dtype)
        self.y = np.empty(rows * classes, dtype)


class Batches:
    """The batches of an epoch over some images of a dataset: every image once, the last batch as short as it falls.

    Images stay bytes in the dataset and become floats, pixel / 255, as they are gathered; so the memory taken
    is one chunk, whatever the size of the data. With an augmentation there are two: the next chunk's images are
    moved on a thread of their own while the network trains on this one.
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: np.ndarray,
        batch_size: int,
        classes: int,
        dtype: str | np.dtype,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.dataset = dataset
        self.indices = indices
        self.batch_size = min(batch_size, len(indices))
        self.classes = classes
        self.dtype = np.dtype(dtype)
        self.rows = min(max(CHUNK // self.batch_size, 1) * self.batch_size, len(indices))
        self.augmenter = None
        if augmentation is not None:
            self.augmenter = Augmenter(dataset.shape, augmentation, dtype)
        pixels = dataset.images.shape[1]
        count = 2 if augmentation else 1
        self._buffers = [_Buffers(self.rows, pixels, classes, self.dtype) for _ in range(count)]
        self._digits = np.arange(classes, dtype=np.uint8)[:, np.newaxis]

    def __len__(self) -> int:
        """Batches an epoch: ceil(images / batch size)."""
        return -(-len(self.indices) // self.batch_size)

    def epoch(
        self,
        rng: np.random.Generator | None = None,
        augment: Callable[[int], np.random.Generator] | None = None,
        first: int = 0,
    ) -> Iterator[Chunk]:
        """Every image once, shuffled by ``rng`` or, without one, in the order of the indices.

        ``augment`` gives the generator for each chunk, by its number within the epoch, where images are moved.
        The first ``first`` batches are left out; those that follow are what they are in the whole epoch.
        """
        indices = self.indices if rng is None else self.indices[rng.permutation(len(self.indices))]
        whole = len(indices) - len(indices) % self.batch_size
        pieces = [
            (indices[start : min(start + self.rows, whole)], self.batch_size) for start in range(0, whole, self.rows)
        ]
        if whole < len(indices):
            pieces.append((indices[whole:], len(indices) - whole))
        number = 0
        while number < len(pieces) and first >= (steps := len(pieces[number][0]) // pieces[number][1]):
            number, first = number + 1, first - steps
        for chunk in self._made(pieces, number, augment):
            yield chunk.after(first) if first else chunk
            first = 0

    def _made(
        self,
        pieces: Sequence[tuple[np.ndarray, int]],
        first: int,
        augment: Callable[[int], np.random.Generator] | None,
    ) -> Iterator[Chunk]:
        """The chunks of these pieces (indices, batch size) of an epoch, from number ``first`` on."""
        if self.augmenter is None or augment is None:
            for rows, batch_size in pieces[first:]:
                yield self._gather(rows, batch_size, self._buffers[0], None)
            return
        with ThreadPoolExecutor(max_workers=1) as thread:
            ahead: Future[Chunk] | None = None
            for number in range(first, len(pieces) + 1):
                chunk = None if ahead is None else ahead.result()
                if number < len(pieces):
                    ahead = thread.submit(self._gather, *pieces[number], self._buffers[number % 2], augment(number))
                if chunk is not None:
                    yield chunk

    def _gather(
        self, indices: np.ndarray, batch_size: int, buffers: _Buffers, rng: np.random.Generator | None
    ) -> Chunk:
        """The images at ``indices``, a multiple of ``batch_size``, as a chunk."""
        rows, steps = len(indices), len(indices) // batch_size
        raw, x = buffers.bytes[:rows], buffers.x[:rows]
        # mode="clip" lets NumPy write straight into ``out``; the indices are in range. An image taken as one item
        # is copied as a whole, four times as fast as byte by byte.
        np.take(_items(self.dataset.images), indices, out=_items(raw), mode="clip")
        if rng is not None and self.augmenter is not None:
            self.augmenter.apply(raw, rng, x)
        else:
            np.copyto(x, raw)
            x *= self.dtype.type(1 / 255)  # half the time of a division
        labels = self.dataset.labels[indices].reshape(steps, batch_size)
        y = buffers.y[: rows * self.classes].reshape(steps, self.classes, batch_size)
        np.equal(labels[:, np.newaxis, :], self._digits, out=y)
        return Chunk(x.reshape(steps, batch_size, -1), y, labels)


def batch_size_of(config: Config, images: int) -> int:
    """Examples a step: the config's batch size, or all ``images`` where it is ``full`` or larger."""
    return images if config.batch_size == "full" else min(config.batch_size, images)


def augmentation_of(config: Config) -> Augmentation | None:
    """The config's augmentation, or None where images stay as they are."""
    if config.augment is None:
        return None
    values = config.augment.model_dump(exclude={"elastic"})
    elastic = config.augment.elastic
    if elastic is not None:
        values |= {"elastic_alpha": elastic.alpha, "elastic_sigma": elastic.sigma}
    return Augmentation(**values)


def training_batches(config: Config, dataset: Dataset, split: Split) -> Batches:
    """The training part in batches of the config's size and type, augmented as it says."""
    size = batch_size_of(config, len(split.train))
    augmentation = augmentation_of(config)
    return Batches(dataset, split.train, size, dataset.classes, config.dtype, augmentation)
