"""A digit cut from its picture and set as MNIST's digits are: 20 x 20 in its aspect, centred by mass in 28 x 28."""

from __future__ import annotations

import numpy as np

from mlptrain.handwriting.ink import find_sheet, ink_of
from mlptrain.handwriting.marks import Marks, digit_marks, find_marks
from mlptrain.handwriting.resampling import block_means, resized

WORKING = 640
"""Pixels of the longer side at which a digit is looked for."""

MNIST_SIDE, MNIST_BOX = 28, 20

_PAPER, _FULL = 0.15, 0.85  # shares of a digit's usual ink below which is paper, above which is full ink

_EDGE = 0.3  # share of full ink at which a digit ends

_SHEETS = 2  # sheets of paper, one on another, that a digit is looked for on

_FINE = 80  # pixels of the longer side at which strokes are measured and thickened

_STROKE = 2.2  # pixels of MNIST's box


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
    for _ in range(_SHEETS):
        sheet = find_sheet(picture)
        if sheet is None:
            break
        picture = picture[sheet]
    ink = ink_of(picture)
    marks = find_marks(ink)
    chosen = np.empty(0) if marks is None else digit_marks(marks)
    if marks is None or not len(chosen):
        return None
    return framed(thickened(_cut(ink, marks, chosen)), side)


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


def thickened(ink: np.ndarray) -> np.ndarray:
    """``ink`` with its strokes as wide as MNIST's pen drew them, where they are thinner: a ballpoint's are.

    The width of a stroke is twice its area over its outline's length.
    """
    height, width = (max(1, round(size * _FINE / max(ink.shape))) for size in ink.shape)
    fine = np.pad(resized(ink, height, width), _FINE // 8)
    mask = fine > 0.5
    outline = sum(np.count_nonzero(np.diff(mask, axis=axis)) for axis in (0, 1)) * np.pi / 4
    stroke = 2 * np.count_nonzero(mask) / max(1.0, outline)
    steps = round((_STROKE * _FINE / MNIST_BOX - stroke) / 2)
    if steps < 1:
        return ink
    for step in range(min(steps, _FINE // 8)):
        fine = _spread(fine, diagonal=step % 2 == 1)
    rows, columns = (np.flatnonzero((fine > _EDGE).any(axis=axis)) for axis in (1, 0))
    return fine[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _spread(ink: np.ndarray, *, diagonal: bool) -> np.ndarray:
    """The darkest of each pixel and its neighbours, eight or four of them: in turn they grow a disc."""
    padded = np.pad(ink, 1)
    spread = ink
    for down, right in ((0, 1), (1, 0), (1, 2), (2, 1), *(((0, 0), (0, 2), (2, 0), (2, 2)) if diagonal else ())):
        spread = np.maximum(spread, padded[down : down + ink.shape[0], right : right + ink.shape[1]])
    return spread


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
    digit = resized(ink, height, width)
    digit /= digit.max()
    top, left = _places(digit, side)
    frame = np.zeros((side, side), np.float32)
    frame[top : top + height, left : left + width] = digit
    return frame


def _places(digit: np.ndarray, side: int) -> tuple[int, int]:
    """Where the digit's upper left corner comes to lie; MNIST's centres of mass are pixel 14, counted from 0."""
    middle = (MNIST_SIDE / 2 + 0.5) * side / MNIST_SIDE - 0.5
    places = []
    for axis in (0, 1):
        mass = digit.sum(axis=1 - axis)
        centre = float(mass @ np.arange(len(mass)) / mass.sum())
        places.append(max(0, min(side - len(mass), round(middle - centre))))
    return places[0], places[1]
