from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlptrain.datasets.idx import write_idx
from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting import reading
from mlptrain.handwriting.reading import Images, read_images
from tests.made import processor_seconds_below

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

GREY = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12)


def encoded(image: Any, form: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, colours: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks)


def jpeg(width: int, height: int, *, mode: str = "L", progressive: bool = False) -> bytes:
    """Return a small file whose header declares any size."""
    content = bytearray(encoded(Image.fromarray(GREY).convert(mode), "JPEG", progressive=progressive))
    start = content.index(b"\xff\xc2" if progressive else b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def npy(array: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Images]:
    def read(content: bytes) -> Images:
        (tmp_path / "image").write_bytes(content)
        return read_images(str(tmp_path / "image"))

    return read


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "LA", "1", "I;16"])
def test_png_of_every_mode_becomes_grey(read: Callable[..., Images], mode: str) -> None:
    image = Image.fromarray(GREY.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(GREY).convert(mode)
    found = read(encoded(image))
    assert (found.kind, found.is_list, found.pixels.shape) == ("photograph", False, (1, 10, 12))
    assert found.pixels.dtype == np.uint8
    if mode not in ("1", "P"):
        np.testing.assert_allclose(found.pixels[0].astype(int), GREY, atol=1)


def test_jpeg_becomes_grey(read: Callable[..., Images]) -> None:
    found = read(encoded(Image.fromarray(GREY), "JPEG", quality=95))
    np.testing.assert_allclose(found.pixels[0].astype(int), GREY, atol=8)


def test_large_jpeg_is_reduced_by_its_decoder(read: Callable[..., Images]) -> None:
    found = read(encoded(Image.new("RGB", (6000, 4000), (200, 100, 50)), "JPEG"))
    assert max(found.pixels.shape) <= 3000


@pytest.mark.parametrize("orientation", range(10))
def test_photographs_are_turned_upright(read: Callable[..., Images], orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(GREY), "PNG", exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read(content).pixels[0], upright)
    if orientation == 6:  # the camera was turned by 90 degrees
        np.testing.assert_array_equal(upright, np.rot90(GREY, -1))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_conversion_in_bands_gives_the_same_image(
    read: Callable[..., Images], monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)).convert(mode)
    whole = read(encoded(image)).pixels
    monkeypatch.setattr(reading, "_BAND_PIXELS", 100)
    np.testing.assert_array_equal(read(encoded(image)).pixels, whole)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
@pytest.mark.parametrize(("mode", "height"), [("L", 12_799), ("LA", 5_119)])
def test_the_largest_images_need_at_most_200_megabytes(tmp_path: Path, mode: str, height: int) -> None:
    Image.new(mode, (5000, height)).save(tmp_path / "large.png", compress_level=1)
    code = """if True:
        import sys
        from mlptrain.handwriting.reading import read_images
        print(read_images(sys.argv[1]).pixels.shape)
        print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
    """
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "large.png")], capture_output=True, check=True)
    shape, peak = done.stdout.decode().splitlines()
    assert shape == f"(1, {height}, 5000)" and int(peak) * 1024 < 200_000_000


@pytest.mark.parametrize("ink", [0, 255])
def test_strokes_on_a_transparent_background(read: Callable[..., Images], ink: int) -> None:
    pixels = np.full((10, 10, 4), ink, np.uint8)
    pixels[..., 3] = 0
    pixels[4:6, 2:8, 3] = 255
    found = read(encoded(Image.fromarray(pixels))).pixels[0]
    assert (found[4:6, 2:8] == ink).all() and (found[0] == 255 - ink).all()


@pytest.mark.parametrize(
    ("array", "is_list", "shape"),
    [
        (GREY, False, (1, 10, 12)),
        (np.stack([GREY] * 5), True, (5, 10, 12)),
        (GREY / 255, False, (1, 10, 12)),
        (GREY.astype(float), False, (1, 10, 12)),
        (GREY.astype(np.int64), False, (1, 10, 12)),
        (np.stack([GREY] * 3, axis=-1), False, (1, 10, 12)),
        (np.stack([GREY / 255] * 4, axis=-1), False, (1, 10, 12)),
        (GREY[..., np.newaxis], False, (1, 10, 12)),
        (np.stack([np.stack([GREY] * 3, axis=-1)] * 2), True, (2, 10, 12)),
        (GREY.ravel(), False, (1, 1, 120)),
    ],
)
def test_arrays_of_every_shape_and_type(
    read: Callable[..., Images], array: NDArray[Any], is_list: bool, shape: tuple[int, ...]
) -> None:
    found = read(npy(array))
    assert (found.kind, found.is_list, found.pixels.shape) == ("array", is_list, shape)
    scale = 255 if found.pixels.dtype == np.uint8 else 1
    np.testing.assert_allclose(found.pixels[0].ravel() / scale, GREY.ravel() / 255, atol=1e-6)


def test_an_array_of_booleans(read: Callable[..., Images]) -> None:
    np.testing.assert_array_equal(read(npy(GREY > 100)).pixels[0], (GREY > 100).astype(np.float32))


