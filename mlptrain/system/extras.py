"""Libraries that only some commands need."""

from __future__ import annotations

from importlib.util import find_spec

from mlptrain.errors import UsageError


def need(library: str, extra: str, purpose: str) -> None:
    """Make sure that a library can be imported, before it is; ``purpose`` says what for.

    Raises
    ------
    UsageError
        It is not installed; the message names the extra that brings it.
    """
    if find_spec(library) is None:
        raise UsageError(f"{purpose} needs the {extra} extra, which is not installed\npip install 'mlptrain[{extra}]'")
