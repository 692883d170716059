"""Division of a dataset into training, validation and test images: by stratified fractions or by its files."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mlptrain.datasets.dataset import Dataset
from mlptrain.engine.arrays import Indices
from mlptrain.engine.streams import stream
from mlptrain.errors import ConfigError

_OFFICIAL_60K = "official-60k"


@dataclass(frozen=True, eq=False)
class Split:
    """Three int64 arrays of indices into a dataset that have no image in common.

    Every prefix of ``train`` is approximately stratified, unless the split follows the files: then all three are in
    the order of the files.
    """

    train: Indices
    validation: Indices
    test: Indices
    fingerprint: str


def make_split(
    dataset: Dataset, split: tuple[float, float, float] | str, *, seed: int, subset: int | None = None
) -> Split:
    """Divide a dataset into training, validation and test images.

    Parameters
    ----------
    split
        Fractions of all images, drawn with ``seed`` and stratified by class: sizes by the largest remainder method,
        and each class in each split within one image of its exact share. Or the order of the files: ``official`` is
        the first 5/6 of the training file, its last 1/6 and the test file, ``official-60k`` the training file, no
        validation images and the test file.
    subset
        Number of training images to keep, the first ones; None keeps all.

    Raises
    ------
    ConfigError
        A split would be empty, the dataset has no test file, or ``subset`` is larger than the training split.
    """
    if isinstance(split, str):
        train, validation, test = _by_files(dataset, split)
    else:
        train, validation, test = _by_fractions(dataset, split, stream(seed, "split"))
    if not (len(train) and len(test) and (len(validation) or split == _OFFICIAL_60K)):
        shown = split if isinstance(split, str) else f"[{', '.join(map(str, split))}]"
        raise ConfigError(
            f"split: {shown} of {len(dataset.labels)} images gives {len(train)} for training, {len(validation)} for "
            f"validation and {len(test)} for test\nexpected at least one image in each\n"
            "hint: use larger fractions or a larger dataset"
        )
    if subset is not None:
        if subset > len(train):
            raise ConfigError(
                f"subset: must be at most the {len(train)} images of the training split (got {subset})\n"
                "hint: set `subset: null` to train on all of them"
            )
        train = train[:subset].copy()
    return Split(train, validation, test, _fingerprint(train, validation, test))


def _by_files(dataset: Dataset, name: str) -> list[Indices]:
    count, total = dataset.train_count, len(dataset.labels)
    if count == total:
        raise ConfigError(
            f"split: {name} needs a test file, and the dataset {dataset.name} has none\n"
            "hint: use fractions, for example `split: [0.7, 0.2, 0.1]`"
        )
    first = count if name == _OFFICIAL_60K else (5 * count + 3) // 6
    return np.split(np.arange(total, dtype=np.int64), [first, count])


def _by_fractions(
    dataset: Dataset, split: tuple[float, float, float], rng: np.random.Generator
) -> tuple[Indices, Indices, Indices]:
    """Distribute the shuffled images of each class by the table of `class_counts`."""
    exact = [Fraction(str(number)) for number in split]  # the decimals as written: 0.7 + 0.2 + 0.1 is 1
    fractions = [fraction / sum(exact) for fraction in exact]
    labels = dataset.labels
    table = class_counts(np.bincount(labels, minlength=dataset.classes).tolist(), fractions)
    by_class = []
    keys = []
    for label, counts in enumerate(table):
        members = rng.permutation(np.flatnonzero(labels == label).astype(np.int64))
        by_class.append(np.split(members, np.cumsum(counts)[:-1]))
        # One key in each of k equal intervals of [0, 1): sorted by them, every prefix is approximately stratified.
        keys.append((np.arange(counts[0]) + rng.random(counts[0])) / max(counts[0], 1))
    train, validation, test = (np.concatenate(pieces) for pieces in zip(*by_class, strict=True))
    order = np.argsort(np.concatenate(keys), kind="stable")
    return train[order], np.sort(validation), np.sort(test)


def class_counts(sizes: list[int], fractions: list[Fraction]) -> list[list[int]]:
    """Return the number of images of each class (row) in each split (column): a controlled rounding of the shares.

    A share is ``size * fraction``; every entry is a share rounded down or up, rows sum to ``sizes``, columns to
    `split_sizes`. The rows that round up are matched to splits along augmenting paths, largest remainder first. For
    three splits such a table always exists (Hall's theorem): a split needs at most as many ones as there are classes
    with a remainder in it, and a class with a remainder has one in at least two splits.
    """
    splits = range(len(fractions))
    shares = [[size * fraction for fraction in fractions] for size in sizes]
    table = [[math.floor(share) for share in row] for row in shares]
    totals = split_sizes(sum(sizes), fractions)
    needed = [total - sum(row[split] for row in table) for split, total in enumerate(totals)]
    rounded_up: set[tuple[int, int]] = set()

    def remainder(row: int, split: int) -> Fraction:
        return shares[row][split] - math.floor(shares[row][split])

    def round_up(row: int, tried: set[int]) -> bool:
        """Round up one share of ``row``, if necessary by moving the one of another row to another split."""
        for split in sorted(splits, key=lambda split: -remainder(row, split)):
            if split in tried or (row, split) in rounded_up or not remainder(row, split):
                continue
            tried.add(split)
            if needed[split] > 0:
                needed[split] -= 1
                rounded_up.add((row, split))
                return True
            for other in range(len(sizes)):
                if (other, split) in rounded_up and round_up(other, tried):
                    rounded_up.remove((other, split))
                    rounded_up.add((row, split))
                    return True
        return False

    for row, size in enumerate(sizes):
        for _ in range(size - sum(table[row])):
            found = round_up(row, set())
            assert found
    for row, split in rounded_up:
        table[row][split] += 1
    return table


def split_sizes(count: int, fractions: list[Fraction]) -> list[int]:
    """Divide ``count`` by the largest remainder method; the earlier split wins a tie."""
    shares = [count * fraction for fraction in fractions]
    sizes = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda split: sizes[split] - shares[split])
    for split in by_remainder[: count - sum(sizes)]:
        sizes[split] += 1
    return sizes


def _fingerprint(*splits: Indices) -> str:
    digest = hashlib.sha256()
    for indices in splits:
        digest.update(len(indices).to_bytes(8, "little"))
        digest.update(indices.astype("<i8", copy=False).tobytes())
    return f"sha256:{digest.hexdigest()}"
