from __future__ import annotations

import json

import numpy as np
import pytest

from mlptrain.datasets.idx import write_idx


@pytest.fixture
def trained(mlptrain, tiny):
    return json.loads(mlptrain("train", tiny, "--run", "a", "--json", "-q").out)


def test_eval_gives_the_metrics_of_the_run(mlptrain, trained):
    for split in ("test", "validation"):
        metrics = json.loads(mlptrain("eval", "a", "--json", "--split", split).out)
        key = "val" if split == "validation" else split
        assert metrics["split"] == split and metrics["run"] == "runs/a"
        assert metrics["accuracy"] == trained[f"{key}_accuracy"]
        assert metrics["loss"] == pytest.approx(trained[f"{key}_loss"], rel=1e-6)


def test_json_holds_every_class_and_the_confusion_matrix(mlptrain, trained):
    metrics = json.loads(mlptrain("eval", "a", "--json", "-q").out)
    assert [row["label"] for row in metrics["per_class"]] == list("0123456789")
    assert set(metrics["per_class"][0]) == {"label", "precision", "recall", "f1", "support"}
    confusion = np.array(metrics["confusion"])
    assert confusion.sum() == 500 and confusion.trace() / 500 == metrics["accuracy"]
    assert [row["support"] for row in metrics["per_class"]] == confusion.sum(axis=1).tolist()


def test_without_json_a_table_is_printed(mlptrain, trained):
    result = mlptrain("eval", "runs/a", "--confusion")
    assert result.code == 0 and "\x1b" not in result.out
    assert all(word in result.out for word in ("precision", "recall", "F1", "support", "confusion", "predicted as"))


def test_every_split_has_its_images(mlptrain, trained):
    counts = {
        split: np.sum(json.loads(mlptrain("eval", "a", "--json", "--split", split).out)["confusion"])
        for split in ("train", "validation", "test", "all")
    }
    assert counts == {"train": 200, "validation": 1000, "test": 500, "all": 5000}


def test_another_dataset_must_have_the_same_shape(mlptrain, trained, tmp_path):
    (tmp_path / "own").mkdir()
    rng = np.random.default_rng(0)
    write_idx(tmp_path / "own/train-images-idx3-ubyte.gz", rng.integers(0, 256, (40, 28, 28)).astype(np.uint8))
    write_idx(tmp_path / "own/train-labels-idx1-ubyte.gz", (np.arange(40) % 10).astype(np.uint8))
    metrics = json.loads(mlptrain("eval", "a", "--dataset", "./own", "--split", "all", "--json").out)
    assert np.sum(metrics["confusion"]) == 40
    write_idx(tmp_path / "own/train-images-idx3-ubyte.gz", np.zeros((40, 8, 8), np.uint8))
    refused = mlptrain("eval", "a", "--dataset", "./own", "--split", "all")
    assert refused.code == 3 and "8 x 8" in refused.err and "784" in refused.err


def test_several_runs_are_averaged(mlptrain, tiny, trained):
    mlptrain("train", tiny, "--run", "b", "seed=1")
    metrics = json.loads(mlptrain("eval", "a", "b", "--json").out)
    assert metrics["run"] == ["runs/a", "runs/b"] and metrics["loss"] > 0
    mlptrain("train", tiny, "--run", "c", "split_seed=1")
    refused = mlptrain("eval", "a", "c")
    assert refused.code == 2 and "split" in refused.err


def test_mistakes_are_sorted_by_confidence(mlptrain, trained):
    metrics = json.loads(mlptrain("eval", "a", "--json", "-q", "--mistakes", 3, "--threads", 1).out)
    worst = metrics["mistakes"]
    assert len(worst) == 3 and set(worst[0]) == {"index", "truth", "guess", "confidence"}
    assert all(row["truth"] != row["guess"] for row in worst)
    assert [row["confidence"] for row in worst] == sorted((row["confidence"] for row in worst), reverse=True)
