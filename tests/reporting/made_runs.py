"""A trained run and the files of a sweep, for tests that plot them."""

from __future__ import annotations

from pathlib import Path

import mlptrain
from mlptrain.config.config import load_config

BOARD = (
    "rank,trial,run,learning_rate,batch_size,hidden,loss,status,epochs,loss,accuracy,val_loss,val_accuracy,"
    "test_loss,test_accuracy,seconds\n"
)


def run(folder: Path, name: str, *overrides: str) -> Path:
    """Train a small network below ``folder``/runs and return its run folder."""
    settings = load_config(None, ["hidden=[6]", "subset=100", "epochs=3", "batch_size=20", *overrides])
    result = mlptrain.train(settings, run=name, runs_dir=folder / "runs")
    return result.folder


def sweep(folder: Path, name: str = "sweep", trials: int = 20, failed: int = 2) -> Path:
    """Write a sweep with invented metrics that varied learning rate, batch size, hidden layers and loss."""
    path = folder / "runs" / name
    path.mkdir(parents=True)
    (path / "sweep.yaml").write_text("method: random\nmetric: {name: val_accuracy, goal: maximize}\n")
    lines = []
    for index in range(trials):
        rank = "" if index >= trials - failed else str(index + 1)
        hidden = '"[15,30]"' if index % 4 == 0 else "[30]"
        loss = ("mse", "cross_entropy")[index % 2]
        values = f"{0.003 * 1.5**index:.4g},{(16, 32, 64)[index % 3]},{hidden},{loss}"
        metrics = f"finished,8,0.5,0.9,0.6,{0.95 - 0.02 * index:.4f},0.6,0.9,1.5" if rank else "diverged,,,,,,,,0.1"
        lines.append(f"{rank},{index},,{values},{metrics}\n")
    (path / "leaderboard.csv").write_text(BOARD + "".join(lines))
    return path
