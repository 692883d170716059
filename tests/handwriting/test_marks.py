from __future__ import annotations

import numpy as np
import pytest

from mlptrain.handwriting.marks import (
    Marks,
    choose_digit_marks,
    estimate_noise,
    estimate_peak,
    find_marks,
    label_components,
)


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[character != "." for character in row] for row in rows])


def flood(mask: np.ndarray) -> np.ndarray:
    """Number connected components in the order of their first pixels, by a flood fill."""
    labels = np.zeros(mask.shape, int)
    for start in zip(*np.nonzero(mask), strict=True):
        if labels[start]:
            continue
        number, ahead = labels.max() + 1, [start]
        labels[start] = number
        while ahead:
            y, x = ahead.pop()
            for b in range(max(0, y - 1), min(mask.shape[0], y + 2)):
                for a in range(max(0, x - 1), min(mask.shape[1], x + 2)):
                    if mask[b, a] and not labels[b, a]:
                        labels[b, a] = number
                        ahead.append((b, a))
    return labels


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 1.0])
def test_components_equal_those_of_a_flood_fill(share: float) -> None:
    mask = np.random.default_rng(1).random((30, 40)) < share
    np.testing.assert_array_equal(label_components(mask), flood(mask))


def test_a_spiral_is_one_component_and_diagonals_connect() -> None:
    mask = mask_of("#######", "......#", "#####.#", "#...#.#", "#.#.#.#", "#.###.#", "#.....#", "#######")
    assert label_components(mask).max() == 1
    assert label_components(mask_of("#.#", ".#.", "...", "#.#")).max() == 3


def test_peak_and_noise_are_estimated_despite_each_other() -> None:
    ink = np.random.default_rng(0).normal(0, 0.02, (100, 200))
    ink[40:60, 50:55] = 0.7
    assert estimate_noise(ink) == pytest.approx(0.02, rel=0.05)
    assert estimate_peak(ink) == pytest.approx(0.7)


def test_marks_have_mass_and_box() -> None:
    ink = np.zeros((40, 50))
    ink[5:15, 10:13] = 0.5
    ink[20:22, 30:40] = 0.8
    marks = find_marks(ink)
    assert marks is not None
    np.testing.assert_allclose(marks.mass, [15, 16])
    np.testing.assert_array_equal(marks.boxes, [[5, 10, 15, 13], [20, 30, 22, 40]])


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_paper_alone_has_no_marks(noise: float) -> None:
    assert find_marks(np.random.default_rng(0).normal(0, noise, (200, 200))) is None


def chosen(ink: np.ndarray) -> list[int]:
    marks = find_marks(ink)
    assert isinstance(marks, Marks)
    return sorted(choose_digit_marks(marks).tolist())


def blank(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    ink = np.zeros((100, 100))
    for top, left, bottom, right in boxes:
        ink[top:bottom, left:right] = 1
    return ink


def test_a_detached_stroke_belongs_to_the_digit_but_specks_do_not() -> None:
    assert chosen(blank((20, 40, 24, 60), (28, 40, 60, 46), (55, 80, 57, 82))) == [0, 1]
    assert chosen(blank((28, 40, 60, 46), (30, 50, 31, 51))) == [0]
    assert chosen(blank((5, 5, 25, 9), (50, 50, 90, 58))) == [1]


def test_a_frame_is_excluded_unless_it_is_the_only_mark() -> None:
    assert chosen(blank((0, 0, 100, 20), (40, 50, 60, 54))) == [1]
    assert chosen(blank((90, 10, 100, 60), (40, 50, 60, 54))) == [0]
    assert chosen(blank((48, 0, 50, 100), (60, 50, 80, 54))) == [1]
    assert chosen(blank((0, 40, 100, 50))) == [0]
