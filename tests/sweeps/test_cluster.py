"""Faults of Dask clusters: servers that are no schedulers, and schedulers and workers that fail."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import mlptrain
from mlptrain.datasets.dataset import load_dataset
from mlptrain.errors import DataError, UsageError
from mlptrain.sweeps import cluster
from mlptrain.sweeps.cluster import Cluster, check_scheduler, serve_scheduler
from mlptrain.sweeps.executors import Advanced, Broken, Done
from mlptrain.sweeps.journal import read_events
from mlptrain.sweeps.processes import WorkerProcess
from mlptrain.sweeps.reports import Advance, TrialEnd
from mlptrain.sweeps.sweep import run_sweep
from mlptrain.sweeps.worker import run_task
from tests.runs.made import idx_folder
from tests.sweeps.isolated import can_isolate, isolated_worker, start_scheduler
from tests.sweeps.made import board_text, spec, task

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """The address of a scheduler without workers."""
    options = {"processes": True, "silence_logs": False, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, **options) as local:
        yield local.scheduler_address


@contextmanager
def worker(target: Any, address: Any) -> Iterator[Any]:
    process = WorkerProcess(1, target, address)
    try:
        assert process.connection.poll(60)
        yield process
    finally:
        process.end()


def serve_without_data(connection: Any, address: Any) -> None:
    def load(name: str, folder: Path) -> None:
        raise DataError(f"{name}: not on this machine")

    vars(cluster)["load_dataset"] = load
    serve_scheduler(connection, address)


def serve_nothing(connection: Any, address: Any) -> None:
    os._exit(3)


def serve_as_0_1(connection: Any, address: Any) -> None:
    mlptrain.__version__ = "0.1.0"
    serve_scheduler(connection, address)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2)


class QuietHandler(BaseHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(params=["silent", "closing", "web", "banner", "nothing"])
def stranger(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that is no Dask scheduler."""
    with ExitStack() as stack:
        if request.param == "web":
            web = stack.enter_context(HTTPServer(("127.0.0.1", 0), QuietHandler))
            threading.Thread(target=web.serve_forever, daemon=True).start()
            stack.callback(web.shutdown)
            yield web.server_port
            return
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        if request.param == "nothing":
            server.close()
        elif request.param != "silent":

            def answer() -> None:
                while True:
                    try:
                        connection, _ = server.accept()
                    except OSError:
                        return
                    with connection:
                        if request.param == "banner":
                            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 9)

            threading.Thread(target=answer, daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
        yield port


def test_other_servers_are_refused(stranger: int) -> None:
    with pytest.raises(UsageError, match=rf"--scheduler tcp://127.0.0.1:{stranger}: .*\nhint: "):
        check_scheduler(f"tcp://127.0.0.1:{stranger}")


def test_a_scheduler_that_dies_is_an_error_and_the_sweep_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = spec(tmp_path, "parameters: {learning_rate: {values: [0.1, 0.5]}}")
    process, address = start_scheduler()
    with process:
        options: dict[str, Any] = {"run": "s", "executor": "dask", "scheduler": address}

        def kill(report: Any) -> None:
            if isinstance(report, Advance):
                process.kill()

        with pytest.raises(DataError, match=rf"{options['scheduler']}.*\nhint: .*--resume"):
            run_sweep(made, **options, on_report=kill)
    with pytest.raises(UsageError, match=options["scheduler"]):
        run_sweep(made, **options, resume=True)
    assert run_sweep(made, run="s", resume=True, workers=1).trials == 2


def events_of(made: Any, count: int) -> list[Any]:
    found: list[Any] = []
    end = time.monotonic() + 60
    while len(found) < count and time.monotonic() < end:
        found += [event for event in made.events(0.2) if not isinstance(event, Advanced)]
    return found


def test_data_are_sent_once_to_a_worker_that_lacks_them(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [str(idx_folder(tmp_path / name, count=count)) for name, count in (("a", 60), ("b", 80))]
    tasks = [task(number, dataset=folders[number % 2], subset=20, seeds=2) for number in range(6)]
    with worker(serve_without_data, scheduler), closing(Cluster(scheduler, None, 1)) as made:
        sent = []
        run = made._client.run

        def spy(function: Any, *arguments: Any, **options: Any) -> Any:
            if function is cluster.keep_data:
                sent.append(arguments[0].name)
            return run(function, *arguments, **options)

        monkeypatch.setattr(made._client, "run", spy)
        for one in tasks:
            made.submit(one)
        done = sorted(events_of(made, 6), key=lambda event: event.stack)
    assert [event.stack for event in done] == list(range(6)), "each stack ends once"
    for one, there in zip(tasks, done, strict=True):
        here = run_task(one)
        assert isinstance(here, Done) and isinstance(there, Done)
        for a, b in zip(here.results, there.results, strict=True):
            assert a.metrics["data_fingerprint"] == b.metrics["data_fingerprint"]
            assert a.metrics["val_loss"] == pytest.approx(b.metrics["val_loss"], rel=1e-4)
    assert sorted(sent) == folders


def test_data_of_the_machine_are_found_by_their_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_datasets", {})
    sample = load_dataset("sample")
    assert cluster.find_data("sample", "sha256:another", "no-data") is None
    assert cluster.find_data("sample", sample.fingerprint, "no-data") is not None

    (tmp_path / "own").mkdir()
    idx_folder(tmp_path / "own/mnist", tests=9)
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "own"))
    own = load_dataset("mnist")
    assert cluster.find_data("mnist", own.fingerprint, str(tmp_path / "of the client")).name == "mnist"
    assert cluster.find_data("fashion-mnist", own.fingerprint, str(tmp_path / "own")) is None, "with other classes"

    cluster.keep_data(replace(own, name="a"))
    assert cluster.has_data("mnist", own.fingerprint) and not cluster.has_data("sample", sample.fingerprint)


