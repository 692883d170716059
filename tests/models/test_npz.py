from __future__ import annotations

import os
import random
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.errors import DataError
from mlptrain.models.npz import MAX_HEADER_BYTES, MAX_MEMBERS, read_npz, write_npz
from tests.made import processor_seconds_below

LIMIT = 10**9

ARRAYS = {
    "W1": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b1": np.array([0.5, -1e300]),
    "text": np.array("mlptrain η"),
    "names": np.array(["o", "tsu"]),
    "count": np.array(7),
    "flags": np.array([True, False]),
    "bytes": np.arange(256, dtype=np.uint8),
    "none": np.empty((0, 4)),
}


def npy(
    descr: object = "<f4",
    shape: object = (2,),
    content: bytes = bytes(8),
    *,
    fortran: object = False,
    header: str | None = None,
) -> bytes:
    """Return a .npy member with an arbitrary header."""
    text = header or f"{{'descr': {descr!r}, 'fortran_order': {fortran!r}, 'shape': {shape!r}, }}"
    encoded = text.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(encoded)) + encoded + content


def archive(path: Path, *members: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for index, member in enumerate(members):
            file.writestr(f"a{index}.npy", member)
    return path


def refused(path: Path, limit: int = LIMIT) -> str:
    """Return the message of the error for ``path``; it must be raised quickly and without allocating much memory."""
    tracemalloc.start()
    try:
        with processor_seconds_below(1), pytest.raises(DataError) as caught:
            read_npz(path, limit)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(str(path)) and message.count("\n") < 3
    return message


def test_written_arrays_are_read_unchanged(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    found = read_npz(tmp_path / "a.npz", LIMIT)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable and found[name].flags.owndata


def test_numpy_reads_the_archive(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(found[name], array)


def test_archives_written_by_numpy_are_read(tmp_path: Path) -> None:
    arrays: dict[str, Any] = ARRAYS
    np.savez(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz", LIMIT)
    np.testing.assert_array_equal(found["W1"], ARRAYS["W1"])


def test_equal_arrays_give_equal_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "a.npz", ARRAYS)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2e9))
    write_npz(tmp_path / "b.npz", {name: array.copy() for name, array in ARRAYS.items()})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_array_that_is_not_contiguous_is_written(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)[:, ::2]
    write_npz(tmp_path / "a.npz", {"a": array})
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", LIMIT)["a"], array)


def test_objects_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pickle"):
        write_npz(tmp_path / "a.npz", {"a": np.array([{}], dtype=object)})
    assert not list(tmp_path.iterdir())


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "exploded").touch, ())

    np.savez(tmp_path / "a.npz", a=np.array([Bomb()], dtype=object))
    assert "object" in refused(tmp_path / "a.npz")
    assert not (tmp_path / "exploded").exists()


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.random.default_rng(0).random(1000))
    assert "is compressed" in refused(path) or "declares" in refused(path)
    path.unlink()
    archive(path, os.urandom(5000), npy(), compression=zipfile.ZIP_DEFLATED)
    assert "is compressed" in refused(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_control_characters_in_member_names_are_escaped(tmp_path: Path, compression: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", compression) as file:
        file.writestr("a\x1b[2J\x08\n.npy", bytes(100))
    assert all(line.isprintable() for line in refused(tmp_path / "a.npz").splitlines())


def test_a_zip_bomb_is_not_decompressed(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy("|u1", (10**8,), bytes(10**8)), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    assert "declares 100000" in refused(path)


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    """Read an archive with 999 directory entries that share one stored member of 1 MB."""
    path = archive(tmp_path / "a.npz", npy("|u1", (10**6,), bytes(10**6)))
    single = path.read_bytes()
    start, end = single.index(b"PK\x01\x02"), single.index(b"PK\x05\x06")
    entries = b"".join(single[start:end].replace(b"a0.npy", f"{i:03d}.py".encode()) for i in range(999))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 999, 999, len(entries), start, 0)
    path.write_bytes(single[:start] + entries + tail)
    refused(path)


@pytest.mark.parametrize(
    ("descr", "shape"),
    [("<f4", (2**33,)), ("<f4", (65536, 131072)), ("<U100000000", (80,)), ("<f8", (2**62, 2**62)), ("<f4", (2, 2**61))],
    ids=str,
)
def test_a_header_that_declares_more_than_the_member_contains(
    tmp_path: Path, descr: str, shape: tuple[int, ...]
) -> None:
    assert "bytes for shape" in refused(archive(tmp_path / "a.npz", npy(descr, shape)))


def test_a_directory_that_declares_4_gib(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy())
    content = path.read_bytes()
    entry = content.index(b"PK\x01\x02")
    huge = struct.pack("<LL", 0xFFFFFFFE, 0xFFFFFFFE)
    path.write_bytes(content[: entry + 20] + huge + content[entry + 28 :])
    assert "declares 4294967294 bytes" in refused(path)


def test_a_member_longer_than_its_header_declares(tmp_path: Path) -> None:
    assert "12 bytes for shape (2,)" in refused(archive(tmp_path / "a.npz", npy(content=bytes(12))))


def test_an_archive_larger_than_the_limit(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"a": np.zeros(1000, np.uint8)})
    assert read_npz(tmp_path / "a.npz", 2000)["a"].shape == (1000,)
    assert "declares" in refused(tmp_path / "a.npz", limit=1000)


def test_too_many_members(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", *[npy("|u1", (0,), b"")] * (MAX_MEMBERS + 1))
    assert "1001 arrays" in refused(path)


def test_a_directory_of_many_members_is_not_read(tmp_path: Path) -> None:
    single = archive(tmp_path / "a.npz", npy()).read_bytes()
    start, end = single.index(b"PK\x01\x02"), single.index(b"PK\x05\x06")
    entries = single[start:end] * 400_000
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(entries), start, 0)
    (tmp_path / "a.npz").write_bytes(single[:start] + entries + tail)
    tracemalloc.start()
    try:
        assert f"directory has {len(entries)} bytes" in refused(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npz")
    assert "not a regular file" in refused(tmp_path / "a.npz")


def test_a_header_written_by_python_2_is_refused_without_a_warning(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }\n"
    assert "not a .npy header" in refused(archive(tmp_path / "a.npz", npy(header=header)))


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(npy("<c8", (1,)), id="complex"),
        pytest.param(npy("|O", (1,)), id="object"),
        pytest.param(npy([("x", "<f4"), ("y", "<f4")], (1,)), id="structured"),
        pytest.param(npy("<M8[s]", (1,)), id="date"),
        pytest.param(npy("|S8", (1,)), id="byte string"),
        pytest.param(npy("|V8", (1,)), id="void"),
        pytest.param(npy(fortran=True), id="fortran order"),
        pytest.param(npy(shape=(2, 1), fortran=True), id="fortran order in two dimensions"),
        pytest.param(npy(shape=(-1,)), id="negative shape"),
        pytest.param(npy(shape=(-1, -2)), id="two negative sizes"),
        pytest.param(npy(shape=(10**30, 0), content=b""), id="size beyond 64 bits"),
        pytest.param(npy(shape=(1,) * 65, content=bytes(4)), id="too many dimensions"),
        pytest.param(npy(shape=2), id="shape that is not a tuple"),
        pytest.param(npy("<U0", (3,), b""), id="text of length 0"),
        pytest.param(npy("<f5"), id="unknown type"),
        pytest.param(npy("<f4,"), id="type that does not parse"),
        pytest.param(npy(()), id="type that is an empty tuple"),
        pytest.param(npy(("<f4",)), id="type that is a short tuple"),
        pytest.param(npy([("x",)]), id="type that is a short list"),
        pytest.param(npy(header="{}"), id="no keys"),
        pytest.param(npy(header="[1, 2]"), id="not a dictionary"),
        pytest.param(npy(header="{[]: 1}"), id="unhashable key"),
        pytest.param(npy(header="((("), id="unclosed brackets"),
        pytest.param(npy(header="'''"), id="unclosed text"),
        pytest.param(npy(header="(" * 4000), id="deeply nested brackets"),
        pytest.param(npy(header="-" * 4000 + "1"), id="deeply nested signs"),
        pytest.param(npy(header="\x00"), id="null byte"),
        pytest.param(npy(header="__import__('os').abort()"), id="code"),
        pytest.param(npy(header=" " * MAX_HEADER_BYTES + "{}"), id="header too long"),
        pytest.param(npy()[:-12], id="cut in the header"),
        pytest.param(npy()[:9], id="cut in the length"),
        pytest.param(npy()[:3], id="cut in the magic"),
        pytest.param(npy()[:-1], id="cut in the data"),
        pytest.param(b"", id="empty"),
        pytest.param(b"PK" + npy(), id="wrong magic"),
        pytest.param(b"\x93NUMPY\x02" + npy()[7:], id="version 2"),
    ],
)
def test_damaged_and_hostile_members_are_refused(tmp_path: Path, member: bytes) -> None:
    refused(archive(tmp_path / "a.npz", npy(), member))


