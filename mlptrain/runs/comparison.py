"""Comparison of runs: the keys and metrics in which they differ, means over seeds, and McNemar's test."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from mlptrain.config.values import differing
from mlptrain.datasets.split import make_split
from mlptrain.errors import DataError, MlptrainError, UsageError
from mlptrain.runs.files import FINGERPRINTS
from mlptrain.runs.finished import evaluate
from mlptrain.runs.folder import load_run_config
from mlptrain.runs.job import load_dataset
from mlptrain.runs.listing import Row, read_run
from mlptrain.runs.locate import find_run
from mlptrain.training.reports import METRIC_NAMES

METRIC = "test_accuracy"
"""Metric of the means over seeds."""

COMPARED = ("epochs", "best_epoch", *METRIC_NAMES, "parameters", "seconds")
"""Metrics that are shown side by side."""

SEEDS = ("seed", "batch_seed", "checkpoint_seconds")
"""Keys in which the runs of a group may differ; the last one has no effect on the result."""

EXACT = 25
"""Number of images on which exactly one of two models is right from which chi-square replaces the binomial."""


@dataclass(frozen=True)
class Group:
    """Runs, by position, that differ only in their seeds: mean and standard deviation of their test accuracies."""

    runs: tuple[int, ...]
    mean: float
    sd: float


@dataclass(frozen=True)
class Difference:
    """Difference of the means of two groups, the second minus the first, and its standard error."""

    groups: tuple[int, int]
    difference: float
    error: float


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two runs, by position, on the same test images.

    ``n01`` images have a wrong label by the first and the true one by the second run, ``n10`` the reverse. ``p`` is the
    probability of a difference at least as large if each run were right on half of them.
    """

    runs: tuple[int, int]
    n01: int
    n10: int
    p: float


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; each value of ``config`` and ``metrics`` has one item per run.

    ``untested`` are the reasons why runs have no test.
    """

    runs: tuple[Path, ...]
    config: Mapping[str, list[Any]]
    metrics: Mapping[str, list[float | None]]
    groups: tuple[Group, ...]
    differences: tuple[Difference, ...]
    mcnemar: tuple[McNemar, ...]
    untested: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Return the comparison as the JSON output contains it, with the paths of runs in place of positions."""
        paths = [str(path) for path in self.runs]

        def named(items: Iterable[Group | McNemar]) -> list[dict[str, Any]]:
            return [{**asdict(item), "runs": [paths[number] for number in item.runs]} for item in items]

        return {
            "runs": paths,
            "config": self.config,
            "metrics": self.metrics,
            "groups": named(self.groups),
            "differences": [asdict(each) for each in self.differences],
            "mcnemar": named(self.mcnemar),
            "untested": list(self.untested),
        }


def compare(
    runs: Sequence[str | Path], *, runs_dir: str | Path = "runs", data_dir: str | Path | None = None
) -> Comparison:
    """Compare runs with each other; each is a path, a name, ``latest`` or ``best:METRIC``.

    Raises
    ------
    UsageError
        There are fewer than two runs, or one is named twice or a sweep.
    DataError
        A run is missing or damaged.
    """
    if len(runs) < 2:
        raise UsageError("RUN: expected at least two runs\nhint: `mlptrain runs` lists them")
    paths = [find_run(run, runs_dir) for run in runs]
    for first, second in combinations(range(len(paths)), 2):
        if paths[first].resolve() == paths[second].resolve():
            raise UsageError(f"{runs[first]} and {runs[second]} are the same run, {paths[first]}\nhint: name it once")
    rows = [read_run(path, str(path)) for path in paths]
    if damaged := next((row for row in rows if row.problem is not None), None):
        raise DataError(f"{damaged.path}: {damaged.problem}\nhint: leave it out, or train it again with --overwrite")
    values = {name: [row.metrics.get(name) for row in rows] for name in COMPARED}
    groups = _groups(rows)
    mcnemar, untested = _tests(rows, data_dir)
    return Comparison(
        tuple(paths),
        {key: [row.config.get(key) for row in rows] for key in differing([row.config for row in rows])},
        {name: numbers for name, numbers in values.items() if any(number is not None for number in numbers)},
        groups,
        tuple(
            Difference((a, b), groups[b].mean - groups[a].mean, _error(groups[a], groups[b]))
            for a, b in combinations(range(len(groups)), 2)
        ),
        tuple(mcnemar),
        tuple(untested),
    )


