"""Faults of Dask clusters: servers that are no schedulers, and schedulers and workers that fail."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import mlptrain
from mlptrain.errors import DataError, UsageError
from mlptrain.sweeps import cluster
from mlptrain.sweeps.cluster import Cluster, check_scheduler, serve_scheduler
from mlptrain.sweeps.executors import Broken
from mlptrain.sweeps.processes import WorkerProcess
from mlptrain.sweeps.reports import Advance
from mlptrain.sweeps.sweep import run_sweep
from tests.sweeps.made import spec, task

LocalCluster = pytest.importorskip("distributed").LocalCluster

SCHEDULER = """
import asyncio, distributed

async def serve():
    async with distributed.Scheduler(host="127.0.0.1", dashboard=False) as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()

asyncio.run(serve())
"""


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler without workers."""
    options = {"processes": True, "silence_logs": False, "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"}}
    with LocalCluster(n_workers=0, dashboard_address=None, **options) as local:
        yield local.scheduler_address


@contextmanager
def worker(target, address):
    process = WorkerProcess(1, target, address)
    try:
        assert process.connection.poll(60)
        yield process
    finally:
        process.end()


def serve_elsewhere(connection, address):
    os.chdir("/")
    serve_scheduler(connection, address)


def serve_nothing(connection, address):
    os._exit(3)


def serve_as_0_1(connection, address):
    mlptrain.__version__ = "0.1.0"
    serve_scheduler(connection, address)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2)


@pytest.fixture(params=["silent", "closing", "web", "banner", "nothing"])
def stranger(request):
    """The port of a server that is no Dask scheduler."""
    with ExitStack() as stack:
        if request.param == "web":
            server = stack.enter_context(HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler))
            server.RequestHandlerClass.log_message = lambda *arguments: None
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.shutdown)
            yield server.server_port
            return
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = server.getsockname()[1]
        if request.param == "nothing":
            server.close()
        elif request.param != "silent":

            def answer():
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


def test_other_servers_are_refused(stranger):
    with pytest.raises(UsageError, match=rf"--scheduler tcp://127.0.0.1:{stranger}: .*\nhint: "):
        check_scheduler(f"tcp://127.0.0.1:{stranger}")


def test_a_scheduler_that_dies_is_an_error_and_the_sweep_can_be_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = spec(tmp_path, "parameters: {learning_rate: {values: [0.1, 0.5]}}")
    command = [sys.executable, "-c", SCHEDULER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        options = {"run": "s", "executor": "dask", "scheduler": process.stdout.readline().strip()}

        def kill(report):
            if isinstance(report, Advance):
                process.kill()

        with pytest.raises(DataError, match=rf"{options['scheduler']}.*\nhint: .*--resume"):
            run_sweep(made, **options, on_report=kill)
    with pytest.raises(UsageError, match=options["scheduler"]):
        run_sweep(made, **options, resume=True)
    assert run_sweep(made, run="s", resume=True, workers=1).trials == 2


def test_workers_get_an_absolute_folder_of_data(scheduler, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with worker(serve_elsewhere, scheduler), closing(Cluster(scheduler, None, 1)) as made:
        made.submit(task(1, dataset="mnist"))
        events = []
        while not events:
            events = made.events(1.0)
    assert isinstance(events[0], Broken) and str(tmp_path / "no-data") in events[0].message


def test_workers_with_another_version_are_refused(scheduler):
    with closing(Cluster(scheduler, None, 1)) as made:
        assert made.workers == 1, "one that is expected"
        with worker(serve_as_0_1, scheduler), pytest.raises(UsageError, match=rf"0\.1\.0.*{mlptrain.__version__}"):
            assert made.workers


def test_worker_processes_of_a_local_cluster_that_never_start_are_an_error(monkeypatch):
    monkeypatch.setattr(cluster, "MAX_STARTS", 1)
    monkeypatch.setattr(cluster, "serve_scheduler", serve_nothing)
    with closing(Cluster(None, 1, 1)) as made, pytest.raises(DataError, match="exit code 3"):
        while True:
            made.events(0.05)