def test_other_files_are_refused(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "missing.npz")
    assert "cannot be read: is a directory" in refused(tmp_path)
    for content in (b"", b"text\n", b"PK\x05\x06", npy()):
        (tmp_path / "a.npz").write_bytes(content)
        assert "not a NumPy archive" in refused(tmp_path / "a.npz")
    (tmp_path / "file").write_text("")
    assert "cannot be read" in refused(tmp_path / "file" / "a.npz")


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy())
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    assert "encrypted" in refused(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"W1": np.ones((2, 3)), "format": np.array("x")})
    content = (tmp_path / "a.npz").read_bytes()
    cut = tmp_path / "cut.npz"
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(DataError):
            read_npz(cut, LIMIT)


def test_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    """Change random bytes; reading must return arrays or raise `DataError`."""
    write_npz(tmp_path / "a.npz", {"W1": np.ones((2, 3)), "format": np.array("x")})
    content = (tmp_path / "a.npz").read_bytes()
    rng, refusals = random.Random(0), 0
    for _ in range(2000):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 2, 5))):
            damaged[rng.randrange(len(content))] = rng.choice((0, 1, 255, rng.randrange(256)))
        (tmp_path / "a.npz").write_bytes(damaged)
        try:
            read_npz(tmp_path / "a.npz", LIMIT)
        except DataError:
            refusals += 1
    assert refusals > 1000


