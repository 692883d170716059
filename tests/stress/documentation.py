"""Run every page of the documentation in every shell: ``python -m tests.stress.documentation`` (about five minutes)."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.test_docs import RUNNABLE, SHELLS, run_page


def main() -> int:
    """Run all pages; the first line that fails ends the program with its output."""
    for shell in SHELLS:
        if shutil.which(shell) is None:
            print(f"{shell} is not installed")
            continue
        for name in RUNNABLE:
            with tempfile.TemporaryDirectory() as folder:
                run_page(name, shell, Path(folder))
            print(f"{shell}: {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
