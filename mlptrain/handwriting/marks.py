"""Connected marks of ink, and the choice of those that form the digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mlptrain.engine.arrays import Booleans, Floats, Indices, Integers

MIN_PEAK = 0.04  # contrast of the strongest ink

MIN_DEVIATIONS = 5.0  # strongest ink in standard deviations of the noise of the paper

MIN_INK = 0.35  # ink in each pixel of a mark, as a share of the strongest ink

MIN_MASS = 0.04  # mass of a further mark of the digit, as a share of the mass of the largest mark

MAX_GAP = 0.3  # gap between these two marks, as a share of the size of the largest mark

MIN_SECOND_MASS = 0.2  # mass of a second digit, as a share of the mass of the largest mark

MIN_SECOND_HEIGHT = 0.7  # smaller height of two digits divided by the larger one

MAX_CUT = 0.25  # length along an edge of the image on which the digit touches it, as a share of its size

MAX_EDGE_SHARE = 0.25  # share of an edge of the image that a digit covers if it touches the edge


@dataclass(frozen=True)
class Marks:
    """Connected marks.

    ``labels`` (height, width) contains the numbers of the marks from 1, and 0 for paper. ``mass`` (n,) is the total ink
    of each mark, and ``boxes`` (n, 4) are their bounds: top, left, bottom, right, the last two exclusive.
    """

    labels: Integers
    mass: Floats
    boxes: Integers


def estimate_peak(ink: Floats) -> float:
    """Return the mean of the strongest thousandth of the pixels, at least 16 of them."""
    count = min(ink.size, max(16, ink.size // 1000))
    return float(np.partition(ink.ravel(), -count)[-count:].mean())


def estimate_noise(ink: Floats) -> float:
    """Return the standard deviation of the paper, estimated by the median deviation, on which ink has little effect."""
    return 1.4826 * float(np.median(np.abs(ink - np.median(ink))))


def find_marks(ink: Floats) -> Marks | None:
    """Return the connected marks in ``ink`` (height, width), or None if there is only paper."""
    peak, noise = estimate_peak(ink), estimate_noise(ink)
    if peak < max(MIN_PEAK, MIN_DEVIATIONS * noise):
        return None
    mask = ink > max(MIN_INK * peak, 0.6 * MIN_DEVIATIONS * noise)
    labels = label_components(mask)
    count = int(labels.max())
    rows, columns = np.nonzero(labels)
    owners = labels[rows, columns] - 1
    boxes = np.empty((count, 4), np.int64)
    for side, (positions, extreme) in enumerate(
        ((rows, np.minimum), (columns, np.minimum), (rows, np.maximum), (columns, np.maximum))
    ):
        boxes[:, side] = np.iinfo(np.int64).max if side < 2 else -1
        extreme.at(boxes[:, side], owners, positions)
    boxes[:, 2:] += 1
    mass: Any = np.bincount(owners, ink[rows, columns], count)  # floats, unlike the type that NumPy states
    return Marks(labels, mass, boxes)


def label_components(mask: Booleans) -> Integers:
    """Number the 8-connected components of a boolean array from 1; other pixels get 0.

    Every pixel points to a pixel of its component with a lower number. Pointers of neighbours are joined and shortened
    until nothing changes (Shiloach & Vishkin 1982), which takes a few passes over whole arrays.
    """
    numbers = np.full(mask.shape, -1)
    numbers[mask] = np.arange(np.count_nonzero(mask))
    pairs = []
    for first, second in (
        (numbers[:, :-1], numbers[:, 1:]),
        (numbers[:-1], numbers[1:]),
        (numbers[:-1, :-1], numbers[1:, 1:]),
        (numbers[:-1, 1:], numbers[1:, :-1]),
    ):
        both = (first >= 0) & (second >= 0)
        pairs.append(np.stack([first[both], second[both]]))
    a, b = np.concatenate(pairs, axis=1)
    roots = np.arange(np.count_nonzero(mask))
    while len(a):
        low, high = np.minimum(roots[a], roots[b]), np.maximum(roots[a], roots[b])
        np.minimum.at(roots, high, low)
        while not np.array_equal(shorter := roots[roots], roots):
            roots = shorter
        apart = roots[a] != roots[b]
        a, b = a[apart], b[apart]
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = np.unique(roots, return_inverse=True)[1] + 1
    return labels


def choose_digit_marks(marks: Marks) -> Indices:
    """Return the indices of the marks that form the digit: the largest one, and those close to it.

    Frames are excluded, unless there is nothing else: then the image was cropped to the digit.
    """
    main, others = _main_mark(marks)
    top, left, bottom, right = marks.boxes[main]
    max_gap = MAX_GAP * max(bottom - top, right - left)
    chosen = [main]
    for other in others:
        box = marks.boxes[other]
        gap = max(top - box[2], box[0] - bottom, left - box[3], box[1] - right, 0)
        if marks.mass[other] >= MIN_MASS * marks.mass[main] and gap <= max_gap:
            chosen.append(other)
    return np.array(chosen)


def has_second_digit(marks: Marks) -> bool:
    """Return whether a mark beside the largest one is as high as it is.

    The strokes of a digit that is written in two are of different heights, such as those of a 5, or their boxes
    overlap.
    """
    main, others = _main_mark(marks)
    top, left, bottom, right = marks.boxes[main]
    for other in others:
        box = marks.boxes[other]
        low, high = sorted((bottom - top, box[2] - box[0]))
        apart = max(top - box[2], box[0] - bottom, left - box[3], box[1] - right) >= 0
        if apart and low >= MIN_SECOND_HEIGHT * high and marks.mass[other] >= MIN_SECOND_MASS * marks.mass[main]:
            return True
    return False


def are_cut_off(marks: Marks, chosen: Indices) -> bool:
    """Return whether an edge of the image cuts through more of the chosen marks than the end of a stroke."""
    boxes = marks.boxes[chosen]
    size = (boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)).max()
    edges = (marks.labels[0], marks.labels[-1], marks.labels[:, 0], marks.labels[:, -1])
    return bool(max(np.isin(edge, chosen + 1).sum() for edge in edges) > MAX_CUT * size)


def _main_mark(marks: Marks) -> tuple[int, list[int]]:
    """Return the largest mark and the others; without the frames, unless there is nothing else."""
    inner = np.flatnonzero(~_are_frames(marks))
    if not len(inner):
        inner = np.arange(len(marks.mass))
    main = int(inner[marks.mass[inner].argmax()])
    return main, [other for other in inner.tolist() if other != main]


def _are_frames(marks: Marks) -> Booleans:
    """Return for each mark whether it is a frame, a ruled line, or the table beside the paper.

    Such a mark covers much of an edge of the image, or reaches from one edge to the opposite one.
    """
    height, width = marks.labels.shape
    top, left, bottom, right = marks.boxes.T
    found: Booleans = ((top == 0) & (bottom == height)) | ((left == 0) & (right == width))
    for edge in (marks.labels[0], marks.labels[-1], marks.labels[:, 0], marks.labels[:, -1]):
        counts = np.bincount(edge, minlength=len(marks.mass) + 1)[1:]
        found |= counts > MAX_EDGE_SHARE * len(edge)
    return found
