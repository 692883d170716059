"""Processes: the executor that trains stacks in worker processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from mlptrain.sweeps.executors import Advanced, Event, Lost, Task
from mlptrain.sweeps.worker import run_task
from mlptrain.system.machine import thread_variables
from mlptrain.system.signals import terminal_signals_blocked

EXIT_SECONDS = 2.0
"""Time for a worker process to exit before it is killed."""


class Processes:
    """Up to ``workers`` processes, started when they are needed; one that dies loses only the stack that it trains."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._processes: list[WorkerProcess] = []

    def submit(self, task: Task) -> None:
        """Start to train a stack in an idle worker process, or in a new one."""
        worker = self._idle(task.threads)
        worker.task = task
        with suppress(OSError):  # the process has just died, which events() reports
            worker.connection.send(task)

    def _idle(self, threads: int) -> WorkerProcess:
        idle = [worker for worker in self._processes if worker.task is None]
        for worker in idle:
            if worker.threads == threads and worker.process.is_alive():
                return worker
        if idle and len(self._processes) >= self.workers:  # with another number of threads, or dead
            self._remove(idle[0])
        worker = WorkerProcess(threads, serve)
        self._processes.append(worker)
        return worker

    def _remove(self, worker: WorkerProcess) -> None:
        self._processes.remove(worker)
        worker.end()

    def events(self, seconds: float) -> Sequence[Event]:
        """Return what has happened, after at most ``seconds``."""
        training: dict[object, WorkerProcess] = {worker.connection: worker for worker in self._processes if worker.task}
        ready = wait([worker.connection for worker in training.values()], seconds)
        return [self._receive(training[connection]) for connection in ready]

    def _receive(self, worker: WorkerProcess) -> Event:
        """Return the event in a worker's pipe; if its process has died, `Lost`."""
        task = worker.task
        assert task is not None
        try:
            event: Event = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(EXIT_SECONDS)
            reason = worker.reason
            self._remove(worker)
            return Lost(task.stack, reason)
        if not isinstance(event, Advanced):
            worker.task = None
        return event

    def close(self) -> None:
        """End all worker processes."""
        while self._processes:
            self._remove(self._processes[-1])


class WorkerProcess:
    """A worker process, the pipe to it, and the task that it trains.

    The process calls ``target`` with its end of the pipe and ``arguments``. It ends with this process, and never
    receives Ctrl-C.
    """

    def __init__(self, threads: int, target: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.threads = threads
        self.task: Task | None = None
        self.process: BaseProcess = context.Process(
            target=_begin, args=(target, theirs, *arguments), name="mlptrain-worker", daemon=True
        )
        with thread_variables(threads), terminal_signals_blocked():
            self.process.start()
        theirs.close()  # so that the pipe ends with the process

    @property
    def reason(self) -> str:
        """Description of how the process ended."""
        return _reason(self.process.exitcode)

    def end(self) -> None:
        """End the process, also while it trains."""
        self.connection.close()
        self.process.terminate()
        self.process.join(EXIT_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


def _reason(exitcode: int | None) -> str:
    if exitcode is None:
        return "a worker process closed its pipe"
    if exitcode < 0:
        with suppress(ValueError):
            return f"a worker process was ended by {signal.Signals(-exitcode).name}"
    return f"a worker process ended with exit code {exitcode}"


def _begin(target: Callable[..., None], *arguments: object) -> None:
    """Call the target of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked
    threading.Thread(target=_end_with_parent, daemon=True).start()
    target(*arguments)


def serve(connection: Connection) -> None:
    """Train the tasks that come through the pipe until it is closed."""
    with suppress(EOFError, OSError):  # the other end of the pipe is closed
        while True:
            task: Task = connection.recv()
            connection.send(run_task(task, connection.send))


def _end_with_parent() -> None:
    """End this process when its parent has ended for any reason."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
