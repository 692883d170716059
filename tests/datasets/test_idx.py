from __future__ import annotations

import gzip
import os
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mlptrain.datasets.idx import idx_shape, read_idx, write_idx
from mlptrain.errors import DataError
from tests.made import processor_seconds

# Two images of 2 x 3 pixels, byte by byte as the format's description has them.
HEADER = bytes.fromhex("00000803 00000002 00000002 00000003")
BODY = bytes(range(12))
DAMAGED = "the file is damaged or cut short: fetch or make it again"


def refusal(path: Path, dimensions: int = 3) -> list[str]:
    """The lines of the message with which a file is refused."""
    with pytest.raises(DataError) as caught:
        read_idx(path, dimensions=dimensions)
    lines = str(caught.value).split("\n")
    assert lines[0].startswith(f"{path}: ")
    assert len(lines) == 3
    return [lines[0].removeprefix(f"{path}: "), *lines[1:]]


def put(folder: Path, data: bytes, name: str = "images") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_bytes_of_the_format(tmp_path: Path) -> None:
    images = read_idx(put(tmp_path, HEADER + BODY), dimensions=3)
    assert images.dtype == np.uint8
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    write_idx(tmp_path / "again", images)
    assert (tmp_path / "again").read_bytes() == HEADER + BODY


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("shape", [(3, 5, 7), (11,), (1, 1, 1)])
def test_round_trip(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    write_idx(tmp_path / name, array)
    again = read_idx(tmp_path / name, dimensions=len(shape))
    assert np.array_equal(again, array)
    assert again.flags.writeable and again.flags.c_contiguous
    assert idx_shape(tmp_path / name, dimensions=len(shape)) == shape


def test_writes_views_in_c_order(tmp_path: Path) -> None:
    turned = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)
    write_idx(tmp_path / "images", turned)
    assert np.array_equal(read_idx(tmp_path / "images", dimensions=3), turned)


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    zipped = put(tmp_path, gzip.compress(HEADER + BODY), "images")
    plain = put(tmp_path, HEADER + BODY, "images.gz")
    assert read_idx(zipped, dimensions=3).tobytes() == BODY
    assert read_idx(plain, dimensions=3).tobytes() == BODY


def test_gzip_header_with_a_file_name(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "named.gz", "wb") as stream:
        stream.write(HEADER + BODY)
    assert b"named" in (tmp_path / "named.gz").read_bytes()
    assert read_idx(tmp_path / "named.gz", dimensions=3).tobytes() == BODY


def test_gzip_is_written_to_the_same_bytes(tmp_path: Path) -> None:
    array = np.arange(200, dtype=np.uint8)
    write_idx(tmp_path / "one.gz", array)
    write_idx(tmp_path / "other.gz", array)
    data = (tmp_path / "one.gz").read_bytes()
    assert data == (tmp_path / "other.gz").read_bytes()
    assert data[3] == 0, "no file name"
    assert data[4:8] == bytes(4), "no time"


def test_many_pieces(tmp_path: Path) -> None:
    array = np.random.default_rng(2).integers(0, 256, (3, 700, 701), np.uint8)
    write_idx(tmp_path / "images.gz", array)
    assert np.array_equal(read_idx(tmp_path / "images.gz", dimensions=3), array)


@pytest.mark.parametrize("zipped", [False, True])
def test_reads_into_a_given_array(tmp_path: Path, zipped: bool) -> None:
    data = HEADER + BODY
    path = put(tmp_path, gzip.compress(data) if zipped else data)
    room = np.full((4, 2, 3), 99, np.uint8)
    out = room[1:3]
    assert read_idx(path, dimensions=3, out=out) is out
    assert room.reshape(-1).tolist() == [99] * 6 + list(BODY) + [99] * 6


