"""Test-time augmentation: outputs averaged over deformed copies of each image."""

from __future__ import annotations

import numpy as np

from mlptrain.config.config import Augment, config_from
from mlptrain.config.yaml import Document
from mlptrain.datasets.augment import Augmenter
from mlptrain.engine.arrays import Bytes, Floats
from mlptrain.engine.losses import outputs
from mlptrain.engine.network import ForwardPass
from mlptrain.engine.streams import stream
from mlptrain.errors import UsageError
from mlptrain.models.model import PIXEL_SCALE, Model, require_finite

STRENGTH = 0.35
"""Amounts of the deformations as a fraction of those in training (benchmarks/LOG.md)."""

SEED = 0
"""Seed of the deformations."""

_BATCH = 512  # images per forward pass


def copies_augmentation(model: Model, copies: int, name: str = "the model") -> Augment:
    """Return the augmentation with which ``model`` was trained at `STRENGTH`; ``name`` is for messages.

    Raises
    ------
    UsageError
        The model was trained without augmentation, or there is no copy.
    """
    if copies < 1:
        raise UsageError(f"augment: must be at least 1 (got {copies})\nhint: use augment=16, or None for plain outputs")
    config = config_from(Document(f"{name}: config", {"augment": model.config.get("augment")}, {}))
    if config.augment is None:
        raise UsageError(
            f"{name}: cannot average over deformed copies, because it was trained without augmentation\n"
            "hint: leave out --augment, or train with augmentation, such as augment.shift=1"
        )
    amounts = config.augment.model_dump()
    elastic = amounts.pop("elastic")
    if elastic:
        elastic["alpha"] *= STRENGTH
    return Augment(**{key: STRENGTH * amount for key, amount in amounts.items()}, elastic=elastic)


def mean_outputs_of_copies(model: Model, images: Bytes | Floats, copies: int) -> Floats:
    """Return the output activations (n, classes), averaged over deformed copies in float64.

    Copies 2i and 2i + 1 of every image are deformed by map i and by its opposite. The maps come from fixed streams, so
    the outputs for an image do not depend on the other images. Pairs of opposites have no mean shift or rotation,
    which few random maps would have, in the same direction for all images (benchmarks/LOG.md).

    Parameters
    ----------
    images
        ``(n, height, width)``: bytes, or floats in [0, 1].

    Raises
    ------
    UsageError
        The model was trained without augmentation, or there is no copy.
    DataError
        An output is not finite.
    """
    network, (count, *shape) = model.network(), images.shape
    augmenter = Augmenter((shape[0], shape[1]), copies_augmentation(model, copies), network.dtype)
    pixels = images.reshape(count, -1)
    if images.dtype != np.uint8:
        pixels = pixels * network.dtype.type(PIXEL_SCALE)
    total = np.zeros((count, model.architecture.layers[-1]))
    for start in range(0, count, _BATCH):
        block = pixels[start : start + _BATCH]
        forward, x = ForwardPass(network, len(block)), np.empty(block.shape, network.dtype)
        logits = np.empty((1, total.shape[1], len(block)), network.dtype)
        for copy in range(copies):
            augmenter.apply_same(block, stream(SEED, "augment", copy // 2), x, opposite=copy % 2 == 1)
            with np.errstate(over="ignore", invalid="ignore"):
                forward.forward(x, logits)
                # float32 would round outputs to 0 or 1
                a = outputs(model.architecture.output, require_finite(logits[0]).astype(np.float64))
            total[start : start + _BATCH] += a.T
    return total / copies
