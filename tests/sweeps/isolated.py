"""Dask workers that share nothing but TCP with the sweep: in their namespaces its folders are empty."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNSHARED = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]

COVERED = 'mount -t tmpfs none "$1" && cd / && shift && '

WORKER = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]

SCHEDULER = """
import asyncio, distributed, sys

async def serve():
    async with distributed.Scheduler(host="127.0.0.1", port=int(sys.argv[1]), dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()

asyncio.run(serve())
"""


def can_isolate() -> bool:
    """Return True if this machine allows a mount in a namespace of the user's own."""
    if shutil.which("unshare") is None:
        return False
    command = [*UNSHARED, COVERED + "true", "sh", "/dev/shm"]
    return not subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode


def start_scheduler(port: int = 0) -> tuple[subprocess.Popen[str], str]:
    """Start a scheduler in a process of its own; return the process and the scheduler's address."""
    command = [sys.executable, "-c", SCHEDULER, str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@contextmanager
def isolated_worker(address: str, folder: Path) -> Iterator[int]:
    """Run a worker for which ``folder``, with its home and its folders of data and runs, is empty.

    It is started again when it ends, as by a job manager.
    """
    home = {"HOME": str(folder), "MLPTRAIN_DATA_DIR": str(folder / "data"), "TMPDIR": str(folder)}
    again = 'while :; do "$@" >/dev/null 2>&1; done'
    process = subprocess.Popen(
        [*UNSHARED, COVERED + again, "sh", str(folder), *WORKER, address],
        env={**os.environ, **home, "XDG_DATA_HOME": str(folder)},
        start_new_session=True,
    )
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
