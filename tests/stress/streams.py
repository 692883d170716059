"""Each command in a process of its own: without working streams, and with few files or little memory.

    python -m tests.stress.streams

The first part runs the cases of ``tests/cli/test_streams.py`` in every state. The second starts ``train`` and ``sweep``
with limits of open files and of address space, and expects success or a message, but no traceback.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.cli.test_streams import CASES, PREPARATION, RESULTS, ROOT, STATES, check, make_inputs

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

REDIRECTIONS = dict(zip(STATES, ("<&- >out", ">&-", "2>&- >out", ">/dev/full", ""), strict=True))

LIMITS = [f"-n {count}" for count in range(8, 33, 2)] + [f"-v {size}" for size in range(50_000, 600_000, 50_000)]


def run(folder: Path, code: str, arguments: list[str], state: str) -> int:
    """Run a command by a Python program in a new folder, and return its exit code."""
    folder.mkdir()
    script = f'{"" if state == "no stderr" else "exec 2>err;"} exec "$0" "$@" {REDIRECTIONS[state]}'
    reader, writer = os.pipe()
    os.close(reader)
    command = ["bash", "-c", script, sys.executable, "-c", code, *arguments]
    try:
        return subprocess.run(command, cwd=folder, env=ENVIRONMENT, stdout=writer, check=False).returncode
    finally:
        os.close(writer)


def stream_faults(scratch: Path) -> Iterator[str]:
    """Yield each case and state in which a command does not end as documented."""
    make_inputs(scratch)
    for name, case in {**CASES, **RESULTS}.items():
        for state in STATES:
            folder = scratch / f"{name} {state}"
            code = run(folder, f"{PREPARATION}\nentry()", list(case.arguments), state)
            try:
                check(case, state, folder, code)
            except AssertionError as error:
                yield f"{name}, {state}: exit {code}: {error}"


def limit_faults(scratch: Path) -> Iterator[str]:
    """Yield each limit under which a command ends with a traceback or an undocumented exit code."""
    for arguments in ("train ../tiny.yaml --threads 2", "sweep ../tiny.yaml seed=1,2,3 --workers 2", "eval ../runs/a"):
        for limit in LIMITS:
            folder = scratch / f"{arguments.split()[0]} {limit}"
            folder.mkdir()
            script = f"ulimit {limit} && exec {sys.executable} -m mlptrain {arguments} -q >out 2>err"
            code = subprocess.run(["bash", "-c", script], cwd=folder, env=ENVIRONMENT, check=False).returncode
            said = (folder / "err").read_text()
            if code not in (0, 2, 3, 6) or "Traceback" in said or (code and not said):
                yield f"{arguments}, ulimit {limit}: exit {code}: {said}"


def main() -> int:
    """Print what is not as documented; return 1 if anything is."""
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        for faults in (stream_faults, limit_faults):
            for fault in faults(Path(scratch)):
                print(fault)
                count += 1
    print(f"{count} faults")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
