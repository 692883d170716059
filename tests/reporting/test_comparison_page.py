from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import UsageError
from mlptrain.reporting import comparison_page as module
from mlptrain.reporting.report import write_report
from mlptrain.runs.comparison import Comparison
from mlptrain.runs.diagnosis import curves_of
from mlptrain.runs.finished import RunView, view_run
from tests.reporting.made_runs import run, sweep
from tests.reporting.test_page import check_self_contained


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return view_run(run(tmp_path_factory.mktemp("comparison"), "a"))


def like(view: RunView, name: str, metrics: dict[str, float], **values: object) -> RunView:
    config = view.config.model_copy(update=values)
    return replace(view, path=Path(name), config=config, metrics={**view.metrics, **metrics})


def comparison_page(views: list[RunView]) -> str:
    return module.comparison_page(views, Comparison((), {}, {}, (), (), (), ()))


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of the table by the name of the row."""
    found = re.findall(r"<tr><th>([^<]*)</th>(<td>.*?</td>)</tr>", page)
    return {name: re.findall(r"<td>(.*?)</td>", cells) for name, cells in found}


def test_what_differs_is_shown_and_the_best_values_are_marked(view: RunView) -> None:
    a = like(view, "a", {"test_accuracy": 0.75, "test_loss": 0.5}, learning_rate=0.5)
    b = like(view, "b", {"test_accuracy": 0.875, "test_loss": 0.75}, learning_rate=0.1)
    page = comparison_page([a, b])
    table = rows(page)
    assert table["learning_rate"] == ["0.5", "0.1"] and "hidden" not in table and "state" not in table
    assert table["test accuracy"] == ["75.00%", "<b>87.50%</b> (best)"]
    assert table["test loss"] == ["<b>0.5000</b> (best)", "0.7500"]
    text = check_self_contained(page).text
    assert "learning_rate=0.1" in text and text.count("not enough epochs to say") == 2


@pytest.mark.parametrize("changes", [{"split_seed": 1}, {"dataset": "kmnist"}])
def test_nothing_is_the_best_on_different_images(view: RunView, changes: dict[str, Any]) -> None:
    page = comparison_page([view, like(view, "b", {"test_accuracy": 1.0}, **changes)])
    assert "(best)" not in page and "different data or splits" in page


def test_different_losses_have_no_best_value(view: RunView) -> None:
    table = rows(comparison_page([view, like(view, "b", {"test_loss": 0.0, "test_accuracy": 1.0}, loss="mse")]))
    assert not any("(best)" in cell for cell in table["test loss"]) and "(best)" in table["test accuracy"][1]


def test_runs_without_results_are_compared_too(view: RunView) -> None:
    diverged = replace(view, path=Path("d"), metrics={}, model=None, history=replace(view.history, diverged=4))
    empty = replace(view, path=Path("e"), metrics={}, model=None, history=curves_of([]))
    page = comparison_page([view, diverged, empty])
    assert rows(page)["state"] == ["finished", "diverged in epoch 4", "not finished"]
    assert rows(page)["test accuracy"][1:] == ["–", "–"] and "configurations are equal" in page
    check_self_contained(page)
    assert "<svg" not in comparison_page([empty, empty])


def test_comparisons_are_written_beside_the_first_run(view: RunView, tmp_path: Path) -> None:
    runs, second = view.path.parent, run(tmp_path, "b", "learning_rate=0.1")
    folder, path = write_report(["a", str(second)], runs, tmp_path, None)
    assert folder == view.path and path == view.path / "comparison.html"
    text = check_self_contained(path.read_text(encoding="utf-8")).text
    assert "learning_rate" in text and "only the first" in text and "a, b" in text
    sweep(tmp_path)
    with pytest.raises(UsageError, match="by itself"):
        write_report([str(second), "sweep"], tmp_path / "runs", tmp_path, None)