def test_damaged_headers_are_refused_or_harmless(tmp_path: Path) -> None:
    """Change random bytes of a header and recompute the checksum, so that the parser of the header is reached."""
    member, rng, refusals = npy(), random.Random(0), 0
    alphabet = b"()[]{}'\",:<>|-+0123456789fiuUOVTrueNone \n\\\x00\xff"
    for _ in range(2000):
        damaged = bytearray(member)
        for _ in range(rng.choice((1, 1, 2, 5))):
            damaged[rng.randrange(10, len(member) - 8)] = rng.choice(alphabet)
        archive(tmp_path / "a.npz", bytes(damaged))
        try:
            read_npz(tmp_path / "a.npz", LIMIT)
        except DataError:
            refusals += 1
    assert refusals > 1000


def test_memory_is_bounded_by_the_length_of_the_file(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"a": np.zeros(10**6), "b": np.zeros(10**6)})
    size = (tmp_path / "a.npz").stat().st_size
    tracemalloc.start()
    try:
        read_npz(tmp_path / "a.npz", LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 2 * size + 1_000_000
    finally:
        tracemalloc.stop()


def test_members_are_stored_uncompressed_with_a_checksum(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"W1": np.zeros((2, 2), np.float32)})
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        assert [(member.filename, member.compress_type) for member in file.infolist()] == [("W1.npy", 0)]
        assert file.testzip() is None
