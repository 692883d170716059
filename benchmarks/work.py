"""The networks that are timed, their batch sizes, and the images that all contestants train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

# NumPy, and whatever imports it, is imported within the functions: the threads have to be chosen first.
if TYPE_CHECKING:
    import numpy as np

    from mlptrain.datasets.dataset import Dataset

RATE = 0.05
WHOLE = 48_640
"""Images per epoch: a multiple of the batch sizes 10, 64, 128 and 256, so that no last batch is short."""


@dataclass(frozen=True)
class Case:
    """K networks with the same layers, from inputs to outputs, and the images and the batch size of an epoch.

    ``options`` are further config keys, which only mlptrain uses.
    """

    layers: tuple[int, ...]
    activation: str
    batch: int
    images: int = WHOLE
    members: int = 1
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """The layer sizes joined by hyphens."""
        return "-".join(map(str, self.layers))

    def config(self) -> dict[str, Any]:
        """Return the values of a config of mlptrain."""
        values = {"hidden": self.layers[1:-1], "activation": self.activation, "batch_size": self.batch}
        return {**values, "learning_rate": RATE, "epochs": 1, **dict(self.options)}


CASES = (
    Case((784, 15, 10), "sigmoid", 64),
    Case((784, 30, 10), "sigmoid", 10),
    Case((784, 128, 10), "relu", 64),
    Case((784, 512, 512, 10), "relu", 128, WHOLE // 2),
    Case((784, 1024, 1024, 1024, 10), "relu", 256, WHOLE // 4 // 256 * 256),
)
"""The five networks of the benchmark; the two large ones have shorter epochs, which does not change the ratios."""


class Data(NamedTuple):
    """The images as a `Dataset` for mlptrain, and as ``x`` (n, 784) float32 with ``labels`` (n,) for the peers."""

    dataset: Dataset
    x: np.ndarray
    labels: np.ndarray


def load(count: int, data_dir: Path | None) -> Data:
    """Return the first ``count`` images of MNIST, or random bytes if its files are missing."""
    import numpy as np

    from mlptrain.datasets.dataset import Dataset
    from mlptrain.errors import DataError
    from mlptrain.runs.job import load_dataset

    try:
        dataset = load_dataset("mnist", data_dir=data_dir)
    except DataError:
        rng, names = np.random.default_rng(0), tuple("0123456789")
        images, labels = rng.integers(0, 256, (count, 784), np.uint8), rng.integers(0, 10, count, np.uint8)
        dataset = Dataset("random bytes (MNIST is missing)", images, labels, count, (28, 28), names, "")
    x = dataset.images[:count].astype(np.float32) / np.float32(255)
    return Data(dataset, x, dataset.labels[:count].astype(np.int64))
