from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.reporting.made_runs import sweep

PLOTS = ["activations", "calibration", "confusion", "curves", "layers", "mistakes", "weights"]


@pytest.fixture
def trained(mlptrain: Command, tiny: Path) -> None:
    assert mlptrain("train", tiny, "--run", "a", "-q").code == 0


def test_every_plot_of_a_run_is_written(mlptrain: Command, trained: None, tmp_path: Path) -> None:
    shown = mlptrain("plot", "a")
    assert shown.code == 0 and shown.out.splitlines()[0] == "runs/a/plots/curves.png"
    assert sorted(path.name for path in (tmp_path / "runs/a/plots").iterdir()) == [f"{name}.png" for name in PLOTS]
    assert mlptrain("plot", "a", "--only", "curves", "--output", "x/y.svg", "--json").code == 0
    assert (tmp_path / "x/y.svg").read_text().startswith("<?xml")
    written = json.loads(mlptrain("plot", "a", "--format", "svg", "--only", "mistakes", "--json").out)
    assert written == {"run": "runs/a", "pictures": ["runs/a/plots/mistakes.svg"]}


def test_several_runs_share_one_plot(mlptrain: Command, tiny: Path, trained: None) -> None:
    mlptrain("train", tiny, "--run", "b", "learning_rate=0.1", "-q")
    assert mlptrain("plot", "a", "b", "--output", "both.png").out == "both.png\n"
    assert mlptrain("plot", "a", "b", "-q").out == ""


def test_a_sweep_has_plots_of_its_own(mlptrain: Command, tmp_path: Path) -> None:
    sweep(tmp_path)
    shown = mlptrain("plot", "sweep")
    assert shown.code == 0 and len(shown.out.splitlines()) == 3
    refused = mlptrain("plot", "sweep", "sweep")
    assert refused.code == 2 and "sweep" in refused.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "pdf"], ["png", "svg"]),
        (["--only", "curve"], ["curves", "confusion"]),
        (["--output", "a.png"], ["a.png"]),
    ],
)
def test_wrong_usage_is_exit_2(mlptrain: Command, trained: None, options: list[str], words: list[str]) -> None:
    refused = mlptrain("plot", "a", *options)
    assert refused.code == 2 and all(word in refused.err for word in words)


def test_an_unwritable_folder_is_exit_3(mlptrain: Command, trained: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = mlptrain("plot", "a", "--output", "file/pictures")
    assert refused.code == 3 and "file/pictures" in refused.err
    assert mlptrain("plot", "nobody").code == 3


def test_a_diverged_run_has_a_report_but_no_curves(mlptrain: Command, tiny: Path) -> None:
    assert mlptrain("train", tiny, "--run", "d", "loss=mse", "output=linear", "learning_rate=1e30", "-q").code == 4
    refused = mlptrain("plot", "d", "--only", "curves", "--threads", "1")
    assert refused.code == 3 and refused.err.count("\n") <= 3
    assert mlptrain("report", "d").code == 0


def test_without_a_model_curves_and_layers_are_drawn(mlptrain: Command, trained: None, tmp_path: Path) -> None:
    (tmp_path / "runs/a/model.npz").unlink()
    reason, *written = mlptrain("plot", "a").out.splitlines()
    assert written == ["runs/a/plots/curves.png", "runs/a/plots/layers.png"]
    assert all(name in reason for name in set(PLOTS) - {"curves", "layers"})


@pytest.mark.parametrize("command", ["plot", "report"])
def test_without_matplotlib_the_extra_is_named(
    mlptrain: Command, trained: None, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
    refused = mlptrain(command, "a")
    assert refused.code == 2 and "pip install 'mlptrain[plots]'" in refused.err


def test_a_report_is_written(mlptrain: Command, trained: None, tmp_path: Path) -> None:
    assert json.loads(mlptrain("report", "a", "--output", "o/r.html", "--json").out) == {
        "run": "runs/a",
        "report": "o/r.html",
    }
    assert (tmp_path / "o/r.html").read_text().startswith("<!DOCTYPE html>")
    sweep(tmp_path)
    assert mlptrain("report", "sweep", "--threads", "1").out == "runs/sweep/report.html\n"


def test_several_runs_are_compared_in_one_report(mlptrain: Command, tiny: Path, trained: None, tmp_path: Path) -> None:
    mlptrain("train", tiny, "--run", "b", "learning_rate=0.1", "-q")
    assert json.loads(mlptrain("report", "a", "b", "--json").out) == {
        "run": "runs/a",
        "report": "runs/a/comparison.html",
    }
    assert "learning_rate" in (tmp_path / "runs/a/comparison.html").read_text()
    sweep(tmp_path)
    refused = mlptrain("report", "a", "sweep")
    assert refused.code == 2 and "runs/sweep" in refused.err


@pytest.mark.parametrize("has_browser", [True, False])
def test_a_report_is_opened(
    mlptrain: Command, trained: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_browser: bool
) -> None:
    opened = []

    def open_page(address: str) -> bool:
        opened.append(address)
        return has_browser

    monkeypatch.setattr("webbrowser.open", open_page)
    (tmp_path / "runs/a/model.npz").unlink()  # fewer plots
    shown = mlptrain("report", "a", "--open")
    assert opened == [(tmp_path / "runs/a/report.html").resolve().as_uri()] and shown.code == 0
    assert ("no web browser" in shown.err) is not has_browser


def test_other_commands_do_not_import_matplotlib(mlptrain: Command, trained: None) -> None:
    code = "import sys; from mlptrain.cli import main; main(['diagnose', 'a']); sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
