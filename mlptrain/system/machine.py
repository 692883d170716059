"""The resources of the machine: cores and BLAS threads, and memory."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Environment variables from which BLAS libraries read their number of threads, once, when they are loaded."""

# Threads that share a small product wait for each other at every product, and beside other busy processes each wait
# lasts a time slice of the scheduler. On 2 cores, an epoch of 784-128-10 at batch 64 (6.4 million multiply-adds) takes
# 0.22 s with one thread and 0.15 s with two; beside two busy processes 0.24 and 25 s. For 784-512-512-10 at batch 128
# (51 million) a second thread changes 1.5 to 0.82 s, or 4 s beside busy processes.
WORK_PER_THREAD = 20_000_000
"""Multiply-adds of the largest product of a step per BLAS thread."""


def available_cores() -> int:
    """Return the number of cores that this process may use, given its affinity and the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or the quota reads "max"
        return cores


def threads_for(layers: Sequence[int], batch_size: int, cores: int | None = None) -> int:
    """Return the number of BLAS threads for a network: one for small products, up to ``cores`` for large ones.

    Parameters
    ----------
    layers
        Sizes of the layers from input to output.
    batch_size
        Examples per step.
    cores
        Upper limit; default: the available cores.
    """
    work = batch_size * max(a * b for a, b in pairwise(layers))
    return max(1, min(available_cores() if cores is None else cores, work // WORK_PER_THREAD))


def configured_threads() -> int | None:
    """Return the number of threads that the environment sets, or None."""
    for variable in VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return None


def use_threads(count: int) -> None:
    """Set the threads of the BLAS libraries loaded so far, to at most the available cores.

    Without effect before NumPy is imported, and for Apple's Accelerate, which only reads its environment variable.
    """
    threadpool_limits(min(count, available_cores()), user_api="blas")


def threads_in_use() -> int | None:
    """Return the number of BLAS threads in force, or None if it is unknown."""
    found: list[int] = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    return max(found, default=configured_threads())


@contextmanager
def thread_variables(count: int, names: Sequence[str] = VARIABLES) -> Iterator[None]:
    """Set environment variables to ``count`` within the block, for libraries loaded or processes started there."""
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_MEMINFO = Path("/proc/meminfo")
_CGROUP_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def _memory_limits() -> Iterator[int]:
    """Yield every limit that the system reports, in bytes."""
    with suppress(OSError, ValueError, IndexError):
        _, _, rest = _MEMINFO.read_text().partition("MemAvailable:")
        yield int(rest.split()[0]) * 1024
    for limit, used in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # ValueError: the limit reads "max"
            taken = int(used.read_text()) - _idle_file_cache(limit.with_name("memory.stat"))
            yield max(0, int(limit.read_text()) - taken)
    with suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _idle_file_cache(statistics: Path) -> int:
    """Return the bytes of a container's usage that the kernel frees first: its cache of files not read recently."""
    with suppress(OSError, ValueError):
        lines = (line.partition(" ") for line in statistics.read_text().splitlines())
        return sum(int(size) for key, _, size in lines if key == "inactive_file")
    return 0


def available_memory() -> int | None:
    """Return the bytes that system and container still allow, or None if neither reports a limit."""
    return min(_memory_limits(), default=None)


def format_bytes(count: int) -> str:
    """Return ``count`` bytes in a suitable unit, such as ``31.4 GB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
