"""The resources of the machine: cores and BLAS threads, and memory."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path, PurePosixPath

from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

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
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or the quota reads "max"
        return cores


def processor() -> str:
    """Return the name of the processor, or of its architecture if the system does not report a name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


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

    If MKL is loaded beside the OpenBLAS of NumPy, it multiplies the matrices, and the threads of both would wait for
    each other: OpenBLAS gets one. Without effect before NumPy is imported, and for Apple's Accelerate, which only reads
    its environment variable.
    """
    threadpool_limits(min(count, available_cores()), user_api="blas")
    libraries = ThreadpoolController()
    if libraries.select(internal_api="mkl"):
        libraries.select(internal_api="openblas").limit(limits=1)


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
_CGROUP, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_STATM = Path("/proc/self/statm")

LIBRARY_BYTES = 128 * 2**20
"""Address space of the libraries of a command. If it is less, OpenBLAS ends the process instead of raising an error."""

WORKSPACE_BYTES = 64 * 2**20
"""Address space for the buffers of a BLAS library and the stacks of threads, which are allocated when first used."""


def _memory_limits() -> Iterator[int]:
    """Yield every limit that the system reports, in bytes."""
    with suppress(OSError, ValueError, IndexError):
        _, _, rest = _MEMINFO.read_text(encoding="utf-8").partition("MemAvailable:")
        yield int(rest.split()[0]) * 1024
    for limit, used in _cgroup_files():
        with suppress(OSError, ValueError):  # ValueError: the limit reads "max"
            taken = int(used.read_text(encoding="utf-8")) - _idle_file_cache(limit.with_name("memory.stat"))
            yield max(0, int(limit.read_text(encoding="utf-8")) - taken)
    with suppress(OSError, ValueError, AttributeError):
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if (left := address_space_left()) is not None:
        yield max(0, left - WORKSPACE_BYTES)


def address_space_left() -> int | None:
    """Return the bytes of address space that ``ulimit -v`` leaves to this process, or None without a limit."""
    with suppress(OSError, ValueError, IndexError, ImportError):
        import resource  # not on Windows

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            return limit - int(_STATM.read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    return None


def _cgroup_files() -> Iterator[tuple[Path, Path]]:
    """Yield the files with the limit and the usage of the control groups of this process, and of those above them.

    In a container the path of its own group may not exist; the top folder is its group there.
    """
    groups = [("", "/"), ("memory", "/")]
    with suppress(OSError, ValueError):
        lines = _CGROUP.read_text(encoding="utf-8").splitlines()
        groups += [(names, path) for _, names, path in (line.split(":", 2) for line in lines)]
    for controllers, group in groups:
        if controllers == "":
            top, limit, used = _CGROUPS, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            top, limit, used = _CGROUPS / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        for folder in (path, *path.parents):
            yield top / folder / limit, top / folder / used


def _idle_file_cache(statistics: Path) -> int:
    """Return the bytes of a group's usage that the kernel frees first: its cache of files not read recently."""
    with suppress(OSError, ValueError):
        sizes = dict(line.split() for line in statistics.read_text(encoding="utf-8").splitlines())
        return int(sizes.get("total_inactive_file", sizes.get("inactive_file", 0)))
    return 0


def available_memory() -> int | None:
    """Return the bytes that the system, control groups and ``ulimit -v`` still allow, or None if none has a limit."""
    return min(_memory_limits(), default=None)


def format_bytes(count: int) -> str:
    """Return ``count`` bytes in a suitable unit, such as ``31.4 GB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