def test_data_that_the_client_lacks_fail_the_stack(scheduler: str) -> None:
    with closing(Cluster(scheduler, None, 1)) as made:
        made.submit(task(1, dataset="mnist"))
        (event,) = events_of(made, 1)
    assert isinstance(event, Broken) and "no-data" in event.message


@pytest.mark.skipif(not can_isolate(), reason="mounts folders in namespaces of its own")
def test_workers_share_nothing_but_tcp_with_the_sweep(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is killed in the middle."""
    monkeypatch.chdir(tmp_path)
    folder = idx_folder(tmp_path / "digits", count=3000, pixels=(8, 8))
    base = f"dataset: {folder}\nhidden: [8]\nepochs: 15\nbatch_size: 20\n"
    made = spec(tmp_path, "parameters: {learning_rate: {values: [0.01, 0.02, 0.03, 0.05, 0.1, 0.2]}}", base=base)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(isolated_worker(scheduler, tmp_path))
        client = stack.enter_context(distributed.Client(scheduler, set_as_default=False))
        client.wait_for_workers(2, timeout=60)
        before = client.run(os.getpid)
        assert not any("digits" in names for names in client.run(os.listdir, tmp_path).values())

        def kill(report: Any) -> None:
            if isinstance(report, TrialEnd) and report.done == 1:
                os.kill(min(before.values()), signal.SIGKILL)

        options: dict[str, Any] = {"workers": 2, "stacked": False}
        there = run_sweep(made, run="dask", executor="dask", scheduler=scheduler, on_report=kill, **options)
    here = run_sweep(made, run="here", **options)
    assert there.trials == here.trials == 6 and not there.failed
    assert board_text(tmp_path / "runs/dask").replace("runs/dask", "runs/here") == board_text(tmp_path / "runs/here")
    assert (tmp_path / "runs/dask/best/model.npz").read_bytes() == (tmp_path / "runs/here/best/model.npz").read_bytes()
    ended = [event["trial"] for event in read_events(tmp_path / "runs/dask/journal.jsonl") if event["event"] == "trial"]
    assert sorted(ended) == list(range(6)), "every trial once"


@pytest.mark.parametrize("workers", [None, 1])
def test_workers_with_another_version_are_refused(scheduler: str, workers: int | None) -> None:
    with closing(Cluster(scheduler, workers, 1)) as made:
        assert made.workers == 1, "one that is expected"
        with worker(serve_as_0_1, scheduler), pytest.raises(UsageError, match=rf"0\.1\.0.*{mlptrain.__version__}"):
            assert made.workers


def test_worker_processes_of_a_local_cluster_that_never_start_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "MAX_STARTS", 1)
    monkeypatch.setattr(cluster, "serve_scheduler", serve_nothing)
    with closing(Cluster(None, 1, 1)) as made, pytest.raises(DataError, match="exit code 3"):
        while True:
            made.events(0.05)
