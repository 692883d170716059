from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest

from mlptrain.models.evaluation import Augmented, Evaluation, Mistake
from mlptrain.reporting.evaluation import render_evaluation
from mlptrain.reporting.terminal import make_console
from tests.reporting import made

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
CATS = Evaluation("test", 20, 0.22814, 0.85, ((8, 2), (1, 9)), ("cat", "dog"))


def rendered(evaluation: Evaluation, *, confusion: bool = True, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    render_evaluation(evaluation, make_console(stream), confusion=confusion)
    stream.seek(0)
    return stream.read()


def diagonal(size: int, count: int, names: tuple[str, ...]) -> Evaluation:
    matrix = tuple(tuple(count if row == column else 0 for column in range(size)) for row in range(size))
    return Evaluation("validation", size * count, None, 1.0, matrix, names)


def test_golden_page() -> None:
    assert rendered(CATS).splitlines() == [
        "test loss 0.2281, accuracy 0.8500 (3 mistakes in 20 images)",
        "",
        "class  precision  recall      F1  support",
        "cat       0.8889  0.8000  0.8421       10",
        "dog       0.8182  0.9000  0.8571       10",
        "",
        "most confused",
        "cat predicted as dog: 2 times",
        "dog predicted as cat: 1 time",
        "",
        "confusion matrix (rows: true label, columns: predicted label)",
        "      cat   dog",
        "cat     8     2",
        "dog     1     9",
    ]


def test_the_metrics_of_averaged_copies_have_a_line() -> None:
    lines = rendered(replace(CATS, augmented=Augmented(8, 0.5, 0, 0.21, 0.9))).splitlines()
    assert lines[1] == "augmented loss 0.2100, accuracy 0.9000 (2 mistakes, deformed copies per image: 8)"
    assert [lines[0], *lines[2:]] == rendered(CATS).splitlines()
    lines = rendered(replace(CATS, augmented=Augmented(8, 0.5, 0, None, 1.0))).splitlines()
    assert lines[1].startswith("augmented accuracy 1.0000 (0 mistakes")


def test_the_matrix_is_shown_only_on_request() -> None:
    assert "confusion matrix" not in rendered(CATS, confusion=False)


def test_no_mistakes_and_no_loss() -> None:
    lines = rendered(diagonal(2, 5, ("0", "1"))).splitlines()
    assert lines[0] == "validation accuracy 1.0000 (0 mistakes in 10 images)"
    assert "no mistakes" in lines
    assert lines[-2:] == ["0     5     .", "1     .     5"]


def test_only_the_five_most_confused_pairs() -> None:
    matrix = tuple(tuple(10 * row + column for column in range(10)) for row in range(10))
    names = tuple("0123456789")
    text = rendered(Evaluation("test", 4950, 1.0, 0.1, matrix, names))
    pairs = [line for line in text.splitlines() if "predicted as" in line]
    assert pairs[0] == "9 predicted as 8: 98 times"
    assert len(pairs) == 5


@pytest.mark.parametrize("names", [tuple("0123456789"), FASHION, ("a name of thirty letters, " * 2,) * 10])
def test_ten_classes_of_four_digits_fit_80_columns(names: tuple[str, ...]) -> None:
    lines = rendered(diagonal(10, 6742, names)).splitlines()
    matrix = lines[-10:]
    assert max(map(len, lines)) <= 80
    assert len({len(line) for line in matrix}) == 1
    assert all(line.split().count("6742") == 1 and line.split().count(".") == 9 for line in matrix)


def test_long_names_give_numbered_columns() -> None:
    lines = rendered(diagonal(10, 980, FASHION)).splitlines()
    assert lines[-11].split() == list("0123456789")
    assert lines[-1].startswith("9 Ankle boot      .")


def test_names_are_text_not_markup() -> None:
    text = rendered(diagonal(2, 1, ("[red]", ":cat:\x1b[31m")))
    assert "[red]" in text
    assert ":cat:\\x1b[31m" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("term", ["xterm-256color", "screen-256color", "xterm", "linux"])
@pytest.mark.parametrize("colors", ["", "truecolor"])
def test_the_diagonal_is_green_and_mistakes_are_shaded_by_their_share(
    term: str, colors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pty")
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLORTERM", colors)
    counts = ((1000, 1, 4, 20, 90), *((tuple(1000 * (row == column) for column in range(5))) for row in range(1, 5)))
    with made.terminal(80) as terminal:
        evaluation = Evaluation("test", 5115, 0.22814, 0.85, counts, tuple("abcde"))
        render_evaluation(evaluation, make_console(terminal.stream), confusion=True)
    assert b"\x1b[32m  1000\x1b[0m" in terminal.data
    styles = dict(re.findall(rb"\x1b\[([\d;]+)m +(1|4|20|90)\x1b", terminal.data))
    assert len(styles) == 4 and all(re.search(rb"(?:3|9|48;5;\d*)\d", style) for style in styles), styles
    assert b"48;2;" not in terminal.data
    assert "a  1000     1     4    20    90" in terminal.screen()


def test_mistakes_are_not_shaded_without_colours() -> None:
    with made.terminal(80) as terminal:
        render_evaluation(CATS, make_console(terminal.stream, no_color=True), confusion=True)
    assert not re.search(rb"\x1b\[[\d;]*[34]\d", terminal.data)


@pytest.mark.parametrize(("encoding", "arrow", "ink"), [("utf-8", "→", "████"), ("ascii", "->", "@@@@")])
def test_mistakes_are_drawn_side_by_side(encoding: str, arrow: str, ink: str) -> None:
    image = np.zeros((28, 28))
    image[4:8, 4:8] = 1
    mistakes = tuple(Mistake(i, image, "cat", "a name of thirty letters or so", 0.987) for i in range(3))
    lines = rendered(replace(CATS, mistakes=mistakes), confusion=False, encoding=encoding).splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("worst mistakes"))
    assert lines[place + 1].count(f"cat {arrow} a name") == 2 and lines[place + 1].count("98.7%") == 2
    assert lines[place + 4].count(ink) == 2 and max(map(len, lines)) <= 80
