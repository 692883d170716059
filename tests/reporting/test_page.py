from __future__ import annotations

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mlptrain.reporting.gallery import sweep_plots
from mlptrain.reporting.page import run_page
from mlptrain.reporting.plots.style import rendered
from mlptrain.reporting.report import write_report
from mlptrain.reporting.sweep_page import sweep_page
from mlptrain.runs.finished import view_run
from mlptrain.sweeps.finished import view_sweep
from tests.reporting.made_runs import run, sweep

NO_DATA = Path("no-data")
VOID = {"meta"}


class Reader(HTMLParser):
    """A parser that collects references, ids, tags and text of a page, and fails if tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.scripts: set[str | None] = set()
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._take(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self._take(tag, attributes)

    def _take(self, tag, attributes):
        if tag == "script":
            self.scripts.add(dict(attributes).get("type"))
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster", "background"):
                self.references.append(value)
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page")
    run(path, "a")
    shutil.copytree(path / "runs/a", sweep(path) / "best")
    return path


@pytest.fixture(scope="module")
def run_html(folder):
    return run_page(view_run(folder / "runs/a"), NO_DATA)


@pytest.fixture(scope="module")
def sweep_html(folder):
    return sweep_page(view_sweep(folder / "runs/sweep"), NO_DATA)


def check_self_contained(page: str) -> Reader:
    reader = Reader(page)
    assert reader.scripts <= {None, "application/json"}
    assert not reader.tags & {"link", "iframe", "object", "embed", "base", "form"}
    outside = [reference for reference in reader.references if not reference.startswith(("#", "data:image/png;base64"))]
    assert outside == []
    assert "@import" not in page and "http" not in page and not re.search(r"\son\w+=", page)
    assert len(reader.ids) == len(set(reader.ids))
    inside = {reference[1:] for reference in reader.references if reference.startswith("#")}
    assert inside <= set(reader.ids)
    return reader


def test_the_page_of_a_run(run_html):
    reader = check_self_contained(run_html)
    assert run_html.count("<figure>") == run_html.count("<svg") == 7
    for text in (
        "Diagnosis",
        "not enough epochs",
        "mlptrain train ",
        "hidden: [6]",
        "data_fingerprint",
        "numpy",
        "Try it",
    ):
        assert text in reader.text, text
    assert "prefers-color-scheme:dark" in run_html and 'name="viewport"' in run_html


def test_plots_take_the_colours_of_the_page(run_html):
    assert "#1b1f24" not in run_html.split("</style>", 1)[1] and "var(--ink)" in run_html
    assert "DejaVu" not in run_html.split("</style>", 1)[1]


def test_the_page_of_a_sweep_contains_its_best_run(sweep_html):
    reader = check_self_contained(sweep_html)
    assert sweep_html.count("<svg") == 10
    for text in (
        "Leaderboard",
        "2 more in leaderboard.csv",
        "mlptrain sweep ",
        "Best trial",
        "hidden: [6]",
        "0.9500",
    ):
        assert text in reader.text, text


def test_a_sweep_without_file_or_best_run(folder, tmp_path):
    path = sweep(tmp_path)
    (path / "sweep.yaml").unlink()
    page = sweep_page(view_sweep(path), NO_DATA)
    check_self_contained(page)
    assert "mlptrain sweep" not in page and "Best trial" not in page


def test_the_page_of_a_grid_has_the_mean_and_the_best_per_value(tmp_path):
    path = sweep(tmp_path)
    assert "Values of the parameters" not in sweep_page(view_sweep(path), NO_DATA)
    rows = [(1, 3, 0.3, 64, 0.9), (2, 1, 0.1, 64, 0.8), (3, 2, 0.3, 16, 0.75), ("", 0, 0.1, 16, "")]
    lines = [f"{rank},{trial},,{rate},{batch},finished,{value}" for rank, trial, rate, batch, value in rows]
    head = "rank,trial,run,learning_rate,batch_size,status,val_accuracy"
    (path / "leaderboard.csv").write_text("\n".join([head, *lines]) + "\n")
    page = sweep_page(view_sweep(path), NO_DATA)
    assert "<td>batch_size</td><td>64</td><td>0.8500</td><td>0.9000</td><td>0</td>" in page
    assert "<td>learning_rate</td><td>0.1</td><td>0.8000</td><td>0.8000</td><td>1</td>" in page


def test_names_are_escaped(folder, tmp_path):
    hostile = tmp_path / "<script>alert(1)</script>"
    shutil.copytree(folder / "runs/a", hostile)
    view = view_run(hostile)
    reader = check_self_contained(
        run_page(replace(view, metrics={**view.metrics, "stopped": "<img src=x>", "seconds": None}), NO_DATA)
    )
    assert "<script>alert(1)" in reader.text and "img" not in reader.tags


def test_a_run_without_a_model(folder, tmp_path):
    shutil.copytree(folder / "runs/a", tmp_path / "b")
    (tmp_path / "b/model.npz").unlink()
    (tmp_path / "b/metrics.json").unlink()
    reader = check_self_contained(run_page(view_run(tmp_path / "b"), NO_DATA))
    assert "There is no model" in reader.text and "data_fingerprint" not in reader.text


def test_pages_are_written_to_the_run_by_default(tmp_path):
    folder = run(tmp_path, "a")
    assert write_report("a", tmp_path / "runs", tmp_path, None) == (folder, folder / "report.html")
    board, path = write_report(str(sweep(tmp_path)), tmp_path / "runs", tmp_path, tmp_path / "new/page.html")
    assert board.name == "sweep" and path == tmp_path / "new/page.html"
    for page in (folder / "report.html", path):
        text = page.read_text(encoding="utf-8")
        assert text.startswith("<!DOCTYPE html>") and text.rstrip().endswith("</html>")


def test_pages_and_plots_contain_only_printable_characters(folder, tmp_path):
    name = "a\x1b[2J\x9b\u202e&"
    board = (folder / "runs/sweep/leaderboard.csv").read_text(encoding="utf-8").replace("learning_rate", name, 1)
    hostile = tmp_path / name
    hostile.mkdir()
    (hostile / "leaderboard.csv").write_text(board, encoding="utf-8")
    view = view_sweep(hostile)
    page = sweep_page(view, NO_DATA)
    assert page.replace("\n", "").isprintable()
    shown = "a\\x1b[2J\\x9b\\u202e&"
    assert shown in check_self_contained(page).text
    svg = rendered(sweep_plots(view)[0].draw, "svg").decode()
    assert svg.replace("\n", "").isprintable() and name.encode() not in svg.encode()
