from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mlptrain.runs import watch as runs_watch
from mlptrain.sweeps import watch as sweeps_watch
from tests.cli.conftest import Command

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (runs_watch, sweeps_watch):
        monkeypatch.setattr(module, "SETTLED_SECONDS", 0.0)
        monkeypatch.setattr(module, "GONE_SECONDS", 0.0)


def test_a_complete_run_and_its_result(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    assert mlptrain("watch").code == 3, "there is no run"
    mlptrain("train", tiny, "--run", "a", "-q")
    result = mlptrain("watch", "a")
    metrics = json.loads((tmp_path / "runs/a/metrics.json").read_text())
    assert result.code == 0 and result.err == "" and f"accuracy: {metrics['test_accuracy']:.4f}" in result.out
    assert "Epoch 2/2" in result.out and "Epoch 1/2" not in result.out
    row = json.loads(mlptrain("watch", "--json", "-q").out)
    assert (row["name"], row["state"], row["test_accuracy"]) == ("a", "complete", metrics["test_accuracy"])
    assert mlptrain("watch", "runs/a/model.npz").code == 0
    assert mlptrain("watch", "b").code == 3


def test_a_killed_run_is_resumed_by_the_command_of_the_message(mlptrain: Command, tmp_path: Path) -> None:
    """The newest run is one that trains, although another run began later."""
    (tmp_path / "long.yaml").write_text("hidden: [6]\nsubset: 100\nepochs: 100000\nbatch_size: 5\n")
    program = [sys.executable, "-m", "mlptrain"]
    options: dict[str, Any] = {"cwd": tmp_path, "env": {"PYTHONPATH": str(ROOT), "PATH": ""}, "text": True}
    process = subprocess.Popen([*program, "train", "long.yaml", "--run", "a", "-q"], **options)
    try:
        history = tmp_path / "runs/a/history.csv"
        while not history.exists() or history.read_text().count("\n") < 4:
            time.sleep(0.02)
        mlptrain("train", "long.yaml", "epochs=1", "--run", "b", "-q")
        watching = subprocess.Popen([*program, "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        assert watching.stdout is not None and "runs/a" in watching.stdout.readline()
    finally:
        process.kill()
        process.wait()
    _, error = watching.communicate(timeout=30)
    assert watching.returncode == 3 and "runs/a: the run was killed" in error
    words = shlex.split(error.splitlines()[-1].partition("resume with: ")[2])
    assert mlptrain(*words[1:], "--time-limit", 0, "-q").code == 0
    stopped = mlptrain("watch", "a")
    assert stopped.code == 3 and "was stopped" in stopped.err and "test - loss" in stopped.out


def test_a_run_that_diverged(mlptrain: Command, tiny: Path) -> None:
    mlptrain("train", tiny, "learning_rate=1e30", "activation=relu", "hidden=5,5", "--run", "a", "-q")
    result = mlptrain("watch", "a")
    assert result.code == 4 and "diverged in epoch 1" in result.err


def test_sweeps_and_their_failed_trials(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "linear.yaml").write_text("hidden: []\noutput: linear\nloss: mse\nsubset: 100\nepochs: 1\n")
    mlptrain("sweep", "linear.yaml", "learning_rate=0.001,1e30", "--run", "s", "--workers", 1, "-q")
    result = mlptrain("watch", "s")
    assert result.code == 6 and "0001 (diverged)" in result.err and "all trials: runs/s/leaderboard.csv" in result.out
    mlptrain("sweep", tiny, "learning_rate=0.1,0.5", "--run", "t", "--shard", "1/2", "--workers", 1, "-q")
    result = mlptrain("watch")
    assert result.code == 3 and "1 of 2 trials" in result.err and "sweep --collect runs/t" in result.out
