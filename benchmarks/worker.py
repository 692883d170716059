"""Worker processes, one per contestant, so that each has its own threads and is not disturbed by idle ones.

A worker prepares its contestant. It then trains one epoch per line on standard input and answers with the seconds; the
line ``settled`` requests untimed epochs first. Between requests it sleeps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from benchmarks.contestants import CONTESTANTS, DEFAULT, JAX, KERAS, MKL, MODULES
from benchmarks.report import version
from benchmarks.work import Case, load

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

SETTLE = 0.2
"""Seconds of untimed epochs before a timed one: they fill the caches, and the threads of the previous contestant fall
asleep meanwhile (those of OpenBLAS spin for 30 ms)."""


class Entry(NamedTuple):
    """A contestant and its number of threads."""

    name: str
    threads: int


def installed(name: str) -> bool:
    """Return whether the library of a contestant is installed."""
    if name == MKL:
        return version("mkl") is not None
    return name not in MODULES or find_spec(MODULES[name]) is not None


def keras_backend() -> str:
    """Return the name of the installed Keras backend."""
    return next((name for name in ("tensorflow", "jax", "torch") if find_spec(name)), "none")


def environment(entry: Entry) -> dict[str, str]:
    """Return environment variables that limit the libraries to the threads of an entry."""
    values = dict.fromkeys(THREADS, str(entry.threads))
    values |= {"TF_NUM_INTRAOP_THREADS": str(entry.threads), "TF_NUM_INTEROP_THREADS": "1"}
    values |= {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if entry.name == DEFAULT:
        values |= {"OPENBLAS_NUM_THREADS": "1"}  # as the command line starts NumPy
    if entry.name == KERAS:
        values["KERAS_BACKEND"] = keras_backend()
    if entry.name == JAX and entry.threads == 1:
        values["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**os.environ, **values}


class Worker:
    """A process with one contestant; ``first`` is the time of its first epoch in seconds, including compilation."""

    def __init__(self, entry: Entry, case: Case, data_dir: Path | None) -> None:
        self.entry, self.case = entry, case
        command = [sys.executable, "-m", "benchmarks.worker", entry.name, json.dumps(asdict(case)), str(data_dir or "")]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(entry),
        )
        self.first: float | None = None

    def epoch(self, *, settled: bool = False) -> float:
        """Train an epoch and return its seconds; with ``settled`` after at least `SETTLE` seconds of untimed ones.

        Raises
        ------
        RuntimeError
            The worker failed; the message is the last line of its standard error.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write("settled\n" if settled else "epoch\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            lines = (self.process.stderr.read() if self.process.stderr else "").strip().splitlines()
            raise RuntimeError(f"{self.entry.name}: {lines[-1] if lines else 'ended'}")
        if self.first is None:
            self.first = float(answer)
        return float(answer)

    def close(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.communicate()


class Field:
    """The workers of one case: each is warmed up, then they take turns."""

    def __init__(self, case: Case, entries: Sequence[Entry], data_dir: Path | None) -> None:
        self.workers = {entry: Worker(entry, case, data_dir) for entry in entries}
        self.failures: list[str] = []

    def __enter__(self) -> Field:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers.values():
            worker.close()

    def measure(self, repeats: int) -> dict[Entry, list[float]]:
        """Return the seconds per epoch, measured alternately after one warm-up epoch each; failures are recorded."""
        for entry, worker in list(self.workers.items()):
            try:
                worker.epoch()
            except RuntimeError as error:
                self.failures.append(str(error))
                self.workers.pop(entry).close()
        seconds: dict[Entry, list[float]] = {entry: [] for entry in self.workers}
        for _ in range(repeats):
            for entry, worker in self.workers.items():
                seconds[entry].append(worker.epoch(settled=True))
        return seconds


def main(name: str, case_text: str, data_dir: str) -> None:
    """Run the worker process."""
    values = json.loads(case_text)
    case = Case(
        **{
            **values,
            "layers": tuple(values["layers"]),
            "options": tuple((key, value) for key, value in values["options"]),
        }
    )
    epoch = CONTESTANTS[name](case, load(case.images, Path(data_dir) if data_dir else None))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keep the output of libraries out of the answers
    for line in sys.stdin:
        settled = time.perf_counter() + SETTLE
        while line == "settled\n" and time.perf_counter() < settled:
            epoch()
        began = time.perf_counter()
        epoch()
        print(time.perf_counter() - began, file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
