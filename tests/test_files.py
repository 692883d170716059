from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from mlptrain.errors import DataError
from mlptrain.files import reason, temporary_beside, write_atomic, write_text_atomic


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
