"""Inverted dropout: in training, random units are set to 0 and the others scaled up (Srivastava et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlptrain.engine.arrays import Floats

# A unit is kept if a random 16-bit number is below LEVELS times the share of units kept. Each 64-bit draw decides for
# four units, which takes 25 µs for 512 × 128 units; uniform floats take 163.
LEVELS = 65_536


class Dropout:
    """The masks of one layer for batches of one size: 0 with probability ``rate``, otherwise 1 / (1 − rate).

    ``rates``, ``units`` and ``generators`` have one entry per network; ``shape`` is (K, units, batch) with the largest
    number of units. The share of units kept is
    rounded to a multiple of 1/65,536, and the scale uses the rounded share, so that the mean is exact.
    """

    def __init__(
        self,
        rates: Floats,
        generators: Sequence[np.random.Generator],
        shape: tuple[int, int, int],
        dtype: np.dtype,
        units: Sequence[int] | None = None,
    ) -> None:
        kept = np.clip(np.rint((1 - np.asarray(rates)) * LEVELS), 1, LEVELS)
        self._below = (kept - 1).astype(np.uint16).reshape(-1, 1, 1)
        self._scale = (LEVELS / kept).astype(dtype).reshape(-1, 1, 1)
        self._numbers = np.zeros(shape, np.uint16)
        # A network without dropout here draws nothing, and its numbers stay 0, which keeps every unit. The others draw
        # for their own units. So a network gets the same masks in every stack.
        own = [self._numbers[k, :count] for k, count in enumerate(units or [shape[1]] * shape[0])]
        self._drawn = [(own[k], generators[k]) for k, rate in enumerate(rates) if rate > 0]
        self.mask = np.empty(shape, dtype)

    def draw(self) -> Floats:
        """Return a new mask (K, units, batch), in an array that the next call overwrites."""
        for numbers, rng in self._drawn:
            drawn = rng.bit_generator.random_raw(-(-numbers.size // 4)).view(np.uint16)
            numbers[:] = drawn[: numbers.size].reshape(numbers.shape)
        np.less_equal(self._numbers, self._below, out=self.mask)
        self.mask *= self._scale
        return self.mask
