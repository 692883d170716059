from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mlptrain.config.config import Augment, Elastic
from mlptrain.config.values import put
from mlptrain.datasets import augment as module
from mlptrain.datasets.augment import MAX_AMOUNT, Augmenter, Resampler, affine_coefficients, gaussian_matrix
from mlptrain.errors import ConfigError
from tests.made import sample

RECIPE = Augment(shift=2, rotate=15, scale=0.15, shear=0.2, elastic=Elastic(alpha=36, sigma=5))
DOWN, RIGHT, TURN, SCALE_Y, SCALE_X, SHEAR = range(6)


def noise(count: int, shape: tuple[int, int] = (28, 28), seed: int = 0) -> np.ndarray:
    """Return images of random bytes."""
    return np.random.default_rng(seed).integers(0, 256, (count, shape[0] * shape[1]), np.uint8)


def augmented(
    images: np.ndarray, augmentation: Augment, shape: tuple[int, int] = (28, 28), seed: int = 0, dtype: Any = "float32"
) -> np.ndarray:
    out = np.full(images.shape, np.nan, dtype)
    Augmenter(shape, augmentation, dtype).apply(images, np.random.default_rng(seed), out)
    return out


def moved(
    image: list[list[int]] | np.ndarray, augmentation: Augment, dtype: Any = "float64", **units: float
) -> np.ndarray:
    """Return one image changed by the given fractions of the limits, from 0 to 255."""
    pixels = np.array(image, np.uint8)
    columns = {"down": DOWN, "right": RIGHT, "turn": TURN, "scale_y": SCALE_Y, "scale_x": SCALE_X, "shear": SHEAR}
    row = np.zeros((1, 6))
    for name, value in units.items():
        row[0, columns[name]] = value
    coefficients = affine_coefficients(augmentation, pixels.shape, row)
    y, x = np.indices(pixels.shape) - (np.array(pixels.shape).reshape(2, 1, 1) - 1) / 2
    down, right = (a + b * y.ravel() + c * x.ravel() for ((a, b, c),) in coefficients)
    return resample(pixels, down, right, dtype=dtype)


def resample(image: np.ndarray, rows: ArrayLike, columns: ArrayLike, dtype: Any = "float64") -> np.ndarray:
    """Return the values of one image at fractional rows and columns, from 0 to 255."""
    out = np.full((1, image.size), np.nan, dtype)
    places = np.array([[np.ravel(rows)], [np.ravel(columns)]], dtype)
    Resampler(image.shape, 1, dtype).apply(image.reshape(1, -1), places, out)
    return out.reshape(image.shape) * 255


# Bilinear interpolation and the background


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(28, 28), (9, 14), (1, 5), (3, 1)])
def test_no_change_gives_the_exact_pixels(dtype: str, shape: tuple[int, int]) -> None:
    images = noise(150, shape)
    images[0, :2] = 0, 255
    found = augmented(images, Augment(), shape, dtype=dtype)
    np.testing.assert_array_equal(found, images.astype(dtype) / np.dtype(dtype).type(255))
    assert found.dtype == dtype


def test_half_a_pixel_is_the_mean_of_its_neighbours() -> None:
    image = np.array([[10, 20], [50, 100]], np.uint8)
    found = resample(image, [0, 0.5, 0.5, 1], [0.5, 0, 0.5, 0.25])
    np.testing.assert_allclose(found, [[15.0, 30.0], [45.0, 62.5]], rtol=1e-14)


def test_outside_of_an_image_is_background() -> None:
    image = np.full((2, 2), 200, np.uint8)
    found = resample(image, [-0.25, 1.5, 2, -1], [0, 1, 0, 0])
    np.testing.assert_allclose(found, [[150, 100], [0, 0]], rtol=1e-14, atol=0)
    found = resample(image, [0, 1, 0, -0.5], [-0.5, 1.75, 2, 1.5])
    np.testing.assert_allclose(found, [[100, 50], [0, 50]], rtol=1e-14, atol=0)
    far = resample(image, [-1e6, 1e6, 0, 1], [0, 1, -1e6, 1e6])
    assert far.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_within_0_and_1(dtype: str) -> None:
    images = np.concatenate([np.full((300, 784), 255, np.uint8), noise(300), 255 * (noise(300) > 127).astype(np.uint8)])
    found = augmented(images, RECIPE, dtype=dtype)
    assert found.min() == 0 and found.max() == 1


# The affine map


