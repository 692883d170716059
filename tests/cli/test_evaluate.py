from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.datasets.idx import write_idx
from tests.cli.conftest import Command
from tests.runs.made import idx_folder


@pytest.fixture
def trained(mlptrain: Command, tiny: Path) -> dict[str, Any]:
    return json.loads(mlptrain("train", tiny, "--run", "a", "--json", "-q").out)


def test_eval_gives_the_metrics_of_the_run(mlptrain: Command, trained: dict[str, Any]) -> None:
    for split in ("test", "validation"):
        metrics = json.loads(mlptrain("eval", "a", "--json", "--split", split).out)
        key = "val" if split == "validation" else split
        assert metrics["split"] == split and metrics["run"] == "runs/a"
        assert metrics["accuracy"] == trained[f"{key}_accuracy"]
        assert metrics["loss"] == pytest.approx(trained[f"{key}_loss"], rel=1e-6)


def test_json_holds_every_class_and_the_confusion_matrix(mlptrain: Command, trained: dict[str, Any]) -> None:
    metrics = json.loads(mlptrain("eval", "a", "--json", "-q").out)
    assert [row["label"] for row in metrics["per_class"]] == list("0123456789")
    assert set(metrics["per_class"][0]) == {"label", "precision", "recall", "f1", "support"}
    confusion = np.array(metrics["confusion"])
    assert confusion.sum() == 500 and confusion.trace() / 500 == metrics["accuracy"]
    assert [row["support"] for row in metrics["per_class"]] == confusion.sum(axis=1).tolist()


def test_without_json_a_table_is_printed(mlptrain: Command, trained: dict[str, Any]) -> None:
    result = mlptrain("eval", "runs/a", "--confusion")
    assert result.code == 0 and "\x1b" not in result.out
    assert all(word in result.out for word in ("precision", "recall", "F1", "support", "confusion", "predicted as"))


def test_every_split_has_its_images(mlptrain: Command, trained: dict[str, Any]) -> None:
    counts = {
        split: np.sum(json.loads(mlptrain("eval", "a", "--json", "--split", split).out)["confusion"])
        for split in ("train", "validation", "test", "all")
    }
    assert counts == {"train": 200, "validation": 1000, "test": 500, "all": 5000}


