from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import mlptrain
from mlptrain.reporting.summary import difference_lines, diverged_summary, run_summary
from mlptrain.runs.diagnosis import Diagnosis
from mlptrain.runs.train import TrainResult
from tests.runs.made import quick

FOUND = Diagnosis("healthy", None, ("a | b",), ())


@pytest.fixture(scope="module")
def trained() -> TrainResult:
    return mlptrain.train(quick("epochs=3"))


def test_the_table_has_the_difference_to_each_metric_of_the_baseline(trained: TrainResult) -> None:
    before = {**trained.metrics, "val_loss": None, "test_loss": trained.metrics["test_loss"] + 1, "loss": "x"}
    text = run_summary(trained, FOUND, baseline=("base", before))
    table = [[*map(str.strip, line.split("|"))] for line in text.splitlines() if line.startswith("| ")]
    rows = {cells[1]: cells[2:-1] for cells in table}
    assert rows["metric"] == ["value", "baseline", "difference"]
    assert rows["accuracy"][2] == "+0.0000" and rows["test_loss"][2] == "-1.0000"
    assert rows["val_loss"][1:] == ["", ""] and rows["loss"][1:] == ["", ""]
    assert "other data" not in text
    assert "other data" in run_summary(trained, FOUND, baseline=("base", {**before, "data_fingerprint": "y"}))


def test_curves_need_three_epochs(trained: TrainResult) -> None:
    assert run_summary(trained, FOUND).count("```") == 2
    assert "```" not in run_summary(replace(trained, history=trained.history[:2]), FOUND)


def test_the_verdict_needs_a_limit(trained: TrainResult) -> None:
    accuracy = trained.metrics["test_accuracy"]
    heads = [run_summary(trained, FOUND, limit).splitlines()[0] for limit in (None, accuracy, accuracy + 0.001)]
    assert [word for head in heads for word in ("passed", "failed") if word in head] == ["passed", "failed"]


def test_marks_of_names_are_literal(trained: TrainResult) -> None:
    text = run_summary(replace(trained, folder=Path("runs/<b>*x*\n`y`")), FOUND, baseline=("[a](b)", {}))
    assert text.startswith("### runs/\\<b\\>\\*x\\*\\\\n\\`y\\`: ") and "- a \\| b\n" in text
    assert "\\[a\\](b); measured" in text
    assert diverged_summary("*", "lost\nhint: x") == "### \\*: failed\n\nlost\n\n"
    assert difference_lines(trained.metrics, None) == []
