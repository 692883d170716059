"""Batches: shuffled images gathered from bytes into blocks of floats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlptrain.config.config import Augment, Config
from mlptrain.datasets.augment import Augmenter
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.arrays import Bytes, Floats, Indices, Integers
from mlptrain.engine.parameters import empty_aligned
from mlptrain.system.machine import threads_for

CHUNK_IMAGES = 2048
"""Number of images gathered at once, in one call for many batches. As float32 they take 6.4 MB, which stay in a shared
third-level cache until the matrix products have used them."""

AHEAD_BATCH = 32
"""Smallest batch for which images are gathered ahead without augmentation."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive batches of one size: ``x`` (steps, batch, pixels) in [0, 1], one-hot ``y`` (steps, classes, batch),
    ``labels`` (steps, batch). The arrays are buffers, valid until the next chunk is requested.
    """

    x: Floats
    y: Floats
    labels: Integers


class _Buffers:
    """Memory for one chunk."""

    def __init__(self, rows: int, pixels: int, classes: int, dtype: np.dtype) -> None:
        self.bytes = np.empty((rows, pixels), np.uint8)
        self.x = empty_aligned((rows, pixels), dtype)
        self.y = np.empty(rows * classes, dtype)


class Batches:
    """The batches of an epoch over some images of a dataset: each image once, and the last batch may be smaller.

    Images remain bytes in the dataset and become floats, pixel / 255, when they are gathered, so that memory for one
    chunk is enough for a dataset of any size. With ``ahead`` it takes memory for two: a thread gathers and augments the
    images of the next chunk while the network trains on this one.
    """

    def __init__(
        self,
        dataset: Dataset,
        indices: Indices,
        batch_size: int,
        classes: int,
        dtype: str | np.dtype,
        augmentation: Augment | None = None,
        *,
        ahead: bool = False,
    ) -> None:
        self.dataset = dataset
        self.indices = indices
        self.batch_size = min(batch_size, len(indices))
        self.classes = classes
        self.dtype = np.dtype(dtype)
        self.rows = min(max(CHUNK_IMAGES // self.batch_size, 1) * self.batch_size, len(indices))
        self.augmenter = None if augmentation is None else Augmenter(dataset.shape, augmentation, dtype)
        pixels = dataset.images.shape[1]
        count = 2 if ahead and self.batch_size < len(indices) else 1
        self._buffers = [_Buffers(self.rows, pixels, classes, self.dtype) for _ in range(count)]
        self._labels = np.arange(classes, dtype=np.uint8)[:, np.newaxis]

    def __len__(self) -> int:
        """Return the number of batches per epoch, ceil(images / batch size)."""
        return -(-len(self.indices) // self.batch_size)

    def epoch(
        self,
        rng: np.random.Generator | None = None,
        augment: Callable[[int], np.random.Generator] | None = None,
        first: int = 0,
    ) -> Iterator[Chunk]:
        """Yield each image once, shuffled by ``rng`` or, without it, in the order of the indices.

        ``augment`` returns the generator for the augmentation of each chunk, given its number within the epoch.
        The first ``first`` batches are skipped; the others are the same as in the complete epoch.
        """
        indices = self.indices if rng is None else self.indices[rng.permutation(len(self.indices))]
        full = len(indices) - len(indices) % self.batch_size
        pieces = [
            (indices[start : min(start + self.rows, full)], self.batch_size) for start in range(0, full, self.rows)
        ]
        if full < len(indices):
            pieces.append((indices[full:], len(indices) - full))
        number = 0
        while number < len(pieces) and first >= (steps := len(pieces[number][0]) // pieces[number][1]):
            number, first = number + 1, first - steps
        for chunk in self._chunks(pieces, number, augment):
            yield Chunk(chunk.x[first:], chunk.y[first:], chunk.labels[first:])
            first = 0

    def _chunks(
        self,
        pieces: Sequence[tuple[Indices, int]],
        first: int,
        augment: Callable[[int], np.random.Generator] | None,
    ) -> Iterator[Chunk]:
        """Yield the chunks of the pieces (indices, batch size) of an epoch, starting with number ``first``."""

        def gather(number: int) -> Chunk:
            rng = None if augment is None else augment(number)
            return self._gather(*pieces[number], self._buffers[number % len(self._buffers)], rng)

        if len(self._buffers) == 1 or first == len(pieces):
            yield from map(gather, range(first, len(pieces)))
            return
        with ThreadPoolExecutor(max_workers=1) as thread:
            following = thread.submit(gather, first)
            for number in range(first + 1, len(pieces) + 1):
                chunk = following.result()
                if number < len(pieces):
                    following = thread.submit(gather, number)
                yield chunk

    def _gather(self, indices: Indices, batch_size: int, buffers: _Buffers, rng: np.random.Generator | None) -> Chunk:
        """Return the images at ``indices``, whose number is a multiple of ``batch_size``, as a chunk."""
        rows, steps = len(indices), len(indices) // batch_size
        raw, x = buffers.bytes[:rows], buffers.x[:rows]
        # mode="clip" lets NumPy write directly into ``out``; the indices are in range.
        np.take(_items(self.dataset.images), indices, out=_items(raw), mode="clip")
        if rng is not None and self.augmenter is not None:
            self.augmenter.apply(raw, rng, x)
        else:
            np.copyto(x, raw)
            x *= self.dtype.type(1 / 255)  # half the time of a division
        labels = self.dataset.labels[indices].reshape(steps, batch_size)
        y = buffers.y[: rows * self.classes].reshape(steps, self.classes, batch_size)
        np.equal(labels[:, np.newaxis, :], self._labels, out=y)
        return Chunk(x.reshape(steps, batch_size, -1), y, labels)


def _items(images: Bytes) -> NDArray[np.void]:
    """Return a view of images (n, pixels) as n items, which are copied four times as fast as single bytes."""
    return images.view(f"V{images.shape[1]}")[:, 0]


def batch_size_of(config: Config, images: int) -> int:
    """Return the number of images per batch; ``full`` and sizes above ``images`` give ``images``."""
    return images if config.batch_size == "full" else min(config.batch_size, images)


def training_batches(config: Config, dataset: Dataset, split: Split) -> Batches:
    """Return the batches of the training split, with the batch size, dtype and augmentation of the config."""
    size = batch_size_of(config, len(split.train))
    ahead = gathers_ahead(config, (dataset.images.shape[1], *config.hidden, dataset.classes), size)
    return Batches(dataset, split.train, size, dataset.classes, config.dtype, config.augment, ahead=ahead)


def gathers_ahead(config: Config, layers: Sequence[int], batch_size: int) -> bool:
    """Return whether a thread gathers the next images while a network with ``layers`` trains.

    It always augments them. Without augmentation it makes networks with one BLAS thread 1.05 to 1.16 times as fast if a
    core is idle. It would take time from the second BLAS thread of larger networks, and with small batches from the
    network itself if all cores are busy, because the network waits for Python's lock at every call.
    """
    return config.augment is not None or (batch_size >= AHEAD_BATCH and threads_for(layers, batch_size) == 1)