@pytest.mark.parametrize("array", [GREY, np.stack([GREY] * 3)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files(
    read: Callable[..., Images], tmp_path: Path, array: NDArray[Any], pack: Callable[..., Any] | type[Any]
) -> None:
    write_idx(tmp_path / "idx", array)
    found = read(pack((tmp_path / "idx").read_bytes()))
    assert (found.kind, found.is_list) == ("dataset", array.ndim == 3)
    np.testing.assert_array_equal(found.pixels, array.reshape(-1, 10, 12))


def test_pipes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(npy(GREY)))
    writer.start()
    np.testing.assert_array_equal(read_images(str(path)).pixels[0], GREY)
    writer.join()


IDX = struct.pack(">IIII", 0x803, 2, 3, 3) + bytes(18)
WHOLE = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)))
BOMB = png(20_000, 20_000, chunk(b"IDAT", zlib.compress(bytes(20_001) * 2000)), chunk(b"IEND", b""))
HOSTILE = {
    "empty": (b"", ["empty"]),
    "text": (b"hello, world, this is text", ["begins with 68 65 6c 6c", "PNG or JPEG"]),
    "gif": (b"GIF89a" + bytes(50), ["GIF"]),
    "heic": (b"\0\0\0\x18ftypheic" + bytes(50), ["HEIC", "convert"]),
    "webp": (b"RIFF1234WEBPVP8 ", ["WebP"]),
    "npz": (b"PK\x03\x04" + bytes(50), [".npz"]),
    "png of 50,000 x 50,000": (png(50_000, 50_000, chunk(b"IDAT", b"x" * 100)), ["50000 x 50000", "64 million"]),
    "png of 9,000 x 3,000 colours": (
        png(9000, 3000, chunk(b"IDAT", b""), colours=2),
        ["9000 x 3000 pixels of 4 bytes", "25 million"],
    ),
    "long jpeg of 4 inks": (jpeg(1000, 26_000, mode="CMYK"), ["pixels of 4 bytes", "grey image"]),
    "progressive jpeg": (jpeg(6000, 4000, mode="RGB", progressive=True), ["pixels of 6 bytes", "18 million"]),
    "png of no width": (png(0, 5, chunk(b"IEND", b"")), ["damaged"]),
    "jpeg of 60,000 x 60,000": (jpeg(60_000, 60_000), ["60000 x 60000"]),
    "bomb": (BOMB, ["20000 x 20000"]),
    "png cut short": (WHOLE[:-200], ["damaged or cut short", "complete PNG"]),
    "png header alone": (WHOLE[:20], ["damaged"]),
    "png magic alone": (WHOLE[:8], ["damaged"]),
    "png of wrong checksum": (WHOLE[:60] + b"xxxx" + WHOLE[64:], ["damaged"]),
    "jpeg cut short": (encoded(Image.fromarray(GREY), "JPEG")[:-40], ["damaged", "JPEG"]),
    "jpeg of nothing": (b"\xff\xd8\xff" + bytes(100), ["damaged"]),
    "pickle": (npy(np.array([{"a": 1}]), allow_pickle=True), ["for numbers or text", "without pickling"]),
    "npy cut short": (npy(GREY)[:-1], ["119 bytes", "(10, 12)"]),
    "vast npy": (npy(GREY).replace(b"(10, 12), }         ", b"(9999999, 99999), } "), ["bytes for shape"]),
    "empty npy": (npy(np.zeros((0, 28, 28), np.uint8)), ["(0, 28, 28)"]),
    "text npy": (npy(np.array(["a"])), ["<U1"]),
    "one number": (npy(np.array(3)), ["shape ()"]),
    "five dimensions": (npy(np.zeros((2, 2, 2, 2, 5))), ["(2, 2, 2, 2, 5)"]),
    "not finite": (npy(np.array([[np.nan, 1.0]])), ["not finite"]),
    "out of range": (npy(np.array([[-1, 300]])), ["from -1 to 300"]),
    "idx cut short": (IDX[:-1], ["33 bytes"]),
    "idx of labels": (struct.pack(">II", 0x801, 3) + bytes(3), ["dimensions is 1", "2 or 3"]),
    "vast idx": (gzip.compress(struct.pack(">IIII", 0x803, 2**31, 28, 28)), ["at most 268435456"]),
    "gzip of text": (gzip.compress(b"hello, world"), ["68 65 6c 6c"]),
    "gzip bomb": (gzip.compress(IDX + bytes(20_000_000)), ["longer than 18"]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_and_hostile_files_are_refused(read: Callable[..., Images], name: str) -> None:
    content, parts = HOSTILE[name]
    tracemalloc.start()
    try:
        with processor_seconds_below(2), pytest.raises(DataError) as caught:
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(content) + 2_000_000
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.count("\n") <= 2 and "image: " in message
    assert all(part in message for part in parts), message


def test_a_file_larger_than_the_limit_is_refused(read: Callable[..., Images], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    with pytest.raises(DataError, match="more than 100 bytes"):
        read(npy(GREY))


def test_sources_that_are_not_files_are_refused(tmp_path: Path) -> None:
    for source, part in [(tmp_path, "folder"), (tmp_path / "nowhere", "no such file"), ("a\0b", "cannot be read")]:
        with pytest.raises(DataError, match=part):
            read_images(str(source))
    with pytest.raises(DataError, match="begins with 00 00 00 00"):
        read_images("/dev/zero")


def test_without_pillow_only_arrays_are_read(read: Callable[..., Images], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
    assert read(npy(GREY)).pixels.shape == (1, 10, 12)
    for content in (WHOLE, encoded(Image.fromarray(GREY), "JPEG")):
        with pytest.raises(UsageError, match=r"pip install 'mlptrain\[images\]'"):
            read(content)