def test_a_given_array_must_fit(tmp_path: Path) -> None:
    path = put(tmp_path, HEADER + BODY)
    with pytest.raises(DataError, match=r"2 x 2 x 3 entries\nexpected 3 x 2 x 3"):
        read_idx(path, dimensions=3, out=np.empty((3, 2, 3), np.uint8))


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((0, 2), np.uint8), np.uint8(3) * np.ones((), np.uint8)])
def test_write_refuses_other_arrays(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 array with entries"):
        write_idx(tmp_path / "images", array)
    assert not list(tmp_path.iterdir())


def test_write_into_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        write_idx(tmp_path / "no" / "images", np.ones(3, np.uint8))


def test_missing_file(tmp_path: Path) -> None:
    found, expected, remedy = refusal(tmp_path / "no" / "such")
    assert found == "no such file"
    assert expected == "expected an IDX file"
    assert "check the path" in remedy


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    assert refusal(tmp_path) == ["this is a folder", "expected an IDX file", "name the file itself"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe")[0] == "this is no regular file"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = put(tmp_path, HEADER + BODY)
    monkeypatch.setattr(Path, "open", refuse)
    found, expected, remedy = refusal(path)
    assert found == "cannot be read: permission denied"
    assert expected == "expected a readable IDX file"
    assert remedy == "check the path and its permissions"


@pytest.mark.parametrize("length", [0, 3, 4, 15])
def test_cut_short_in_the_header(tmp_path: Path, length: int) -> None:
    found, expected, remedy = refusal(put(tmp_path, HEADER[:length]))
    assert found == f"the file ends after {length} bytes"
    assert expected == "expected an IDX header of 16 bytes"
    assert remedy == DAMAGED


@pytest.mark.parametrize("change", [-1, 1])
def test_plain_file_of_another_length(tmp_path: Path, change: int) -> None:
    found, expected, remedy = refusal(put(tmp_path, (HEADER + BODY + b"\0")[: 28 + change]))
    assert found == f"the header declares 2 x 2 x 3 = 12 bytes, the file has {28 + change} bytes"
    assert expected == "expected 28 bytes with the header"
    assert remedy == DAMAGED


def test_wrong_magic(tmp_path: Path) -> None:
    found, expected, remedy = refusal(put(tmp_path, b"\x89PNG\r\n\x1a\n"))
    assert found == "the file begins with 89 50 4e 47"
    assert expected == "expected 00 00 08 03, as an IDX file of bytes does"
    assert "no IDX file" in remedy


@pytest.mark.parametrize(
    ("kind", "words"),
    [(0x0D, "0x0d (32-bit floats)"), (0x09, "0x09 (signed bytes)"), (0x42, "0x42 (unknown)")],
)
def test_wrong_type(tmp_path: Path, kind: int, words: str) -> None:
    found, expected, remedy = refusal(put(tmp_path, bytes((0, 0, kind, 3)) + HEADER[4:] + BODY))
    assert found == f"the entries are of IDX type {words}"
    assert expected == "expected type 0x08 (unsigned bytes)"
    assert remedy == "make the file again with unsigned bytes"


def test_wrong_number_of_dimensions(tmp_path: Path) -> None:
    found, expected, remedy = refusal(put(tmp_path, HEADER + BODY), dimensions=1)
    assert found == "the number of dimensions is 3"
    assert expected == "expected 1"
    assert "swapped" in remedy


@pytest.mark.parametrize("zipped", [False, True])
def test_dimension_of_zero(tmp_path: Path, zipped: bool) -> None:
    data = HEADER[:4] + struct.pack(">3I", 0, 28, 28)
    found, expected, remedy = refusal(put(tmp_path, gzip.compress(data) if zipped else data))
    assert found == "the header declares 0 x 28 x 28 = 0 bytes"
    assert expected == "expected every dimension above 0"
    assert remedy == DAMAGED


def measured_refusal(path: Path) -> tuple[list[str], float, int]:
    """A refusal with its seconds and its peak of memory in bytes."""
    tracemalloc.start()
    start = time.process_time()
    try:
        lines = refusal(path)
        return lines, time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("zipped", [False, True])
def test_header_that_declares_32_gib(tmp_path: Path, zipped: bool) -> None:
    data = HEADER[:4] + struct.pack(">3I", 2**25, 32, 32) + bytes(100)
    (found, expected, remedy), seconds, memory = measured_refusal(
        put(tmp_path, gzip.compress(data) if zipped else data)
    )
    assert found == "the header declares 33554432 x 32 x 32 = 34359738368 bytes"
    assert expected == "expected at most 2147483648"
    assert "damaged or too large" in remedy
    assert seconds < processor_seconds(0.1)
    assert memory < 2**20


def test_gzip_too_short_for_what_it_declares(tmp_path: Path) -> None:
    data = gzip.compress(HEADER[:4] + struct.pack(">3I", 2**20, 32, 32) + bytes(100))
    (found, expected, remedy), seconds, memory = measured_refusal(put(tmp_path, data))
    assert found == "the header declares 1048576 x 32 x 32 = 1073741824 bytes"
    assert expected == f"expected at most the {1032 * len(data)} that {len(data)} gzipped bytes can hold"
    assert remedy == DAMAGED
    assert seconds < processor_seconds(0.1)
    assert memory < 2**20


def test_gzip_bomb(tmp_path: Path) -> None:
    data = gzip.compress(HEADER[:4] + struct.pack(">3I", 1, 2, 5) + bytes(50_000_000), 6)
    (found, expected, remedy), seconds, memory = measured_refusal(put(tmp_path, data))
    assert found == "the body goes on after 10 bytes"
    assert expected == "expected just these, 1 x 2 x 5"
    assert remedy == DAMAGED
    assert seconds < processor_seconds(0.1)
    assert memory < 2**20


def test_very_compressible_file_is_read(tmp_path: Path) -> None:
    array = np.zeros((50, 1000, 1000), np.uint8)
    write_idx(tmp_path / "images.gz", array)
    assert array.size / (tmp_path / "images.gz").stat().st_size > 1000
    tracemalloc.start()
    again = read_idx(tmp_path / "images.gz", dimensions=3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert again.shape == array.shape and not again.any()
    assert peak < 1.05 * array.size, "no second copy of the body"


def test_gzip_body_too_short(tmp_path: Path) -> None:
    found, expected, remedy = refusal(put(tmp_path, gzip.compress(HEADER + BODY[:-1])))
    assert found == "the body ends after 11 bytes"
    assert expected == "expected 2 x 2 x 3 = 12"
    assert remedy == DAMAGED


def test_truncated_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(HEADER + BODY)
    for length in range(2, len(whole)):
        found, expected, remedy = refusal(put(tmp_path, whole[:length]))
        if found != "the gzip data end early":  # too short even for what has been read of the header
            raise AssertionError((length, found))
        assert expected == "expected a whole gzip file"
        assert remedy == DAMAGED


def test_pieces_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(HEADER + BODY)
    whole, longer = put(tmp_path, data), put(tmp_path, data + b"\0", "longer")
    for piece in (1, 7, len(data)):
        monkeypatch.setattr("mlptrain.datasets.idx._PIECE", piece)
        assert read_idx(whole, dimensions=3).tobytes() == BODY
        assert refusal(longer)[0] == "more bytes follow the gzip data"


@pytest.mark.parametrize("place", [-8, -1])
def test_gzip_checksum_and_length(tmp_path: Path, place: int) -> None:
    data = bytearray(gzip.compress(HEADER + BODY))
    data[place] ^= 1
    found, expected, remedy = refusal(put(tmp_path, bytes(data)))
    assert found.startswith("the gzip data are wrong (")
    assert expected == "expected an undamaged gzip file"
    assert remedy == DAMAGED


@pytest.mark.parametrize("tail", [b"\0", b"garbage", gzip.compress(b"", mtime=0), gzip.compress(b"more", mtime=0)])
def test_gzip_with_something_after_it(tmp_path: Path, tail: bytes) -> None:
    found, expected, remedy = refusal(put(tmp_path, gzip.compress(HEADER + BODY) + tail))
    assert found == "more bytes follow the gzip data"
    assert expected == "expected one gzip member and nothing else"
    assert remedy == DAMAGED
