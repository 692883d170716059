from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import mlptrain
from mlptrain.sweeps.reports import SweepEnd
from tests.readme import ROOT
from tests.reporting import made

SMALL = {"hidden": [5], "epochs": 2, "subset": 100}


def test_progress_is_shown_on_request_as_lines_in_a_pipe_without_rich_and_ipython() -> None:
    code = (
        f"import sys, mlptrain; mlptrain.train({SMALL}); print('--'); mlptrain.train({SMALL}, progress=True); "
        "sys.exit(bool({'IPython', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    silent, *shown = done.stdout.splitlines()
    assert silent == "--" and [line for line in shown if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]


def test_progress_is_the_live_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pty")
    with made.terminal(80) as terminal:
        monkeypatch.setattr(sys, "stdout", terminal.stream)
        mlptrain.train(SMALL, progress=True)
    lines = terminal.screen()
    assert any(line.split()[:2] == ["epoch", "loss"] for line in lines) and any("test loss" in line for line in lines)


def test_a_sweep_shows_its_progress_and_calls_on_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    reports: list[object] = []
    values = ["learning_rate=0.1,0.3", "hidden=5", "epochs=1", "subset=100"]
    mlptrain.sweep("quickstart", values, workers=1, on_report=reports.append, progress=True)
    assert "2 trials of quickstart" in capsys.readouterr().out and isinstance(reports[-1], SweepEnd)
