from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import mlptrain
from mlptrain.datasets.split import make_split
from mlptrain.handwriting.digit import find_digit, frame_digit, thicken_strokes
from mlptrain.handwriting.resampling import resize
from tests.handwriting.made import correlation, scene, seven
from tests.made import config, sample

PHOTOGRAPHS = Path(__file__).parents[2] / "docs" / "photographs"

EXPECTED = find_digit(scene(100, 100, 0, 0)).pixels


def centre(image: np.ndarray) -> tuple[float, float]:
    positions = np.arange(len(image))
    return float(image.sum(1) @ positions / image.sum()), float(image.sum(0) @ positions / image.sum())


def box(image: np.ndarray) -> int:
    rows, columns = np.nonzero(image > 0.2)
    return int(max(rows.max() - rows.min(), columns.max() - columns.min())) + 1


@pytest.mark.parametrize(
    "grey",
    [
        pytest.param(scene(100, 100, 0, 0, ink=0.9, paper=0.1), id="light on dark"),
        pytest.param(scene(400, 300, 290, 10), id="in a corner"),
        pytest.param(scene(1500, 1100, 300, 500, size=400), id="large"),
        pytest.param((scene(300, 300, 90, 60) * 255).astype(np.uint8), id="bytes"),
    ],
)
def test_the_digit_is_found_at_any_position_and_size(grey: NDArray[Any]) -> None:
    found, warning = find_digit(grey)
    assert warning == "" and found.dtype == np.float32 and found.shape == (28, 28)
    assert found.min() == 0 and found.max() == 1
    assert correlation(found, EXPECTED) > 0.95
    assert 19 <= box(found) <= 21
    assert max(abs(position - 14) for position in centre(found)) <= 0.75


def test_frames_tables_and_specks_are_ignored() -> None:
    grey = scene(400, 500, 150, 200)
    grey[:15] = 0
    grey[:, -30:] = 0.1
    grey[50:53, 60:63] = 0.1
    assert correlation(find_digit(grey).pixels, EXPECTED) > 0.95
    table = np.full((500, 600), 0.2, np.float32)
    table[150:330, 200:400] = scene(180, 200, 40, 50)
    assert correlation(find_digit(table).pixels, EXPECTED) > 0.95


