"""What the contract of configs names but this version does not have yet; strike out what has come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlptrain.complaints import Problem
from mlptrain.values import flow

PENDING = ("checkpoint_seconds",)
"""Keys that have to stay at their defaults for now."""


def not_available(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Problem]:
    """The keys of a config's plain values that ask for what is not there yet."""
    for key in PENDING:
        if values[key] != defaults[key]:
            yield key, f"not available in this version yet; leave it at {flow(defaults[key])}"
