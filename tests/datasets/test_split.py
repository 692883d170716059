from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import Split, class_counts, make_split, split_sizes
from mlptrain.errors import ConfigError

SEVENTY = (0.7, 0.2, 0.1)


def made(sizes: list[int], test: int = 0, seed: int = 0) -> Dataset:
    """Return one-pixel images in random order, ``sizes`` per class; the last ``test`` are the test file."""
    labels = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    labels = np.random.default_rng(seed).permutation(labels)
    return Dataset(
        name="made",
        images=np.zeros((len(labels), 1), np.uint8),
        labels=labels,
        train_count=len(labels) - test,
        shape=(1, 1),
        class_names=tuple(str(label) for label in range(len(sizes))),
        fingerprint="sha256:0",
    )


@pytest.fixture(scope="module")
def sample() -> Dataset:
    return load_dataset("sample", Path("data"))


def splits(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


def check_cover(split: Split, count: int) -> None:
    together = np.concatenate(splits(split))
    assert together.dtype == np.int64
    assert np.sort(together).tolist() == list(range(count))


def error_of(dataset: Dataset, split: tuple[float, float, float] | str, subset: int | None = None) -> str:
    """Return the first line of the message with which a split is refused."""
    with pytest.raises(ConfigError) as caught:
        make_split(dataset, split, seed=0, subset=subset)
    lines = str(caught.value).split("\n")
    assert len(lines) <= 3 and lines[-1].startswith("hint: ")
    return lines[0]


def test_sample(sample: Dataset) -> None:
    split = make_split(sample, SEVENTY, seed=0)
    check_cover(split, 5000)
    assert [np.bincount(sample.labels[indices]).tolist() for indices in splits(split)] == [
        [350] * 10,
        [100] * 10,
        [50] * 10,
    ]


@pytest.mark.parametrize(
    ("count", "fractions", "totals"),
    [
        (70_000, "0.7 0.2 0.1", [49_000, 14_000, 7_000]),
        (5_000, "0.7 0.2 0.1", [3_500, 1_000, 500]),
        (10, "0.34 0.33 0.33", [4, 3, 3]),
        (11, "0.34 0.33 0.33", [4, 4, 3]),  # 3.74 3.63 3.63: the earlier split wins the tie
        (7, "0.7 0.2 0.1", [5, 1, 1]),  # 4.9 1.4 0.7
        (1, "0.5 0.25 0.25", [1, 0, 0]),
    ],
)
def test_sizes_by_largest_remainder(count: int, fractions: str, totals: list[int]) -> None:
    assert split_sizes(count, [Fraction(text) for text in fractions.split()]) == totals


def test_class_counts_by_hand() -> None:
    """Shares 1.5, 0.75 and 0.75 of both classes; sizes 3, 2 and 1 leave one class without a third image."""
    quarters = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]
    assert split_sizes(6, quarters) == [3, 2, 1]
    table = class_counts([3, 3], quarters)
    assert sorted(table) == [[1, 1, 1], [2, 1, 0]]


def test_class_counts_on_random_sizes() -> None:
    rng = np.random.default_rng(5)
    for _ in range(400):
        sizes = rng.integers(0, rng.choice([2, 5, 60, 7000]), rng.integers(1, 30)).tolist()
        cuts = np.sort(rng.choice(np.arange(1, rng.choice([4, 10, 1000])), 2, replace=False)).tolist()
        whole = rng.integers(cuts[1] + 1, cuts[1] + 50)
        fractions = [Fraction(int(n), int(whole)) for n in (cuts[0], cuts[1] - cuts[0], whole - cuts[1])]
        table = class_counts(sizes, fractions)
        assert [sum(row) for row in table] == sizes
        assert [sum(column) for column in zip(*table, strict=True)] == split_sizes(sum(sizes), fractions)
        for size, row in zip(sizes, table, strict=True):
            for fraction, count in zip(fractions, row, strict=True):
                assert 0 <= count <= size
                assert abs(count - size * fraction) < 1


def test_random_datasets_are_stratified() -> None:
    rng = np.random.default_rng(6)
    for seed in range(20):
        dataset = made(rng.integers(5, 300, rng.integers(2, 20)).tolist(), seed=seed)
        split = make_split(dataset, SEVENTY, seed=seed)
        check_cover(split, len(dataset.labels))
        sizes = np.bincount(dataset.labels)
        for indices, fraction in zip(splits(split), SEVENTY, strict=True):
            counts = np.bincount(dataset.labels[indices], minlength=len(sizes))
            assert np.abs(counts - sizes * fraction).max() <= 1 + 1e-9


def test_class_without_images() -> None:
    dataset = made([20, 0, 30])
    check_cover(make_split(dataset, SEVENTY, seed=0), 50)


def test_same_seed_same_split(sample: Dataset) -> None:
    one, other = make_split(sample, SEVENTY, seed=3), make_split(sample, SEVENTY, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(splits(one), splits(other), strict=True))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint.startswith("sha256:") and len(one.fingerprint) == 7 + 64


def test_other_seed_other_split(sample: Dataset) -> None:
    one, other = make_split(sample, SEVENTY, seed=3), make_split(sample, SEVENTY, seed=4)
    for a, b in zip(splits(one), splits(other), strict=True):
        assert len(a) == len(b)
        assert len(np.intersect1d(a, b)) < 0.8 * len(a)
    assert one.fingerprint != other.fingerprint


