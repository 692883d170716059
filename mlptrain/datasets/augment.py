"""Data augmentation: each image moved by an affine map and an elastic displacement of its own, resampled once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlptrain.errors import ConfigError

# Far beyond any use; up to here no coordinate overflows, whatever the amounts combine to.
LARGEST = 1e6

# Pixels that pass through the buffers at once: 64 MNIST images, 0.2 MB an array in float32. A recipe of everything
# took 10.2, 8.3, 7.2, 6.8, 6.8 µs an image in blocks of 8, 16, 32, 64, 128; the longer the blocks, the fewer
# the moments at which the thread needs the interpreter's lock.
BLOCK = 64 * 784


@dataclass(frozen=True)
class Augmentation:
    """How far an image may be moved; every amount is drawn for each image anew, zero is left out.

    ``shift`` in pixels, ``rotate`` in degrees and ``shear`` (x += shear·y) are uniform within ±; ``scale`` below 1
    makes each axis longer or shorter by a factor uniform in 1 ± scale. ``elastic_alpha`` (pixels) times noise uniform
    in (−1, 1), smoothed by a Gaussian of ``elastic_sigma`` (pixels), displaces each pixel along each axis.

    Raises
    ------
    ConfigError
        An amount is negative, not finite or absurdly large, or ``scale`` is not below 1.
    """

    shift: float = 0.0
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    elastic_alpha: float = 0.0
    elastic_sigma: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            limit = 1.0 if name == "scale" else LARGEST
            if not 0 <= value < limit:
                raise ConfigError(f"augment: {name} is {value:g}\nexpected a number from 0 to less than {limit:g}")


def affine_coefficients(augmentation: Augmentation, shape: tuple[int, int], units: np.ndarray) -> np.ndarray:
    """Where the pixels of each moved image come from, as coefficients of (1, y, x) about the centre.

    An image is scaled, sheared, rotated (anticlockwise as seen) and shifted, in this order, about its centre; a
    pixel's source is the inverse of that map.

    Parameters
    ----------
    units
        ``(n, 6)`` in [−1, 1): shift down, shift right, rotation, scale of y, scale of x, shear, in units of what
        ``augmentation`` allows.

    Returns
    -------
    numpy.ndarray
        ``(2, n, 3)``: for the source's row and its column, the coefficients of 1, y and x.
    """
    down, right = augmentation.shift * units[:, 0], augmentation.shift * units[:, 1]
    angle = math.radians(augmentation.rotate) * units[:, 2]
    scale_y, scale_x = 1 + augmentation.scale * units[:, 3], 1 + augmentation.scale * units[:, 4]
    shear = augmentation.shear * units[:, 5]
    cos, sin = np.cos(angle), np.sin(angle)
    by_y = np.stack([cos / scale_y, (-sin - shear * cos) / scale_x])
    by_x = np.stack([sin / scale_y, (cos - shear * sin) / scale_x])
    centre = (np.array(shape).reshape(2, 1) - 1) / 2
    coefficients: np.ndarray = np.stack([centre - by_y * down - by_x * right, by_y, by_x], axis=-1)
    return coefficients


def gaussian_matrix(size: int, sigma: float) -> np.ndarray:
    """The matrix ``(size, size)`` that smooths a line of pixels by a Gaussian whose sum is 1.

    Beyond the border there is no noise: the kernel is cut off there and not renormalised, so rows within about 3σ
    of the border sum to less than 1, and displacements fall off towards it. A σ near 0 gives the identity.
    """
    if sigma < 0.08:  # the next pixel's weight is below 1e-33
        return np.eye(size)
    kernel = np.exp(-(np.arange(max(size, 16)) ** 2) / (2 * sigma**2))
    kernel[kernel < 1e-30] = 0.0  # would come to subnormal numbers in float32, which are slow
    # The sum over all whole numbers; from σ = 2 the integral equals it in every digit of a double.
    total = sigma * math.sqrt(2 * math.pi) if sigma >= 2 else 2 * kernel.sum() - kernel[0]
    matrix: np.ndarray = kernel[np.abs(np.subtract.outer(np.arange(size), np.arange(size)))] / total
    return matrix


class Resampler:
    """Bilinear interpolation of blocks of up to ``rows`` images, in buffers of its own.

    Each image lies in a frame of zeros, which it shares with its neighbours: one column between the lines, one row
    between the images.
    """

    def __init__(self, shape: tuple[int, int], rows: int, dtype: str | np.dtype) -> None:
        height, width = shape
        pixels, line = height * width, width + 1
        frame = (height + 1) * line
        self.shape = shape
        self._number = np.dtype(dtype).type
        self._flat = np.zeros(rows * frame + 2 * line + 2, dtype)
        self._frames = self._flat[: rows * frame].reshape(rows, height + 1, line)
        # Where pixel (0, 0) of each image lies in the flat array, and how far the four neighbours are from it.
        self._origins = (np.arange(rows)[:, np.newaxis] * frame + line + 1).astype(dtype)
        self._steps = (0, 1, line, line + 1)
        self._line = self._number(line)
        self._floors = np.empty((2, rows, pixels), dtype)
        self._indices = np.empty((rows, pixels), np.intp)
        self._neighbours = np.empty((4, rows, pixels), dtype)

    def apply(self, images: np.ndarray, coordinates: np.ndarray, out: np.ndarray) -> None:
        """Write pixel / 255 at fractional places of each image; outside of it lies background, 0.

        Parameters
        ----------
        images
            ``(n, height·width)`` bytes.
        coordinates
            ``(2, n, height·width)``, the row and the column where each pixel of ``out`` comes from; overwritten.
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
        places, left = floors
        places *= self._line
        places += left
        places += self._origins[:count]
        np.copyto(indices, places, casting="unsafe")

        # Four gathers of floats at one array of indices took 1.8 µs an image. The four neighbours packed into an
        # integer and gathered at once: 2.4 to 2.7, for the unpacking; into 16 bytes: 2.8; from bytes: 2.6;
        # fixed-point arithmetic on packed pairs: 1.7, with an error of 0.005.
        self._frames[:count, 1:, 1:] = images.reshape(count, height, width)
        top, top_right, bottom, bottom_right = neighbours = self._neighbours[:, :count]
        for step, neighbour in zip(self._steps, neighbours, strict=True):
            # The indices are in range; of the modes that write straight into ``out``, "wrap" is the faster.
            np.take(self._flat[step:], indices, out=neighbour, mode="wrap")
        down, right = fractions
        _interpolate(top, top_right, right)
        _interpolate(bottom, bottom_right, right)
        _interpolate(top_right, bottom_right, down)
        np.divide(bottom_right, number(255), out=out)


