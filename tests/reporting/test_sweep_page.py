from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlptrain.reporting.gallery import MAX_BEST, MAX_OTHERS, sweep_plots
from mlptrain.reporting.plots.style import rendered
from mlptrain.reporting.sweep_page import FIRST_ROWS, MAX_LISTED, sweep_page
from mlptrain.sweeps.finished import SweepView, view_sweep
from mlptrain.sweeps.folder import SweepFolder
from mlptrain.sweeps.trials import DIVERGED, FAILED, Result
from mlptrain.system.lock import locked
from tests.browser import HAS_CHROMIUM, evaluate_on
from tests.reporting.made_runs import run, sweep
from tests.reporting.test_page import Reader, check_self_contained
from tests.sweeps.made import Inline, drive, spec
from tools.check_page import DARK, DESKTOP, LIGHT, PHONE, check

NO_DATA = Path("no-data")


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> SweepView:
    return view_sweep(sweep(tmp_path_factory.mktemp("page"), trials=32))


@pytest.fixture(scope="module")
def page(view: SweepView) -> str:
    return sweep_page(view, NO_DATA)


def of_board(view: SweepView, **changes: Any) -> SweepView:
    return replace(view, board=replace(view.board, **changes))


def test_the_page_has_the_best_trial_and_its_run(view: SweepView, tmp_path: Path) -> None:
    shutil.copytree(run(tmp_path, "a"), tmp_path / "best")
    reader = check_self_contained(sweep_page(replace(view, best=tmp_path / "best"), NO_DATA))
    for text in ("ranked by the highest val_accuracy", "0.9500", "Best run", "hidden: [6]", "Try it"):
        assert text in reader.text, text
    assert re.search(r"mlptrain train \S+/best/config.yaml", reader.text)
    assert "mlptrain sweep " in reader.text


def test_the_leaderboard_begins_with_the_rank_and_the_metric(page: str) -> None:
    head, *rows = re.findall(r"<tr.*?</tr>", page.split("<h2>Leaderboard</h2>")[1].split("</table>")[0])
    names = [name.replace("<wbr>", "") for name in re.findall(r"<th>(.*?)</th>", head)]
    assert names[:3] == ["rank", "val_accuracy", "learning_rate"]
    assert names[-4:] == ["test_accuracy", "time", "status", "trial"]
    assert len(rows) == 30 and sum('class="more"' in row for row in rows) == 30 - FIRST_ROWS
    assert re.findall(r"<td>(.*?)</td>", rows[0])[:3] == ["1", "0.9500", "0.003"]


def test_every_trial_has_a_line_and_a_point_per_parameter(view: SweepView, page: str) -> None:
    numbers = [str(row.trial) for row in view.ranked] + [f"failed {trial.trial}" for trial in view.failed]
    lines = re.findall(r'<polyline [^>]*data-trial="([^"]+)" points="([^"]+)"', page)
    assert sorted(number for number, _ in lines) == sorted(numbers)
    assert {len(points.split()) for _, points in lines} == {len(view.board.keys) + 1}
    for number in numbers:
        marks = page.count(f'data-trial="{number}"')
        assert marks == 1 + len(view.board.keys) + (not number.startswith("failed"))
    assert "<title>trial 0001: rank 2, val_accuracy 0.9300\nlearning_rate=0.0045 " in page


def test_a_sweep_over_one_parameter_needs_no_parallel_coordinates(view: SweepView) -> None:
    page = sweep_page(of_board(view, keys=("loss",)), NO_DATA)
    assert "<polyline" not in page and "exploreTrials" not in page
    assert page.count('<svg class="points') == 1
    nothing = check_self_contained(sweep_page(of_board(view, keys=()), NO_DATA))
    assert "Leaderboard" in nothing.text and "svg" not in nothing.tags


def test_the_failed_trials_are_listed_with_their_reasons(view: SweepView) -> None:
    values = view.ranked[0].values
    failed = [Result(100, 100, "", values, DIVERGED, message="epoch 2: <b>not finite\nhint")]
    failed += [Result(101 + index, 0, "", values, FAILED, message="x" * 999) for index in range(MAX_LISTED)]
    reader = check_self_contained(sweep_page(replace(view, failed=tuple(failed)), NO_DATA))
    assert "0100 diverged: epoch 2: <b>not finite" in reader.text and "x" * 200 not in reader.text
    assert "1 more trial" in reader.text and "b" in reader.tags


