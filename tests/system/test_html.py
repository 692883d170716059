from __future__ import annotations

import io
import math
import re
from base64 import b64decode
from xml.etree import ElementTree

import pytest
from PIL import Image

from mlptrain.system.html import bar, fragment, grey_image, line_chart, note, progress, row, shade, table, ticks

HOSTILE = "<script>alert('\"')</script>&\x1b[31m\u202e\n"


def test_names_cannot_become_elements_and_nothing_is_requested() -> None:
    parts = [
        note(HOSTILE),
        table((HOSTILE,), [[HOSTILE], [(HOSTILE, shade(0.5))]], HOSTILE),
        grey_image([[0.0, 1.0]], HOSTILE, 2),
        progress(1, 2, HOSTILE),
        line_chart({HOSTILE: [1.0, 2.0]}, min),
    ]
    text = fragment(HOSTILE, row(*parts))
    ElementTree.fromstring(re.sub("(<img [^>]*)>", r"\1/>", text))
    assert "<script" not in text and "\x1b" not in text and "\u202e" not in text
    assert not re.search(r"https?:|url\(|@import|<link|<iframe| on\w+=", text)


@pytest.mark.parametrize(
    "values",
    [
        [0.5],
        [0.5, 0.5],
        [0.0, 0.0],
        [1.0, math.nan, 2.0],
        [None, 3.0],
        [0.9, 0.9 + 1e-16],
        [1e-300, 1e300],
        [2e5, -1e-9],
    ],
)
def test_charts_of_unusual_values_stay_within_their_frame(values: list[float | None]) -> None:
    root = ElementTree.fromstring(line_chart({"loss": values, "val_loss": [None] * len(values)}, min, 3))
    places = [float(mark.attrib[key]) for mark in root.iter("circle") for key in ("cx", "cy")]
    lines = [mark.attrib["d"] for mark in root.iter("path")]
    places += [float(number) for line in lines for number in re.findall(r"[\d.-]+", line)]
    assert len(list(root.iter("circle"))) == 1 and all(0 <= place <= 340 for place in places)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    (label,) = [mark.text for mark in root.iter("text") if mark.text and mark.text.startswith("loss, min")]
    assert label.endswith(f"epoch {values.index(min(finite)) + 1}")


def test_a_line_has_a_gap_at_a_value_that_is_not_finite() -> None:
    root = ElementTree.fromstring(line_chart({"loss": [3.0, 2.0, math.inf, 1.0, 0.5]}, min))
    line = next(mark.attrib["d"] for mark in root.iter("path") if mark.attrib["d"].count("L") == 2)
    assert line.count("M") == 2


def test_a_chart_of_many_epochs_is_small_and_marks_the_exact_minimum() -> None:
    values = [abs(epoch - 77_777) / 100_000 for epoch in range(1, 100_001)]
    chart = line_chart({"loss": values}, min)
    assert len(chart) < 30_000 and "min 0.0000 in epoch 77777" in chart


def test_without_a_finite_value_there_is_no_chart() -> None:
    assert line_chart({"loss": [], "val_loss": [None, math.nan]}, max) == ""


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1, 1, [1]), (1, 20, [5, 10, 15, 20]), (0.83, 0.97, [0.85, 0.9, 0.95]), (-1, 1, [-1, -0.5, 0, 0.5, 1])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_an_image_has_the_pixels() -> None:
    source = re.search(r"base64,([^\"]+)", grey_image([[0.0, 0.5, 1.0], [2.0, -1.0, 0.2]], "digit", 2))
    assert source
    with Image.open(io.BytesIO(b64decode(source[1]))) as image:
        assert (image.mode, image.size) == ("L", (3, 2))
        assert list(image.tobytes()) == [0, 128, 255, 255, 0, 51]


def test_bars_and_shades_are_limited_to_their_cell() -> None:
    assert " 100.0%" in bar(1.7) and " 0.0%" in bar(-0.2) and shade(3.0) == shade(1.0)
