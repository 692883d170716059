"""From a config to its batches: size, order, augmentation."""

from __future__ import annotations

from mlptrain.config import Config
from mlptrain.datasets.augment import Augmentation
from mlptrain.datasets.batches import Batches
from mlptrain.datasets.dataset import Dataset
from mlptrain.datasets.split import Split
from mlptrain.engine.arrays import aligned


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
    return Batches(dataset, split.train, size, dataset.classes, config.dtype, augmentation, empty=aligned)