def test_importances_are_bars(view: SweepView) -> None:
    shares = {"hidden": 0.75, "loss": 0.05}
    page = sweep_page(replace(view, importances=shares), NO_DATA)
    assert re.findall(r"style=\"width:([\d.]+)%", page) == ["75.0", "5.0", "20.0"]
    assert "20%" in page and "75%" in page
    assert "at least 30 trials" in Reader(sweep_page(replace(view, importances=None), NO_DATA)).text


def test_of_a_large_sweep_a_part_is_drawn(view: SweepView) -> None:
    rows = tuple(
        replace(view.ranked[0], rank=rank, trial=rank, figure=0.9 - rank * 1e-5, best_trial=rank)
        for rank in range(1, 10_001)
    )
    page = sweep_page(replace(of_board(view, rows=rows), failed=()), NO_DATA)
    assert MAX_BEST < page.count("<polyline") <= MAX_BEST + MAX_OTHERS
    assert len(re.findall("<tr [^>]*data-trial", page)) == MAX_BEST
    assert "of 10,000 trials" in page and "9,800 more in leaderboard.csv" in page
    assert len(page) < 2e6


def test_a_sweep_of_collected_runs(tmp_path: Path) -> None:
    path = sweep(tmp_path)
    (path / "sweep.yaml").unlink()
    page = sweep_page(view_sweep(path), NO_DATA)
    reader = check_self_contained(page)
    assert "mlptrain sweep" not in page and "Best run" not in page and "collected runs" in reader.text


def test_the_page_of_a_grid_has_the_mean_and_the_best_per_value(tmp_path: Path) -> None:
    path = sweep(tmp_path)
    assert "Values of the parameters" not in sweep_page(view_sweep(path), NO_DATA)
    rows = [(1, 3, 0.3, 64, 0.9), (2, 1, 0.1, 64, 0.8), (3, 2, 0.3, 16, 0.75), ("", 0, 0.1, 16, "")]
    lines = [f"{rank},{trial},,{rate},{batch},finished,{value}" for rank, trial, rate, batch, value in rows]
    head = "rank,trial,run,learning_rate,batch_size,status,val_accuracy"
    (path / "leaderboard.csv").write_text("\n".join([head, *lines]) + "\n")
    page = sweep_page(view_sweep(path), NO_DATA)
    assert "<td>batch_size</td><td>64</td><td>0.8500</td><td>0.9000</td><td>0</td>" in page
    assert "<td>learning_rate</td><td>0.1</td><td>0.8000</td><td>0.8000</td><td>1</td>" in page


GRID = "parameters:\n  learning_rate: {values: [0.1, 0.5]}\n  hidden: {values: [[3], [4, 4]]}\n"


def test_a_sweep_in_progress(tmp_path: Path) -> None:
    path = tmp_path / "runs/s"
    with pytest.raises(KeyboardInterrupt):
        drive(spec(tmp_path, GRID), path, Inline(1, 1))
    reader = check_self_contained(sweep_page(view_sweep(path), NO_DATA))
    ended = re.search(r"(\d) of 4 trials have ended", reader.text)
    assert ended and 0 < int(ended[1]) < 4
    assert f"mlptrain sweep {path}/sweep.yaml --resume --run s --runs-dir {path.parent}" in reader.text
    assert re.search(r"mlptrain train \S+ .*learning_rate=", reader.text) and "Leaderboard" in reader.text
    with locked(path):
        text = Reader(sweep_page(view_sweep(path), NO_DATA)).text
    assert "The sweep is running" in text and "--resume" not in text


