from __future__ import annotations

import numpy as np
import pytest

from mlptrain.config.config import Augment
from mlptrain.datasets.batches import CHUNK_IMAGES, Batches
from tests.made import dataset, sample


def epoch(batches: Batches, rng: np.random.Generator | None = None) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return copies of x, y and labels of every batch of an epoch."""
    return [
        (x.copy(), y.copy(), labels.copy())
        for chunk in batches.epoch(rng)
        for x, y, labels in zip(chunk.x, chunk.y, chunk.labels, strict=True)
    ]


def numbered(count: int) -> Batches:
    """Return batches over ``count`` images whose two pixels are their index in base 256."""
    data = dataset(count, pixels=2)
    data.images[:] = np.stack(np.divmod(np.arange(count), 256), axis=1)
    return Batches(data, np.arange(count), 7, 3, "float64")


def numbers(x: np.ndarray) -> list[int]:
    """Return the indices of the images of `numbered`."""
    return np.rint(x @ [256 * 255, 255]).astype(int).tolist()


@pytest.mark.parametrize(
    ("images", "size", "steps"),
    [(10_240, 512, 20), (10_240, 10_240, 1), (60_000, 64, 938), (49_000, 64, 766), (50_000, 10, 5_000), (7, 7, 1)],
)
def test_number_of_batches_per_epoch(images: int, size: int, steps: int) -> None:
    assert len(Batches(dataset(3), np.zeros(images, np.int64), size, 3, "float32")) == steps


@pytest.mark.parametrize("count", [1, 6, 7, 8, 50, CHUNK_IMAGES, CHUNK_IMAGES + 1, 2 * CHUNK_IMAGES + 5])
@pytest.mark.parametrize("shuffled", [True, False])
def test_each_image_occurs_once_per_epoch(count: int, shuffled: bool) -> None:
    batches = numbered(count)
    for repeat in range(2):
        found = epoch(batches, np.random.default_rng(repeat) if shuffled else None)
        sizes = [len(x) for x, _, _ in found]
        assert sizes == [7] * (count // 7) + [count % 7] * (count % 7 > 0)
        assert len(found) == len(batches)
        seen = [number for x, _, _ in found for number in numbers(x)]
        assert sorted(seen) == list(range(count))
        assert (seen == list(range(count))) is (not shuffled or count == 1)


def test_the_given_images_in_their_order() -> None:
    data = dataset(20)
    ((x, _, labels),) = epoch(Batches(data, np.array([11, 3, 5]), 10, 3, "float32"))
    np.testing.assert_array_equal(np.rint(x * 255), data.images[[11, 3, 5]])
    assert labels.tolist() == [2, 0, 2]


def test_pixels_are_bytes_over_255() -> None:
    data = dataset(256, pixels=1)
    data.images[:, 0] = np.arange(256)
    for dtype in map(np.dtype, ("float32", "float64")):
        found = epoch(Batches(data, np.arange(256), 100, 3, dtype))
        x = np.concatenate([x for x, _, _ in found])
        assert x.dtype == dtype
        assert x[0, 0] == 0 and x[-1, 0] == 1
        np.testing.assert_array_max_ulp(x[:, 0], (np.arange(256) / 255).astype(dtype), 1)


def test_targets_are_one_hot_columns() -> None:
    data = dataset(11, classes=4)
    for _, y, labels in epoch(Batches(data, np.arange(11), 4, 4, "float32"), np.random.default_rng(0)):
        assert y.shape == (4, len(labels)) and y.dtype == np.float32
        for column, label in enumerate(labels):
            assert y[:, column].tolist() == [float(digit == label) for digit in range(4)]


def test_images_keep_their_labels_when_shuffled() -> None:
    data = sample()
    expected = {image.tobytes(): label for image, label in zip(data.images, data.labels, strict=True)}
    for x, _, labels in epoch(Batches(data, np.arange(0, 5000, 7), 64, 10, "float32"), np.random.default_rng(0)):
        images = np.rint(x * 255).astype(np.uint8)
        assert [expected[image.tobytes()] for image in images] == labels.tolist()


def test_the_generator_decides_the_order() -> None:
    batches = numbered(50)

    def order(rng: np.random.Generator) -> list[int]:
        return [number for x, _, _ in epoch(batches, rng) for number in numbers(x)]

    assert order(np.random.default_rng(1)) == order(np.random.default_rng(1))
    assert order(np.random.default_rng(1)) != order(np.random.default_rng(2))
    rng = np.random.default_rng(1)
    assert order(rng) != order(rng), "each epoch is shuffled differently"


def test_a_batch_is_at_most_all_images() -> None:
    batches = Batches(dataset(5), np.arange(5), 64, 3, "float32")
    assert (batches.batch_size, len(batches)) == (5, 1)
    ((x, _, _),) = epoch(batches, np.random.default_rng(0))
    assert len(x) == 5


def test_a_batch_larger_than_a_chunk() -> None:
    count = 2 * CHUNK_IMAGES + 3
    batches = Batches(dataset(count, pixels=1), np.arange(count), CHUNK_IMAGES + 1, 3, "float32")
    assert [len(x) for x, _, _ in epoch(batches)] == [CHUNK_IMAGES + 1, CHUNK_IMAGES + 1, 1]


def test_the_dataset_is_not_modified() -> None:
    data = dataset(30)
    images, labels, indices = data.images.copy(), data.labels.copy(), np.arange(30)
    epoch(Batches(data, indices, 8, 3, "float32"), np.random.default_rng(0))
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, labels)
    assert indices.tolist() == list(range(30))


@pytest.mark.parametrize("augmented", [False, True])
@pytest.mark.parametrize(("count", "size"), [(CHUNK_IMAGES + 100, 64), (41, 8), (40, 8), (5000, 2500), (3, 3)])
def test_skipping_batches_does_not_change_the_others(count: int, size: int, augmented: bool) -> None:
    """And gathering ahead changes none."""
    augmentation = Augment(shift=1) if augmented else None
    one_by_one, batches = (
        Batches(dataset(count, 4, 3), np.arange(count), size, 3, "float32", augmentation, ahead=ahead)
        for ahead in (False, True)
    )

    def epoch(first: int, batches: Batches = batches) -> list[tuple[bytes, bytes, bytes]]:
        def augment(number: int) -> np.random.Generator:
            return np.random.default_rng(number)

        return [
            (x.tobytes(), y.tobytes(), labels.tobytes())
            for chunk in batches.epoch(np.random.default_rng(0), augment, first)
            for x, y, labels in zip(chunk.x, chunk.y, chunk.labels, strict=True)
        ]

    complete = epoch(0)
    assert len(complete) == len(batches)
    assert complete == epoch(0, one_by_one)
    for first in {0, 1, 5, len(batches) - 1, len(batches)} & set(range(len(batches) + 1)):
        assert epoch(first) == complete[first:]
