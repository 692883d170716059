"""Comparisons of real runs: their differences, means over seeds, and McNemar's test against SciPy and by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean, stdev

import pytest

import mlptrain
from mlptrain.datasets.dataset import load_dataset
from mlptrain.datasets.split import make_split
from mlptrain.errors import DataError, DivergedError, UsageError
from mlptrain.models.evaluation import Evaluator
from mlptrain.runs.comparison import EXACT, compare, mcnemar_p
from mlptrain.runs.finished import load_model
from tests.runs.made import quick


def test_p_values() -> None:
    assert mcnemar_p(0, 0) == mcnemar_p(12, 12) == mcnemar_p(13, 13) == mcnemar_p(500, 501) == 1
    assert mcnemar_p(1, 9) == pytest.approx(22 / 1024), "2 (1 + 10) / 2^10"
    # 33 and 59 discordant images: (|33 - 59| - 1)^2 / 92 = 6.793, a 0.009 tail of chi-square with one degree of freedom
    assert mcnemar_p(33, 59) == pytest.approx(0.00915, abs=1e-5)
    assert mcnemar_p(0, 10_000) < 1e-300 or mcnemar_p(0, 10_000) == 0


def test_p_values_agree_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for n01 in range(0, 60, 3):
        for n10 in range(0, 60, 4):
            if n01 + n10 < EXACT:
                expected = stats.binomtest(n01, n01 + n10, 0.5).pvalue if n01 + n10 else 1
            else:
                expected = stats.chi2.sf(max(0, abs(n01 - n10) - 1) ** 2 / (n01 + n10), 1)
            assert mcnemar_p(n01, n10) == pytest.approx(expected, rel=1e-9)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two groups of three seeds, a run with another split and one that diverged."""
    folder = tmp_path_factory.mktemp("runs")
    for rate in (0.05, 1):
        for seed in range(3):
            mlptrain.train(quick(f"learning_rate={rate}", f"seed={seed}"), run=f"r{rate}-{seed}", runs_dir=folder)
    mlptrain.train(quick("split_seed=1"), run="other", runs_dir=folder)
    with pytest.raises(DivergedError):
        mlptrain.train(quick("learning_rate=1e30", "activation=relu", "hidden=5,5"), run="nan", runs_dir=folder)
    return folder


def test_groups_of_seeds(runs: Path) -> None:
    names = [f"r{rate}-{seed}" for seed in range(3) for rate in (0.05, 1)]
    found = compare(names, runs_dir=runs)
    accuracies = [json.loads((runs / name / "metrics.json").read_text())["test_accuracy"] for name in names]
    slow, fast = accuracies[::2], accuracies[1::2]
    assert [group.runs for group in found.groups] == [(0, 2, 4), (1, 3, 5)]
    assert [group.mean for group in found.groups] == pytest.approx([fmean(slow), fmean(fast)])
    assert [group.sd for group in found.groups] == pytest.approx([stdev(slow), stdev(fast)])
    (difference,) = found.differences
    assert difference.difference == pytest.approx(fmean(fast) - fmean(slow))
    assert difference.error == pytest.approx(math.sqrt(stdev(slow) ** 2 / 3 + stdev(fast) ** 2 / 3))
    assert found.config == {"learning_rate": [0.05, 1] * 3, "seed": [0, 0, 1, 1, 2, 2]}
    assert found.metrics["test_accuracy"] == accuracies and len(found.mcnemar) == 15


def test_mcnemar_counts_images_that_one_run_alone_has_right(runs: Path) -> None:
    (test,) = compare(["r0.05-0", "r1-0"], runs_dir=runs).mcnemar
    dataset = load_dataset("sample")
    indices = make_split(dataset, (0.7, 0.2, 0.1), seed=0, subset=200).test
    right = [
        Evaluator(load_model(name, runs_dir=runs).network(), dataset, indices).logits()[0].argmax(axis=0)
        == dataset.labels[indices]
        for name in ("r0.05-0", "r1-0")
    ]
    assert (test.n01, test.n10) == ((~right[0] & right[1]).sum(), (right[0] & ~right[1]).sum())
    assert test.p == mcnemar_p(test.n01, test.n10) and test.n01 + test.n10 > 0


def test_runs_without_a_test(runs: Path) -> None:
    found = compare(["r1-0", "other", "nan"], runs_dir=runs)
    assert found.mcnemar == () and found.groups == ()
    assert [*map("split".__contains__, found.untested)] == [False, False]
    assert "split" in found.untested[1] and "diverged" in found.untested[0]
    assert found.metrics["test_accuracy"][2] is None and found.metrics["epochs"] == [2, 2, 0]


def test_data_that_has_changed_is_not_tested(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset("sample")
    monkeypatch.setattr(type(dataset), "fingerprint", "changed", raising=False)
    monkeypatch.setattr("mlptrain.runs.comparison.load_dataset", lambda *_, **__: object.__new__(type(dataset)))
    monkeypatch.setattr("mlptrain.runs.comparison.make_split", lambda *_, **__: dataset)
    found = compare(["r1-0", "r1-1"], runs_dir=runs)
    assert found.mcnemar == () and all("changed" in reason for reason in found.untested)


def test_refused_comparisons(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least two"):
        compare(["r1-0"], runs_dir=runs)
    with pytest.raises(UsageError, match="same run"):
        compare(["r1-0", runs / "r1-0"], runs_dir=runs)
    with pytest.raises(DataError):
        compare(["r1-0", "missing"], runs_dir=runs)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config.yaml").write_text("a: [1\n")
    with pytest.raises(DataError, match=r"config\.yaml"):
        compare([runs / "r1-0", tmp_path / "a"])
