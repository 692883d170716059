"""Contestants in processes of their own, so that each has its threads, and none the idle threads of another.

A worker makes its contestant ready; then it trains an epoch for every line that it gets, and answers with the seconds.
Where the line says ``settled`` others that are not counted go before. While it is not asked it sleeps.
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

from benchmarks.contestants import CONTESTANTS, JAX, KERAS, MODULES
from benchmarks.work import Case, load

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

SETTLE = 0.2
"""Seconds of whole epochs, not counted, before one that is. By then the caches hold what the contestant needs, and the
threads of whoever trained before are asleep (those of OpenBLAS go on asking for work for 30 ms)."""


class Entry(NamedTuple):
    """A contestant on so many threads."""

    name: str
    threads: int


def installed(name: str) -> bool:
    """Whether a contestant's library is there."""
    return name not in MODULES or find_spec(MODULES[name]) is not None


def keras_backend() -> str:
    """The backend that ``fit`` runs on."""
    return next((name for name in ("tensorflow", "jax", "torch") if find_spec(name)), "none")


def environment(entry: Entry) -> dict[str, str]:
    """The variables by which the libraries are held to the threads of an entry."""
    values = dict.fromkeys(THREADS, str(entry.threads))
    values |= {"TF_NUM_INTRAOP_THREADS": str(entry.threads), "TF_NUM_INTEROP_THREADS": "1"}
    values |= {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    if entry.name == KERAS:
        values["KERAS_BACKEND"] = keras_backend()
    if entry.name == JAX and entry.threads == 1:
        values["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return {**os.environ, **values}


class Worker:
    """A process with one contestant; ``first`` are the seconds of its first epoch, compiling included."""

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
        """Train an epoch and return its seconds; with ``settled`` after `SETTLE` seconds and more of others.

        Raises
        ------
        RuntimeError
            The worker has failed; with the end of what it said.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write("settled\n" if settled else "epoch\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        answer = self.process.stdout.readline()
        if not answer:
            said = (self.process.stderr.read() if self.process.stderr else "").strip().splitlines()
            raise RuntimeError(f"{self.entry.name}: {said[-1] if said else 'ended'}")
        if self.first is None:
            self.first = float(answer)
        return float(answer)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


class Field:
    """Workers on one case: all are warmed up, then train in turn."""

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
        """Seconds an epoch, A B A B …, after one epoch each to warm up; who fails is left out and noted."""
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
    """Be a worker."""
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
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries that print do not disturb the answers
    for line in sys.stdin:
        settled = time.perf_counter() + SETTLE
        while line == "settled\n" and time.perf_counter() < settled:
            epoch()
        began = time.perf_counter()
        epoch()
        print(time.perf_counter() - began, file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
