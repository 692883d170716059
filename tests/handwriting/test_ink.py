from __future__ import annotations

import numpy as np
import pytest

from mlptrain.handwriting.ink import extract_ink, find_sheet, fit_surface
from tests.handwriting.made import scene, seven


def test_a_fitted_surface_ignores_outliers() -> None:
    y, x = np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 30), indexing="ij")
    light = 0.6 + 0.2 * x - 0.1 * y + 0.1 * x * y - 0.15 * x * x
    marked = light.copy()
    marked[8:12, 10:20] = 0.05
    np.testing.assert_allclose(fit_surface(marked), light, atol=0.01)


@pytest.mark.parametrize(("ink", "paper"), [(0.15, 0.8), (0.85, 0.15)], ids=["dark on light", "light on dark"])
@pytest.mark.parametrize("shade", ["even", "gradient", "shadow"])
def test_ink_is_positive_and_paper_about_zero(ink: float, paper: float, shade: str) -> None:
    grey = scene(200, 240, 60, 90, ink=ink, paper=paper)
    x = np.linspace(0, 1, 240, dtype=np.float32)
    light = {"even": 1 + 0 * x, "gradient": 1 - 0.5 * x, "shadow": 1 - 0.4 / (1 + np.exp(-(x - 0.6) / 0.02))}[shade]
    found = extract_ink(grey * light.astype(np.float32))
    stroke = np.zeros(grey.shape, bool)
    stroke[60:160, 90:190] = seven() > 0
    assert np.median(found[stroke]) > 0.4
    assert np.percentile(abs(found[~stroke]), 95) < 0.25


def on_table(sheet: np.ndarray, table: float) -> np.ndarray:
    height, width = sheet.shape
    grey = np.full((3 * height, 2 * width), table, np.float32)
    grey[height : 2 * height, width // 2 : width // 2 + width] = sheet
    return grey


@pytest.mark.parametrize("table", [0.2, 0.45])
def test_a_sheet_on_a_darker_table_is_found(table: float) -> None:
    found = find_sheet(on_table(scene(150, 140, 25, 20), table))
    assert found is not None
    rows, columns = found
    assert 150 <= rows.start < 170 and 280 < rows.stop <= 300
    assert 70 <= columns.start < 90 and 190 < columns.stop <= 210


@pytest.mark.parametrize(("ink", "paper"), [(0.15, 0.8), (0.85, 0.15)])
def test_a_digit_is_not_a_sheet(ink: float, paper: float) -> None:
    assert find_sheet(scene(200, 240, 60, 90, ink=ink, paper=paper)) is None


def test_plain_paper_a_shadow_and_a_ruler_are_not_sheets() -> None:
    paper = np.full((200, 200), 0.8, np.float32)
    assert find_sheet(paper) is None
    shadow = paper.copy()
    shadow[:, 120:] *= 0.6
    assert find_sheet(shadow) is None
    ruler = paper.copy()
    ruler[80:120, 20:180] = 0.1
    assert find_sheet(ruler) is None
