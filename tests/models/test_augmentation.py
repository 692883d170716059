from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Augment
from mlptrain.datasets.augment import Augmenter
from mlptrain.engine.streams import stream
from mlptrain.errors import ConfigError, UsageError
from mlptrain.models.augmentation import SEED, STRENGTH, copies_augmentation, mean_outputs_of_copies
from mlptrain.models.model import Model
from tests.made import random_model, sample

AMOUNTS: dict[str, Any] = {"shift": 2, "rotate": 15, "scale": 0.2, "shear": 0.1, "elastic": {"alpha": 36, "sigma": 5}}
IMAGES = sample().images[:600].reshape(-1, 28, 28)  # more than one block


def trained_with(
    amounts: object, output: str = "softmax", loss: str = "cross_entropy", dtype: str = "float64"
) -> Model:
    made = random_model(784, 5, 10, output=output, loss=loss, dtype=dtype)
    return replace(made, config={"augment": amounts})


@pytest.mark.parametrize("amounts", [AMOUNTS, {"shift": 3}, {"elastic": {"alpha": 60, "sigma": 4}}])
def test_the_outputs_are_the_mean_of_those_of_the_copies(amounts: dict[str, Any]) -> None:
    model, some = trained_with(amounts), [0, 64, 511, 512, 599]
    total = np.zeros((len(some), 10))
    augmenter = Augmenter((28, 28), copies_augmentation(model, 3), "float64")
    for copy in range(3):
        for index, image in enumerate(IMAGES[some].reshape(-1, 1, 784)):
            deformed = np.empty((1, 784))
            augmenter.apply_same(image, stream(SEED, "augment", copy // 2), deformed, opposite=copy == 1)
            total[index] += model.probabilities(deformed)[0]
    found = mean_outputs_of_copies(model, IMAGES, 3)[some]
    np.testing.assert_allclose(found, total / 3, rtol=1e-9)
    assert abs(found - model.probabilities(IMAGES[some])).max() > 0.01


def test_the_amounts_are_a_fraction_of_those_in_training() -> None:
    weak = copies_augmentation(trained_with(AMOUNTS), 1)
    elastic: Any = {"alpha": 36 * STRENGTH, "sigma": 5.0}
    expected = {key: STRENGTH * AMOUNTS[key] for key in ("shift", "rotate", "scale", "shear")}
    assert weak == Augment(**expected, elastic=elastic)
    assert 0 < STRENGTH < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_depend_neither_on_other_images_nor_on_the_call(dtype: str) -> None:
    model = trained_with(AMOUNTS, dtype=dtype)
    outputs = mean_outputs_of_copies(model, IMAGES, 4)
    np.testing.assert_array_equal(mean_outputs_of_copies(model, IMAGES, 4), outputs)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(mean_outputs_of_copies(model, IMAGES[[550, 3]], 4), outputs[[550, 3]], rtol=tolerance)
    floats = IMAGES[:9] / np.dtype(dtype).type(255)
    np.testing.assert_allclose(mean_outputs_of_copies(model, floats, 4), outputs[:9], rtol=tolerance)


def test_more_copies_contain_the_fewer() -> None:
    model = trained_with(AMOUNTS)
    one, two = (mean_outputs_of_copies(model, IMAGES[:5], copies) for copies in (1, 2))
    second = 2 * two - one
    assert second.min() >= 0 and abs(second - one).max() > 0.01
    np.testing.assert_allclose(second.sum(axis=1), 1)


def test_models_without_augmentation_and_too_few_copies_are_refused() -> None:
    for config in ({"augment": None}, {}):
        model = replace(random_model(784, 10), config=config)
        with pytest.raises(UsageError, match=r"runs/a: .*without augmentation"):
            copies_augmentation(model, 8, "runs/a")
    for copies in (0, -1):
        with pytest.raises(UsageError, match=f"at least 1 .got {copies}"):
            mean_outputs_of_copies(trained_with(AMOUNTS), IMAGES[:1], copies)
    with pytest.raises(ConfigError, match=r"augment\.shift"):
        mean_outputs_of_copies(trained_with({"shift": -1}), IMAGES[:1], 1)
