"""The state of training as flat dicts, from which training resumes with the same results."""

from __future__ import annotations

from typing import Any

State = dict[str, Any]
"""Arrays (n,), and JSON's numbers, strings and None, by name; the names do not depend on the progress of training."""


def add_prefix(name: str, state: State) -> State:
    """Return the state with ``name.`` in front of every key."""
    return {f"{name}.{key}": value for key, value in state.items()}


def select_prefix(name: str, state: State) -> State:
    """Return the entries whose keys begin with ``name.``, without that prefix."""
    return {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(f"{name}.")}