@pytest.mark.parametrize(("down", "right"), [(0, 3), (0, -3), (2, 0), (-2, 0), (3, -1), (-28, 0), (5, 40)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_shift_by_whole_pixels(down: int, right: int, dtype: str) -> None:
    image = noise(1).reshape(28, 28)
    expected = np.zeros((28 + 80, 28 + 80), np.uint8)
    expected[40 + down :, 40 + right :][:28, :28] = image
    found = moved(image, Augment(shift=1), dtype, down=down, right=right)
    np.testing.assert_array_equal(np.rint(found), expected[40:68, 40:68])
    assert abs(found - np.rint(found)).max() < 1e-4


@pytest.mark.parametrize(("quarters", "angle"), [(1, 90), (2, 180), (-1, -90)])
@pytest.mark.parametrize("size", [6, 7])
def test_a_quarter_turn_is_anticlockwise(quarters: int, angle: int, size: int) -> None:
    image = noise(1, (size, size)).reshape(size, size)
    found = moved(image, Augment(rotate=180), turn=angle / 180)
    np.testing.assert_allclose(found, np.rot90(image, quarters), atol=1e-10)


def test_an_eighth_turn_by_hand() -> None:
    image = np.zeros((5, 5), np.uint8)
    image[2, 4] = 100  # two pixels right of the centre; moves to √2 right and √2 up
    found = moved(image, Augment(rotate=45), turn=1)
    # The pixel one right, one up comes from √2 right of the centre, which is 0.414 of the way to the bright one.
    assert found[1, 3] == pytest.approx(100 * (math.sqrt(2) - 1))
    # Two right, two up: 2√2 right, beyond the bright pixel by 0.828.
    assert found[0, 4] == pytest.approx(100 * (3 - 2 * math.sqrt(2)))
    assert found[3, 3] == found[3, 1] == found[1, 1] == 0


def test_scale_by_hand() -> None:
    half = Augment(scale=0.5)
    line = [[10, 20, 30, 40, 50]]
    np.testing.assert_allclose(moved(line, half, scale_x=-1), [[0, 10, 30, 50, 0]], atol=1e-12)
    stretched = [[30 - 40 / 3, 30 - 20 / 3, 30, 30 + 20 / 3, 30 + 40 / 3]]
    np.testing.assert_allclose(moved(line, half, scale_x=1), stretched, atol=1e-12)
    np.testing.assert_allclose(moved(line, half, scale_y=-1), line, atol=1e-12)
    np.testing.assert_allclose(moved(np.transpose(line), half, scale_y=-1), [[0], [10], [30], [50], [0]], atol=1e-12)


def test_shear_by_hand() -> None:
    image = [[10, 20, 30, 40]] * 3
    slope = Augment(shear=1)
    whole = [[20, 30, 40, 0], [10, 20, 30, 40], [0, 10, 20, 30]]
    np.testing.assert_allclose(moved(image, slope, shear=1), whole, atol=1e-12)
    half = [[15, 25, 35, 20], [10, 20, 30, 40], [5, 15, 25, 35]]
    np.testing.assert_allclose(moved(image, slope, shear=0.5), half, atol=1e-12)


def test_source_is_the_inverse_of_scale_shear_rotation_shift() -> None:
    augmentation = Augment(shift=3, rotate=40, scale=0.3, shear=0.5)
    units = np.random.default_rng(1).uniform(-1, 1, (5, 6))
    coefficients = affine_coefficients(augmentation, (9, 14), units)
    for index, unit in enumerate(units):
        row, column = 3.0, 11.0
        y, x = (row - 4) * (1 + 0.3 * unit[SCALE_Y]), (column - 6.5) * (1 + 0.3 * unit[SCALE_X])
        x += 0.5 * unit[SHEAR] * y
        angle = math.radians(40 * unit[TURN])
        y, x = y * math.cos(angle) - x * math.sin(angle), y * math.sin(angle) + x * math.cos(angle)
        y, x = y + 3 * unit[DOWN], x + 3 * unit[RIGHT]
        np.testing.assert_allclose(coefficients[:, index] @ [1, y, x], [row, column], rtol=1e-12)


def test_shifts_are_uniform_within_their_limits() -> None:
    image = np.zeros((1, 41, 41), np.uint8)
    image[0, 20, 20] = 255
    found = augmented(np.repeat(image.reshape(1, -1), 4000, axis=0), Augment(shift=5), (41, 41), dtype="float64")
    centres = centroids(found, (41, 41)) - 20
    assert abs(centres).max() <= 5 + 1e-9 and abs(centres).max() > 4.95
    np.testing.assert_allclose(centres.std(axis=1), 5 / math.sqrt(3), rtol=0.03)
    assert abs(np.corrcoef(centres)[0, 1]) < 0.05


def centroids(images: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return rows and columns of the centres of mass, ``(2, n)``."""
    places = np.indices(shape).reshape(2, -1)
    return places @ images.T / images.sum(axis=1)


def test_images_are_not_moved_on_average() -> None:
    disc = (np.hypot(*(np.indices((28, 28)) - 13.5)) < 5).astype(np.uint8) * 255
    found = augmented(np.repeat(disc.reshape(1, -1), 4000, axis=0), RECIPE)
    centres = centroids(found.astype(float), (28, 28))
    assert centres.std(axis=1).min() > 1
    standard_errors = centres.std(axis=1) / math.sqrt(4000)
    assert (abs(centres.mean(axis=1) - 13.5) < 4 * standard_errors).all()


# Elastic displacements


def test_the_gaussian_sums_to_1_and_is_truncated_at_the_border() -> None:
    matrix = gaussian_matrix(51, 5)
    # In the middle the kernel is 1/(5√2π) exp(−d²/50), and all but 3e-7 of it lies inside.
    peak = 0.0797884561
    np.testing.assert_allclose(matrix[25, [25, 24, 26, 20, 35]], peak * np.exp([0, -0.02, -0.02, -0.5, -2]), rtol=1e-8)
    assert matrix[25].sum() == pytest.approx(1, abs=1e-6)
    # At the border half of it is missing: (1 + peak)/2 is left.
    assert matrix[0].sum() == pytest.approx((1 + peak) / 2, abs=1e-8)
    np.testing.assert_array_equal(matrix, matrix.T)


@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0, 1.99, 2.0])
def test_a_narrow_gaussian_sums_to_1(sigma: float) -> None:
    assert gaussian_matrix(41, sigma)[20].sum() == pytest.approx(1, abs=1e-12)


def test_extreme_gaussians() -> None:
    np.testing.assert_array_equal(gaussian_matrix(5, 0), np.eye(5))
    np.testing.assert_allclose(gaussian_matrix(5, 0.081), np.eye(5), atol=1e-30)
    np.testing.assert_allclose(gaussian_matrix(5, 1e9), np.full((5, 5), 1 / (1e9 * math.sqrt(2 * math.pi))), rtol=1e-9)


def displacements(augmentation: Augment, count: int, size: int = 28, seed: int = 0) -> np.ndarray:
    """Return displacements ``(2, count, size, size)``, measured on slopes of 8 per pixel without the 4 border pixels.

    Bilinear interpolation of a slope is exact, and the random numbers do not depend on the images.
    """
    down, right = (8 * np.indices((size, size))).astype(np.uint8).reshape(2, -1)
    found = [augmented(np.repeat(slope[None], count, 0), augmentation, (size, size), seed) for slope in (down, right)]
    fields = np.array([x * 255.0 / 8 - slope / 8 for x, slope in zip(found, (down, right), strict=True)])
    return fields.reshape(2, count, size, size)[:, :, 4:-4, 4:-4]


def test_elastic_displacements_have_the_expected_spread_and_correlation() -> None:
    fields = displacements(Augment(elastic=Elastic(alpha=12, sigma=2)), 2000)
    # alpha · 1/√3 · Σk² along each axis, where Σk² = 1/(2√π σ) for a Gaussian.
    expected = 12 / math.sqrt(3) / (2 * math.sqrt(math.pi) * 2)
    centre = fields[:, :, 10, 10]
    np.testing.assert_allclose(centre.std(axis=1), expected, rtol=0.04)
    assert (abs(centre.mean(axis=1)) < 4 * expected / math.sqrt(2000)).all()
    assert abs(np.corrcoef(centre)[0, 1]) < 0.08, "the axes are independent"
    # A distance d apart, along either axis: exp(−d²/4σ²).
    for row, column in ((10, 12), (12, 10)):
        for axis in range(2):
            correlation = np.corrcoef(fields[axis, :, 10, 10], fields[axis, :, row, column])[0, 1]
            assert correlation == pytest.approx(math.exp(-4 / 16), abs=0.04)
    far = np.corrcoef(fields[0, :, 1, 1], fields[0, :, 18, 18])[0, 1]
    assert abs(far) < 0.08


def test_unsmoothed_noise_is_uniform_within_alpha() -> None:
    fields = displacements(Augment(elastic=Elastic(alpha=2, sigma=0.01)), 50)
    assert abs(fields).max() <= 2 + 1e-4 and abs(fields).max() > 1.99
    quartiles = np.quantile(fields, [0.25, 0.5, 0.75], axis=(1, 2, 3))
    np.testing.assert_allclose(quartiles, [[-1, -1], [0, 0], [1, 1]], atol=0.05)


def test_displacements_of_images_are_independent() -> None:
    fields = displacements(Augment(elastic=Elastic(alpha=12, sigma=2)), 200)
    flat = fields[0].reshape(200, -1)
    correlations = np.corrcoef(flat) - np.eye(200)
    assert abs(correlations).max() < 0.9 and abs(correlations.mean()) < 0.02


# Limits


@pytest.mark.parametrize("key", ["shift", "shear", "elastic.alpha", "elastic.sigma"])
def test_huge_limits_are_refused(key: str) -> None:
    values: dict = {}
    put(values, key, 1e300)
    with pytest.raises(ConfigError, match=rf"^augment.{key}: .*1e\+300"):
        Augmenter((28, 28), Augment(**values))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_limits_give_background_or_image(dtype: str) -> None:
    elastic = Elastic(alpha=MAX_AMOUNT, sigma=0.5)
    most = Augment(shift=MAX_AMOUNT, rotate=180, scale=1 - 1e-12, shear=MAX_AMOUNT, elastic=elastic)
    found = augmented(noise(20), most, dtype=dtype)
    assert found.min() >= 0 and found.max() <= 1


# Batches, blocks and streams


def test_the_same_seed_gives_the_same_images() -> None:
    images = sample().images[:200]
    np.testing.assert_array_equal(augmented(images, RECIPE, seed=3), augmented(images, RECIPE, seed=3))
    assert (augmented(images, RECIPE, seed=3) != augmented(images, RECIPE, seed=4)).any(axis=1).all()


def test_an_image_is_changed_differently_each_time() -> None:
    images = np.repeat(sample().images[:1], 200, axis=0)
    augmenter, rng = Augmenter((28, 28), RECIPE), np.random.default_rng(0)
    found = np.empty((2, 200, 784), np.float32)
    for out in found:
        augmenter.apply(images, rng, out)
    assert len(np.unique(found.reshape(400, 784), axis=0)) == 400


def test_images_do_not_influence_each_other() -> None:
    images = noise(200)
    others = images.copy()
    others[1::2] = 255 - others[1::2]
    strong = Augment(shift=20, rotate=180, scale=0.5, shear=1, elastic=Elastic(alpha=200, sigma=3))
    np.testing.assert_array_equal(augmented(images, strong)[::2], augmented(others, strong)[::2])


@pytest.mark.parametrize("images_per_block", [1, 3, 50, 64, 1000])
def test_the_block_size_does_not_matter(images_per_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(100)
    expected = augmented(images, RECIPE)
    monkeypatch.setattr(module, "BLOCK_PIXELS", images_per_block * 784)
    np.testing.assert_allclose(augmented(images, RECIPE), expected, atol=2e-5)


def test_buffers_can_be_reused() -> None:
    augmenter, images = Augmenter((28, 28), RECIPE), noise(150)
    for count in (150, 64, 7, 65, 1, 0):
        out = np.full((count, 784), np.nan, np.float32)
        augmenter.apply(images[:count], np.random.default_rng(5), out)
        np.testing.assert_array_equal(out, augmented(images[:count], RECIPE, seed=5))


def test_images_are_not_modified() -> None:
    images = noise(70)
    before = images.copy()
    augmented(images, RECIPE)
    np.testing.assert_array_equal(images, before)


# Reference implementation in loops


def reference(images: np.ndarray, shape: tuple[int, int], a: Augment, seed: int) -> np.ndarray:
    """Augment pixel by pixel: random numbers in the documented order, map, displacement, interpolation."""
    height, width = shape
    rng = np.random.default_rng(seed)
    units = rng.uniform(-1, 1, (len(images), 6)).tolist()
    out = np.zeros((len(images), height * width))
    for n, image in enumerate(images.reshape(-1, height, width).tolist()):
        down, right, turn, longer, wider, lean = units[n]
        angle = math.radians(a.rotate * turn)
        rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        shearing = np.array([[1, 0], [a.shear * lean, 1]])
        scaling = np.diag([1 + a.scale * longer, 1 + a.scale * wider])
        inverse = np.linalg.inv(rotation @ shearing @ scaling)
        fields = np.zeros((2, height, width))
        if a.elastic is not None:
            words = math.ceil(height * width / 2)
            bits = rng.integers(0, 2**64, words, np.uint64).view(np.int16)[: 2 * height * width]
            fields = smoothed(bits.reshape(2, height, width) / 32768, a.elastic)
        for i in range(height):
            for j in range(width):
                centred = [i - (height - 1) / 2 - a.shift * down, j - (width - 1) / 2 - a.shift * right]
                y, x = inverse @ centred
                y, x = y + (height - 1) / 2 + fields[0][i][j], x + (width - 1) / 2 + fields[1][i][j]
                value = 0.0
                for row in (math.floor(y), math.floor(y) + 1):
                    for column in (math.floor(x), math.floor(x) + 1):
                        if 0 <= row < height and 0 <= column < width:
                            value += image[row][column] * (1 - abs(y - row)) * (1 - abs(x - column))
                out[n, i * width + j] = value / 255
    return out


def smoothed(fields: np.ndarray, elastic: Elastic) -> np.ndarray:
    """Return alpha times the fields smoothed by a two-dimensional Gaussian, with zeros beyond the border."""
    _, height, width = fields.shape
    total = sum(math.exp(-d * d / (2 * elastic.sigma**2)) for d in range(-50, 51)) ** 2
    result = np.zeros_like(fields)
    for i in range(height):
        for j in range(width):
            for k in range(height):
                for m in range(width):
                    weight = math.exp(-((i - k) ** 2 + (j - m) ** 2) / (2 * elastic.sigma**2)) / total
                    result[:, i, j] += elastic.alpha * weight * fields[:, k, m]
    return result


@pytest.mark.parametrize(
    ("shape", "augmentation"),
    [
        ((28, 28), Augment(shift=2, rotate=15, scale=0.15, shear=0.2)),
        ((9, 7), Augment(shift=2, rotate=180, scale=0.5, shear=0.5, elastic=Elastic(alpha=8, sigma=1.5))),
        ((6, 11), Augment(elastic=Elastic(alpha=36, sigma=5))),
        ((1, 9), Augment(shift=1.5, scale=0.3, elastic=Elastic(alpha=3, sigma=0.6))),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 2e-5)])
def test_augmentation_equals_the_reference(
    shape: tuple[int, int], augmentation: Any, dtype: str, tolerance: float
) -> None:
    images = noise(4, shape, seed=1)
    found = augmented(images, augmentation, shape, seed=2, dtype=dtype)
    np.testing.assert_allclose(found, reference(images, shape, augmentation, seed=2), rtol=0, atol=tolerance)


def test_images_larger_than_a_block() -> None:
    shape = (260, 200)
    images = noise(2, shape)
    found = augmented(images, Augment(shift=4), shape, dtype="float64")
    np.testing.assert_allclose(found, reference(images, shape, Augment(shift=4), seed=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("augmentation", [RECIPE, Augment(shift=3), Augment(elastic=Elastic(alpha=60))])
def test_the_same_map_for_all_images_is_that_of_a_single_one(augmentation: Any) -> None:
    images = noise(150)
    augmenter, out = Augmenter((28, 28), augmentation, "float64"), np.full((150, 784), np.nan)
    augmenter.apply_same(images, np.random.default_rng(0), out)
    for index in (0, 1, 63, 64, 149):
        alone = augmented(images[index : index + 1], augmentation, dtype="float64")
        np.testing.assert_allclose(out[index : index + 1], alone, rtol=0, atol=1e-9)


def test_the_opposite_map_moves_the_other_way() -> None:
    image = np.zeros((1, 784), np.uint8)
    image[0, 14 * 28 + 14] = 255
    y, x = np.indices((28, 28)).reshape(2, -1)
    augmenter, out = Augmenter((28, 28), Augment(shift=4), "float64"), np.empty((2, 1, 784))
    for opposite in (0, 1):
        augmenter.apply_same(image, np.random.default_rng(3), out[opposite], opposite=bool(opposite))
    places = np.array([[(pixels @ y).item() - 14, (pixels @ x).item() - 14] for pixels in out])
    assert abs(places).min() > 0.1
    np.testing.assert_allclose(places[1], -places[0])