def _groups(rows: Sequence[Row]) -> tuple[Group, ...]:
    """Return the groups of at least two runs that have a test accuracy."""
    found: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.metrics.get(METRIC) is not None:
            config = {key: value for key, value in row.config.items() if key not in SEEDS}
            identity = [config, [row.metrics.get(name) for name in FINGERPRINTS]]
            found.setdefault(json.dumps(identity, sort_keys=True), []).append(number)
    accuracies = [[rows[number].metrics[METRIC] for number in members] for members in found.values()]
    return tuple(
        Group(tuple(members), fmean(values), stdev(values))
        for members, values in zip(found.values(), accuracies, strict=True)
        if len(members) > 1
    )


def _error(first: Group, second: Group) -> float:
    """Return the standard error of the difference of two means, whose variances may differ."""
    return math.sqrt(sum(group.sd**2 / len(group.runs) for group in (first, second)))


# ---- McNemar's test ---------------------------------------------------------------------------------


def mcnemar_p(n01: int, n10: int) -> float:
    """Return the two-sided p-value of McNemar's test.

    For fewer than `EXACT` images it is that of the binomial distribution with probability 1/2, otherwise that of the
    chi-square distribution with one degree of freedom at (|n01 - n10| - 1)^2 / (n01 + n10), with the correction for
    continuity (Edwards 1948).
    """
    count = n01 + n10
    if count < EXACT:
        tail = sum(math.comb(count, k) for k in range(min(n01, n10) + 1))
        return min(1.0, tail / 2.0 ** (count - 1))
    statistic = max(0, abs(n01 - n10) - 1) ** 2 / count
    return math.erfc(math.sqrt(statistic / 2))


def _tests(rows: Sequence[Row], data_dir: str | Path | None) -> tuple[list[McNemar], list[str]]:
    """Return the test of each pair of runs with the same test images, and why there is none of the others."""
    reasons: list[str] = []
    tested = []
    for number, row in enumerate(rows):
        if any(row.metrics.get(name) is None for name in FINGERPRINTS):
            reasons.append(f"{row.path}: {row.state}, so it has no test accuracy")
        else:
            tested.append(number)
    pairs = []
    for pair in combinations(tested, 2):
        first, second = (rows[number] for number in pair)
        other = next((name for name in FINGERPRINTS if first.metrics[name] != second.metrics[name]), None)
        if other is None:
            pairs.append(pair)
        else:
            reasons.append(f"{first.path} and {second.path}: another {other.partition('_')[0]}")
    wrong: dict[int, set[int]] = {}
    for number in dict.fromkeys(number for pair in pairs for number in pair):
        try:
            wrong[number] = _mistakes(rows[number], data_dir)
        except MlptrainError as error:
            reasons.append(str(error).splitlines()[0])
    tests = []
    for a, b in pairs:
        if a in wrong and b in wrong:
            n01, n10 = len(wrong[a] - wrong[b]), len(wrong[b] - wrong[a])
            tests.append(McNemar((a, b), n01, n10, mcnemar_p(n01, n10)))
    return tests, reasons


def _mistakes(row: Row, data_dir: str | Path | None) -> set[int]:
    """Return the test images, by index, for which a run predicts a wrong label.

    Raises
    ------
    DataError, UsageError
        The model is damaged, or the data is missing or has changed.
    """
    config = load_run_config(row.path)
    dataset = load_dataset(config.dataset, data_dir=data_dir)
    split = make_split(dataset, config.split, seed=config.split_seed, subset=config.subset)
    for key, found in zip(FINGERPRINTS, (dataset.fingerprint, split.fingerprint), strict=True):
        if row.metrics[key] != found:
            raise DataError(f"{row.path}: the {key.partition('_')[0]} has changed since it was trained")
    evaluation = evaluate(row.path, dataset, split, mistakes=len(split.test))
    return {mistake.index for mistake in evaluation.mistakes}
