from __future__ import annotations

from pathlib import Path

import pytest

import mlptrain
from mlptrain.errors import DataError, UsageError
from mlptrain.runs.job import metrics_of, outcome_of, prepare
from tests.runs.made import idx_folder, quick


def test_load_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mlptrain.load_dataset().images.shape == (5000, 784)
    assert mlptrain.load_dataset(str(idx_folder(tmp_path / "mine"))).shape == (2, 3)
    with pytest.raises(DataError, match="given"):
        mlptrain.load_dataset("mnist", data_dir=tmp_path / "given")
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "environment"))
    with pytest.raises(DataError, match="environment"):
        mlptrain.load_dataset("mnist")


def test_an_outcome_is_restored_from_its_metrics() -> None:
    metrics = mlptrain.train(quick()).metrics
    outcome = outcome_of(metrics)
    assert outcome.weights is None
    again = metrics_of(prepare(quick()), outcome)
    assert again.pop("samples_per_second") == pytest.approx(metrics["samples_per_second"], rel=0.05)  # rounded
    assert again.pop("finished") >= metrics["finished"]
    assert again == {key: metrics[key] for key in again}


def test_lr_find_tests_the_rates_of_a_config() -> None:
    found = mlptrain.lr_find({"hidden": [5], "subset": 200}, steps=50)
    assert isinstance(found, mlptrain.RangeTest) and 2 < len(found.rates) == len(found.losses) <= 50
    with pytest.raises(UsageError, match="got 1"):
        mlptrain.lr_find(quick(), steps=1)
