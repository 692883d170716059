"""A digit cut from its picture and set as MNIST's digits are: 20 x 20 in its aspect, centred by mass in 28 x 28."""

from __future__ import annotations

import numpy as np

from mlptrain.handwriting.light import ink_of
from mlptrain.handwriting.marks import Marks, digit_marks, find_marks
from mlptrain.handwriting.resampling import block_means, weights

WORKING = 640
"""Pixels of the longer side at which a digit is looked for."""

MNIST_SIDE, MNIST_BOX = 28, 20

_PAPER, _FULL = 0.15, 0.85  # shares of a digit's usual ink below which is paper, above which is full ink
_EDGE = 0.3  # share of full ink at which a digit ends
_SHEETS = 2  # sheets of paper, one on another, that a digit is looked for on


def find_digit(grey: np.ndarray, side: int = MNIST_SIDE) -> np.ndarray | None:
    """The digit in a photograph or drawing, as a network trained on MNIST expects it; None where there is none.

    Parameters
    ----------
    grey : (height, width), bytes or floats in [0, 1].
    side : of the result; the digit's longer side is 20/28 of it.

    Returns
    -------
    ndarray, float32 (side, side) in [0, 1], light on dark.
    """
    picture = block_means(grey, WORKING)
    for _ in range(1 + _SHEETS):
        ink = ink_of(picture)
        marks = find_marks(ink)
        chosen = digit_marks(marks) if marks is not None else ()
        if marks is None or not len(chosen):
            return None
        sheet = _sheet(marks, chosen[0])
        if sheet is None:
            return framed(_cut(ink, marks, chosen), side)
        picture = picture[sheet]
    return None


def _sheet(marks: Marks, main: int) -> tuple[slice, slice] | None:
    """The inside of the main mark, where it is no digit but the sheet that one is written on: a large full block."""
    top, left, bottom, right = marks.boxes[main].tolist()
    height, width = bottom - top, right - left
    full = np.count_nonzero(marks.labels[top:bottom, left:right] == main + 1) > 0.75 * height * width
    if not full or height * width < 0.15 * marks.labels.size or min(height, width) < 0.4 * max(height, width):
        return None
    rim = max(1, min(height, width) // 20)
    return slice(top + rim, bottom - rim), slice(left + rim, right - rim)


def _cut(ink: np.ndarray, marks: Marks, chosen: np.ndarray) -> np.ndarray:
    """The digit's ink alone, in [0, 1], cut to its edges."""
    own = np.isin(marks.labels, chosen + 1)
    boxes = marks.boxes[chosen]
    reach = max(1, round((boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)).max() / MNIST_BOX))
    full = float(np.percentile(ink[own], 80))
    strength = np.clip((ink / full - _PAPER) / (_FULL - _PAPER), 0, 1)
    strength[~_grown(own, reach) | ((marks.labels > 0) & ~own)] = 0
    rows, columns = (np.flatnonzero((strength > _EDGE).any(axis=axis)) for axis in (1, 0))
    return strength[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _grown(mask: np.ndarray, reach: int) -> np.ndarray:
    """``mask`` and all that lies within ``reach`` pixels of it along both axes."""
    for _ in range(2):
        sums = np.cumsum(np.pad(mask, ((reach + 1, reach), (0, 0))), axis=0)
        mask = (sums[2 * reach + 1 :] > sums[: -2 * reach - 1]).T
    return mask


def framed(ink: np.ndarray, side: int) -> np.ndarray:
    """``ink`` (height, width) scaled to MNIST's box and set with its centre of mass in the middle of the frame."""
    longest = max(1, round(side * MNIST_BOX / MNIST_SIDE))
    height, width = (max(1, round(size * longest / max(ink.shape))) for size in ink.shape)
    digit = weights(ink.shape[0], height) @ ink @ weights(ink.shape[1], width).T
    digit /= digit.max()
    top, left = _places(digit, side)
    frame = np.zeros((side, side), np.float32)
    frame[top : top + height, left : left + width] = digit
    return frame


def _places(digit: np.ndarray, side: int) -> tuple[int, int]:
    """Where the digit's upper left corner comes to lie; MNIST's centres of mass are pixel 14, counted from 0."""
    places = []
    for axis in (0, 1):
        mass = digit.sum(axis=1 - axis)
        centre = float(mass @ np.arange(len(mass)) / mass.sum())
        places.append(max(0, min(side - len(mass), round(side / 2 - centre))))
    return places[0], places[1]