def test_another_dataset_must_have_the_same_shape(mlptrain: Command, trained: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    rng = np.random.default_rng(0)
    write_idx(tmp_path / "own/train-images-idx3-ubyte.gz", rng.integers(0, 256, (40, 28, 28)).astype(np.uint8))
    write_idx(tmp_path / "own/train-labels-idx1-ubyte.gz", (np.arange(40) % 10).astype(np.uint8))
    metrics = json.loads(mlptrain("eval", "a", "--dataset", "./own", "--split", "all", "--json").out)
    assert np.sum(metrics["confusion"]) == 40
    write_idx(tmp_path / "own/train-images-idx3-ubyte.gz", np.zeros((40, 8, 8), np.uint8))
    refused = mlptrain("eval", "a", "--dataset", "./own", "--split", "all")
    assert refused.code == 3 and "8 x 8" in refused.err and "784" in refused.err


def test_several_runs_are_averaged(mlptrain: Command, tiny: Path, trained: dict[str, Any]) -> None:
    mlptrain("train", tiny, "--run", "b", "seed=1")
    metrics = json.loads(mlptrain("eval", "a", "b", "--json").out)
    assert metrics["run"] == ["runs/a", "runs/b"] and metrics["loss"] > 0
    mlptrain("train", tiny, "--run", "c", "split_seed=1")
    refused = mlptrain("eval", "a", "c")
    assert refused.code == 2 and "split" in refused.err


def test_mistakes_are_sorted_by_confidence(mlptrain: Command, trained: dict[str, Any]) -> None:
    metrics = json.loads(mlptrain("eval", "a", "--json", "-q", "--mistakes", 3, "--threads", 1).out)
    worst = metrics["mistakes"]
    assert len(worst) == 3 and set(worst[0]) == {"index", "truth", "guess", "confidence"}
    assert all(row["truth"] != row["guess"] for row in worst)
    assert [row["confidence"] for row in worst] == sorted((row["confidence"] for row in worst), reverse=True)


def test_a_run_is_named_in_every_way(mlptrain: Command, trained: dict[str, Any], tmp_path: Path) -> None:
    shutil.copy(tmp_path / "runs/a/model.npz", tmp_path / "copy.npz")
    for name in ("a", "latest"):  # files that are no models hide nothing
        (tmp_path / name).write_text("notes")
    for run, path in [
        ("a", "runs/a"),
        ("runs/a/model.npz", "runs/a"),
        ("latest", "runs/a"),
        ("best:test_loss", "runs/a"),
        ("copy.npz", "copy.npz"),
    ]:
        result = mlptrain("eval", run, "--json")
        metrics = json.loads(result.out)
        assert (metrics["run"], metrics["accuracy"]) == (path, trained["test_accuracy"])
        assert (f"{run}: runs/a" in result.err.splitlines()) == (run in ("latest", "best:test_loss"))
    assert mlptrain("eval", "aa").err.startswith("mlptrain: aa: ") and "did you mean 'a'?" in mlptrain("eval", "aa").err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_model(mlptrain: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert mlptrain("eval", "pipe").code == 3  # without waiting for a writer


def test_a_sweep_is_refused_by_commands_about_one_run(mlptrain: Command, tiny: Path) -> None:
    mlptrain("sweep", tiny, "learning_rate=0.1,0.2", "--run", "s", "-q")
    for command in ("eval s", "diagnose s", "export runs/s", "predict s one.npy"):
        refused = mlptrain(*command.split())
        assert refused.code == 2 and refused.err.endswith("runs/s/best\n"), refused.err
    assert mlptrain("eval", "s/best").code == 0


def test_a_model_file_trained_on_a_folder_needs_a_dataset(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    own = idx_folder(tmp_path / "own", pixels=(28, 28))
    assert mlptrain("train", tiny, "dataset=./own", "subset=20", "--run", "b", "-q").code == 0
    (tmp_path / "runs/b/model.npz").rename(tmp_path / "b.npz")
    refused = mlptrain("eval", "b.npz")
    assert refused.code == 2 and "--dataset" in refused.err
    assert mlptrain("eval", "b.npz", "--dataset", own).code == 0


def test_augment_adds_the_metrics_of_averaged_copies(mlptrain: Command, tiny: Path, trained: dict[str, Any]) -> None:
    mlptrain("train", tiny, "--run", "b", "-q", "augment.shift=2", "augment.elastic.alpha=30")
    mlptrain("train", tiny, "--run", "c", "-q", "augment.rotate=20", "seed=1")
    plain = json.loads(mlptrain("eval", "b", "--json").out)
    result = mlptrain("eval", "b", "--json", "--augment", 3)
    metrics = json.loads(result.out)
    augmented = metrics.pop("augmented")
    assert metrics == plain and set(augmented) == {"copies", "strength", "seed", "loss", "accuracy"}
    assert augmented["copies"] == 3 and augmented["loss"] != plain["loss"]
    assert mlptrain("eval", "b", "--json", "--augment", 3).out == result.out
    lines = mlptrain("eval", "b", "--augment", 3).out.splitlines()
    assert len(lines) == len(mlptrain("eval", "b").out.splitlines()) + 1
    assert lines[1].startswith("augmented ") and f"accuracy {augmented['accuracy']:.4f}" in lines[1]
    both = json.loads(mlptrain("eval", "b", "c", "--json", "--augment", 2).out)
    assert both["run"] == ["runs/b", "runs/c"] and both["augmented"]["loss"] != both["loss"]


def test_min_accuracy_tests_the_plain_outputs(mlptrain: Command, tiny: Path) -> None:
    mlptrain("train", tiny, "--run", "b", "-q", "augment.rotate=180", "epochs=4")
    found = json.loads(mlptrain("eval", "b", "--json", "--augment", 1).out)
    plain, augmented = found["accuracy"], found["augmented"]["accuracy"]
    assert plain != augmented
    code = 5 if plain < augmented else 0
    assert mlptrain("eval", "b", "--augment", 1, "--min-accuracy", (plain + augmented) / 2).code == code


def test_augment_needs_a_run_with_augmentation(mlptrain: Command, tiny: Path, trained: dict[str, Any]) -> None:
    mlptrain("train", tiny, "--run", "b", "-q", "augment.shift=2")
    cases: list[tuple[list[Any], str]] = [
        (["a", "--augment", 4], "runs/a: "),
        (["b", "a", "--augment", 4], "runs/a: "),
        (["b", "--augment", 0], "--augment: "),
        (["b", "--augment", "x"], "--augment: "),
    ]
    for arguments, part in cases:
        refused = mlptrain("eval", *arguments, "--json")
        assert (refused.code, refused.out) == (2, "") and part in refused.err and "\nhint: " in refused.err
