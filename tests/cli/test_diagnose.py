from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_the_verdict_after_training_is_the_diagnosis_of_the_run(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    trained = mlptrain("train", tiny, "--run", "a", "epochs=6", "learning_rate=0.001")
    verdict, command, folder = trained.out.splitlines()[-3:]
    assert "learning rate too low" in verdict and command == "  mlptrain diagnose runs/a" and folder == "runs/a"
    shown = mlptrain("diagnose", "a")
    assert shown.code == 0 and shown.out.startswith("runs/a: learning rate too low")
    assert shown.out.splitlines()[-1] == "  mlptrain train runs/a/config.yaml learning_rate=0.01"
    found = json.loads(mlptrain("diagnose", "a", "--json").out)
    assert found["case"] == "rate_too_low" and found["command"] == shown.out.splitlines()[-1].strip()
    assert found["changes"] == ["learning_rate=0.01"] and found["run"] == "runs/a"
    assert mlptrain("diagnose", "a", "-q").out == ""


def test_a_verdict_needs_five_epochs(mlptrain: Command, tiny: Path) -> None:
    assert "not enough epochs" in mlptrain("train", tiny, "--run", "a").out
    assert mlptrain("train", tiny, "--run", "none", "epochs=0").code == 0
    assert json.loads(mlptrain("diagnose", "none", "--json").out)["case"] == "not_enough_epochs"


def test_a_diverged_run_has_a_diagnosis(mlptrain: Command, tiny: Path) -> None:
    failed = mlptrain("train", tiny, "--run", "d", "loss=mse", "output=linear", "learning_rate=1e30")
    assert failed.code == 4 and failed.err.count("\n") <= 3 and "mlptrain diagnose runs/d" in failed.err
    found = json.loads(mlptrain("diagnose", "d", "--json").out)
    assert found["case"] == "divergence" and found["epoch"] == 1


def test_a_healthy_run_needs_no_change(mlptrain: Command, tiny: Path) -> None:
    mlptrain("train", tiny, "--run", "h", "subset=null", "epochs=12", "hidden=[30]", "-q")
    assert json.loads(mlptrain("diagnose", "h", "--json").out)["command"] is None


def test_training_diagnosis_and_report_name_the_same_best_epoch(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    """The validation loss of this run is lowest in another epoch than its mean over three epochs."""
    assert mlptrain("train", tiny, "--run", "a", "epochs=30", "learning_rate=1", "-q").code == 0
    best = json.loads((tmp_path / "runs/a/metrics.json").read_text())["best_epoch"]
    found = json.loads(mlptrain("diagnose", "a", "--json").out)
    assert found["case"] == "overfitting" and found["epoch"] == best
    assert any(f"epoch {best}: " in text for text in found["evidence"])


def test_a_missing_or_damaged_run_is_exit_3(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    assert mlptrain("diagnose", "nobody").code == 3
    mlptrain("train", tiny, "--run", "a", "-q")
    (tmp_path / "runs/a/history.csv").write_text("epoch\n")
    damaged = mlptrain("diagnose", "a")
    assert damaged.code == 3 and "history.csv:1" in damaged.err
