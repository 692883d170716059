"""Cluster: the executor that trains stacks on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import mlptrain
from mlptrain.datasets.dataset import Dataset, load_dataset
from mlptrain.errors import DataError, MlptrainError, UsageError
from mlptrain.sweeps.executors import Advanced, Broken, Done, Event, Lost, Task
from mlptrain.sweeps.processes import WorkerProcess
from mlptrain.sweeps.worker import run_task
from mlptrain.system.machine import use_threads

CONNECT_SECONDS = 5
"""Time in which a scheduler must answer, at the start and after the connection to it was lost."""

MAX_STARTS = 5
"""Number of worker processes of a local cluster that may end one after another before they reach its scheduler."""

MAX_DATASETS = 2
"""Number of datasets that a worker keeps in memory."""

PROGRESS_SECONDS = 0.5
"""Time between two reports of the progress of a stack, each a message through the scheduler."""

PROGRESS_TOPIC = "mlptrain"
"""Name of the events of the cluster that report progress."""


@dataclass(frozen=True)
class DataMissing:
    """The answer of a worker that lacks the data of a stack."""

    worker: str


class Cluster:
    """A Dask cluster, used through its ``concurrent.futures`` interface.

    A worker needs nothing but a connection to the scheduler: it gets the data through it if it has no copy with the
    same fingerprint (see `find_data`).

    The cluster at ``scheduler`` (see `check_scheduler`) keeps running when the sweep ends. Without one a local cluster
    is started, which talks over TCP and ends with the sweep: ``workers`` processes with ``threads`` BLAS threads each.
    They are not started by Dask, whose processes need semaphores and so a writable ``/dev/shm``.

    Raises
    ------
    UsageError
        The scheduler has ended, or a worker has another version of mlptrain.
    """

    def __init__(self, scheduler: str | None, workers: int | None, threads: int) -> None:
        import dask
        from distributed import Client, LocalCluster
        from distributed.utils import silence_logging_cmgr

        self._workers, self._threads = workers, threads
        self._processes: list[WorkerProcess] = []
        self._failed_starts = 0
        self._checked: set[str] = set()
        self._futures: dict[Future[Any], Task] = {}
        self._datasets: dict[str, Dataset] = {}
        self._epochs: dict[int, int] = {}
        self._seen_epochs: dict[int, int] = {}
        with ExitStack() as stack:
            stack.enter_context(dask.config.set({"distributed.comm.timeouts.connect": CONNECT_SECONDS}))
            stack.enter_context(silence_logging_cmgr(logging.CRITICAL))  # what matters becomes an event or an error
            if scheduler is None:
                # The driver decides about another attempt, and reports it; the scheduler would make three of its own.
                stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
                local = LocalCluster(
                    n_workers=0,
                    processes=True,
                    dashboard_address=None,
                    silence_logs=False,
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # its HTTP server takes any free port
                )
                stack.callback(local.close)
                self._address = local.scheduler_address
                stack.callback(self._end_processes)
                self._processes = [self._start_process() for _ in range(workers or 1)]
            else:
                self._address = scheduler
            try:
                self._client: Any = Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
            except (OSError, asyncio.TimeoutError) as error:  # it has just ended
                if scheduler is not None:
                    raise _no_scheduler(scheduler, str(error)) from None
                problem = "--executor dask: the local cluster does not answer"
                raise DataError(f"{problem}\nhint: use --executor processes") from None
            stack.callback(self._client.close)
            self._sender = ThreadPoolExecutor(1)
            stack.callback(self._sender.shutdown, wait=False, cancel_futures=True)
            self._pool: Executor = self._client.get_executor(pure=False, retries=0)
            stack.callback(self._cancel)
            self._check_versions()
            self._stack = stack.pop_all()

    def _start_process(self) -> WorkerProcess:
        return WorkerProcess(self._threads, serve_scheduler, self._address)

    def _end_processes(self) -> None:
        while self._processes:
            self._processes.pop().end()

    @property
    def workers(self) -> int:
        """Number of stacks that can train at the same time; 0 while the scheduler does not answer."""
        if self._client.status != "running":
            return 0
        found = self._check_versions()
        return self._workers or max(1, found)

    def _check_versions(self) -> int:
        """Check the version of mlptrain of new workers, and return the number of all workers.

        Raises
        ------
        UsageError
            A worker has another version, or none.
        """
        found = set(self._client.scheduler_info(n_workers=-1).get("workers", ()))
        if new := found - self._checked:

            def version() -> str:  # a local function is sent as code, so that workers with any version can run it
                import mlptrain

                return mlptrain.__version__

            try:
                versions = self._client.run(version, workers=list(new), on_error="return")
            except OSError:  # the scheduler has just ended
                return len(found)
            for worker, known in sorted(versions.items()):
                if known != mlptrain.__version__ and not isinstance(known, OSError):  # one that has just ended
                    shown = "no mlptrain" if isinstance(known, Exception) else f"mlptrain {known}"
                    raise UsageError(
                        f"--scheduler {self._address}: the worker {worker} has {shown}, this is mlptrain "
                        f"{mlptrain.__version__}\nhint: install the same version on all machines of the cluster"
                    )
            self._checked = found
        return len(found)

    def submit(self, task: Task) -> None:
        """Start to train a stack on a worker that the scheduler chooses."""
        name = task.trials[0].config.dataset
        self._epochs[task.stack] = self._seen_epochs[task.stack] = 0
        try:
            if name not in self._datasets:
                self._datasets[name] = load_dataset(name, task.data_dir)
        except MlptrainError as error:
            failed: Future[Broken] = Future()
            failed.set_result(Broken(task.stack, str(error)))
            self._futures[failed] = task
        else:
            self._start(task)

    def _start(self, task: Task) -> None:
        # repeated for each stack, because a scheduler that was restarted has no subscriptions
        self._client.subscribe_topic(PROGRESS_TOPIC, self._note_progress)
        fingerprint = self._datasets[task.trials[0].config.dataset].fingerprint
        self._futures[self._pool.submit(train, task, fingerprint, self._client.id)] = task

    def _note_progress(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        if message["client"] == self._client.id:
            self._epochs[message["stack"]] = message["epochs"]

    def _send(self, dataset: Dataset, worker: str) -> None:
        """Send a dataset to a worker, unless that was done for another stack; it can take seconds."""
        (found,) = self._client.run(has_data, dataset.name, dataset.fingerprint, workers=[worker]).values()
        if not found:
            self._client.run(keep_data, dataset, workers=[worker])

    def events(self, seconds: float) -> Sequence[Event]:
        """Return the stacks that have advanced or ended, after at most ``seconds``.

        Raises
        ------
        DataError
            The scheduler has not answered for some time, or the processes of a local cluster do not start.
        """
        self._replace_dead_processes()
        done, _ = wait(self._futures, seconds, FIRST_COMPLETED)
        if self._client.status == "running":
            return [*self._advances(), *self._ends(done)]
        if self._client.status != "connecting":
            raise DataError(
                f"{self._address}: the connection to the Dask scheduler was lost\n"
                "hint: start the cluster again, then continue with --resume"
            )
        time.sleep(seconds)  # the futures are cancelled; their stacks are submitted again after a new connection
        return []

    def _replace_dead_processes(self) -> None:
        for index, process in enumerate(self._processes):
            if process.process.is_alive():
                continue
            self._failed_starts += 1
            with suppress(EOFError, OSError):
                process.connection.recv()  # sent after the start
                self._failed_starts = 0
            if self._failed_starts == MAX_STARTS:
                raise DataError(
                    f"--executor dask: {process.reason}, {MAX_STARTS} times in a row\nhint: use --executor processes"
                )
            process.end()
            self._processes[index] = self._start_process()

    def _advances(self) -> Iterator[Advanced]:
        """Yield the progress of each stack since the last call; negative if the scheduler has started it again."""
        for task in self._futures.values():
            epochs = self._epochs[task.stack]
            if advance := epochs - self._seen_epochs[task.stack]:
                self._seen_epochs[task.stack] = epochs
                yield Advanced(task.stack, advance)

    def _ends(self, done: Iterable[Future[Any]]) -> Iterator[Event]:
        """Yield how stacks have ended; send the data to workers that lack them, and then start their stacks again."""
        for future in done:
            task = self._futures.pop(future)
            result = self._result(future, task.stack)
            if isinstance(result, DataMissing):
                dataset = self._datasets[task.trials[0].config.dataset]
                self._futures[self._sender.submit(self._send, dataset, result.worker)] = task
            elif result is None:
                self._start(task)
            else:
                yield result

    def _result(self, future: Future[Any], stack: int) -> Event | DataMissing | None:
        """Return the result of `train` or `_send`, or the event of its failure."""
        from distributed import KilledWorker

        try:
            result: Done | Broken | DataMissing | None = future.result()
            return result
        except (KilledWorker, CancelledError, OSError) as error:
            return Lost(stack, f"a worker or the scheduler of the cluster died ({type(error).__name__})")
        except Exception as error:  # raised before the task began, such as an ImportError
            return Broken(stack, f"{type(error).__name__}: {error}")

    def _cancel(self) -> None:
        for future in self._futures:
            future.cancel()
        self._futures.clear()
        with suppress(Exception):  # the scheduler may be gone
            self._pool.shutdown(wait=False)

    def close(self) -> None:
        """Cancel all stacks, disconnect, and end a local cluster."""
        self._stack.close()


def check_scheduler(address: str | None) -> None:
    """Import Dask, and check that a scheduler answers at an address; `Client` would wait for other servers forever.

    Raises
    ------
    UsageError
        Nothing, or something else, answers.
    """
    from distributed import Security
    from distributed.core import rpc
    from distributed.utils import LoopRunner, sync

    if address is None:
        return

    async def kind() -> str:
        async with rpc(address, connection_args=Security().get_connection_args("client")) as server:
            return str((await server.identity())["type"])

    runner = LoopRunner()
    runner.start()
    try:
        found = sync(runner.loop, kind, callback_timeout=CONNECT_SECONDS)
    except (MemoryError, ValueError):  # its first bytes are not the length of a message
        found = "another kind of server answers"
    except Exception as error:
        found = str(error)
    finally:
        runner.stop()
    if found != "Scheduler":
        raise _no_scheduler(address, found)


def _no_scheduler(address: str, problem: str) -> UsageError:
    reason = problem.partition("\n")[0] or "no answer"
    return UsageError(
        f"--scheduler {address}: no Dask scheduler answers there ({reason})\n"
        "hint: start one with `dask scheduler`, and give its address, such as tcp://127.0.0.1:8786"
    )


def serve_scheduler(connection: Connection, address: str) -> None:
    """Run a worker of a local cluster, in a process of its own."""
    from distributed import Worker
    from distributed.utils import silence_logging_cmgr

    async def work() -> None:
        async with Worker(address, nthreads=1, memory_limit=0) as worker:
            connection.send(None)  # the start has succeeded
            await worker.finished()

    with silence_logging_cmgr(logging.CRITICAL):
        asyncio.run(work())


_datasets: dict[tuple[str, str], Dataset] = {}
"""Datasets in the memory of this worker, by name and fingerprint, from the oldest."""


def has_data(name: str, fingerprint: str) -> bool:
    """Return True if this worker has a dataset in memory."""
    return (name, fingerprint) in _datasets


def keep_data(dataset: Dataset) -> None:
    """Keep a dataset in the memory of this worker, in place of the oldest one if there are too many."""
    _datasets[dataset.name, dataset.fingerprint] = dataset
    for key in list(_datasets)[:-MAX_DATASETS]:
        _datasets.pop(key, None)


def find_data(name: str, fingerprint: str, data_dir: str) -> Dataset | None:
    """Return the dataset with a fingerprint, in a worker; None if it has to be sent.

    It is in memory, in ``data_dir`` (of the client, if its file system is shared), or in the worker's own data folder.
    """
    for folder in (data_dir, None):
        if has_data(name, fingerprint):
            break
        with suppress(DataError, OSError):
            dataset = load_dataset(name, folder)
            if dataset.fingerprint == fingerprint:
                keep_data(dataset)
    return _datasets.get((name, fingerprint))


def train(task: Task, fingerprint: str, client: str) -> Done | Broken | DataMissing:
    """Train a stack on a worker of the cluster, and stop after the current epoch if it was cancelled.

    Dask does not stop a running task, so that an interrupted sweep would keep the cluster busy.
    """
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    dataset = find_data(task.trials[0].config.dataset, fingerprint, task.data_dir)
    if dataset is None:
        return DataMissing(worker.address)
    epochs, reported = 0, time.monotonic()

    def check(event: Advanced) -> None:
        nonlocal epochs, reported
        known = worker.state.tasks.get(key)
        if known is None or known.state == "cancelled":
            raise CancelledError
        epochs += event.epochs
        if (now := time.monotonic()) >= reported + PROGRESS_SECONDS:
            reported = now
            worker.log_event(PROGRESS_TOPIC, {"client": client, "stack": task.stack, "epochs": epochs})

    use_threads(task.threads)
    return run_task(task, check, dataset)
