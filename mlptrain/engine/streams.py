"""Named random streams: one seed, independent numbers for each use of it."""

from __future__ import annotations

import json

import numpy as np

# The numbers are part of every result's reproducibility: add names, never renumber them.
STREAMS = {"split": 0, "init": 1, "batches": 2, "dropout": 3, "augment": 4}


def stream(seed: int, name: str, *counters: int) -> np.random.Generator:
    """The generator of ``seed`` for one use, independent of the streams of the other names.

    Two uses of one seed (initial weights and batch order, say) share no numbers, and drawing more for one
    does not move the other. ``counters`` (an epoch, a chunk) give a stream to each part of a use, which can
    then be drawn without those before it.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS[name], *counters)))


def position(generator: np.random.Generator) -> str:
    """Where a generator stands, as text."""
    return json.dumps(generator.bit_generator.state)


def move_to(generator: np.random.Generator, text: str) -> None:
    """Put a generator where `position` found it.

    Raises
    ------
    ValueError
        The text is not a position of such a generator.
    """
    try:
        generator.bit_generator.state = json.loads(text)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"not the position of a random stream: {text[:60]!r}") from error