def test_fingerprint_by_hand() -> None:
    """The lengths and the indices, each as a little-endian int64."""
    split = make_split(made([7], test=1), "official", seed=0)
    assert [indices.tolist() for indices in splits(split)] == [[0, 1, 2, 3, 4], [5], [6]]
    # hashlib.sha256(struct.pack("<10q", 5, 0, 1, 2, 3, 4, 1, 5, 1, 6)).hexdigest()
    assert split.fingerprint == "sha256:fd639d78b9d7bba90aae59a121333f7bb8c046486f8e87ffbf615c127a807fa4"


@pytest.mark.parametrize("sizes", [[500] * 10, [900, 90, 10, 300]])
def test_every_prefix_is_approximately_stratified(sizes: list[int]) -> None:
    dataset = made(sizes)
    train = make_split(dataset, SEVENTY, seed=1).train
    counts = np.eye(len(sizes))[dataset.labels[train]].cumsum(axis=0)
    exact = np.arange(1, len(train) + 1)[:, None] * counts[-1] / len(train)
    assert np.abs(counts - exact).max() < 2.5  # about 20 in a random order


def test_the_training_split_is_shuffled(sample: Dataset) -> None:
    train = make_split(sample, SEVENTY, seed=0).train
    zeros = train[sample.labels[train] == 0]
    assert abs(np.corrcoef(zeros, np.arange(len(zeros)))[0, 1]) < 0.2
    labels = sample.labels[train]
    assert len({tuple(labels[start : start + 10]) for start in range(0, 3500, 10)}) > 300, "the order of classes varies"


def test_subset_is_a_prefix(sample: Dataset) -> None:
    whole = make_split(sample, SEVENTY, seed=2)
    small = make_split(sample, SEVENTY, seed=2, subset=100)
    assert small.train.tolist() == whole.train[:100].tolist()
    assert np.array_equal(small.validation, whole.validation)
    assert np.array_equal(small.test, whole.test)
    assert small.fingerprint != whole.fingerprint
    counts = np.bincount(sample.labels[small.train])
    assert counts.min() >= 8 and counts.max() <= 12
    assert make_split(sample, SEVENTY, seed=2, subset=3500).fingerprint == whole.fingerprint


def test_subset_larger_than_the_training_split(sample: Dataset) -> None:
    message = error_of(sample, SEVENTY, subset=3501)
    assert message.startswith("subset: ") and "3500" in message and "3501" in message


def test_official() -> None:
    """The 60,000 and 10,000 images of MNIST scaled to 60 and 10, in file order for every seed."""
    dataset = made([7] * 10, test=10)
    for seed in (0, 1):
        split = make_split(dataset, "official", seed=seed)
        assert split.train.tolist() == list(range(50))
        assert split.validation.tolist() == list(range(50, 60))
        assert split.test.tolist() == list(range(60, 70))
        assert split.train.dtype == np.int64
    assert make_split(dataset, "official", seed=0, subset=7).train.tolist() == list(range(7))


@pytest.mark.parametrize(("count", "train"), [(61, 51), (62, 52), (63, 53), (64, 53), (65, 54), (66, 55)])
def test_official_rounds(count: int, train: int) -> None:
    split = make_split(made([count + 5], test=5), "official", seed=0)
    assert [len(indices) for indices in splits(split)] == [train, count - train, 5]


def test_official_60k() -> None:
    split = make_split(made([7] * 10, test=10), "official-60k", seed=0)
    assert split.train.tolist() == list(range(60))
    assert split.validation.tolist() == []
    assert split.validation.dtype == np.int64
    assert split.test.tolist() == list(range(60, 70))


@pytest.mark.parametrize("name", ["official", "official-60k"])
def test_official_needs_a_test_file(sample: Dataset, name: str) -> None:
    message = error_of(sample, name)
    assert message.startswith(f"split: {name} ") and "sample" in message


def test_thirds(sample: Dataset) -> None:
    third = 1 / 3
    assert sorted(len(indices) for indices in splits(make_split(sample, (third, third, third), seed=0))) == [
        1666,
        1667,
        1667,
    ]


def test_empty_split() -> None:
    message = error_of(made([2, 2]), (0.8, 0.1, 0.1))
    assert message.startswith("split: [0.8, 0.1, 0.1] of 4 images gives 3 ")
    assert "1 for validation" in message and "0 for test" in message
    assert "0 for validation" in error_of(made([2], test=1), "official")


@pytest.mark.mnist
@pytest.mark.skipif("MLPTRAIN_DATA_DIR" not in os.environ, reason="MLPTRAIN_DATA_DIR is not set")
def test_mnist() -> None:
    dataset = load_dataset("mnist", Path(os.environ["MLPTRAIN_DATA_DIR"]))
    split = make_split(dataset, SEVENTY, seed=0)
    assert [len(indices) for indices in splits(split)] == [49_000, 14_000, 7_000]
    check_cover(split, 70_000)
    sizes = np.bincount(dataset.labels)
    for indices, fraction in zip(splits(split), SEVENTY, strict=True):
        assert np.abs(np.bincount(dataset.labels[indices]) - sizes * fraction).max() <= 1
    official = make_split(dataset, "official", seed=0)
    assert [len(indices) for indices in splits(official)] == [50_000, 10_000, 10_000]
    check_cover(official, 70_000)
    assert [len(indices) for indices in splits(make_split(dataset, "official-60k", seed=0))] == [60_000, 0, 10_000]
