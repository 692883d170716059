from __future__ import annotations

import json


def test_a_run_and_the_line_at_the_end_of_training(mlptrain, tiny, tmp_path):
    shown = mlptrain("train", tiny, "--run", "a", "epochs=6", "learning_rate=0.001")
    assert shown.out.splitlines()[-2:] == [
        "diagnosis: learning rate too low: the loss still falls at the end; see mlptrain diagnose runs/a",
        "runs/a",
    ]
    words = mlptrain("diagnose", "a")
    assert words.code == 0 and words.out.startswith("runs/a: learning rate too low")
    assert words.out.splitlines()[-1] == "  mlptrain train runs/a/config.yaml learning_rate=0.01"
    found = json.loads(mlptrain("diagnose", "a", "--json").out)
    assert found["case"] == "rate_too_low" and found["command"] == words.out.splitlines()[-1].strip()
    assert found["changes"] == ["learning_rate=0.01"] and found["run"] == "runs/a"
    assert mlptrain("diagnose", "a", "-q").out == ""


def test_few_epochs_are_not_enough(mlptrain, tiny):
    assert "diagnosis: not enough epochs to say\n" in mlptrain("train", tiny, "--run", "a").out
    assert mlptrain("train", tiny, "--run", "none", "epochs=0").code == 0
    assert "0 finished epochs; a verdict takes 5" in mlptrain("diagnose", "none").out


def test_a_run_that_diverged(mlptrain, tiny):
    failed = mlptrain("train", tiny, "--run", "d", "loss=mse", "output=linear", "learning_rate=1e30")
    assert failed.code == 4 and failed.err.count("\n") == 3
    assert failed.err.splitlines()[-1] == "runs/d keeps the history: mlptrain diagnose runs/d"
    found = json.loads(mlptrain("diagnose", "d", "--json").out)
    assert found["case"] == "divergence" and found["epoch"] == 1


def test_a_healthy_run(mlptrain, tiny):
    mlptrain("train", tiny, "--run", "h", "subset=null", "epochs=12", "hidden=[30]", "-q")
    assert mlptrain("diagnose", "h").out.splitlines()[-1] == "nothing needs to change"
    assert json.loads(mlptrain("diagnose", "h", "--json").out)["command"] is None


def test_what_is_missing(mlptrain, tiny, tmp_path):
    assert mlptrain("diagnose", "nobody").code == 3
    mlptrain("train", tiny, "--run", "a", "-q")
    (tmp_path / "runs/a/history.csv").write_text("epoch\n")
    damaged = mlptrain("diagnose", "a")
    assert damaged.code == 3 and "history.csv:1" in damaged.err