def test_a_sweep_without_results(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.mkdir()
    SweepFolder(path).begin(spec(tmp_path, GRID))
    (path / "journal.jsonl").touch()
    reader = check_self_contained(sweep_page(view_sweep(path), NO_DATA))
    assert "0 of 4 trials have ended" in reader.text and "No trial has a val_accuracy yet" in reader.text
    failed = (Result(0, 0, "", {"learning_rate": 0.1, "hidden": [3]}, FAILED, message="killed"),)
    reader = check_self_contained(sweep_page(replace(view_sweep(path), failed=failed), NO_DATA))
    assert "0000 failed: killed" in reader.text


def test_names_and_values_are_escaped(view: SweepView) -> None:
    name = "<script>alert('é')</script>\"&\x1b"
    rows = tuple(replace(row, values={**row.values, "loss": f"{name}{row.trial % 3}"}) for row in view.board.rows)
    failed = tuple(replace(trial, values={**trial.values, "loss": f"{name}0"}, message=name) for trial in view.failed)
    hostile = replace(of_board(view, rows=rows), path=Path(name), failed=failed)
    page = sweep_page(hostile, NO_DATA)
    reader = check_self_contained(page)
    assert page.replace("\n", "").isprintable() and page.count("<script") == 1
    assert reader.text.count("<script>alert('é')") > 20
    for plot in sweep_plots(hostile):
        assert plot.draw is not None and rendered(plot.draw, "svg").decode().replace("\n", "").isprintable()


def test_pages_and_plots_contain_only_printable_characters(view: SweepView, tmp_path: Path) -> None:
    name = "a\x1b[2J\x9b\u202e&"
    board = (view.path / "leaderboard.csv").read_text(encoding="utf-8").replace("learning_rate", name, 1)
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


EXPLORE = """(() => {
  Element.prototype.setPointerCapture = () => {};
  const send = (target, type, x, y) => target.dispatchEvent(
    new PointerEvent(type, {bubbles: true, pointerType: "mouse", pointerId: 1, clientX: x, clientY: y}));
  const press = (target, key) => target.dispatchEvent(new KeyboardEvent("keydown", {bubbles: true, key}));
  const plot = document.querySelector(".parallel"), inner = plot.querySelector(".lines");
  const origin = plot.getScreenCTM(), box = {left: origin.e, width: inner.width.baseVal.value};
  const top = origin.f + inner.y.baseVal.value;
  const about = document.querySelector(".trial");
  const state = () => ({
    text: about.textContent,
    chosen: [...new Set([...document.querySelectorAll(".chosen[data-trial]")].map(mark => mark.dataset.trial))],
    rows: [...document.querySelectorAll(".leaderboard tr[data-trial]")].filter(row => row.offsetHeight > 0).length,
    out: new Set([...document.querySelectorAll(".out")].map(mark => mark.dataset.trial)).size,
    isFiltered: !document.querySelector(".filter").hidden,
  });
  const states = {start: state()};
  const points = inner.querySelector('[data-trial="4"]').points;
  const y = 0.6 * points[0].y + 0.4 * points[1].y;
  send(plot, "pointermove", box.left + 0.4 * box.width * points[1].x / 100, top + y);
  states.line = state();
  send(plot, "pointerleave", 0, 0);
  states.left = state();
  send(document.querySelector('circle[data-trial="7"]'), "pointerover", 0, 0);
  states.point = state();
  const [grip] = plot.querySelectorAll(".grip");
  for (const [type, at] of [["pointerdown", 150], ["pointermove", 310], ["pointerup", 310]]) {
    send(grip, type, box.left + 1, top + at);
  }
  states.brushed = state();
  press(plot, "ArrowDown");
  states.key = state();
  press(plot, "Escape");
  states.cleared = state();
  press(plot.querySelector(".axis"), "ArrowDown");
  states.range = state();
  document.querySelector(".filter button").click();
  document.querySelector('tr[data-trial="2"]').click();
  states.row = state();
  return states;
})()"""


@pytest.mark.skipif(not HAS_CHROMIUM, reason="needs Chromium")
@pytest.mark.parametrize(("width", "scheme"), [(PHONE, DARK), (DESKTOP, LIGHT)])
def test_the_page_fits_a_phone_and_a_desktop(page: str, tmp_path: Path, width: int, scheme: int) -> None:
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    assert check(tmp_path / "page.html", tmp_path, width, scheme).problems == []


@pytest.mark.skipif(not HAS_CHROMIUM, reason="needs Chromium")
def test_pointing_at_lines_and_dragging_along_axes(view: SweepView, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(sweep_page(view, NO_DATA), encoding="utf-8")
    states = evaluate_on(file, EXPLORE)
    first = states["start"]
    assert (first["chosen"], first["rows"], first["out"], first["isFiltered"]) == ([], FIRST_ROWS, 0, False)
    assert states["line"]["text"].startswith("trial 0004: rank 5, ") and states["line"]["chosen"] == ["4"]
    assert states["left"] == first
    assert states["point"]["chosen"] == ["7"]
    # The rates grow with the trial by the same factor, so half of the axis is half of the trials.
    assert states["brushed"]["rows"] == 16 and states["brushed"]["out"] == 16 and states["brushed"]["isFiltered"]
    assert states["key"]["chosen"] == ["8"] and states["cleared"] == first
    assert states["range"]["isFiltered"] and 0 < states["range"]["out"] < 32
    assert states["row"]["chosen"] == ["2"] and states["row"]["out"] == 0
