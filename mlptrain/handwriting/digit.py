"""Digits cut out of photographs and framed like those of MNIST.

A digit of MNIST fits into a box of 20 x 20 pixels, and its centre of mass is the centre of the image of 28 x 28 pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlptrain.engine.arrays import Booleans, Bytes, Floats, Indices
from mlptrain.handwriting.ink import extract_ink, find_sheet
from mlptrain.handwriting.marks import (
    Marks,
    are_cut_off,
    choose_digit_marks,
    estimate_peak,
    find_marks,
    has_second_digit,
)
from mlptrain.handwriting.resampling import block_means, resize

MNIST_SIDE, MNIST_BOX = 28, 20  # pixels

SEARCH_PIXELS = 640  # longer side of the image in which the digit is located

MAX_SHEETS = 2  # sheets of paper, each on the previous one

PAPER_INK, FULL_INK = 0.15, 0.85  # shares of the typical ink of the digit that become 0 and 1

EDGE_INK = 0.3  # share of full ink at the edges of the digit

STROKE_PIXELS = 2.2  # width of a stroke of MNIST

FINE_PIXELS = 80  # longer side of the digit while its strokes are measured and thickened

MAX_STROKE = 0.33  # width of a stroke, as a share of the size of the digit; a shadow is wider

MAX_BLUR = 1 / 9  # width of the edge of a stroke, as a share of the size of the digit

MIN_BLUR_PIXELS = 4  # width of an edge that counts as blurred, since small images have no sharper ones

MAX_ASPECT = 2.0  # width divided by height of a digit

TIE_PIXELS = 1e-3  # by which an offset is reduced, so that rounding errors do not decide for symmetric digits


class Digit(NamedTuple):
    """A digit like those of MNIST: ``pixels`` float32 (side, side) in [0, 1], light on dark.

    ``warning`` says why the image may not contain one digit; it is empty if nothing is unusual.
    """

    pixels: Floats
    warning: str


def find_digit(grey: Bytes | Floats, side: int = MNIST_SIDE) -> Digit | None:
    """Return the digit in a photograph or drawing, or None if there is none.

    Parameters
    ----------
    grey : (height, width), bytes or floats in [0, 1].
    side : side of the result in pixels; the longer side of the digit is 20/28 of it.
    """
    small = block_means(grey, SEARCH_PIXELS)
    for _ in range(MAX_SHEETS):
        sheet = find_sheet(small)
        if sheet is None:
            break
        small = small[sheet]
    ink = extract_ink(small)
    marks = find_marks(ink)
    if marks is None:
        return None
    chosen = choose_digit_marks(marks)
    digit = _cut_out(ink, marks, chosen)
    return Digit(frame_digit(thicken_strokes(digit), side), _find_doubt(ink, marks, chosen, digit))


def _find_doubt(ink: Floats, marks: Marks, chosen: Indices, digit: Floats) -> str:
    """Describe why the chosen marks, cut out as ``digit``, may not be one digit; empty if nothing is unusual."""
    height, width = digit.shape
    if has_second_digit(marks) or width > MAX_ASPECT * height:
        return "there may be more than one digit"
    if are_cut_off(marks, chosen):
        return "the digit may be cut off by the edge of the image"
    slopes = np.hypot(*np.gradient(np.pad(ink, 1, mode="edge")))[1:-1, 1:-1][np.isin(marks.labels, chosen + 1)]
    blur = estimate_peak(ink) / max(float(np.percentile(slopes, 90)), 1e-6)
    stroke = _stroke_width(_enlarge(digit)) / FINE_PIXELS
    if stroke > MAX_STROKE or blur > max(MAX_BLUR * max(height, width), MIN_BLUR_PIXELS):
        return "there may be no digit, only a shadow or a stain"
    return ""


def _cut_out(ink: Floats, marks: Marks, chosen: Indices) -> Floats:
    """Return the ink of the chosen marks and of the pixels next to them, in [0, 1], cropped."""
    own = np.isin(marks.labels, chosen + 1)
    boxes = marks.boxes[chosen]
    reach = max(1, round((boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)).max() / MNIST_BOX))
    typical = float(np.percentile(ink[own], 80))
    scaled = np.clip((ink / typical - PAPER_INK) / (FULL_INK - PAPER_INK), 0, 1)
    scaled[~_dilate(own, reach) | ((marks.labels > 0) & ~own)] = 0
    return _crop(scaled)


def _crop(ink: Floats) -> Floats:
    """Return the rows and columns of ``ink`` from its first to its last edge."""
    rows, columns = (np.flatnonzero((ink > EDGE_INK).any(axis=axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def thicken_strokes(ink: Floats) -> Floats:
    """Return ``ink`` with strokes as wide as those of MNIST if they are thinner, as those of a ballpoint pen are."""
    fine = _enlarge(ink)
    steps = round((STROKE_PIXELS * FINE_PIXELS / MNIST_BOX - _stroke_width(fine)) / 2)
    if steps < 1:
        return ink
    for step in range(min(steps, FINE_PIXELS // 8)):
        fine = _spread(fine, diagonal=step % 2 == 1)  # four and eight neighbours in turn, which approximates a disc
    return _crop(fine)


def _enlarge(ink: Floats) -> Floats:
    """Return ``ink`` with a longer side of `FINE_PIXELS`, and a margin."""
    return np.pad(resize(ink, *_fit_shape(ink, FINE_PIXELS)), FINE_PIXELS // 8)


def _stroke_width(fine: Floats) -> float:
    """Return the mean width of the strokes: twice their area divided by the length of their outline."""
    mask = fine > 0.5
    outline = sum(np.count_nonzero(np.diff(mask, axis=axis)) for axis in (0, 1)) * np.pi / 4
    return float(2 * np.count_nonzero(mask) / max(1.0, outline))


def _spread(ink: Floats, *, diagonal: bool) -> Floats:
    """Return the maximum of each pixel and its four neighbours, or eight neighbours with ``diagonal``."""
    padded = np.pad(ink, 1)
    spread = ink
    for down, right in ((0, 1), (1, 0), (1, 2), (2, 1), *(((0, 0), (0, 2), (2, 0), (2, 2)) if diagonal else ())):
        spread = np.maximum(spread, padded[down : down + ink.shape[0], right : right + ink.shape[1]])
    return spread


def _dilate(mask: Booleans, reach: int) -> Booleans:
    """Return ``mask`` with all pixels that are within ``reach`` of it along both axes."""
    for _ in range(2):
        sums = np.cumsum(np.pad(mask, ((reach + 1, reach), (0, 0))), axis=0)
        mask = (sums[2 * reach + 1 :] > sums[: -2 * reach - 1]).T
    return mask


def frame_digit(ink: Floats, side: int) -> Floats:
    """Return ``ink`` (height, width) scaled to the box of MNIST, with its centre of mass in the centre of the image."""
    height, width = _fit_shape(ink, max(1, round(side * MNIST_BOX / MNIST_SIDE)))
    digit = resize(ink, height, width)
    digit /= digit.max()
    top, left = (_offset(digit.sum(axis=axis), side) for axis in (1, 0))
    frame = np.zeros((side, side), np.float32)
    frame[top : top + height, left : left + width] = digit
    return frame


def _fit_shape(ink: Floats, longest: int) -> tuple[int, int]:
    """Return the height and width of ``ink`` after scaling its longer side to ``longest``."""
    height, width = (max(1, round(size * longest / max(ink.shape))) for size in ink.shape)
    return height, width


def _offset(mass: Floats, side: int) -> int:
    """Return the offset along one axis that moves the centre of ``mass`` to the centre of ``side`` pixels.

    The centres of mass in MNIST are at pixel 14, counted from 0.
    """
    middle = (MNIST_SIDE / 2 + 0.5) * side / MNIST_SIDE - 0.5
    centre = float(mass @ np.arange(len(mass)) / mass.sum())
    return max(0, min(side - len(mass), round(middle - centre - TIE_PIXELS)))
