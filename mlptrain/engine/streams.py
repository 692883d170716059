"""Named random streams: independent random numbers for each use of one seed."""

from __future__ import annotations

import json

import numpy as np

STREAMS = {"split": 0, "init": 1, "batches": 2, "dropout": 3, "augment": 4}
"""The number of each use. Every result depends on them: add uses, never change a number."""


def stream(seed: int, name: str, *counters: int) -> np.random.Generator:
    """Return the generator of ``seed`` for one use, independent of the streams of the other names.

    Drawing more numbers for one use (initial weights) does not change those of another (order of batches).
    Each value of ``counters`` (epoch, chunk) has a stream of its own, which can start without drawing the earlier ones.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(STREAMS[name], *counters)))


def save_generator(generator: np.random.Generator) -> str:
    """Return the state of a generator as JSON."""
    return json.dumps(generator.bit_generator.state)


def restore_generator(generator: np.random.Generator, text: str) -> None:
    """Set a generator to a state from `save_generator`.

    Raises
    ------
    ValueError
        The text is not the state of such a generator.
    """
    try:
        generator.bit_generator.state = json.loads(text)
    except (TypeError, ValueError, KeyError) as error:
        raise ValueError(f"not the state of a random stream: {text[:60]!r}") from error
