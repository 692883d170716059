"""The ``mlptrain`` program: the entry of its console script, which imports Typer only if no shell waits for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; print a traceback only for a bug."""
    from mlptrain.cli.program import run

    return run(arguments)


def entry() -> None:
    """Run the console script, or answer a shell that completes a command line."""
    from mlptrain.cli.completion import LINE, answer

    if LINE in os.environ:
        sys.exit(answer(os.environ[LINE]))
    from mlptrain.system.streams import guard_streams

    guard_streams()
    sys.exit(main())
