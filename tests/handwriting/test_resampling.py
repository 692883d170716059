from __future__ import annotations

import numpy as np
import pytest

from mlptrain.handwriting.resampling import block_means, resampling_matrix, resize, smooth


def test_blocks_are_averaged_and_bytes_are_scaled() -> None:
    pixels = np.array([[0, 255, 10, 10, 9], [255, 0, 10, 10, 9]], np.uint8)
    means = block_means(pixels, 3)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, [[0.5, 10 / 255]], rtol=1e-6)


def test_small_and_narrow_images_are_not_reduced() -> None:
    pixels = np.random.default_rng(0).random((3, 4), np.float32)
    np.testing.assert_array_equal(block_means(pixels, 4), pixels)
    assert block_means(np.zeros((1, 1000), np.uint8), 10).shape == (1, 1000)


@pytest.mark.parametrize(("source", "target"), [(5, 5), (5, 20), (20, 5), (7, 3), (1, 4), (4, 1)])
def test_resampled_pixels_are_averages(source: int, target: int) -> None:
    matrix = resampling_matrix(source, target)
    assert matrix.shape == (target, source) and (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


def test_resizing_keeps_equal_sizes_and_ramps() -> None:
    ramp = np.arange(12, dtype=np.float32)[np.newaxis] * np.ones((6, 1), np.float32)
    np.testing.assert_allclose(resize(ramp, 6, 12), ramp, atol=1e-6)
    np.testing.assert_allclose(resize(ramp, 3, 6)[0, 1:-1], [2.5, 4.5, 6.5, 8.5], atol=1e-5)
    np.testing.assert_allclose(resize(ramp, 12, 24)[0, 1:-1], np.arange(1, 23) / 2 - 0.25, atol=1e-5)


def test_smoothing_weights() -> None:
    dot = np.zeros((5, 5))
    dot[2, 2] = 16
    np.testing.assert_array_equal(smooth(dot)[1:4, 1:4], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    np.testing.assert_allclose(smooth(np.full((3, 4), 0.3)), 0.3)
