"""Both executors: processes of this machine, and a Dask cluster of two workers over TCP."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlptrain.sweeps.executors import Advanced, Broken, Done, Lost
from mlptrain.sweeps.processes import Processes
from mlptrain.sweeps.worker import run_task
from mlptrain.system.machine import available_cores
from tests.sweeps.made import task

TIMEOUT_SECONDS = 300
"""Time after which an expected event counts as missing, also on a busy machine."""

LONG = {"subset": 3000, "epochs": 100_000, "batch_size": 10}


@pytest.fixture(scope="module")
def dask_scheduler() -> Iterator[str]:
    """Yield the address of a cluster of two workers that talk over TCP."""
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
        yield cluster.scheduler_address
        cluster.close()


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    executor = Processes(2)
    yield executor
    executor.close()


@pytest.fixture(params=["processes", "dask"])
def executor(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "processes":
        yield request.getfixturevalue("processes")
        return
    address = request.getfixturevalue("dask_scheduler")
    assert address.startswith("tcp://")
    from mlptrain.sweeps.cluster import Cluster

    made = Cluster(address, None, 1)
    yield made
    made.close()
    made.close()


def pids(executor: Any) -> list[int]:
    if isinstance(executor, Processes):
        return [worker.process.pid for worker in executor._processes]
    return list(executor._client.run(os.getpid).values())


def until(executor: Any, count: int, seconds: float = TIMEOUT_SECONDS) -> list:
    """Return ``count`` events, without `Advanced`."""
    found: list = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        found += [event for event in executor.events(0.2) if not isinstance(event, Advanced)]
    return found


def free(address: str) -> None:
    """Wait until both workers of the cluster are idle."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=TIMEOUT_SECONDS)
        end = time.monotonic() + TIMEOUT_SECONDS
        while any(client.run(lambda dask_worker: dask_worker.active_keys).values()):
            assert time.monotonic() < end, "a cancelled stack still trains"
            time.sleep(0.05)


def test_results_are_those_of_this_process(executor: Any) -> None:
    tasks = [task(1, seeds=2), task(2, seeds=2, hidden=(3, 3))]
    for one in tasks:
        executor.submit(one)
    done = {event.stack: event for event in until(executor, 2)}
    for one in tasks:
        here, there = run_task(one), done[one.stack]
        assert isinstance(here, Done) and isinstance(there, Done)
        for a, b in zip(here.results, there.results, strict=True):
            assert b.status == "finished" and b.metrics["threads"] == 1
            assert b.metrics["val_loss"] == pytest.approx(a.metrics["val_loss"], rel=1e-4)
            assert a.model is not None and b.model is not None
            np.testing.assert_allclose(a.model.weights[0], b.model.weights[0], rtol=1e-3, atol=1e-4)


def test_impossible_tasks_come_back_with_their_message(executor: Any) -> None:
    executor.submit(task(3, dataset="mnist"))
    (event,) = until(executor, 1)
    assert isinstance(event, Broken) and event.stack == 3 and "mnist" in event.message


def test_idle_executors_have_no_events(executor: Any) -> None:
    assert list(executor.events(0.05)) == []
    assert executor.workers == 2


def test_killing_a_worker_loses_at_most_its_stack(executor: Any, request: pytest.FixtureRequest) -> None:
    """Processes report the loss; a cluster trains the stack again by itself."""
    executor.submit(task(4, **LONG))
    executor.submit(task(5, **LONG))
    before = pids(executor)
    os.kill(before[0], signal.SIGKILL)
    if isinstance(executor, Processes):
        (event,) = until(executor, 1)
        assert isinstance(event, Lost) and "SIGKILL" in event.reason
        assert len(pids(executor)) == 1
        executor.submit(task(event.stack))
        (again,) = until(executor, 1)
        assert isinstance(again, Done) and again.stack == event.stack
        executor.close()  # ends the other stack, which takes hours
    else:
        assert until(executor, 1, 1.0) == [], "the scheduler gives the stack to the other worker"
        executor.close()
        free(request.getfixturevalue("dask_scheduler"))


def test_processes_report_progress(processes: Processes) -> None:
    processes.submit(task(6, seeds=2))
    found: list[Any] = []
    end = time.monotonic() + TIMEOUT_SECONDS
    while not any(not isinstance(event, Advanced) for event in found) and time.monotonic() < end:
        found += processes.events(0.2)
    assert sum(event.epochs for event in found if isinstance(event, Advanced)) == 2, (
        "the second epoch of both is part of Done"
    )


def test_closing_ends_workers_while_they_train() -> None:
    executor = Processes(1)
    executor.submit(task(1, **LONG))
    time.sleep(0.3)
    (pid,) = pids(executor)
    executor.close()
    executor.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert pids(executor) == []


def test_another_number_of_threads_needs_another_process() -> None:
    executor = Processes(1)
    try:
        for threads in (1, 2):
            executor.submit(replace(task(1), threads=threads))
            (event,) = until(executor, 1)
            assert isinstance(event, Done)
            assert event.results[0].metrics["threads"] == threads
    finally:
        executor.close()


def test_workers_of_a_cluster_use_the_threads_of_their_task(dask_scheduler: str) -> None:
    from mlptrain.sweeps.cluster import Cluster

    made = Cluster(dask_scheduler, None, 1)
    try:
        for threads in (2, 1):
            made.submit(replace(task(1), threads=threads))
            (event,) = until(made, 1)
            assert isinstance(event, Done)
            assert event.results[0].metrics["threads"] == min(threads, available_cores())
    finally:
        made.close()


def test_local_clusters_replace_workers_that_die_and_end_with_their_sweep() -> None:
    pytest.importorskip("distributed")
    from mlptrain.sweeps.cluster import Cluster

    made = Cluster(None, 1, 1)
    made.submit(task(1, **LONG))
    advanced, end = 0, time.monotonic() + TIMEOUT_SECONDS
    while not advanced and time.monotonic() < end:
        advanced = sum(event.epochs for event in made.events(0.2) if isinstance(event, Advanced))
    assert advanced
    first = pids(made)
    os.kill(first[0], signal.SIGKILL)
    (lost,) = until(made, 1)
    assert isinstance(lost, Lost) and lost.stack == 1
    made.submit(task(1))
    (event,) = until(made, 1)
    assert isinstance(event, Done) and event.results[0].metrics["threads"] == 1
    seen = {*first, *pids(made)}
    made.close()
    assert len(seen) == 2
    for pid in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_errors_of_the_cluster_itself(dask_scheduler: str) -> None:
    """A stack whose worker died can be tried again; one whose worker cannot import mlptrain cannot."""
    from distributed import KilledWorker

    from mlptrain.sweeps.cluster import Cluster

    made = Cluster(dask_scheduler, None, 1)
    try:
        for error, kind, text in (
            (KilledWorker("task", None, 3), Lost, "KilledWorker"),
            (CancelledError(), Lost, "CancelledError"),
            (ImportError("no mlptrain"), Broken, "ImportError: no mlptrain"),
        ):
            future: Future = Future()
            future.set_exception(error)
            event = made._result(future, 8)
            assert isinstance(event, kind) and event.stack == 8
            assert text in (event.reason if isinstance(event, Lost) else event.message)
        made.submit(task(9, **LONG))
    finally:
        made.close()
    free(dask_scheduler)
