"""The work that is timed: networks, their batch sizes, and the same images for everybody."""

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
"""Images of an epoch: whole batches of 10, 64, 128 and 256, so that nobody has a short last one."""


@dataclass(frozen=True)
class Case:
    """K networks of these layers, from inputs to outputs, and an epoch of so many images in batches.

    ``options`` are further config keys of mlptrain; the peers do not know them.
    """

    layers: tuple[int, ...]
    activation: str
    batch: int
    images: int = WHOLE
    members: int = 1
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        """Layers as people write them."""
        return "-".join(map(str, self.layers))

    def config(self) -> dict[str, Any]:
        """As values of a config of mlptrain."""
        values = {"hidden": self.layers[1:-1], "activation": self.activation, "batch_size": self.batch}
        return {**values, "learning_rate": RATE, "epochs": 1, **dict(self.options)}


CASES = (
    Case((784, 15, 10), "sigmoid", 64),
    Case((784, 30, 10), "sigmoid", 10),
    Case((784, 128, 10), "relu", 64),
    Case((784, 512, 512, 10), "relu", 128, WHOLE // 2),
    Case((784, 1024, 1024, 1024, 10), "relu", 256, WHOLE // 4 // 256 * 256),
)
"""The five of the design page; of the two large ones an epoch is shorter, which changes no ratio."""


class Data(NamedTuple):
    """The same images as the engine takes them (bytes) and as the peers do: ``x`` (n, 784) float32, ``labels`` (n,)."""

    dataset: Dataset
    x: np.ndarray
    labels: np.ndarray


def load(count: int, data_dir: Path | None) -> Data:
    """The first images of MNIST where its files are there, else random bytes."""
    import numpy as np

    from mlptrain.datasets.dataset import Dataset
    from mlptrain.errors import DataError
    from mlptrain.runs.job import load_dataset

    try:
        dataset = load_dataset("mnist", data_dir=data_dir)
    except DataError:
        rng, names = np.random.default_rng(0), tuple("0123456789")
        images, labels = rng.integers(0, 256, (count, 784), np.uint8), rng.integers(0, 10, count, np.uint8)
        dataset = Dataset("random bytes (no MNIST there)", images, labels, count, (28, 28), names, "")
    x = dataset.images[:count].astype(np.float32) / np.float32(255)
    return Data(dataset, x, dataset.labels[:count].astype(np.int64))
