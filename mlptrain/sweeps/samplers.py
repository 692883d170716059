"""Which points a sweep tries where results have no say in it: all of a grid, or random ones without repeats."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

from mlptrain.sweeps.space import Space

Point = dict[str, Any]

MISSES = 200
"""Repeats in a row after which a finite space counts as nearly exhausted and its rest is listed."""

LISTED = 1_000_000
"""Points of the largest space that is listed."""


def fingerprint(point: Point) -> str:
    """A text that is equal for equal points."""
    return json.dumps(point, sort_keys=True)


def grid(space: Space) -> Iterator[Point]:
    """Every point of a finite space, in order, made one at a time."""
    return space.points()


def random(space: Space, seed: int, cap: int) -> Iterator[Point]:
    """At most ``cap`` distinct points drawn by their probabilities; fewer where the space holds no more.

    A finite space of which nearly all is drawn gives the rest in random order.
    """
    return islice(_distinct(space, Random(seed)), cap)


def _distinct(space: Space, rng: Random) -> Iterator[Point]:
    seen: set[str] = set()
    misses = 0
    while misses < MISSES:
        point = space.draw(rng)
        name = fingerprint(point)
        misses = misses + 1 if name in seen else 0
        if not misses:
            seen.add(name)
            yield point
    size = space.size
    if size is None or size > LISTED or len(seen) >= size:
        return
    rest = [index for index in range(size) if fingerprint(space.point(index)) not in seen]
    rng.shuffle(rest)
    yield from map(space.point, rest)
