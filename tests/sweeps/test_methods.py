from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlptrain.sweeps import methods
from mlptrain.sweeps.methods import waves
from tests.sweeps.made import result, spec

GRID = "repeat: 2\nparameters: {learning_rate: {values: [0.1, 0.2, 0.3, 0.4, 0.5]}}\n"
HALVING = """method: halving
early_terminate: {min_iter: 2, eta: 2}
parameters:
  learning_rate: {values: [0.1, 0.2, 0.3, 0.4]}
  epochs: {value: 5}
"""


def numbers(trials: Any) -> list[int]:
    return [trial.number for trial in trials]


def test_trials_of_a_point_differ_in_their_seed(tmp_path: Path) -> None:
    (wave,) = waves(spec(tmp_path, GRID))
    assert numbers(wave.trials) == list(range(10))
    assert [trial.point for trial in wave.trials] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert [trial.config.seed for trial in wave.trials] == [0, 1] * 5
    assert {trial.config.batch_seed for trial in wave.trials} == {0}
    assert [trial.values["learning_rate"] for trial in wave.trials[::2]] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_shards_divide_the_points(tmp_path: Path) -> None:
    found = [[trial.point for wave in waves(spec(tmp_path, GRID), (i, 2)) for trial in wave.trials] for i in (1, 2)]
    assert found == [[0, 0, 2, 2, 4, 4], [1, 1, 3, 3]]
    assert list(waves(spec(tmp_path, GRID), (9, 9))) == []


def test_large_grids_come_in_several_waves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "WINDOW", 2)
    assert [len(wave.trials) for wave in waves(spec(tmp_path, GRID))] == [4, 4, 2]


def test_halving_continues_the_better_half(tmp_path: Path) -> None:
    method = waves(spec(tmp_path, HALVING))
    wave = next(method)
    assert (numbers(wave.trials), wave.until, wave.dropped) == ([0, 1, 2, 3], 2, ())
    accuracies = {0: 0.1, 1: 0.4, 2: 0.3, 3: 0.2}
    wave = method.send({n: result(n, accuracy, status="paused") for n, accuracy in accuracies.items()})
    assert (numbers(wave.trials), wave.until, numbers(wave.dropped)) == ([1, 2], 4, [0, 3])
    wave = method.send({1: result(1, None, status="diverged"), 2: result(2, 0.2, status="paused")})
    assert (numbers(wave.trials), wave.until, wave.dropped) == ([2], None, ())