def test_digits_of_mnist_are_reproduced() -> None:
    for image in sample().images[::1000].reshape(-1, 28, 28) / np.float32(255):
        large = np.pad(resize(image, 280, 280), 60)
        found, warning = find_digit(0.85 - 0.7 * large)
        assert warning == ""
        moved = [np.roll(found, (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
        assert max(correlation(other, image) for other in moved) > 0.85  # centres of mass are rounded to pixels


@pytest.mark.parametrize("side", [8, 14, 40])
def test_frames_of_other_sizes(side: int) -> None:
    found = find_digit(scene(200, 200, 40, 60), side).pixels
    assert found.shape == (side, side)
    assert correlation(resize(found, 28, 28), EXPECTED) > 0.8


@pytest.mark.parametrize("noise", [0, 0.01, 0.05])
def test_paper_contains_no_digit(noise: float) -> None:
    rng = np.random.default_rng(0)
    paper = np.clip(0.7 + np.linspace(0, 0.2, 300) + rng.normal(0, noise, (200, 300)), 0, 1)
    assert find_digit(paper.astype(np.float32)) is None


def shaded(shade: np.ndarray) -> np.ndarray:
    """Return a blank page (200, 300) with ``shade`` as the share of light, and some noise."""
    noise = np.random.default_rng(0).normal(0, 0.01, shade.shape)
    return np.clip(0.8 * shade + noise, 0, 1).astype(np.float32)


Y, X = np.meshgrid(np.linspace(-1, 1, 200), np.linspace(-1.5, 1.5, 300), indexing="ij")


@pytest.mark.parametrize(
    "shade",
    [
        pytest.param(1 - 0.5 / (1 + np.exp(-12 * (X + 2 * Y - 1))), id="soft shadow of an edge"),
        pytest.param(1 - 0.5 * np.exp(-20 * (X**2 + (Y - 0.3) ** 2)), id="round shadow"),
        pytest.param(1 - 0.6 / (1 + np.exp(np.clip(40 * (np.hypot(X - 0.2, Y) - 0.3), -50, 50))), id="stain"),
        pytest.param(1 - 0.5 / (1 + np.exp(-30 * (X + Y - 1.4))), id="dark corner"),
    ],
)
def test_a_shaded_blank_page_has_a_warning(shade: NDArray[Any]) -> None:
    found = find_digit(shaded(shade))
    assert found is not None and found.warning


def side_by_side(first: np.ndarray, second: np.ndarray, gap: int) -> np.ndarray:
    """Return two digits of MNIST (784,) on white paper, ``gap`` pixels of 28 per digit apart."""
    columns = [
        image.reshape(28, 28)[:, np.flatnonzero(image.reshape(28, 28).max(axis=0) > 100)] for image in (first, second)
    ]
    row = np.pad(np.hstack([columns[0], np.zeros((28, gap)), columns[1]]), 8)
    return 0.85 - 0.7 * resize(row / 255, 8 * row.shape[0], 8 * row.shape[1]).astype(np.float32)


@pytest.mark.parametrize("gap", [3, 6, 20])
def test_two_digits_have_a_warning(gap: int) -> None:
    data = sample()
    zeros, ones = (data.images[data.labels == label] for label in (0, 1))
    for first, second in ((zeros[0], ones[0]), (ones[1], zeros[1]), (ones[2], ones[3])):
        found = find_digit(side_by_side(first, second, gap))
        assert found is not None and "more than one" in found.warning


def test_digits_of_two_strokes_have_no_warning() -> None:
    five = np.zeros((120, 100), np.float32)
    five[20:26, 44:75] = 1  # its bar
    five[30:60, 35:41] = five[55:61, 38:64] = five[58:95, 62:68] = five[90:96, 30:64] = 1
    four = np.zeros((120, 100), np.float32)
    four[20:62, 30:36] = four[58:64, 30:58] = 1
    four[20:100, 62:68] = 1  # its stem
    for ink in (five, four):
        found = find_digit(0.85 - 0.7 * ink)
        assert found is not None and found.warning == ""


def test_digits_of_mnist_on_white_have_no_warning() -> None:
    for image in sample().images[::250].reshape(-1, 28, 28):
        found = find_digit(255 - np.pad(image, 6))
        assert found is not None and found.warning == ""


@pytest.mark.parametrize("name", ["seven.jpg", "two.jpg"])
def test_the_photographs_of_the_documentation_have_no_warning(name: str) -> None:
    Image = pytest.importorskip("PIL.Image")
    with Image.open(PHOTOGRAPHS / name) as image:
        found = find_digit(np.asarray(image.convert("L")))
    assert found is not None and found.warning == ""


def test_only_thin_strokes_are_thickened() -> None:
    thick = seven(80)[8:74, 18:62]
    np.testing.assert_array_equal(thicken_strokes(thick), thick)
    thin = np.zeros((80, 60), np.float32)
    thin[:, 29:32] = 1
    thin[:3] = 1
    wide = thicken_strokes(thin)
    assert 6 <= (wide[60] > 0.5).sum() <= 10
    assert (thicken_strokes(wide) > 0.5).mean() == pytest.approx((wide > 0.5).mean(), rel=0.15)


def test_a_flat_digit_fits_into_the_frame() -> None:
    image = frame_digit(np.ones((2, 200), np.float32), 28)
    assert image.max() == 1 and image.sum() == 20


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 3), (2, 400), (5, 4)])
def test_images_of_a_few_pixels_are_accepted(shape: tuple[int, int]) -> None:
    found = find_digit(np.random.default_rng(0).random(shape, np.float32))
    assert found is None or found.pixels.shape == (28, 28)


def test_digits_in_photographs_are_classified_as_well_as_the_originals() -> None:
    """A small version of `benchmarks.photographs`."""
    Image = pytest.importorskip("PIL.Image")
    from benchmarks.photographs import photograph

    settings = config(hidden=[32], activation="relu", learning_rate=0.3, batch_size=32, epochs=4)
    model, data = mlptrain.train(settings).model, sample()
    rng = np.random.default_rng(0)
    chosen = rng.choice(make_split(data, settings.split, seed=0).test, 20, replace=False)
    correct = model.predict(data.images[chosen]) == data.labels[chosen]
    found = []
    for index in chosen:
        made = photograph(data.images[index].reshape(28, 28), rng, (240, 360))
        found.append(find_digit(np.asarray(Image.open(io.BytesIO(made.content)).convert("L"))).pixels)
    correct_in_photographs = model.predict(np.stack(found)) == data.labels[chosen]
    assert correct.mean() > 0.85
    assert correct_in_photographs.sum() >= correct.sum() - 1


def test_rounding_errors_do_not_move_a_symmetric_digit() -> None:
    ink = np.ones((20, 4), np.float32)
    frames = []
    for side in (0, -1):
        almost = ink.copy()
        almost[0, side] -= 1e-4
        frames.append(frame_digit(almost, 28) > 0)
    np.testing.assert_array_equal(frames[0], frames[1])
