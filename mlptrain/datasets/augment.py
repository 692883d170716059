"""Data augmentation: a random affine map and elastic distortion of each image, resampled once."""

from __future__ import annotations

import math

import numpy as np

from mlptrain.config.config import Augment, Elastic
from mlptrain.config.values import flat
from mlptrain.engine.arrays import Bytes, Floats
from mlptrain.errors import ConfigError

MAX_AMOUNT = 1e6
"""Largest amount of any change; up to here no coordinate overflows."""

BLOCK_PIXELS = 64 * 784
"""Number of pixels that are augmented at once: 64 images of MNIST, 0.2 MB per array in float32. Smaller blocks are
slower, larger ones no faster (benchmarks/LOG.md)."""


def affine_coefficients(augmentation: Augment, shape: tuple[int, int], units: Floats) -> Floats:
    """Return the source of each pixel of the augmented images as coefficients of (1, y, x), y and x from the centre.

    An image is scaled, sheared, rotated (anticlockwise as displayed) and shifted, in this order, about its centre;
    the source of a pixel is given by the inverse of that map.

    Parameters
    ----------
    units
        ``(n, 6)`` in [−1, 1): shift down, shift right, rotation, scale of y, scale of x and shear as fractions of the
        limits.

    Returns
    -------
    numpy.ndarray
        ``(2, n, 3)``: coefficients of 1, y and x for the row and for the column of the source.
    """
    down, right = augmentation.shift * units[:, 0], augmentation.shift * units[:, 1]
    angle = math.radians(augmentation.rotate) * units[:, 2]
    scale_y, scale_x = 1 + augmentation.scale * units[:, 3], 1 + augmentation.scale * units[:, 4]
    shear = augmentation.shear * units[:, 5]
    cos, sin = np.cos(angle), np.sin(angle)
    by_y = np.stack([cos / scale_y, (-sin - shear * cos) / scale_x])
    by_x = np.stack([sin / scale_y, (cos - shear * sin) / scale_x])
    centre = (np.array(shape).reshape(2, 1) - 1) / 2
    coefficients: Floats = np.stack([centre - by_y * down - by_x * right, by_y, by_x], axis=-1)
    return coefficients


def gaussian_matrix(size: int, sigma: float) -> Floats:
    """Return the matrix ``(size, size)`` that smooths a line of pixels by a Gaussian whose sum is 1.

    The kernel is truncated at the border without renormalisation: rows within about 3σ of the border sum to less than
    1, so displacements decrease towards it. A σ near 0 gives the identity.
    """
    if sigma < 0.08:  # the weight of the next pixel is below 1e-33
        return np.eye(size)
    kernel = np.exp(-(np.arange(max(size, 16)) ** 2) / (2 * sigma**2))
    kernel[kernel < 1e-30] = 0.0  # subnormal numbers in float32 are slow
    # The sum over all integers; from σ = 2 it equals the integral in every digit of a double.
    total = sigma * math.sqrt(2 * math.pi) if sigma >= 2 else 2 * kernel.sum() - kernel[0]
    matrix: Floats = kernel[np.abs(np.subtract.outer(np.arange(size), np.arange(size)))] / total
    return matrix


class Resampler:
    """Bilinear interpolation of up to ``rows`` images at once, with preallocated buffers.

    The images are surrounded by zeros: one column between the lines, one row between the images.
    """

    def __init__(self, shape: tuple[int, int], rows: int, dtype: str | np.dtype) -> None:
        height, width = shape
        pixels, line = height * width, width + 1
        frame = (height + 1) * line
        self.shape = shape
        self._number = np.dtype(dtype).type
        self._flat = np.zeros(rows * frame + 2 * line + 2, dtype)
        self._frames = self._flat[: rows * frame].reshape(rows, height + 1, line)
        # The index of pixel (0, 0) of each image in the flat array, and the offsets of the four neighbours of a point.
        self._origins = (np.arange(rows)[:, np.newaxis] * frame + line + 1).astype(dtype)
        self._steps = (0, 1, line, line + 1)
        self._line = self._number(line)
        self._floors = np.empty((2, rows, pixels), dtype)
        self._indices = np.empty((rows, pixels), np.intp)
        self._neighbours = np.empty((4, rows, pixels), dtype)

    def apply(self, images: Bytes | Floats, coordinates: Floats, out: Floats) -> None:
        """Write pixel / 255 at fractional coordinates of each image; outside of an image it is 0.

        Parameters
        ----------
        images
            ``(n, height·width)``, from 0 to 255.
        coordinates
            ``(2, n, height·width)``: row and column of the source of each pixel of ``out``; overwritten.
        out
            ``(n, height·width)``, floats.
        """
        count, number = len(images), self._number
        (height, width), (rows, columns) = self.shape, coordinates
        np.clip(rows, number(-1), number(height), out=rows)
        np.clip(columns, number(-1), number(width), out=columns)
        floors, indices = self._floors[:, :count], self._indices[:count]
        np.floor(coordinates, out=floors)
        fractions = np.subtract(coordinates, floors, out=coordinates)
        positions, left = floors
        positions *= self._line
        positions += left
        positions += self._origins[:count]
        np.copyto(indices, positions, casting="unsafe")

        # Four gathers of floats are faster than one gather of packed neighbours (benchmarks/LOG.md).
        self._frames[:count, 1:, 1:] = images.reshape(count, height, width)
        top, top_right, bottom, bottom_right = neighbours = self._neighbours[:, :count]
        for step, neighbour in zip(self._steps, neighbours, strict=True):
            # The indices are in range; of the modes that write directly into ``out``, "wrap" is the faster one.
            np.take(self._flat[step:], indices, out=neighbour, mode="wrap")
        down, right = fractions
        _interpolate(top, top_right, right)
        _interpolate(bottom, bottom_right, right)
        _interpolate(top_right, bottom_right, down)
        np.divide(bottom_right, number(255), out=out)


