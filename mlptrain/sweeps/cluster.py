"""The executor of a Dask cluster: one that is running somewhere, or one of local processes made for the sweep."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from mlptrain.errors import UsageError
from mlptrain.sweeps.executors import Broken, Done, Event, Lost, Task
from mlptrain.sweeps.worker import run_task
from mlptrain.system.machine import VARIABLES

CONNECT_SECONDS = 15


def check_installed() -> None:
    """Say how to install Dask where it is not.

    Raises
    ------
    UsageError
        It is not installed.
    """
    if find_spec("distributed") is None:
        raise UsageError("--executor dask needs Dask; install it with: pip install 'mlptrain[dask]'")


def train(task: Task) -> Done | Broken:
    """Train a stack on a worker of the cluster; after each epoch it ends where nobody waits for it any more.

    Dask does not end what a worker is at: a sweep that was interrupted would keep a running cluster busy.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def check(epochs: int) -> None:
        known = worker.state.tasks.get(key)
        if known is None or known.state == "cancelled":
            raise CancelledError

    return run_task(task, check)


class Cluster:
    """Trains stacks on the workers of a Dask cluster, through its ``concurrent.futures`` interface.

    The cluster at ``scheduler`` is left running in the end; without one a local cluster of ``workers`` processes
    with ``threads`` BLAS threads each is made, which talks over TCP and ends with the sweep.

    Raises
    ------
    UsageError
        Nothing answers at ``scheduler``.
    """

    def __init__(self, scheduler: str | None, workers: int | None, threads: int) -> None:
        import dask
        from distributed import Client, LocalCluster

        self._local: Any = None
        self._limit = workers
        if scheduler is None:
            variables = dict.fromkeys(VARIABLES, str(threads))
            with dask.config.set({"distributed.nanny.pre-spawn-environ": variables}):
                self._local = LocalCluster(
                    n_workers=workers or 1,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=None,
                    silence_logs=logging.ERROR,  # a worker that is ended in the middle of a stack is no news
                )
        try:
            self._client: Any = Client(self._local or scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"--scheduler {scheduler}: no Dask scheduler answers there ({str(error).splitlines()[0]})\n"
                "start one with `dask scheduler`, and give its address, such as tcp://127.0.0.1:8786"
            ) from None
        self._pool: Executor = self._client.get_executor(pure=False, retries=0)
        self._futures: dict[Future[Done | Broken], int] = {}

    @property
    def workers(self) -> int:
        """How many stacks can be trained at the same time."""
        return self._limit or max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))

    def submit(self, task: Task) -> None:
        """Train a stack on whichever worker the scheduler chooses."""
        self._futures[self._pool.submit(train, task)] = task.stack

    def events(self, seconds: float) -> Sequence[Event]:
        """The stacks that have ended, waiting for one at most ``seconds``."""
        done, _ = wait(self._futures, seconds, FIRST_COMPLETED)
        return [self._event(future, self._futures.pop(future)) for future in done]

    def _event(self, future: Future[Done | Broken], stack: int) -> Event:
        from distributed import KilledWorker

        try:
            return future.result()
        except (KilledWorker, CancelledError) as error:
            return Lost(stack, f"a worker of the cluster ended ({type(error).__name__})")
        except Exception as error:  # what the worker raised before it came to the task, such as an ImportError
            return Broken(stack, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Cancel what runs, let go of the cluster, and end a local one."""
        for future in self._futures:
            future.cancel()
        self._futures.clear()
        with suppress(Exception):  # a scheduler that is gone has nothing to be told
            self._pool.shutdown(wait=False)
        self._client.close()
        if self._local is not None:
            self._local.close()
