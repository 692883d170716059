from __future__ import annotations

import json
import sys

import pytest

from tests.reporting.plots.made import sweep

PICTURES = ["activations", "calibration", "confusion", "curves", "mistakes", "weights"]


@pytest.fixture
def trained(mlptrain, tiny):
    assert mlptrain("train", tiny, "--run", "a", "-q").code == 0


def test_all_pictures_of_a_run(mlptrain, trained, tmp_path):
    shown = mlptrain("plot", "a")
    assert shown.code == 0 and shown.out.splitlines()[0] == "runs/a/plots/curves.png"
    assert sorted(path.name for path in (tmp_path / "runs/a/plots").iterdir()) == [f"{name}.png" for name in PICTURES]
    assert mlptrain("plot", "a", "--only", "curves", "--output", "x/y.svg", "--json").code == 0
    assert (tmp_path / "x/y.svg").read_text().startswith("<?xml")
    figures = json.loads(mlptrain("plot", "a", "--format", "svg", "--only", "mistakes", "--json").out)
    assert figures == {"run": "runs/a", "pictures": ["runs/a/plots/mistakes.svg"]}


def test_several_runs_are_overlaid(mlptrain, tiny, trained):
    mlptrain("train", tiny, "--run", "b", "learning_rate=0.1", "-q")
    assert mlptrain("plot", "a", "b", "--output", "both.png").out == "both.png\n"
    assert mlptrain("plot", "a", "b", "-q").out == ""


def test_a_sweep(mlptrain, tmp_path):
    sweep(tmp_path)
    shown = mlptrain("plot", "sweep")
    assert shown.code == 0 and len(shown.out.splitlines()) == 3
    refused = mlptrain("plot", "sweep", "sweep")
    assert refused.code == 2 and "by itself" in refused.err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--format", "pdf"], "expected png or svg"),
        (["--only", "curve"], "expected one of curves, confusion"),
        (["--output", "a.png"], "one file for 6 pictures"),
    ],
)
def test_what_is_refused(mlptrain, trained, options, complaint):
    refused = mlptrain("plot", "a", *options)
    assert refused.code == 2 and complaint in refused.err


def test_a_folder_that_cannot_be_made(mlptrain, trained, tmp_path):
    (tmp_path / "file").write_text("")
    refused = mlptrain("plot", "a", "--output", "file/pictures")
    assert refused.code == 3 and "file/pictures: cannot be written" in refused.err
    assert mlptrain("plot", "nobody").code == 3


def test_a_run_that_diverged(mlptrain, tiny):
    assert mlptrain("train", tiny, "--run", "d", "loss=mse", "output=linear", "learning_rate=1e30", "-q").code == 4
    refused = mlptrain("plot", "d", "--threads", "1")
    assert refused.code == 3 and "nothing to draw" in refused.err and refused.err.count("\n") == 3
    assert mlptrain("report", "d").code == 0


def test_without_a_model_the_curves_are_drawn_and_the_rest_is_explained(mlptrain, trained, tmp_path):
    (tmp_path / "runs/a/model.npz").unlink()
    shown = mlptrain("plot", "a").out.splitlines()
    assert shown == [
        "not drawn: confusion, weights, activations, mistakes, calibration. "
        "There is no model: the run diverged or has not ended.",
        "runs/a/plots/curves.png",
    ]


@pytest.mark.parametrize("command", ["plot", "report"])
def test_without_matplotlib_it_says_what_to_install(mlptrain, trained, monkeypatch, command):
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
    refused = mlptrain(command, "a")
    assert refused.code == 2 and "pip install 'mlptrain[plots]'" in refused.err


def test_a_report(mlptrain, trained, tmp_path):
    assert json.loads(mlptrain("report", "a", "--output", "o/r.html", "--json").out) == {
        "run": "runs/a",
        "report": "o/r.html",
    }
    assert (tmp_path / "o/r.html").read_text().startswith("<!DOCTYPE html>")
    sweep(tmp_path)
    assert mlptrain("report", "sweep", "--threads", "1").out == "runs/sweep/report.html\n"


def test_other_commands_start_without_matplotlib(mlptrain, trained):
    import subprocess

    code = "import sys; from mlptrain.cli import main; main(['diagnose', 'a']); sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
