"""Optional libraries, which extras of the package install."""

from __future__ import annotations

from importlib.util import find_spec

from mlptrain.errors import UsageError


def require_extra(library: str, extra: str, purpose: str) -> None:
    """Check that a library can be imported; ``purpose`` begins the message.

    Raises
    ------
    UsageError
        The library is not installed; the message names the extra that installs it.
    """
    if find_spec(library) is None:
        raise UsageError(
            f"{purpose} needs the {extra} extra, which is not installed\nhint: pip install 'mlptrain[{extra}]'"
        )
