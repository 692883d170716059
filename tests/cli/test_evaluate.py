from __future__ import annotations

import json

import numpy as np
import pytest

from mlptrain.datasets.idx import write_idx


@pytest.fixture
def trained(mlptrain, tiny):
    return json.loads(mlptrain("train", tiny, "--run", "a", "--json", "-q").out)


def test_eval_gives_the_figures_of_the_run(mlptrain, trained):
    for part in ("test", "validation"):
        figures = json.loads(mlptrain("eval", "a", "--json", "--split", part).out)
        key = "val" if part == "validation" else part
        assert figures["split"] == part and figures["run"] == "runs/a"
        assert figures["accuracy"] == trained[f"{key}_accuracy"]
        assert figures["loss"] == pytest.approx(trained[f"{key}_loss"], rel=1e-6)


def test_the_json_holds_every_class_and_the_confusion_matrix(mlptrain, trained):
    figures = json.loads(mlptrain("eval", "a", "--json", "-q").out)
    assert [row["label"] for row in figures["per_class"]] == list("0123456789")
    assert set(figures["per_class"][0]) == {"label", "precision", "recall", "f1", "support"}
    confusion = np.array(figures["confusion"])
    assert confusion.sum() == 500 and confusion.trace() / 500 == figures["accuracy"]
    assert [row["support"] for row in figures["per_class"]] == confusion.sum(axis=1).tolist()


def test_people_get_a_table(mlptrain, trained):
    result = mlptrain("eval", "runs/a", "--confusion")
    assert result.code == 0 and "\x1b" not in result.out
    assert all(word in result.out for word in ("precision", "recall", "F1", "support", "confusion matrix", "taken for"))


def test_all_parts_together_are_the_dataset(mlptrain, trained):
    counts = {
        part: np.sum(json.loads(mlptrain("eval", "a", "--json", "--split", part).out)["confusion"])
        for part in ("train", "validation", "test", "all")
    }
    assert counts == {"train": 200, "validation": 1000, "test": 500, "all": 5000}


def test_another_dataset_of_the_same_shape(mlptrain, trained, tmp_path):
    (tmp_path / "own").mkdir()
    rng = np.random.default_rng(0)
    write_idx(tmp_path / "own/train-images-idx3-ubyte.gz", rng.integers(0, 256, (40, 28, 28)).astype(np.uint8))
    write_idx(tmp_path / "own/train-labels-idx1-ubyte.gz", (np.arange(40) % 10).astype(np.uint8))
    figures = json.loads(mlptrain("eval", "a", "--dataset", "./own", "--split", "all", "--json").out)
    assert np.sum(figures["confusion"]) == 40
    write_idx(tmp_path / "own/train-images-idx3-ubyte.gz", np.zeros((40, 8, 8), np.uint8))
    refused = mlptrain("eval", "a", "--dataset", "./own", "--split", "all")
    assert refused.code == 3 and "8 x 8" in refused.err and "784" in refused.err


def test_several_runs_are_averaged(mlptrain, tiny, trained):
    mlptrain("train", tiny, "--run", "b", "seed=1")
    figures = json.loads(mlptrain("eval", "a", "b", "--json").out)
    assert figures["run"] == ["runs/a", "runs/b"] and figures["loss"] > 0
    mlptrain("train", tiny, "--run", "c", "split_seed=1")
    refused = mlptrain("eval", "a", "c")
    assert refused.code == 2 and "different splits" in refused.err


def test_the_worst_mistakes_and_the_least_accuracy(mlptrain, trained):
    figures = json.loads(mlptrain("eval", "a", "--json", "-q", "--mistakes", 3, "--threads", 1).out)
    worst = figures["mistakes"]
    assert len(worst) == 3 and set(worst[0]) == {"index", "truth", "guess", "confidence"}
    assert all(row["truth"] != row["guess"] for row in worst)
    assert [row["confidence"] for row in worst] == sorted((row["confidence"] for row in worst), reverse=True)
