"""Method tpe on results that the tests make up, and in one real sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import ConfigError, UsageError
from mlptrain.sweeps import tpe
from mlptrain.sweeps.methods import waves
from mlptrain.sweeps.space import fingerprint
from mlptrain.sweeps.trials import Wave
from tests.sweeps.made import Inline, board_text, drive, result, spec

pytest.importorskip("optuna")

RATE = "  learning_rate: {distribution: log_uniform_values, min: 1e-4, max: 10.0}\n"
SPACE = (
    RATE
    + """  batch_size: {min: 8, max: 30, q: 8}
  hidden: {values: [[4], [5, 3], []]}
  optimizer: {values: [sgd, momentum]}
  momentum: {min: 0.0, max: 0.95, q: 0.1}
  l2: {distribution: log_uniform_values, min: 0.001, max: 1.0, q: 0.1}
  epochs: {distribution: log_uniform_values, min: 1, max: 9}
  rho: {min: 0.2, max: 0.9}
  early_stopping.patience: {value: 3}
"""
)


def text(cap: int, parameters: str, more: str = "") -> str:
    return f"method: tpe\nrun_cap: {cap}\n{more}parameters:\n{parameters}"


def asked(sweep: Any, accuracy: Callable[[Mapping[str, Any]], float | None], status: str = "failed") -> list[Wave]:
    """Return the waves of a sweep whose trials have this val_accuracy by their values; None if they fail."""
    method, found = waves(sweep), []
    wave = next(method, None)
    while wave is not None:
        found.append(wave)
        results = {}
        for trial in wave.trials:
            value = accuracy(trial.values)
            how = status if value is None else "finished"
            results[trial.number] = result(trial.number, value, point=trial.point, status=how)
        try:
            wave = method.send(results)
        except StopIteration:
            wave = None
    return found


def points(found: list[Wave]) -> list[Mapping[str, Any]]:
    return [trial.values for wave in found for trial in wave.trials]


def hill(point: Mapping[str, Any]) -> float:
    """Return 1 for a rate of 0.3 with two hidden layers, less for other points."""
    away = abs(math.log10(point["learning_rate"] / 0.3))
    return 1 - 0.2 * away - (0.0 if len(point.get("hidden", (4, 4))) == 2 else 0.3)


def test_waves_have_eight_points(tmp_path: Path) -> None:
    found = asked(spec(tmp_path, text(19, RATE, "repeat: 2\n")), hill)
    assert [len(wave.trials) for wave in found] == [16, 16, 6] and {wave.until for wave in found} == {None}
    trials = [trial for wave in found for trial in wave.trials]
    assert [trial.number for trial in trials] == list(range(38))
    assert [trial.point for trial in trials] == [number // 2 for number in range(38)]
    assert [trial.config.seed for trial in trials[:4]] == [0, 1, 0, 1]


def test_points_are_in_the_space_and_distinct(tmp_path: Path) -> None:
    found = points(asked(spec(tmp_path, text(40, SPACE)), hill))
    assert len({fingerprint(dict(point)) for point in found}) == len(found) == 40
    for point in found:
        assert 1e-4 <= point["learning_rate"] <= 10 and point["batch_size"] in (8, 16, 24)
        assert point["hidden"] in ([4], [5, 3], []) and point["optimizer"] in ("sgd", "momentum")
        assert point["momentum"] in [round(0.1 * step, 1) for step in range(10)]
        assert point["l2"] in [round(0.001 + 0.1 * step, 3) for step in range(10)]
        assert point["epochs"] in range(1, 10) and 0.2 <= point["rho"] <= 0.9
        assert float(f"{point['learning_rate']:.6g}") == point["learning_rate"], "short enough to type"


def test_points_follow_the_seed_and_the_results(tmp_path: Path) -> None:
    first = points(asked(spec(tmp_path, text(24, SPACE)), hill))
    assert points(asked(spec(tmp_path, text(24, SPACE)), hill)) == first
    assert points(asked(spec(tmp_path, text(24, SPACE, "seed: 1\n")), hill))[:8] != first[:8]
    other = points(asked(spec(tmp_path, text(24, SPACE)), lambda point: -hill(point)))
    assert other[:8] == first[:8] and other[16:] != first[16:]


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_points_are_better_than_random_ones(tmp_path: Path, goal: str) -> None:
    """Compare means over five seeds, without the first points, which Optuna draws at random."""
    sign = 1 if goal == "maximize" else -1
    space = RATE + "  hidden: {values: [[4], [5, 3], []]}\n"
    means, chance = [], []
    for seed in range(5):
        more = f"seed: {seed}\nmetric: {{name: val_accuracy, goal: {goal}}}\n"
        sweep = spec(tmp_path, text(40, space, more))
        means += [hill(point) for point in points(asked(sweep, lambda point: sign * hill(point)))[16:]]
        chance += [hill(point) for point in sweep.space.sample(seed, 24)]
    assert sum(means) / len(means) > sum(chance) / len(chance) + 0.15


def test_points_that_diverge_are_avoided_and_others_that_fail_are_not(tmp_path: Path) -> None:
    def cliff(point: Mapping[str, Any]) -> float | None:
        return None if point["learning_rate"] > 0.1 else 0.5 + 1e-3 * math.log10(point["learning_rate"])

    def beyond(status: str) -> int:
        found = points(asked(spec(tmp_path, text(48, RATE)), cliff, status))
        return sum(point["learning_rate"] > 0.1 for point in found[16:])

    assert beyond("diverged") < beyond("failed")
    assert len(points(asked(spec(tmp_path, text(9, RATE)), lambda point: None))) == 9, "all of them failed"


def test_finite_spaces_are_tried_completely(tmp_path: Path) -> None:
    space = "  hidden: {values: [[4], [5, 3], []]}\n  batch_size: {min: 8, max: 32, q: 8}\n  epochs: {min: 1, max: 2}\n"
    sweep = spec(tmp_path, text(1000, space))
    found = points(asked(sweep, lambda point: 1.0 if point["hidden"] == [4] else 0.0))
    every = map(sweep.space.point, range(sweep.space.size or 0))
    assert sorted(map(fingerprint, map(dict, found))) == sorted(map(fingerprint, every))


@pytest.mark.parametrize("top, count", [("0.100001", 2), ("0.100008", 9)])
def test_narrow_ranges_give_fewer_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, top: str, count: int) -> None:
    monkeypatch.setattr(tpe, "MAX_DUPLICATES", 80)
    found = points(asked(spec(tmp_path, text(30, f"  learning_rate: {{min: 0.1, max: {top}}}\n")), lambda point: 0.5))
    assert len(found) <= count and len(found) >= min(count, 8)


def test_invalid_points_are_found_before_training(tmp_path: Path) -> None:
    space = "  dropout: {values: [[0.1], [0.1, 0.2]]}\n  learning_rate: {min: 0.1, max: 0.5}\n"
    with pytest.raises(ConfigError, match=r"dropout=\[0.1,0.2\]"):
        next(waves(spec(tmp_path, text(20, space))))


def test_probabilities_are_refused(tmp_path: Path) -> None:
    space = "  loss: {values: [mse, cross_entropy], probabilities: [0.2, 0.8]}\n"
    with pytest.raises(ConfigError, match=r"sweep.yaml:\d+: parameters.loss.probabilities: has no effect"):
        spec(tmp_path, text(20, space))


def test_a_missing_optuna_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlptrain\[optuna\]'"):
        next(waves(spec(tmp_path, text(20, RATE))))


def test_an_interrupted_and_resumed_sweep_equals_a_complete_one(tmp_path: Path) -> None:
    space = "  learning_rate: {values: [0.01, 0.1, 0.5, 1.0, 2.0]}\n  hidden: {values: [[3], [4, 4]]}\n"
    sweep = spec(tmp_path, text(10, space), base="hidden: [4]\nsubset: 60\nepochs: 1\nbatch_size: 20\n")
    whole = Inline(workers=1)
    drive(sweep, tmp_path / "whole", whole)
    for cut in (0, 1, len(whole.trained) - 1):
        first, second = Inline(workers=1, end_after=cut), Inline(workers=1)
        with pytest.raises(KeyboardInterrupt):
            drive(sweep, tmp_path / f"cut{cut}", first)
        drive(sweep, tmp_path / f"cut{cut}", second)
        assert board_text(tmp_path / f"cut{cut}") == board_text(tmp_path / "whole")
        assert len(first.trained) + len(second.trained) == len(whole.trained)
