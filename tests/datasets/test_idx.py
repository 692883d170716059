from __future__ import annotations

import gzip
import os
import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mlptrain.datasets.idx import idx_shape, read_idx, write_idx
from mlptrain.errors import DataError
from tests.made import processor_seconds_below

# Two images of 2 x 3 pixels, byte by byte as in the description of the format.
HEADER = bytes.fromhex("00000803 00000002 00000002 00000003")
BODY = bytes(range(12))


def read(path: Path, dimensions: int = 3) -> np.ndarray:
    array = np.empty(idx_shape(path, dimensions=dimensions), np.uint8)
    read_idx(path, array)
    return array


def error_of(path: Path, dimensions: int = 3) -> tuple[str, str]:
    """Return the two lines, without the path, that say why a file is refused; the third is a hint."""
    with pytest.raises(DataError) as caught:
        read(path, dimensions)
    found, expected, hint = str(caught.value).split("\n")
    assert found.startswith(f"{path}: ") and expected.startswith("expected ") and hint.startswith("hint: ")
    return found.removeprefix(f"{path}: "), expected.removeprefix("expected ")


def put(folder: Path, data: bytes, name: str = "images") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_bytes_of_the_format(tmp_path: Path) -> None:
    images = read(put(tmp_path, HEADER + BODY))
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    write_idx(tmp_path / "again", images)
    assert (tmp_path / "again").read_bytes() == HEADER + BODY


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("shape", [(3, 5, 7), (11,), (1, 1, 1)])
def test_round_trip(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    write_idx(tmp_path / name, array)
    again = read(tmp_path / name, len(shape))
    assert np.array_equal(again, array)
    assert idx_shape(tmp_path / name, dimensions=len(shape)) == shape


def test_writes_views_in_c_order(tmp_path: Path) -> None:
    turned = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)
    write_idx(tmp_path / "images", turned)
    assert np.array_equal(read(tmp_path / "images"), turned)


def test_gzip_is_recognized_by_content_not_by_name(tmp_path: Path) -> None:
    gzipped = put(tmp_path, gzip.compress(HEADER + BODY), "images")
    plain = put(tmp_path, HEADER + BODY, "images.gz")
    assert read(gzipped).tobytes() == BODY
    assert read(plain).tobytes() == BODY


def test_gzip_header_with_a_file_name(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "named.gz", "wb") as stream:
        stream.write(HEADER + BODY)
    assert b"named" in (tmp_path / "named.gz").read_bytes()
    assert read(tmp_path / "named.gz").tobytes() == BODY


def test_gzip_is_written_reproducibly(tmp_path: Path) -> None:
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
    assert np.array_equal(read(tmp_path / "images.gz"), array)


@pytest.mark.parametrize("gzipped", [False, True])
def test_reading_into_a_given_array(tmp_path: Path, gzipped: bool) -> None:
    data = HEADER + BODY
    path = put(tmp_path, gzip.compress(data) if gzipped else data)
    room = np.full((4, 2, 3), 99, np.uint8)
    read_idx(path, room[1:3])
    assert room.reshape(-1).tolist() == [99] * 6 + list(BODY) + [99] * 6


def test_a_given_array_of_another_shape(tmp_path: Path) -> None:
    path = put(tmp_path, HEADER + BODY)
    with pytest.raises(DataError, match=r"2 x 2 x 3\nexpected 3 x 2 x 3"):
        read_idx(path, np.empty((3, 2, 3), np.uint8))


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((0, 2), np.uint8), np.uint8(3) * np.ones((), np.uint8)])
def test_writing_another_kind_of_array(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        write_idx(tmp_path / "images", array)
    assert not list(tmp_path.iterdir())


def test_writing_into_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "images"
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}: "):
        write_idx(path, np.ones(3, np.uint8))


