from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.system.lock import LOCK, locked

HOLDER = """
import sys, time
from pathlib import Path
from mlptrain.system.lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``tmp_path``."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_lock_file_exists_while_the_folder_is_locked(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert list(tmp_path.iterdir()) == []


def test_second_process_is_refused_and_the_first_named(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}: in use by process {holder.pid} on "), locked(tmp_path):
        pass
    assert (tmp_path / LOCK).is_file()


def test_killed_process_leaves_no_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).is_file()
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    assert list(tmp_path.iterdir()) == []


def test_second_call_in_one_process_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(UsageError, match="in use"), locked(tmp_path):
            pass
        assert (tmp_path / LOCK).is_file()
    with locked(tmp_path):
        pass


def test_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_only_one_of_many_threads_holds_the_lock(tmp_path: Path) -> None:
    inside, most, refused = [], [], []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for _ in range(50):
            try:
                with locked(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except UsageError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(most) + len(refused) == 400
    assert list(tmp_path.iterdir()) == []


def test_file_removed_between_opening_and_locking_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")
    calls: list[Any] = []
    flock = fcntl.flock

    def late(descriptor: Any, operation: Any) -> None:
        if not calls:
            (tmp_path / LOCK).unlink()  # the process that held it ends
        calls.append(operation)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path):
        assert (tmp_path / LOCK).is_file()
        with pytest.raises(UsageError), locked(tmp_path):
            pass
    assert len(calls) == 4  # of the last call also whether another process has locked the file


def test_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def unknown(descriptor: Any, operation: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with locked(tmp_path):
        assert (tmp_path / LOCK).is_file()


def test_full_disk_does_not_prevent_locking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: Any, content: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with locked(tmp_path), pytest.raises(UsageError, match="in use by another process"), locked(tmp_path):
        pass


def test_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / LOCK).symlink_to(precious)
    with pytest.raises(DataError, match=f"{folder / LOCK}: cannot be written"), locked(folder):
        pass
    assert precious.read_text() == "mine"


def test_missing_folder_raises_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written: no such file"), locked(tmp_path / "gone"):
        pass


@pytest.mark.parametrize("replaced", [False, True])
def test_folder_moved_while_locked(tmp_path: Path, replaced: bool) -> None:
    """The check raises an error, and the lock of a process that uses the folder's path meanwhile stays."""
    folder = tmp_path / "run"
    folder.mkdir()
    with ExitStack() as other:
        with locked(folder) as check:
            check()
            folder.rename(tmp_path / "moved")
            if replaced:
                folder.mkdir()
                other.enter_context(locked(folder))
            with pytest.raises(DataError, match=rf"{folder}: .*\nhint: .*--run"):
                check()
        assert (folder / LOCK).exists() == replaced
