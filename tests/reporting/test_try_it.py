from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlptrain
from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.losses import OUTPUTS
from mlptrain.errors import UsageError
from mlptrain.handwriting.digit import find_digit
from mlptrain.models.formats import describe_model
from mlptrain.models.model import Model, save_model
from mlptrain.reporting.try_it import MAX_PARAMETERS, MAX_UNITS, script, try_it, try_it_section, write_html
from tests.browser import HAS_CHROMIUM, NODE, draw, evaluate, replay, trace
from tests.made import random_model
from tests.models.made import CASES, DIGITS, moderate_model
from tests.reporting.made_runs import run
from tests.reporting.test_page import Reader

needs_javascript = pytest.mark.skipif(not (NODE or HAS_CHROMIUM), reason="needs Node or Chromium")


def embedded(model: Model) -> dict:
    """Return what the page contains of a model."""
    found = re.search(r'class="model">(.*?)</script>', try_it(model))
    assert found
    return json.loads(found[1])


def circle(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    return [(x + radius * np.cos(t), y + radius * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 60).tolist()]


SHAPES = [
    [[(0.5, 0.2), (0.5, 0.8)]],
    [[(0.2, 0.4), (0.8, 0.4)]],
    [[(0.5, 0.5), (0.5, 0.5)]],
    [circle(0.5, 0.5, 0.4)],
    [circle(0.3, 0.3, 0.1)],
    [circle(0.5, 0.3, 0.12), circle(0.5, 0.62, 0.18)],
    [[(0.3, 0.2), (0.3, 0.8)], [(0.8, 0.9), (0.8, 0.9)]],  # with a dot that does not belong to the digit
    [[(0.3, 0.2), (0.6, 0.2)], [(0.33, 0.28), (0.3, 0.5), (0.6, 0.5), (0.3, 0.8)]],
]


@needs_javascript
@pytest.mark.parametrize(("side", "count"), [(28, 92), (8, 4)])
def test_images_are_those_of_predict(tmp_path: Path, side: int, count: int) -> None:
    drawings = [draw(strokes, 145) for strokes in [*SHAPES, *map(trace, DIGITS[40 : 40 + count].reshape(-1, 28, 28))]]
    texts = [base64.b64encode(grey.tobytes()).decode() for grey in drawings]
    found = evaluate(
        script(),
        f"""{json.dumps(texts)}.map(text => {{
  const ink = Float32Array.from(atob(text), byte => 1 - byte.charCodeAt(0) / 255);
  return [...findDigit(newImage(145, 145, ink), {side}).data];
}})""",
        tmp_path,
    )
    expected = [digit.pixels.ravel() for digit in map(find_digit, drawings, [side] * len(drawings)) if digit]
    differences = np.abs(np.array(found) - np.array(expected)).max(axis=1)
    assert np.quantile(differences, 0.9) < 1e-5 and differences.max() < 0.005


@needs_javascript
def test_outputs_are_those_of_the_model(tmp_path: Path) -> None:
    trained = mlptrain.load_model(run(tmp_path, "a", "batch_norm=true"))
    models = [*(moderate_model(*case) for case in CASES), random_model(784, 10, activation="relu"), trained]
    pixels = DIGITS[:20] / np.float32(255)
    found = evaluate(
        script(),
        f"""{json.dumps([embedded(model) for model in models])}.map(decodeModel).map(model =>
  {json.dumps(pixels.tolist())}.map(pixels => [...forward(model, pixels).at(-1)]))""",
        tmp_path,
    )
    for model, outputs in zip(models, found, strict=True):
        np.testing.assert_allclose(outputs, model.probabilities(pixels), atol=2e-6, rtol=1e-5)


@needs_javascript
def test_every_function_of_the_engine_has_one_in_the_script(tmp_path: Path) -> None:
    names = evaluate(script(), "[ACTIVATIONS, OUTPUTS].map(Object.keys)", tmp_path)
    assert [set(known) for known in names] == [set(ACTIVATIONS), set(OUTPUTS)]


@needs_javascript
def test_paper_without_ink_has_no_digit(tmp_path: Path) -> None:
    assert evaluate(script(), "findDigit(newImage(50, 50), 28)", tmp_path) is None


@pytest.mark.skipif(not HAS_CHROMIUM, reason="needs Chromium")
def test_drawings_on_the_page_are_classified_as_by_predict(tmp_path: Path) -> None:
    model = moderate_model("tanh")
    save_model(tmp_path / "model.npz", model)
    page = mlptrain.export_run(tmp_path / "model.npz", "html")
    dot = [[(0.5, 0.5)]]
    shown = replay(page, [*map(trace, DIGITS[:7].reshape(-1, 28, 28)), dot, []])
    *drawn, empty = shown["results"]
    names = []
    for index, result in enumerate(drawn):
        names.append(tmp_path / f"{index}.png")
        names[-1].write_bytes(base64.b64decode(result["picture"]))
    for result, expected in zip(drawn, mlptrain.predict(model, names), strict=True):
        assert result["label"] == expected.label
        np.testing.assert_allclose(result["outputs"], expected.probabilities, atol=0.00051)  # shown with three decimals
        np.testing.assert_allclose(result["seen"], 255 * expected.seen.ravel(), atol=0.51)
    assert empty["label"] == "?" and not any(empty["seen"])
    assert not shown["isTooWide"]


def test_a_page_contains_everything_and_names_cannot_leave_the_data(tmp_path: Path) -> None:
    names = ("</script><script>alert(1)</script>", "<img src=x>", "é\u202e")
    model = replace(random_model(16, 4, 3), class_names=names)
    write_html(tmp_path / "model.html", model, describe_model(model, 0.5))
    page = (tmp_path / "model.html").read_text(encoding="utf-8")
    reader = Reader(page)
    assert page.count("<script") == 2 and "img" not in reader.tags and not reader.references
    assert "http" not in page and "@import" not in page and not re.search(r"\son\w+=", page)
    assert tuple(embedded(model)["class_names"]) == names
    assert "test accuracy 50.00%" in reader.text and "16-4-3 sigmoid" in reader.text


@pytest.mark.parametrize(("names", "text"), [("012", "Draw a digit"), (("ki", "su"), "Draw one of the 2 classes")])
def test_the_classes_are_what_to_draw(names: str | tuple[str, str], text: str) -> None:
    model = replace(random_model(16, 4, len(names)), class_names=tuple(names))
    assert text in Reader(try_it(model)).text


def test_models_for_images_that_are_not_square_have_no_page(tmp_path: Path) -> None:
    model = random_model(6, 4, 3)
    with pytest.raises(UsageError, match="6 inputs"):
        write_html(tmp_path / "model.html", model, describe_model(model, None))
    assert "square" in Reader(try_it_section(model, "a")).text


def test_reports_contain_small_networks_and_the_command_for_large_ones() -> None:
    assert try_it_section(random_model(784, 200, 10), "a").count("<script") == 2
    large = random_model(784, 300, 10)
    assert large.architecture.parameter_count > MAX_PARAMETERS
    section = try_it_section(large, "runs/my run")
    assert "mlptrain export 'runs/my run' --format html" in Reader(section).text and "<script" not in section


def test_the_most_influential_units_of_a_wide_layer_are_shown() -> None:
    model = random_model(16, 300, 5, 3)
    model.weights[1][:, 7] = 100
    wide, narrow = embedded(model)["shown"]
    assert len(wide) == MAX_UNITS and 7 in wide and narrow == [0, 1, 2, 3, 4]
    assert embedded(random_model(16, 3))["shown"] == [[0, 1, 2]]
