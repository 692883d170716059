"""BLAS threads: how many a training run should use, chosen before NumPy is imported."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

# What the usual BLAS libraries under NumPy read once, when they are loaded.
VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

# Multiply-adds of a step's largest product that are worth one more thread. Threads that share small products wait
# for each other at every one of them, and where another process has a core, each wait lasts as long as that process's
# turn. On 2 cores, idle, 784-128-10 at batch 64 (6.4 million) gains a little from a second thread, 0.15 s an epoch
# instead of 0.22; beside two other busy processes it takes 25 s instead of 0.24. Whoever runs many at a time, and so
# whoever shares a machine, is better off with one. 784-512-512-10 at batch 128 (51 million) takes 0.82 s instead of
# 1.5, and 4 s beside the same processes.
WORK_PER_THREAD = 20_000_000


def available_cores() -> int:
    """Cores that this process may use: its affinity, bounded by the container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or the quota reads "max"
        return cores


def threads_for(layers: Sequence[int], batch_size: int, cores: int | None = None) -> int:
    """Threads for the largest matrix product of a step: one for small products, up to all cores for large.

    ``layers`` are the sizes from input to output, ``batch_size`` the examples a step.
    """
    work = batch_size * max(a * b for a, b in pairwise(layers))
    return max(1, min(available_cores() if cores is None else cores, work // WORK_PER_THREAD))


def configured_threads() -> int | None:
    """The thread count that the environment states, or None."""
    for variable in VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return None


def use_threads(count: int) -> None:
    """Have BLAS use ``count`` threads; only possible while NumPy has not been imported.

    Where it has been (a notebook, a test), the count in force stays.
    """
    if "numpy" not in sys.modules:
        for variable in VARIABLES:
            os.environ[variable] = str(count)
