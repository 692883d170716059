from __future__ import annotations

from mlptrain.reporting.terminal import curve


def test_a_falling_line_in_ascii():
    assert curve([0, 1, 2], [2, 1, 0], 3, 3, unicode=False) == ["*  ", " * ", "  *"]


def test_points_are_joined():
    assert curve([0, 2], [0, 4], 3, 5, unicode=False) == ["  *", "  *", " * ", "*  ", "*  "]


def test_a_character_holds_two_by_four_dots():
    # A line from the lower left to the upper right of one cell: dots 7, 3, 5, 4 of braille.
    assert curve([0, 1], [0, 3], 1, 1) == ["⡜"]


def test_flat_and_single():
    assert curve([1, 2], [5, 5], 4, 2, unicode=False)[0] == "****"
    assert curve([1], [5], 2, 1, unicode=False) == ["* "]
