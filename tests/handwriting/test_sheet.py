from __future__ import annotations

import numpy as np
import pytest

from mlptrain.handwriting.sheet import find_sheet
from tests.handwriting.made import scene


def on_table(sheet: np.ndarray, table: float) -> np.ndarray:
    height, width = sheet.shape
    picture = np.full((3 * height, 2 * width), table, np.float32)
    picture[height : 2 * height, width // 2 : width // 2 + width] = sheet
    return picture


@pytest.mark.parametrize("table", [0.2, 0.45])
def test_a_sheet_on_a_darker_table(table):
    found = find_sheet(on_table(scene(150, 140, 25, 20), table))
    assert found is not None
    rows, columns = found
    assert 150 <= rows.start < 170 and 280 < rows.stop <= 300
    assert 70 <= columns.start < 90 and 190 < columns.stop <= 210


@pytest.mark.parametrize(("ink", "paper"), [(0.15, 0.8), (0.85, 0.15)])
def test_a_digit_is_no_sheet(ink, paper):
    assert find_sheet(scene(200, 240, 60, 90, ink=ink, paper=paper)) is None


def test_nor_are_a_shadow_a_ruler_and_plain_paper():
    picture = np.full((200, 200), 0.8, np.float32)
    assert find_sheet(picture) is None
    shadow = picture.copy()
    shadow[:, 120:] *= 0.6
    assert find_sheet(shadow) is None
    ruler = picture.copy()
    ruler[80:120, 20:180] = 0.1
    assert find_sheet(ruler) is None
