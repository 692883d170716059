"""Which images are for training, validation and test: stratified by fractions, or by the files' own order."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mlptrain.datasets.dataset import Dataset
from mlptrain.engine.streams import stream
from mlptrain.errors import ConfigError

OFFICIAL = "official"

OFFICIAL_60K = "official-60k"

_PARTS = ("train", "validation", "test")

_TOLERANCE = Fraction(1, 10**9)  # thirds written as floats sum to 1 within this


@dataclass(frozen=True, eq=False)
class Split:
    """Three int64 arrays of indices into a dataset that share no image.

    ``train`` is in an order of which every prefix is about stratified, or in the file's for a named split.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    fingerprint: str


def make_split(
    dataset: Dataset, split: tuple[float, float, float] | str, *, seed: int, subset: int | None = None
) -> Split:
    """Divide a dataset into training, validation and test images.

    Parameters
    ----------
    split : fractions of all images, drawn by ``seed`` and stratified by class: totals by largest remainder,
        each class in each part within one image of its exact share. Or, in file order, ``official``: the
        first 5/6 of the training file, its last 1/6, the test file; or ``official-60k``: the training file,
        nothing, the test file.
    subset : keep only this many images of the training part, its first ones.

    Raises
    ------
    ConfigError
        The split is not one of these, the dataset cannot give it, or a part would be empty.
    """
    if isinstance(split, str):
        train, validation, test = _by_files(dataset, split)
    else:
        train, validation, test = _by_fractions(dataset, _exact(split), stream(seed, "split"))
    counts = [len(train), len(validation), len(test)]
    if any(count == 0 and not (split == OFFICIAL_60K and part == 1) for part, count in enumerate(counts)):
        raise ConfigError(
            f"split: {_shown(split)} of {sum(counts)} images gives {counts[0]} for training, {counts[1]} for "
            f"validation and {counts[2]} for test\nexpected at least one image in every part\n"
            "choose larger fractions or a larger dataset"
        )
    if subset is not None:
        if not 1 <= subset <= len(train):
            raise ConfigError(
                f"subset: {subset}, but the training part has {len(train)} images\n"
                f"expected a number from 1 to {len(train)}, or null for all"
            )
        train = train[:subset].copy()
    return Split(train, validation, test, _fingerprint(train, validation, test))


def _by_files(dataset: Dataset, name: str) -> list[np.ndarray]:
    if name not in (OFFICIAL, OFFICIAL_60K):
        raise ConfigError(
            f"split: {name}\nexpected {OFFICIAL}, {OFFICIAL_60K}, or three fractions\n"
            "write for example `split: [0.7, 0.2, 0.1]`"
        )
    count, total = dataset.train_count, len(dataset.labels)
    if count == total:
        raise ConfigError(
            f"split: {name} needs a test file, and dataset {dataset.name} has none\n"
            "give fractions instead, for example `split: [0.7, 0.2, 0.1]`"
        )
    first = (5 * count + 3) // 6 if name == OFFICIAL else count
    return np.split(np.arange(total, dtype=np.int64), [first, count])


def _by_fractions(dataset: Dataset, fractions: list[Fraction], rng: np.random.Generator) -> list[np.ndarray]:
    """Deal out each class's shuffled images by the table of `class_counts`."""
    labels = dataset.labels
    table = class_counts(np.bincount(labels, minlength=dataset.classes).tolist(), fractions)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    keys = []
    for label, counts in enumerate(table):
        members = rng.permutation(np.flatnonzero(labels == label).astype(np.int64))
        for part, dealt in zip(parts, np.split(members, np.cumsum(counts)[:-1]), strict=True):
            part.append(dealt)
        # One key in each of k equal stretches of [0, 1): sorted by them, every prefix is about stratified.
        keys.append((np.arange(counts[0]) + rng.random(counts[0])) / max(counts[0], 1))
    train, validation, test = (np.concatenate(part) for part in parts)
    order = np.argsort(np.concatenate(keys), kind="stable")
    return [train[order], np.sort(validation), np.sort(test)]


def class_counts(sizes: list[int], fractions: list[Fraction]) -> list[list[int]]:
    """How many images of each class go to each part: a controlled rounding of ``size * fraction``.

    Rows sum to the classes' sizes, columns to `part_totals`, and every entry is the share rounded down or up.
    The ones to add to the rounded-down table are matched to parts along augmenting paths, largest remainder
    first. For three parts a table always exists (Hall): a part lacks no more ones than there are classes with
    a remainder in it, and a class with a remainder has one in at least two parts.
    """
    parts = range(len(fractions))
    shares = [[size * fraction for fraction in fractions] for size in sizes]
    table = [[math.floor(share) for share in row] for row in shares]
    totals = part_totals(sum(sizes), fractions)
    lacking = [total - sum(row[part] for row in table) for part, total in enumerate(totals)]
    raised: set[tuple[int, int]] = set()

    def remainder(row: int, part: int) -> Fraction:
        return shares[row][part] - math.floor(shares[row][part])

    def place(row: int, tried: set[int]) -> bool:
        """Give ``row`` one more where it has a remainder, if need be by moving another row's."""
        for part in sorted(parts, key=lambda part: -remainder(row, part)):
            if part in tried or (row, part) in raised or not remainder(row, part):
                continue
            tried.add(part)
            if lacking[part] > 0:
                lacking[part] -= 1
                raised.add((row, part))
                return True
            for other in range(len(sizes)):
                if (other, part) in raised and place(other, tried):
                    raised.remove((other, part))
                    raised.add((row, part))
                    return True
        return False

    for row, size in enumerate(sizes):
        for _ in range(size - sum(table[row])):
            placed = place(row, set())
            assert placed
    for row, part in raised:
        table[row][part] += 1
    return table


def part_totals(count: int, fractions: list[Fraction]) -> list[int]:
    """Divide ``count`` by the largest remainder; the earlier part wins a tie."""
    shares = [count * fraction for fraction in fractions]
    totals = [math.floor(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda part: totals[part] - shares[part])
    for part in by_remainder[: count - sum(totals)]:
        totals[part] += 1
    return totals


def _exact(split: tuple[float, float, float]) -> list[Fraction]:
    """The fractions as their decimal text says, so that 0.7 + 0.2 + 0.1 is 1."""
    try:
        fractions = [Fraction(str(number)) for number in split]
    except ValueError:
        fractions = []
    total = sum(fractions, Fraction(0))
    if len(fractions) != len(_PARTS) or min(fractions) <= 0 or abs(total - 1) > _TOLERANCE:
        raise ConfigError(
            f"split: {_shown(split)}\n"
            "expected three fractions above 0 that sum to 1: training, validation, test\n"
            "write for example `split: [0.7, 0.2, 0.1]`"
        )
    return [fraction / total for fraction in fractions]


def _shown(split: tuple[float, float, float] | str) -> str:
    return split if isinstance(split, str) else f"[{', '.join(map(str, split))}]"


def _fingerprint(*parts: np.ndarray) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part.astype("<i8", copy=False).tobytes())
    return f"sha256:{digest.hexdigest()}"
