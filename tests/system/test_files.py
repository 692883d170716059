from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.system.files import (
    OLD_SECONDS,
    hold,
    reason,
    remove_leftovers,
    temporary_beside,
    write_atomic,
    write_text_atomic,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_as_utf8(tmp_path):
    write_text_atomic(tmp_path / "a.txt", "η ← 0.5\n")
    assert (tmp_path / "a.txt").read_bytes() == "η ← 0.5\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_what_stood_there_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a long former content")
    write_text_atomic(path, "new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_readers_never_see_half_a_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(stream):
        stream.write(b"half")
        stream.flush()
        assert path.read_text() == "old"
        stream.write(b" and half")

    write_atomic(path, write)
    assert path.read_text() == "half and half"


@pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be replaced")
def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as old:
        write_text_atomic(path, "new")
        assert old.read() == "old", "renamed over, not written into"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")], ids=repr)
def test_what_goes_wrong_within_passes_through_and_leaves_nothing(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(stream):
        stream.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomic(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_disk_that_is_full_leaves_what_stood_there(tmp_path):
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


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "a.txt", tmp_path / "missing" / "a.txt"):
        with pytest.raises(DataError) as caught:
            write_text_atomic(place, "new")
        assert str(caught.value).startswith(f"{place}: cannot be written: ")
    assert names(tmp_path) == ["file"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="cannot be written"):
        write_text_atomic(tmp_path / "a", "new")
    assert names(tmp_path) == ["a"]


def test_temporary_names_are_hidden_beside_and_never_the_same(tmp_path):
    found = {temporary_beside(tmp_path / "model.npz") for _ in range(100)}
    assert len(found) == 100
    assert all(path.parent == tmp_path and path.name.startswith(".model.npz.") for path in found)


def test_the_systems_own_words():
    assert reason(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a")) == os.strerror(errno.ENOSPC).lower()
    assert reason(OSError("gone")) == "gone"
    assert reason(OSError()) == "oserror"


fcntl = pytest.importorskip("fcntl")

NOBODY = 10**12  # a number that no process can have


def left(folder: Path, process: int = NOBODY) -> Path:
    path = folder / f".a.npz.{process}.0123abcd.tmp"
    path.write_bytes(b"x")
    return path


def test_what_nobody_writes_is_removed(tmp_path):
    paths = [left(tmp_path), left(tmp_path, os.getpid())]
    others = [tmp_path / "a.npz", tmp_path / ".a.npz.tmp"]
    for path in others:
        path.write_bytes(b"x")
    (tmp_path / f".a.npz.{NOBODY}.aaaaaaaa.tmp").mkdir()
    remove_leftovers(tmp_path)
    assert not any(path.exists() for path in paths) and all(path.exists() for path in others)
    remove_leftovers(tmp_path / "missing")


def test_what_is_held_stays(tmp_path):
    path = left(tmp_path)
    with path.open("rb") as stream:
        assert hold(stream)
        with path.open("rb") as other:
            assert not hold(other)
        remove_leftovers(tmp_path)
        assert path.exists()
    remove_leftovers(tmp_path)
    assert not path.exists()


def test_a_file_that_was_removed_before_it_was_held(tmp_path):
    path = left(tmp_path)
    with path.open("rb") as stream:
        path.unlink()
        assert not hold(stream)


def test_a_living_process_keeps_its_file_for_a_day(tmp_path):
    path = left(tmp_path, os.getppid())
    remove_leftovers(tmp_path)
    assert path.exists()
    old = path.stat().st_mtime - OLD_SECONDS - 60
    os.utime(path, (old, old))
    remove_leftovers(tmp_path)
    assert not path.exists()


def test_a_process_of_another_user_lives(tmp_path, monkeypatch):
    def kill(process, signal):
        raise PermissionError

    path = left(tmp_path, 7)
    monkeypatch.setattr(os, "kill", kill)
    remove_leftovers(tmp_path)
    assert path.exists()


def test_where_locks_do_not_work_the_number_decides(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    path, living = left(tmp_path), left(tmp_path, os.getppid())
    with path.open("rb") as stream:
        assert hold(stream)
    remove_leftovers(tmp_path)
    assert not path.exists() and living.exists()
