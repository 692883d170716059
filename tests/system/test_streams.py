from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs descriptors of POSIX")


def run(code: str, **streams: int) -> subprocess.CompletedProcess[bytes]:
    code = f"import os, sys\nfrom mlptrain.system.streams import *\n{code}"
    options: dict[str, Any] = {"stderr": subprocess.PIPE, **streams}
    return subprocess.run([sys.executable, "-c", code], timeout=20, **options)


def test_a_closed_pipe_raises_once() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = """
guard_streams()
try:
    print("x", flush=True)
except BrokenPipeError:
    print("y", flush=True)
    sys.exit(7 + is_pipe_closed())
"""
    done = run(code, stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (8, b"")


def test_a_full_pipe_that_does_not_block_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received: list[bytes] = []

    def read() -> None:
        while data := os.read(reader, 65536):
            received.append(data)

    thread = threading.Timer(0.2, read)
    thread.start()
    done = run("guard_streams(); print('x' * 300_000)", stdout=writer)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert done.returncode == 0 and b"".join(received) == b"x" * 300_000 + b"\n"


def test_streams_of_another_program_are_left_alone() -> None:
    done = run("sys.stdout = sys.stderr; guard_streams(); print('x')", stdout=subprocess.PIPE)
    assert (done.stdout, done.stderr) == (b"", b"x\n")


def test_a_closed_stream_fails_only_if_something_is_printed() -> None:
    code = (
        "os.close(1); guard_streams(); check_written(); print('x')\ntry: check_written()\nexcept Exception: sys.exit(7)"
    )
    assert run(code).returncode == 7
    inherited = "os.close(1); guard_streams(); import subprocess; sys.exit(subprocess.call('echo x', shell=True))"
    assert run(inherited).returncode == 0, "a program that is started has the null device"


def test_encoding_and_errors_stay() -> None:
    code = "guard_streams(); print(sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors)"
    plain = run(code.removeprefix("guard_streams(); "), stdout=subprocess.PIPE).stdout
    assert run(code, stdout=subprocess.PIPE).stdout == plain
