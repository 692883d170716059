from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mlptrain.reporting.comparison_page import comparison_page
from mlptrain.reporting.gallery import MAX_MISTAKES
from mlptrain.reporting.page import run_page
from mlptrain.runs.comparison import Comparison
from mlptrain.runs.diagnosis import curves_of
from mlptrain.runs.files import load_metrics
from mlptrain.runs.finished import RunView, evaluate_runs, view_run
from tests.browser import HAS_CHROMIUM
from tests.reporting.made_runs import run
from tools.check_page import DARK, DESKTOP, LIGHT, PHONE, check

NO_DATA = Path("no-data")
VOID = {"br", "img", "input", "meta", "wbr"}


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

    def handle_starttag(self, tag: Any, attributes: Any) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._take(tag, attributes)

    def handle_startendtag(self, tag: Any, attributes: Any) -> None:
        self.tags.add(tag)
        self._take(tag, attributes)

    def _take(self, tag: Any, attributes: Any) -> None:
        if tag == "script":
            self.scripts.add(dict(attributes).get("type"))
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster", "background"):
                self.references.append(value)
            self.references += re.findall(r"url\(([^)]*)\)", value or "")

    def handle_endtag(self, tag: Any) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: Any) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page")
    run(path, "a")
    return path


@pytest.fixture(scope="module")
def run_html(folder: Path) -> str:
    return run_page(view_run(folder / "runs/a"), NO_DATA)


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


def test_the_page_of_a_run(run_html: str) -> None:
    reader = check_self_contained(run_html)
    titles = ["Diagnosis", "Learning curves", "Statistics of the layers", "Confusion", "Weights", "Mean activation"]
    titles += ["Worst mistakes", "Calibration", "Configuration", "Environment", "Try it"]
    places = [run_html.index(f"<h2>{title}") for title in titles]
    assert places == sorted(places)
    for text in ("not enough epochs", "mlptrain train ", "hidden: [6]", "Digest of the data", "NumPy"):
        assert text in reader.text, text
    assert "prefers-color-scheme:dark" in run_html and 'name="viewport"' in run_html


def test_the_page_begins_with_result_date_and_machine(folder: Path, run_html: str) -> None:
    metrics = load_metrics(folder / "runs/a")
    head = Reader(run_html.split("<h2>")[0] + "</main></body></html>").text
    assert f"{metrics['test_accuracy']:.2%}" in head and "mlptrain train " in head
    assert str(datetime.fromisoformat(metrics["finished"]).year) in head and metrics["machine"]["processor"] in head


def without_plots(view: RunView) -> RunView:
    return replace(view, model=None, layers=(), history=curves_of([]))


@pytest.mark.parametrize("recorded", [{}, {"finished": 3, "machine": [], "versions": "x"}, {"finished": "today"}])
def test_metrics_without_date_and_machine(folder: Path, recorded: dict[str, Any]) -> None:
    view = without_plots(view_run(folder / "runs/a"))
    known = {key: value for key, value in view.metrics.items() if key not in ("finished", "machine", "versions")}
    assert "Trained:" not in run_page(replace(view, metrics=known | recorded), NO_DATA)


def test_curves_and_diagnosis_name_the_same_epoch(folder: Path) -> None:
    view = view_run(folder / "runs/a")
    curves = replace(view.history, epochs=(*range(1, 7),), loss=(0.3,) * 6, accuracy=(0.9,) * 6)
    curves = replace(curves, val_loss=(5.0, 4.0, 3.0, 2.0, 6.0, 7.0), val_accuracy=(0.5,) * 6)
    page = Reader(run_page(replace(view, history=curves, model=None, layers=()), NO_DATA)).text
    assert "lowest validation loss: 2.0000 in epoch 4" in page and "val_loss is lowest in epoch 4" in page


def test_the_metrics_per_class_are_beside_the_confusion_matrix(folder: Path, run_html: str) -> None:
    measured = evaluate_runs([folder / "runs/a"]).per_class[3]
    cells = (measured.label, *(f"{x:.4f}" for x in (measured.precision, measured.recall, measured.f1)), "50")
    assert "".join(f"<td>{cell}</td>" for cell in cells) in run_html


BAD_PAGE = """<!DOCTYPE html><main style="width:1000px;padding:0"><h1>Bad</h1>
<p style="position:relative;top:-40px">over the heading</p>
<div style="width:100px"><p style="width:300px">wide</p></div>
<svg width="100" height="50" viewBox="0 0 100 50"><text x="80" y="20">cut off</text></svg>
<div style="height:500px"></div><img src="https://example.com/a.png"><script>undefined_function()</script></main>"""


@pytest.mark.skipif(not HAS_CHROMIUM, reason="needs Chromium")
def test_the_check_of_layouts_finds_faults(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD_PAGE)
    problems = "\n".join(check(tmp_path / "bad.html", tmp_path, 800).problems)
    for words in (
        "px wide",
        "overlaps",
        "wider than its",
        "cut off by",
        "blank area",
        "it loads",
        "undefined_function",
    ):
        assert words in problems, words


@pytest.mark.skipif(not HAS_CHROMIUM, reason="needs Chromium")
def test_the_page_fits_a_phone_and_a_desktop(run_html: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(run_html, encoding="utf-8")
    for width, scheme in ((PHONE, LIGHT), (DESKTOP, DARK)):
        assert check(tmp_path / "page.html", tmp_path, width, scheme).problems == []


def test_images_are_png_files_with_captions(folder: Path, run_html: str) -> None:
    assert run_html.count('src="data:image/png;base64,') == run_html.count("<figcaption>") == 6 + MAX_MISTAKES


def test_plots_take_the_colours_of_the_page(run_html: str) -> None:
    assert "#1b1f24" not in run_html.split("</style>", 1)[1] and "var(--ink)" in run_html
    assert "DejaVu" not in run_html.split("</style>", 1)[1]


def test_names_are_escaped(folder: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "<script>alert(1)<" / "script>\"'ä日<b>"
    shutil.copytree(folder / "runs/a", hostile)
    view = view_run(hostile)
    view = replace(view, metrics={**view.metrics, "stopped": "<video>", "machine": {"processor": "<u>"}})
    view = replace(view, model=replace(view.model, class_names=("<s>", "\"'&", "é日", *"3456789")))
    page = run_page(view, NO_DATA)
    reader = check_self_contained(page)
    assert "<script>alert(1)</script>\"'ä日<b>" in reader.text and not reader.tags & {"video", "u", "s"}
    assert page.count("<script") == 2
    both = [view, replace(view, config=view.config.model_copy(update={"seed": 1}))]
    check_self_contained(comparison_page(both, Comparison((), {}, {}, (), (), (), ())))


def test_a_run_that_is_not_finished_or_has_diverged(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "runs/a", tmp_path / "b")
    (tmp_path / "b/model.npz").unlink()
    (tmp_path / "b/metrics.json").unlink()
    view = view_run(tmp_path / "b")
    text = check_self_contained(run_page(without_plots(view), NO_DATA)).text
    for words in ("There is no model", "No epoch was finished", f"--run b --resume --runs-dir {tmp_path}"):
        assert words in text, words
    assert "Digest of the data" not in text
    diverged = replace(view, layers=(), history=replace(view.history, diverged=4))
    text = check_self_contained(run_page(diverged, NO_DATA)).text
    assert "diverged in epoch 4" in text and "--resume" not in text