def _interpolate(a: Floats, b: Floats, fraction: Floats) -> None:
    """Compute b ← a + (b − a)·fraction in place; for bytes the result is always between a and b."""
    b -= a
    b *= fraction
    b += a


class Augmenter:
    """Augmentation of images of one shape with preallocated buffers, for one thread at a time.

    The shift, the angle and the shear (x += shear·y) of each image are drawn uniformly from ± the amount, the factor of
    each axis from 1 ± ``scale``. Noise uniform in (−1, 1), smoothed by the Gaussian and multiplied by
    ``elastic.alpha``, displaces each pixel along each axis.

    It runs beside training: NumPy releases the interpreter lock in almost all of its calls, and the matrix products
    (of images up to 50 × 50) are too small for OpenBLAS to use the threads that training needs.

    Raises
    ------
    ConfigError
        An amount is larger than `MAX_AMOUNT`.
    """

    def __init__(self, shape: tuple[int, int], augmentation: Augment, dtype: str | np.dtype = "float32") -> None:
        for key, amount in flat(augmentation.model_dump(exclude_none=True)).items():
            if amount > MAX_AMOUNT:
                raise ConfigError(f"augment.{key}: must be at most {MAX_AMOUNT:g} (got {amount:g})")
        height, width = shape
        pixels = height * width
        self.shape = shape
        self.augmentation = augmentation
        self.rows = max(1, BLOCK_PIXELS // pixels)
        self._resampler = Resampler(shape, self.rows, dtype)
        self._coordinates = np.empty((2, self.rows, pixels), dtype)
        y, x = np.indices(shape) - (np.array(shape).reshape(2, 1, 1) - 1) / 2
        self._basis = np.stack([np.ones(pixels), y.ravel(), x.ravel()]).astype(dtype)
        elastic = augmentation.elastic or Elastic(alpha=0)
        self._is_elastic = elastic.alpha > 0
        if self._is_elastic:
            self._smooth_rows = (elastic.alpha / 2**15 * gaussian_matrix(height, elastic.sigma)).astype(dtype)
            self._smooth_columns = gaussian_matrix(width, elastic.sigma).T.astype(dtype)
            self._noise = np.empty((self.rows, 2 * pixels), dtype)
            self._smoothed = np.empty((self.rows, 2 * height, width), dtype)

    def apply(self, images: Bytes | Floats, rng: np.random.Generator, out: Floats) -> None:
        """Write the augmented images as floats in [0, 1].

        The affine maps of all images are drawn from ``rng`` first, then the noise of each image in turn.

        Parameters
        ----------
        images
            ``(n, height·width)``, uint8.
        out
            ``(n, height·width)`` in the dtype of the augmenter, pixel / 255.
        """
        coefficients = self._coefficients(len(images), rng)
        for start in range(0, len(images), self.rows):
            block = slice(start, start + self.rows)
            self._resampler.apply(images[block], self._sources(coefficients[:, block], rng), out[block])

    def apply_same(
        self, images: Bytes | Floats, rng: np.random.Generator, out: Floats, *, opposite: bool = False
    ) -> None:
        """Write the images, all changed by the map that `apply` draws for one image, as floats in [0, 1].

        Parameters
        ----------
        images
            ``(n, height·width)``, from 0 to 255.
        out
            ``(n, height·width)`` in the dtype of the augmenter, pixel / 255.
        opposite
            Move the source of each pixel the other way: the image is shifted left instead of right, and so on.
        """
        sources = self._sources(self._coefficients(1, rng), rng).copy()
        if opposite:
            sources = 2 * np.indices(self.shape).reshape(2, 1, -1) - sources
        for start in range(0, len(images), self.rows):
            block = slice(start, start + self.rows)
            coordinates = self._coordinates[:, : len(images[block])]
            np.copyto(coordinates, sources)
            self._resampler.apply(images[block], coordinates, out[block])

    def _coefficients(self, count: int, rng: np.random.Generator) -> Floats:
        """Return the coefficients ``(2, count, 3)`` of random affine maps."""
        units = rng.uniform(-1.0, 1.0, (count, 6))
        return affine_coefficients(self.augmentation, self.shape, units).astype(self._basis.dtype)

    def _sources(self, coefficients: Floats, rng: np.random.Generator) -> Floats:
        """Return the source ``(2, count, height·width)`` of each pixel, in a buffer, with elastic displacements."""
        coordinates = self._coordinates[:, : coefficients.shape[1]]
        np.matmul(coefficients, self._basis, out=coordinates)
        if self._is_elastic:
            coordinates += self._displacements(coordinates.shape[1], rng)
        return coordinates

    def _displacements(self, count: int, rng: np.random.Generator) -> Floats:
        """Return elastic displacements ``(2, count, height·width)`` of rows and columns, in pixels.

        Simard, Steinkraus & Platt 2003, section 2. Smoothing is two small matrix products per image and axis. Noise of
        16 bits is faster than that of ``rng.random`` (benchmarks/LOG.md).
        """
        height, width = self.shape
        words = -(-height * width // 2)
        bits = rng.integers(0, 2**64, (count, words), np.uint64).view(np.int16)
        noise, smoothed = self._noise[:count], self._smoothed[:count]
        np.copyto(noise, bits[:, : noise.shape[1]])
        np.matmul(noise.reshape(smoothed.shape), self._smooth_columns, out=smoothed)
        planes = noise.reshape(count, 2, height, width)
        np.matmul(self._smooth_rows, smoothed.reshape(planes.shape), out=planes)
        return np.moveaxis(noise.reshape(count, 2, -1), 1, 0)
