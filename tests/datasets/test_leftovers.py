from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mlptrain.datasets.leftovers import OLD_SECONDS, hold, remove_leftovers

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