def _interpolate(a: np.ndarray, b: np.ndarray, fraction: np.ndarray) -> None:
    """b ← a + (b − a)·fraction, which for bytes never leaves the range of a and b."""
    b -= a
    b *= fraction
    b += a


class Augmenter:
    """Augments images of one shape, in buffers of its own, so that one thread at a time may use it.

    Nearly all its time is spent in NumPy calls that release the interpreter's lock, and its matrix products (of images
    up to 50 × 50) are too small for OpenBLAS to call in the threads that the network's training may be using.
    """

    def __init__(self, shape: tuple[int, int], augmentation: Augmentation, dtype: str | np.dtype = "float32") -> None:
        height, width = shape
        pixels = height * width
        self.shape = shape
        self.augmentation = augmentation
        self.rows = max(1, BLOCK // pixels)
        self._resampler = Resampler(shape, self.rows, dtype)
        self._coordinates = np.empty((2, self.rows, pixels), dtype)
        y, x = np.indices(shape) - (np.array(shape).reshape(2, 1, 1) - 1) / 2
        self._basis = np.stack([np.ones(pixels), y.ravel(), x.ravel()]).astype(dtype)
        if augmentation.elastic_alpha:
            amplitude, sigma = augmentation.elastic_alpha / 2**15, augmentation.elastic_sigma
            self._smooth_rows = (amplitude * gaussian_matrix(height, sigma)).astype(dtype)
            self._smooth_columns = gaussian_matrix(width, sigma).T.astype(dtype)
            self._noise = np.empty((self.rows, 2 * pixels), dtype)
            self._smoothed = np.empty((self.rows, 2 * height, width), dtype)

    def apply(self, images: np.ndarray, rng: np.random.Generator, out: np.ndarray) -> None:
        """Write the images, each moved by numbers of its own, as floats in [0, 1].

        Drawn from ``rng`` are first the affine maps of all images, then image by image the noise.

        Parameters
        ----------
        images
            ``(n, height·width)`` bytes.
        out
            ``(n, height·width)`` in the augmenter's dtype, pixel / 255.
        """
        units = rng.uniform(-1.0, 1.0, (len(images), 6))
        coefficients = affine_coefficients(self.augmentation, self.shape, units).astype(self._basis.dtype)
        for start in range(0, len(images), self.rows):
            block = slice(start, start + self.rows)
            coordinates = self._coordinates[:, : len(images[block])]
            np.matmul(coefficients[:, block], self._basis, out=coordinates)
            if self.augmentation.elastic_alpha:
                coordinates += self._displacements(coordinates.shape[1], rng)
            self._resampler.apply(images[block], coordinates, out[block])

    def _displacements(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Elastic displacements ``(2, count, height·width)`` in pixels, along the rows and the columns.

        Simard, Steinkraus & Platt 2003, section 2. The smoothing is two small products an image and axis. Noise of
        16 bits takes 0.9 µs an image, that of ``rng.random`` 2.2.
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


def augment(
    images: np.ndarray, shape: tuple[int, int], augmentation: Augmentation, rng: np.random.Generator, out: np.ndarray
) -> None:
    """Augment images once, as `Augmenter.apply` does: ``(n, height·width)`` bytes to floats in [0, 1]."""
    Augmenter(shape, augmentation, out.dtype).apply(images, rng, out)
