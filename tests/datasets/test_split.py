from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.datasets.split import Split, class_counts, make_split, part_totals
from mlptrain.errors import ConfigError

SEVENTY = (0.7, 0.2, 0.1)


def made(sizes: list[int], test: int = 0, seed: int = 0) -> Dataset:
    """A dataset of so many one-pixel images a class, mixed; the last ``test`` for the test file."""
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


def parts(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


def check_cover(split: Split, count: int) -> None:
    together = np.concatenate(parts(split))
    assert together.dtype == np.int64
    assert np.sort(together).tolist() == list(range(count))


def refusal(dataset: Dataset, split: object, **options: int) -> str:
    with pytest.raises(ConfigError) as caught:
        make_split(dataset, split, seed=0, **options)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert len(message.split("\n")) <= 3
    return message


def test_sample(sample: Dataset) -> None:
    split = make_split(sample, SEVENTY, seed=0)
    check_cover(split, 5000)
    assert [np.bincount(sample.labels[part]).tolist() for part in parts(split)] == [
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
        (11, "0.34 0.33 0.33", [4, 4, 3]),  # 3.74 3.63 3.63: the tie goes to the earlier part
        (7, "0.7 0.2 0.1", [5, 1, 1]),  # 4.9 1.4 0.7
        (1, "0.5 0.25 0.25", [1, 0, 0]),
    ],
)
def test_largest_remainder(count: int, fractions: str, totals: list[int]) -> None:
    assert part_totals(count, [Fraction(text) for text in fractions.split()]) == totals


def test_class_counts_by_hand() -> None:
    """Shares 1.5 .75 .75 of either class: totals 3, 2, 1 leave one class short in the third part."""
    quarters = [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]
    assert part_totals(6, quarters) == [3, 2, 1]
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
        assert [sum(column) for column in zip(*table, strict=True)] == part_totals(sum(sizes), fractions)
        for size, row in zip(sizes, table, strict=True):
            for fraction, count in zip(fractions, row, strict=True):
                assert 0 <= count <= size
                assert abs(count - size * fraction) < 1


def test_random_class_counts_are_dealt_out() -> None:
    rng = np.random.default_rng(6)
    for seed in range(20):
        dataset = made(rng.integers(5, 300, rng.integers(2, 20)).tolist(), seed=seed)
        split = make_split(dataset, SEVENTY, seed=seed)
        check_cover(split, len(dataset.labels))
        sizes = np.bincount(dataset.labels)
        for part, fraction in zip(parts(split), SEVENTY, strict=True):
            counts = np.bincount(dataset.labels[part], minlength=len(sizes))
            assert np.abs(counts - sizes * fraction).max() <= 1 + 1e-9


def test_class_without_images() -> None:
    dataset = made([20, 0, 30])
    check_cover(make_split(dataset, SEVENTY, seed=0), 50)


def test_same_seed_same_split(sample: Dataset) -> None:
    one, other = make_split(sample, SEVENTY, seed=3), make_split(sample, SEVENTY, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(parts(one), parts(other), strict=True))
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint.startswith("sha256:") and len(one.fingerprint) == 7 + 64


def test_other_seed_other_split(sample: Dataset) -> None:
    one, other = make_split(sample, SEVENTY, seed=3), make_split(sample, SEVENTY, seed=4)
    for a, b in zip(parts(one), parts(other), strict=True):
        assert len(a) == len(b)
        assert len(np.intersect1d(a, b)) < 0.8 * len(a)
    assert one.fingerprint != other.fingerprint


def test_fingerprint_by_hand() -> None:
    """The lengths and the indices, each as a little-endian int64."""
    split = make_split(made([7], test=1), "official", seed=0)
    assert [part.tolist() for part in parts(split)] == [[0, 1, 2, 3, 4], [5], [6]]
    # hashlib.sha256(struct.pack("<10q", 5, 0, 1, 2, 3, 4, 1, 5, 1, 6)).hexdigest()
    assert split.fingerprint == "sha256:fd639d78b9d7bba90aae59a121333f7bb8c046486f8e87ffbf615c127a807fa4"


