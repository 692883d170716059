"""Run every page of the documentation in every shell: ``python -m tests.stress.documentation`` (ten minutes).

The tables of the laboratories are compared with the runs of their commands.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from mlptrain.runs.files import HISTORY, METRICS
from mlptrain.runs.history import read_history
from tests.test_docs import RUNNABLE, SHELLS, TEXTS, run_page


def wrong_cells(page: str, runs: Path) -> list[str]:
    """Return the cells in the tables of a page that differ from the run in the first cell of their row.

    Rows whose run is followed by an asterisk are left out, because they differ between processors.
    """
    wrong, columns = [], list[str]()
    for row in re.findall(r"^\| (.+) \|$", page, re.MULTILINE):
        name, *cells = row.split(" | ")
        run = re.fullmatch(r"`([\w-]+)`(?: \(.+\))?", name)
        if not name.startswith("`"):
            columns = cells if name == "run" else []
        elif run and columns:
            folder = next(path for path in (runs / run[1], runs / f"{run[1]}-001") if path.exists())
            values = measured(folder)
            for column, cell in zip(columns, cells, strict=True):
                number = float(cell.replace(",", "")) if column in values else 0.0
                if column in values and abs(number - values[column]) > tolerance(column, number):
                    wrong.append(f"{run[1]}: {column} is {values[column]:.4g}, not {cell}")
    return wrong


def measured(folder: Path) -> dict[str, float]:
    """Return the metrics of a run, those of its first epoch, and its lowest validation loss."""
    history = read_history(folder / HISTORY)
    lowest = min(report.val_loss for report in history)
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return {**metrics, "first val_accuracy": history[0].val_accuracy, "lowest val_loss": lowest}


def tolerance(column: str, value: float) -> float:
    """Return how far a number may be from that of another processor, which rounds differently."""
    if column.endswith("loss"):
        return 0.1 * value
    return 0.02 if column.endswith("accuracy") else 3 * (column == "best_epoch")


def main() -> int:
    """Run all pages; the first line that fails, and the first table that is wrong, end the program."""
    for shell in SHELLS:
        if shutil.which(shell) is None:
            print(f"{shell} is not installed")
            continue
        for name in RUNNABLE:
            with tempfile.TemporaryDirectory() as folder:
                run_page(name, shell, Path(folder))
                wrong = wrong_cells(TEXTS[name], Path(folder, "runs")) if name.startswith("configs/") else []
            if wrong:
                print(name, *wrong, sep="\n  ")
                return 1
            print(f"{shell}: {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
