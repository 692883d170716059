"""Inverted dropout: random units are set to 0 and the others scaled up, in training only (Srivastava et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# A unit is kept where a random 16-bit number lies below this many times the share kept: four decisions from
# each 64-bit draw (25 µs for 512 × 128 units, against 163 µs for as many uniform floats).
LEVELS = 65_536


class Dropout:
    """The masks of one layer for batches of one size: 0 with probability ``rate``, else 1 / (1 − rate).

    ``rates`` and ``generators`` have one entry a network; ``shape`` is (K, units, batch). Rates are met to
    within 1/65536, and the scale is that of the rate really used, so that means stay exact.
    """

    def __init__(
        self, rates: np.ndarray, generators: Sequence[np.random.Generator], shape: tuple[int, int, int], dtype: np.dtype
    ) -> None:
        kept = np.clip(np.rint((1 - np.asarray(rates)) * LEVELS), 1, LEVELS)
        self._below = (kept - 1).astype(np.uint16).reshape(-1, 1, 1)
        self._scale = (LEVELS / kept).astype(dtype).reshape(-1, 1, 1)
        self._draws = -(-shape[1] * shape[2] // 4)
        self._numbers = np.zeros((shape[0], self._draws * 4), np.uint16)
        # A network that drops nothing here draws nothing (its numbers stay 0: all is kept), so that its other
        # layers get the same masks whether or not its neighbours in the stack drop something here.
        self._drawn = [(self._numbers[k], generators[k]) for k, rate in enumerate(rates) if rate > 0]
        self._shape = shape
        self.mask = np.empty(shape, dtype)

    def draw(self) -> np.ndarray:
        """A fresh mask (K, units, batch); the array is reused by the next call."""
        members, units, batch = self._shape
        for row, rng in self._drawn:
            row[:] = rng.bit_generator.random_raw(self._draws).view(np.uint16)
        numbers = self._numbers[:, : units * batch].reshape(members, units, batch)
        np.less_equal(numbers, self._below, out=self.mask)
        self.mask *= self._scale
        return self.mask