@pytest.mark.parametrize("sizes", [[500] * 10, [900, 90, 10, 300]])
def test_every_prefix_is_about_stratified(sizes: list[int]) -> None:
    dataset = made(sizes)
    train = make_split(dataset, SEVENTY, seed=1).train
    counts = np.eye(len(sizes))[dataset.labels[train]].cumsum(axis=0)
    exact = np.arange(1, len(train) + 1)[:, None] * counts[-1] / len(train)
    assert np.abs(counts - exact).max() < 2.5  # by chance alone it would be some 20 images


def test_order_within_the_training_part_is_shuffled(sample: Dataset) -> None:
    train = make_split(sample, SEVENTY, seed=0).train
    zeros = train[sample.labels[train] == 0]
    assert abs(np.corrcoef(zeros, np.arange(len(zeros)))[0, 1]) < 0.2
    labels = sample.labels[train]
    assert len({tuple(labels[start : start + 10]) for start in range(0, 3500, 10)}) > 300, "no fixed turn of classes"


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


@pytest.mark.parametrize("subset", [3501, 0])
def test_subset_out_of_range(sample: Dataset, subset: int) -> None:
    message = refusal(sample, SEVENTY, subset=subset)
    assert f"subset: {subset}, but the training part has 3500 images" in message
    assert "expected a number from 1 to 3500, or null" in message


def test_official() -> None:
    """MNIST's 60,000 and 10,000 scaled to 60 and 10, in file order, whatever the seed."""
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
    assert [len(part) for part in parts(split)] == [train, count - train, 5]


def test_official_60k() -> None:
    split = make_split(made([7] * 10, test=10), "official-60k", seed=0)
    assert split.train.tolist() == list(range(60))
    assert split.validation.tolist() == []
    assert split.validation.dtype == np.int64
    assert split.test.tolist() == list(range(60, 70))


@pytest.mark.parametrize("name", ["official", "official-60k"])
def test_official_needs_a_test_file(sample: Dataset, name: str) -> None:
    message = refusal(sample, name)
    assert f"split: {name} needs a test file, and dataset sample has none" in message
    assert "`split: [0.7, 0.2, 0.1]`" in message


def test_unknown_name(sample: Dataset) -> None:
    message = refusal(sample, "offical")
    assert message.startswith("split: offical\nexpected official, official-60k, or three fractions")


@pytest.mark.parametrize(
    "split",
    [
        (0.7, 0.2, 0.2),
        (0.7, 0.3),
        (0.7, 0.3, 0.0),
        (1.2, -0.1, -0.1),
        (float("nan"), 0.5, 0.5),
        (0.7, 0.2, 0.0999),
    ],
)
def test_wrong_fractions(sample: Dataset, split: tuple[float, ...]) -> None:
    message = refusal(sample, split)
    assert message.startswith(f"split: [{split[0]}, {split[1]}")
    assert "expected three fractions above 0 that sum to 1" in message


def test_thirds(sample: Dataset) -> None:
    third = 1 / 3
    assert sorted(len(part) for part in parts(make_split(sample, (third, third, third), seed=0))) == [
        1666,
        1667,
        1667,
    ]


def test_part_that_would_be_empty() -> None:
    message = refusal(made([2, 2]), (0.8, 0.1, 0.1))
    assert "[0.8, 0.1, 0.1] of 4 images gives 3 for training, 1 for validation and 0 for test" in message
    assert "expected at least one image in every part" in message
    assert "choose larger fractions" in message
    assert "gives 1 for training, 0 for validation and 1 for test" in refusal(made([2], test=1), "official")


@pytest.mark.mnist
@pytest.mark.skipif("MLPTRAIN_DATA_DIR" not in os.environ, reason="MLPTRAIN_DATA_DIR is not set")
def test_mnist() -> None:
    dataset = load_dataset("mnist", Path(os.environ["MLPTRAIN_DATA_DIR"]))
    split = make_split(dataset, SEVENTY, seed=0)
    assert [len(part) for part in parts(split)] == [49_000, 14_000, 7_000]
    check_cover(split, 70_000)
    sizes = np.bincount(dataset.labels)
    for part, fraction in zip(parts(split), SEVENTY, strict=True):
        assert np.abs(np.bincount(dataset.labels[part]) - sizes * fraction).max() <= 1
    official = make_split(dataset, "official", seed=0)
    assert [len(part) for part in parts(official)] == [50_000, 10_000, 10_000]
    check_cover(official, 70_000)
    assert [len(part) for part in parts(make_split(dataset, "official-60k", seed=0))] == [60_000, 0, 10_000]
