"""The executor of this machine: worker processes, each of which trains one stack after another."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from mlptrain.sweeps.executors import Advanced, Event, Lost, Task
from mlptrain.sweeps.worker import run_task
from mlptrain.system.machine import thread_variables

GRACE = 2.0
"""Seconds that a worker has to end by itself before it is killed."""


class _Worker:
    """A process and the pipe to it; ``task`` is what it trains."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.threads = threads
        self.task: Task | None = None
        self.process: BaseProcess = context.Process(target=serve, args=(theirs,), name="mlptrain-worker", daemon=True)
        with thread_variables(threads):
            self.process.start()
        theirs.close()  # so that the pipe ends when the worker does

    def end(self) -> None:
        """End the process, in the middle of a stack as well."""
        self.connection.close()
        self.process.terminate()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


class Processes:
    """Up to ``workers`` processes, started when they are first needed; one that ends loses the stack it trained."""

    def __init__(self, workers: int) -> None:
        self._limit = workers
        self._workers: list[_Worker] = []

    @property
    def workers(self) -> int:
        """How many stacks can be trained at the same time."""
        return self._limit

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that there are."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def submit(self, task: Task) -> None:
        """Train a stack in a worker that is free, or in a new one."""
        worker = self._free(task.threads)
        worker.task = task
        with suppress(OSError):  # a worker that has just died: events() says so
            worker.connection.send(task)

    def _free(self, threads: int) -> _Worker:
        free = [worker for worker in self._workers if worker.task is None]
        for worker in free:
            if worker.threads == threads and worker.process.is_alive():
                return worker
        if free and len(self._workers) >= self._limit:  # of another number of threads, or dead
            self._remove(free[0])
        worker = _Worker(threads)
        self._workers.append(worker)
        return worker

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end()

    def events(self, seconds: float) -> Sequence[Event]:
        """What happened, waiting for it at most ``seconds``."""
        owners = {worker.connection: worker for worker in self._workers if worker.task is not None}
        events = []
        for connection in wait(list(owners), seconds):
            assert isinstance(connection, Connection)
            event = self._receive(owners[connection])
            if event is not None:
                events.append(event)
        return events

    def _receive(self, worker: _Worker) -> Event | None:
        """The message that waits in a worker's pipe; its end, where the worker has ended."""
        task = worker.task
        assert task is not None
        try:
            event: Event = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.join(GRACE)
            reason = _reason(worker.process.exitcode)
            self._remove(worker)
            return Lost(task.stack, reason)
        if not isinstance(event, Advanced):
            worker.task = None
        return event

    def close(self) -> None:
        """End all workers."""
        while self._workers:
            self._remove(self._workers[-1])


def _reason(exitcode: int | None) -> str:
    if exitcode is None:
        return "a worker closed its pipe"
    if exitcode < 0:
        with suppress(ValueError):
            return f"a worker was ended by {signal.Signals(-exitcode).name}"
    return f"a worker ended with exit code {exitcode}"


def serve(connection: Connection) -> None:
    """The worker: train the tasks that come through the pipe until it ends, or the parent process does."""
    # Ctrl-C reaches the whole foreground group; what becomes of the sweep is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        stack = task.stack

        def told(epochs: int, stack: int = stack) -> None:
            connection.send(Advanced(stack, epochs))

        try:
            result = run_task(task, told)
            connection.send(result)
        except OSError:  # nobody is there to listen any more
            return


def _end_with_parent() -> None:
    """End this process when its parent has ended, however it did: nobody waits for what it trains."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