def test_missing_file(tmp_path: Path) -> None:
    assert error_of(tmp_path / "no" / "such")[0] == "no such file"


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    assert "folder" in error_of(tmp_path)[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in error_of(tmp_path / "pipe")[0]


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = put(tmp_path, HEADER + BODY)
    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in error_of(path)[0]


@pytest.mark.parametrize("length", [0, 3, 4, 15])
def test_truncated_header(tmp_path: Path, length: int) -> None:
    found, expected = error_of(put(tmp_path, HEADER[:length]))
    assert f"{length} bytes" in found and "16 bytes" in expected


@pytest.mark.parametrize("change", [-1, 1])
def test_plain_file_of_another_length(tmp_path: Path, change: int) -> None:
    found, expected = error_of(put(tmp_path, (HEADER + BODY + b"\0")[: 28 + change]))
    assert "2 x 2 x 3 = 12" in found and f"{28 + change} bytes" in found and "28 bytes" in expected


def test_wrong_magic(tmp_path: Path) -> None:
    found, expected = error_of(put(tmp_path, b"\x89PNG\r\n\x1a\n"))
    assert "89 50 4e 47" in found and "00 00 08 03" in expected


@pytest.mark.parametrize(
    ("kind", "words"),
    [(0x0D, "0x0d (32-bit floats)"), (0x09, "0x09 (signed bytes)"), (0x42, "0x42 (unknown)")],
)
def test_wrong_type(tmp_path: Path, kind: int, words: str) -> None:
    found, expected = error_of(put(tmp_path, bytes((0, 0, kind, 3)) + HEADER[4:] + BODY))
    assert words in found and "0x08" in expected


def test_wrong_number_of_dimensions(tmp_path: Path) -> None:
    found, expected = error_of(put(tmp_path, HEADER + BODY), dimensions=1)
    assert found.endswith("3") and expected == "1"


@pytest.mark.parametrize("gzipped", [False, True])
def test_dimension_of_zero(tmp_path: Path, gzipped: bool) -> None:
    data = HEADER[:4] + struct.pack(">3I", 0, 28, 28)
    found, _ = error_of(put(tmp_path, gzip.compress(data) if gzipped else data))
    assert "0 x 28 x 28 = 0" in found


def measured_error_of(path: Path) -> tuple[str, str]:
    """Return the lines of `error_of` after checking that it took little time and memory."""
    tracemalloc.start()
    try:
        with processor_seconds_below(0.1):
            lines = error_of(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        return lines
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("gzipped", [False, True])
def test_header_that_declares_32_gib(tmp_path: Path, gzipped: bool) -> None:
    data = HEADER[:4] + struct.pack(">3I", 2**25, 32, 32) + bytes(100)
    found, expected = measured_error_of(put(tmp_path, gzip.compress(data) if gzipped else data))
    assert str(2**35) in found and str(2**31) in expected


def test_gzip_too_short_for_the_declared_shape(tmp_path: Path) -> None:
    data = gzip.compress(HEADER[:4] + struct.pack(">3I", 2**20, 32, 32) + bytes(100))
    found, expected = measured_error_of(put(tmp_path, data))
    assert str(2**30) in found and str(1032 * len(data)) in expected


def test_gzip_bomb(tmp_path: Path) -> None:
    data = gzip.compress(HEADER[:4] + struct.pack(">3I", 1, 2, 5) + bytes(50_000_000), 6)
    found, expected = measured_error_of(put(tmp_path, data))
    assert "10 bytes" in found and "1 x 2 x 5 = 10" in expected


def test_very_compressible_file_is_read(tmp_path: Path) -> None:
    array = np.zeros((50, 1000, 1000), np.uint8)
    write_idx(tmp_path / "images.gz", array)
    assert array.size / (tmp_path / "images.gz").stat().st_size > 1000
    tracemalloc.start()
    again = read(tmp_path / "images.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert again.shape == array.shape and not again.any()
    assert peak < 1.05 * array.size, "no second copy of the body"


def test_gzip_body_too_short(tmp_path: Path) -> None:
    found, expected = error_of(put(tmp_path, gzip.compress(HEADER + BODY[:-1])))
    assert "11 bytes" in found and "2 x 2 x 3 = 12" in expected


def test_truncated_gzip(tmp_path: Path) -> None:
    data = gzip.compress(HEADER + BODY)
    for length in range(2, len(data)):
        assert "end early" in error_of(put(tmp_path, data[:length]))[0], length


def test_pieces_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(HEADER + BODY)
    exact, longer = put(tmp_path, data), put(tmp_path, data + b"\0", "longer")
    for piece in (1, 7, len(data)):
        monkeypatch.setattr("mlptrain.datasets.idx._PIECE_BYTES", piece)
        assert read(exact).tobytes() == BODY
        assert "more bytes" in error_of(longer)[0]


@pytest.mark.parametrize("index", [-8, -1])
def test_wrong_gzip_checksum_and_length(tmp_path: Path, index: int) -> None:
    data = bytearray(gzip.compress(HEADER + BODY))
    data[index] ^= 1
    assert "gzip" in error_of(put(tmp_path, bytes(data)))[0]


@pytest.mark.parametrize("tail", [b"\0", b"garbage", gzip.compress(b"", mtime=0), gzip.compress(b"more", mtime=0)])
def test_gzip_followed_by_more_bytes(tmp_path: Path, tail: bytes) -> None:
    assert "more bytes" in error_of(put(tmp_path, gzip.compress(HEADER + BODY) + tail))[0]
