"""Connected marks of ink, and which of them are the digit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

THRESHOLD = 0.35
"""Ink below this share of the darkest ink is no mark."""

NOISE = 5.0
"""Standard deviations of the paper's noise that ink exceeds."""

FAINTEST = 0.04
"""Contrast below which nothing counts as ink."""

_EDGE_SHARE = 0.25  # of an edge of the picture that the frame around it covers, but a digit that touches it does not

_SMALLEST = 0.04  # of the digit's ink, in a mark that may belong to it

_NEAR = 0.3  # of the digit's size: how far away such a mark may lie


@dataclass(frozen=True)
class Marks:
    """Connected marks: ``labels`` (height, width), 0 where there is none, and figures of each, in that order.

    ``mass`` is a mark's ink; ``boxes`` (n, 4) top, left, bottom, right, the last two exclusive.
    """

    labels: np.ndarray
    mass: np.ndarray
    boxes: np.ndarray


def peak_of(ink: np.ndarray) -> float:
    """The darkest ink: the mean of the darkest thousandth, at least 16 pixels."""
    count = min(ink.size, max(16, ink.size // 1000))
    return float(np.partition(ink.ravel(), -count)[-count:].mean())


def noise_of(ink: np.ndarray) -> float:
    """The standard deviation of paper, from the median deviation, which ink hardly moves."""
    return 1.4826 * float(np.median(np.abs(ink - np.median(ink))))


def find_marks(ink: np.ndarray) -> Marks | None:
    """The connected marks in ``ink``; None where nothing stands out from the paper."""
    peak, noise = peak_of(ink), noise_of(ink)
    if peak < max(FAINTEST, NOISE * noise):
        return None
    mask = ink > max(THRESHOLD * peak, 0.6 * NOISE * noise)
    if not mask.any():
        return None
    labels = connected(mask)
    count = int(labels.max())
    rows, columns = np.nonzero(labels)
    owners = labels[rows, columns] - 1
    boxes = np.empty((count, 4), np.int64)
    for side, (places, extreme) in enumerate(
        ((rows, np.minimum), (columns, np.minimum), (rows, np.maximum), (columns, np.maximum))
    ):
        boxes[:, side] = np.iinfo(np.int64).max if side < 2 else -1
        extreme.at(boxes[:, side], owners, places)
    boxes[:, 2:] += 1
    return Marks(labels, np.bincount(owners, ink[rows, columns], count), boxes)


def connected(mask: np.ndarray) -> np.ndarray:
    """Number the 8-connected parts of a boolean array from 1.

    Every pixel points to a neighbour of a lower number; pointers are hooked and shortened until nothing moves
    (Shiloach & Vishkin 1982), which takes a few rounds over whole arrays.
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
        while (shorter := roots[roots]).tolist() != roots.tolist():
            roots = shorter
        apart = roots[a] != roots[b]
        a, b = a[apart], b[apart]
    labels = np.zeros(mask.shape, np.int64)
    labels[mask] = np.unique(roots, return_inverse=True)[1] + 1
    return labels


def digit_marks(marks: Marks) -> np.ndarray:
    """The indices of the marks that make the digit: the largest within the picture, and what lies close to it.

    A mark along a good part of an edge, or from one edge to the other, is the table beside the paper, a frame or
    a ruled line, and left out, unless there is nothing else: a picture cut to the digit's edges.
    """
    inner = np.flatnonzero(~_frames(marks))
    if not len(inner):
        inner = np.arange(len(marks.mass))
    main = inner[marks.mass[inner].argmax()]
    top, left, bottom, right = marks.boxes[main]
    reach = _NEAR * max(bottom - top, right - left)
    chosen = [main]
    for other in inner:
        box = marks.boxes[other]
        gap = max(top - box[2], box[0] - bottom, left - box[3], box[1] - right, 0)
        if other != main and marks.mass[other] >= _SMALLEST * marks.mass[main] and gap <= reach:
            chosen.append(other)
    return np.array(chosen)


def _frames(marks: Marks) -> np.ndarray:
    """Which marks cover a good part of an edge of the picture, or span it from edge to edge."""
    height, width = marks.labels.shape
    top, left, bottom, right = marks.boxes.T
    found: np.ndarray = ((top == 0) & (bottom == height)) | ((left == 0) & (right == width))
    for edge in (marks.labels[0], marks.labels[-1], marks.labels[:, 0], marks.labels[:, -1]):
        counts = np.bincount(edge, minlength=len(marks.mass) + 1)[1:]
        found |= counts > _EDGE_SHARE * len(edge)
    return found
