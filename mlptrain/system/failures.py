"""Failures of the system, such as a limit of memory or of open files, described for people."""

from __future__ import annotations

import re

from mlptrain.system.files import reason

_LIMITS = (
    (
        r"MemoryError|[Cc]annot allocate memory|failed to map segment",
        "not enough memory",
        "make the network or the batch smaller, or raise the limit (see `ulimit -v`)",
    ),
    (r"[Tt]oo many open files", "too many open files", "raise the limit, such as with `ulimit -n 1024`"),
    (
        r"can't start new thread|[Rr]esource temporarily unavailable",
        "no more threads or processes can be started",
        "raise the limits (see `ulimit -u` and `ulimit -v`)",
    ),
    (r"[Ff]ile name too long", "a name is too long for the file system", "choose a shorter name"),
)
"""Pattern of the error, message and hint. Libraries report limits with errors of several types, so the text decides."""


def failure_message(error: Exception) -> str | None:
    """Return the message for an error that a limit or another failure of the system caused; None for other errors."""
    text = f"{type(error).__name__}: {error}"
    for pattern, message, hint in _LIMITS:
        if re.search(pattern, text):
            return f"{message}\nhint: {hint}"
    if isinstance(error, OSError):
        return f"{error.filename}: {reason(error)}" if error.filename else reason(error)
    return None
