from __future__ import annotations

import numpy as np
import pytest

from mlptrain.handwriting.marks import Marks, connected, digit_marks, find_marks, noise_of, peak_of


def picture(*rows: str) -> np.ndarray:
    return np.array([[character != "." for character in row] for row in rows])


def flood(mask: np.ndarray) -> np.ndarray:
    """Parts numbered in the order of their first pixel, one pixel after another."""
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
def test_connected_parts_are_those_of_a_flood(share):
    mask = np.random.default_rng(1).random((30, 40)) < share
    np.testing.assert_array_equal(connected(mask), flood(mask))


def test_a_spiral_is_one():
    mask = picture("#######", "......#", "#####.#", "#...#.#", "#.#.#.#", "#.###.#", "#.....#", "#######")
    assert connected(mask).max() == 2 - 1
    assert connected(picture("#.#", ".#.", "...", "#.#")).max() == 3


def test_peak_and_noise():
    ink = np.random.default_rng(0).normal(0, 0.02, (100, 200))
    ink[40:60, 50:55] = 0.7
    assert noise_of(ink) == pytest.approx(0.02, rel=0.05)
    assert peak_of(ink) == pytest.approx(0.7)


def test_marks_have_mass_and_box():
    ink = np.zeros((40, 50))
    ink[5:15, 10:13] = 0.5
    ink[20:22, 30:40] = 0.8
    marks = find_marks(ink)
    assert marks is not None
    np.testing.assert_allclose(marks.mass, [15, 16])
    np.testing.assert_array_equal(marks.boxes, [[5, 10, 15, 13], [20, 30, 22, 40]])


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_paper_alone_has_no_marks(noise):
    assert find_marks(np.random.default_rng(0).normal(0, noise, (200, 200))) is None


def chosen(ink: np.ndarray) -> list[int]:
    marks = find_marks(ink)
    assert isinstance(marks, Marks)
    return sorted(digit_marks(marks).tolist())


def blank(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    ink = np.zeros((100, 100))
    for top, left, bottom, right in boxes:
        ink[top:bottom, left:right] = 1
    return ink


def test_a_detached_stroke_belongs_to_the_digit_and_specks_do_not():
    assert chosen(blank((20, 40, 24, 60), (28, 40, 60, 46), (55, 80, 57, 82))) == [0, 1]
    assert chosen(blank((28, 40, 60, 46), (30, 50, 31, 51))) == [0]
    assert chosen(blank((5, 5, 25, 9), (50, 50, 90, 58))) == [1]


def test_the_frame_is_no_digit_unless_there_is_nothing_else():
    assert chosen(blank((0, 0, 100, 20), (40, 50, 60, 54))) == [1]
    assert chosen(blank((90, 10, 100, 60), (40, 50, 60, 54))) == [0]
    assert chosen(blank((48, 0, 50, 100), (60, 50, 80, 54))) == [1]
    assert chosen(blank((0, 40, 100, 50))) == [0]
