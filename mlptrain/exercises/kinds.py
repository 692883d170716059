"""The kinds of exercises, and the exercise that a seed gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from mlptrain.errors import UsageError
from mlptrain.exercises.counting import counting
from mlptrain.exercises.exercise import Exercise, Item, Program
from mlptrain.exercises.graphs import chain_rule
from mlptrain.exercises.networks import neuron, two_layer
from mlptrain.exercises.programs import backward, loss, update_rule

_SEED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")


class Kind(NamedTuple):
    """A kind of exercises: its summary, and a function that makes its questions or its program."""

    summary: str
    ask: Callable[[Random], list[Item]] | None = None
    write: Callable[[Random, str], tuple[Program, list[Item]]] | None = None


KINDS = {
    "chain-rule": Kind("values and gradients of graphs", ask=chain_rule),
    "neuron": Kind("a sigmoid neuron by hand", ask=neuron),
    "two-layer": Kind("a two-layer network by hand", ask=two_layer),
    "counting": Kind("losses, parameters, steps per epoch", ask=counting),
    "backward": Kind("code: the backward pass of a layer", write=backward),
    "update-rule": Kind("code: a step of an optimizer", write=update_rule),
    "loss": Kind("code: a loss and its gradient", write=loss),
}


def make_exercise(kind: str, seed: str) -> Exercise:
    """Return the exercise of a kind that a seed gives, the same on every machine.

    Raises
    ------
    UsageError
        The seed is not simple text.
    """
    if not _SEED.fullmatch(seed):
        raise UsageError(
            f"--seed: expected up to 40 letters, digits and . _ - (got {seed!r:.60})\n"
            "hint: use a number, or the student's number or account name"
        )
    random = Random(f"{kind} {seed}")  # hashes text with SHA-512
    ask, write = KINDS[kind].ask, KINDS[kind].write
    if write is not None:
        program, items = write(random, seed)
        return Exercise(kind, seed, tuple(items), program)
    assert ask is not None
    return Exercise(kind, seed, tuple(ask(random)))
