"""Cluster: the executor that trains stacks on the workers of a Dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import suppress
from typing import Any

from mlptrain.errors import UsageError
from mlptrain.sweeps.executors import Advanced, Broken, Done, Event, Lost, Task
from mlptrain.sweeps.worker import run_task
from mlptrain.system.machine import VARIABLES, use_threads

CONNECT_SECONDS = 15
"""Time in which a scheduler must answer."""


class Cluster:
    """A Dask cluster, used through its ``concurrent.futures`` interface.

    The cluster at ``scheduler`` keeps running when the sweep ends. Without one a local cluster is started, which talks
    over TCP and ends with the sweep: ``workers`` processes with ``threads`` BLAS threads each.

    Raises
    ------
    UsageError
        No scheduler answers at ``scheduler``.
    """

    def __init__(self, scheduler: str | None, workers: int | None, threads: int) -> None:
        import dask
        from distributed import Client, LocalCluster

        self._local: Any = None
        self._workers = workers
        if scheduler is None:
            variables = dict.fromkeys(VARIABLES, str(threads))
            with dask.config.set({"distributed.nanny.pre-spawn-environ": variables}):
                self._local = LocalCluster(
                    n_workers=workers or 1,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,  # otherwise every worker that is ended while it trains logs a warning
                )
        try:
            self._client: Any = Client(self._local or scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"--scheduler {scheduler}: no Dask scheduler answers there ({str(error).splitlines()[0]})\n"
                "hint: start one with `dask scheduler`, and give its address, such as tcp://127.0.0.1:8786"
            ) from None
        self._pool: Executor = self._client.get_executor(pure=False, retries=0)
        self._futures: dict[Future[Done | Broken], int] = {}

    @property
    def workers(self) -> int:
        """Number of stacks that can train at the same time."""
        return self._workers or max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def submit(self, task: Task) -> None:
        """Start to train a stack on a worker that the scheduler chooses."""
        self._futures[self._pool.submit(train, task)] = task.stack

    def events(self, seconds: float) -> Sequence[Event]:
        """Return the stacks that have ended, after at most ``seconds``."""
        done, _ = wait(self._futures, seconds, FIRST_COMPLETED)
        return [self._event(future, self._futures.pop(future)) for future in done]

    def _event(self, future: Future[Done | Broken], stack: int) -> Event:
        from distributed import KilledWorker

        try:
            return future.result()
        except (KilledWorker, CancelledError) as error:
            return Lost(stack, f"a worker of the cluster died ({type(error).__name__})")
        except Exception as error:  # raised before the task began, such as an ImportError
            return Broken(stack, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Cancel all stacks, disconnect, and end a local cluster."""
        for future in self._futures:
            future.cancel()
        self._futures.clear()
        with suppress(Exception):  # the scheduler may be gone
            self._pool.shutdown(wait=False)
        self._client.close()
        if self._local is not None:
            self._local.close()


def train(task: Task) -> Done | Broken:
    """Train a stack on a worker of the cluster, and stop after the current epoch if it was cancelled.

    Dask does not stop a running task, so that an interrupted sweep would keep the cluster busy.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def check(event: Advanced) -> None:
        known = worker.state.tasks.get(key)
        if known is None or known.state == "cancelled":
            raise CancelledError

    use_threads(task.threads)
    return run_task(task, check)
