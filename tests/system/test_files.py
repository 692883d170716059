from __future__ import annotations

import ast
import errno
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.system import files, lock
from mlptrain.system.files import (
    LEFTOVER_SECONDS,
    lock_temporary,
    reason,
    remove_leftovers,
    temporary_beside,
    windows_fault,
    write_atomic,
    write_text_atomic,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a.txt", "η ← 0.5\n")
    assert (tmp_path / "a.txt").read_bytes() == "η ← 0.5\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a long former content")
    write_text_atomic(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_file_changes_only_when_writing_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(stream: Any) -> None:
        stream.write(b"half")
        stream.flush()
        assert path.read_text() == "old"
        stream.write(b" and half")

    write_atomic(path, write)
    assert path.read_text() == "half and half"


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be replaced")
def test_open_readers_keep_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as old:
        write_text_atomic(path, "new")
        assert old.read() == "old"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")], ids=repr)
def test_error_while_writing_passes_through_and_leaves_the_old_file(tmp_path: Path, error: Any) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(stream: Any) -> None:
        stream.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "a.txt"
    path.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError) as caught:
            write_text_atomic(path, "new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(path) in str(caught.value) and "cannot be written" in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_unwritable_path_raises_data_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "missing" / "a.txt"):
        with pytest.raises(DataError) as caught:
            write_text_atomic(path, "new")
        assert str(caught.value).startswith(f"{path}: cannot be written: ")
    assert names(tmp_path) == ["file"]


def test_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_text_atomic(tmp_path / "a", "new")
    assert names(tmp_path) == ["a"]


def test_temporary_paths_are_hidden_in_the_same_folder_and_distinct(tmp_path: Path) -> None:
    found = {temporary_beside(tmp_path / "model.npz") for _ in range(100)}
    assert len(found) == 100
    assert all(path.parent == tmp_path and path.name.startswith(".model.npz.") for path in found)


def test_reason_is_the_description_of_the_system() -> None:
    assert reason(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a")) == os.strerror(errno.ENOSPC).lower()
    assert reason(OSError("gone")) == "gone"
    assert reason(OSError()) == "oserror"


# ---- leftovers ----------------------------------------------------------------------------------------

fcntl = pytest.importorskip("fcntl")

NO_PROCESS = 10**12  # above every process number


def leftover(folder: Path, process: int = NO_PROCESS) -> Path:
    path = folder / f".a.npz.{process}.0123abcd.tmp"
    path.write_bytes(b"x")
    return path


def test_leftovers_are_removed_and_other_files_kept(tmp_path: Path) -> None:
    paths = [leftover(tmp_path), leftover(tmp_path, os.getpid())]
    others = [tmp_path / "a.npz", tmp_path / ".a.npz.tmp"]
    for path in others:
        path.write_bytes(b"x")
    (tmp_path / f".a.npz.{NO_PROCESS}.aaaaaaaa.tmp").mkdir()
    remove_leftovers(tmp_path)
    assert not any(path.exists() for path in paths) and all(path.exists() for path in others)
    remove_leftovers(tmp_path / "missing")


def test_held_file_is_kept(tmp_path: Path) -> None:
    path = leftover(tmp_path)
    with path.open("rb") as stream:
        assert lock_temporary(stream)
        with path.open("rb") as other:
            assert not lock_temporary(other)
        remove_leftovers(tmp_path)
        assert path.exists()
    remove_leftovers(tmp_path)
    assert not path.exists()


def test_removed_file_cannot_be_held(tmp_path: Path) -> None:
    path = leftover(tmp_path)
    with path.open("rb") as stream:
        path.unlink()
        assert not lock_temporary(stream)


def test_file_of_a_running_process_is_kept_for_a_day(tmp_path: Path) -> None:
    path = leftover(tmp_path, os.getppid())
    remove_leftovers(tmp_path)
    assert path.exists()
    old = path.stat().st_mtime - LEFTOVER_SECONDS - 60
    os.utime(path, (old, old))
    remove_leftovers(tmp_path)
    assert not path.exists()


def test_file_of_another_users_process_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(process: Any, signal: Any) -> None:
        raise PermissionError

    path = leftover(tmp_path, 7)
    monkeypatch.setattr(os, "kill", kill)
    remove_leftovers(tmp_path)
    assert path.exists()


def test_without_locks_the_process_number_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: Any, operation: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    path, running = leftover(tmp_path), leftover(tmp_path, os.getppid())
    with path.open("rb") as stream:
        assert lock_temporary(stream)
    remove_leftovers(tmp_path)
    assert not path.exists() and running.exists()


# ---- Windows -------------------------------------------------------------------------------------------


class Msvcrt:
    """The locks of Windows, on top of those of POSIX: of bytes, exclusive, and refused with PermissionError."""

    LK_UNLCK, LK_NBLCK = 0, 2

    @staticmethod
    def locking(descriptor: int, mode: int, count: int) -> None:
        fcntl = pytest.importorskip("fcntl")
        assert os.lseek(descriptor, 0, os.SEEK_CUR) >= 2**30 and count == 1, "readers must not meet the locked byte"
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB if mode else fcntl.LOCK_UN)
        except BlockingIOError as error:
            raise PermissionError(errno.EACCES, "permission denied") from error


def test_locks_of_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (files, lock):
        monkeypatch.setattr(module, "WINDOWS", True)
    monkeypatch.setattr(files, "_fcntl", None)
    monkeypatch.setattr(files, "_msvcrt", Msvcrt)
    with lock.locked(tmp_path):
        assert lock.is_in_use(tmp_path)
        with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"), lock.locked(tmp_path):
            pass
    assert not lock.is_in_use(tmp_path) and list(tmp_path.iterdir()) == []
    (tmp_path / lock.LOCK).write_text("process 1 on another-machine\n")
    with lock.locked(tmp_path):
        assert (tmp_path / lock.LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_an_open_file_is_replaced_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, tries = Path.replace, []

    def refuse(self: Path, target: Path) -> Path:
        tries.append(target)
        if len(tries) < 3:
            raise PermissionError(errno.EACCES, "permission denied")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(files, "CLOSE_SECONDS", 0.0)
    with pytest.raises(DataError, match="permission denied"):
        write_text_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old" and len(tries) == 1
    monkeypatch.setattr(files, "CLOSE_SECONDS", 60.0)
    write_text_atomic(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new" and [*tmp_path.iterdir()] == [tmp_path / "a"]


@pytest.mark.parametrize(
    "name",
    [
        *("con", "NUL", "nul.txt", "Com1", "lpt9.a.b", "com¹", "conin$", "aux .x", "a.", "a ", ".. ."),
        *("a:b", "C:", "a<b", 'a"b', "a|b", "what?", "best*", "a\\b", "a\nb"),
    ],
)
def test_names_that_windows_lacks(name: str) -> None:
    assert windows_fault(name)


@pytest.mark.parametrize("name", ["a", "console", "com", "com10", "nul1", "a.nul", ".lock", "a b", "é", "run-001.old"])
def test_names_of_all_systems(name: str) -> None:
    assert windows_fault(name) == ""


def test_files_are_opened_without_translation_of_line_feeds() -> None:
    calls = [
        ast.unparse(node)
        for path in Path(files.__file__).parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.open"
    ]
    writing = [call for call in calls if re.search("O_RDWR|O_WRONLY", call) and "devnull" not in call]
    assert len(writing) >= 3 and all("BINARY" in call for call in writing)
