"""Batches: shuffled images gathered from bytes into float blocks of equal batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mlptrain.datasets.dataset import Dataset

# Images gathered at once. One call for many batches instead of one a batch; as float32 they take 6.4 MB, which
# stays in a shared third-level cache until the products have used it.
CHUNK = 2048


@dataclass(frozen=True)
class Chunk:
    """``steps`` batches of one size: ``x`` (steps, batch, pixels) in [0, 1], one-hot ``y`` (steps, classes, batch),
    ``labels`` (steps, batch). The arrays are buffers, overwritten by the next chunk.
    """

    x: np.ndarray
    y: np.ndarray
    labels: np.ndarray


class Batches:
    """The batches of an epoch over some images of a dataset: every image once, the last batch as short as it falls.

    Images stay bytes in the dataset and become floats, pixel / 255, as they are gathered; so the memory taken
    is one chunk, whatever the size of the data.
    """

    def __init__(
        self, dataset: Dataset, indices: np.ndarray, batch_size: int, classes: int, dtype: str | np.dtype
    ) -> None:
        self.dataset = dataset
        self.indices = indices
        self.batch_size = min(batch_size, len(indices))
        self.classes = classes
        rows = min(max(CHUNK // self.batch_size, 1) * self.batch_size, len(indices))
        pixels = dataset.images.shape[1]
        self._bytes = np.empty((rows, pixels), np.uint8)
        self._x = np.empty((rows, pixels), dtype)
        self._y = np.empty(rows * classes, dtype)
        self._scale = self._x.dtype.type(255)
        self._digits = np.arange(classes, dtype=np.uint8)[:, np.newaxis]

    def __len__(self) -> int:
        """Batches an epoch: ceil(images / batch size)."""
        return -(-len(self.indices) // self.batch_size)

    def epoch(self, rng: np.random.Generator | None = None) -> Iterator[Chunk]:
        """Every image once, shuffled by ``rng`` or, without one, in the order of the indices."""
        indices = self.indices if rng is None else self.indices[rng.permutation(len(self.indices))]
        whole = len(indices) - len(indices) % self.batch_size
        for start in range(0, whole, len(self._x)):
            yield self._gather(indices[start : min(start + len(self._x), whole)], self.batch_size)
        if whole < len(indices):
            yield self._gather(indices[whole:], len(indices) - whole)

    def _gather(self, indices: np.ndarray, batch_size: int) -> Chunk:
        """The images at ``indices``, a multiple of ``batch_size``, as a chunk."""
        rows, steps = len(indices), len(indices) // batch_size
        raw, x = self._bytes[:rows], self._x[:rows]
        # mode="clip" lets NumPy write straight into ``out``; the indices are in range.
        np.take(self.dataset.images, indices, axis=0, out=raw, mode="clip")
        np.copyto(x, raw)
        x /= self._scale
        labels = self.dataset.labels[indices].reshape(steps, batch_size)
        y = self._y[: rows * self.classes].reshape(steps, self.classes, batch_size)
        np.equal(labels[:, np.newaxis, :], self._digits, out=y)
        return Chunk(x.reshape(steps, batch_size, -1), y, labels)
