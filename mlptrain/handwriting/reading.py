"""Pictures from files of any kind that may hold them, or from standard input, recognised by their content.

Files come from anywhere: every size is held against a limit before memory is taken for it.
"""

from __future__ import annotations

import io
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from mlptrain.datasets.idx import read_idx_images
from mlptrain.errors import DataError
from mlptrain.extras import need
from mlptrain.files import reason
from mlptrain.npz import parse_npy

STANDARD_INPUT = "-"
MAX_BYTES = 2**28
MAX_PIXELS = 64_000_000
LEAST_DECODED = 1280  # pixels that the sides of a JPEG file keep, of which the decoder reduces larger ones

_PNG, _JPEG, _NPY, _GZIP, _IDX = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY", b"\x1f\x8b", b"\0\0\x08"
_EXPECTED = "expected a PNG or JPEG image, an .npy array, or an IDX file of images"
_PIECE = 2**20
_FOREIGN = (
    (0, b"GIF8", "a GIF image"),
    (0, b"BM", "a BMP image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftyphei", "an HEIC photograph"),
    (4, b"ftypmif1", "an HEIC photograph"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip or .npz archive"),
)


@dataclass(frozen=True)
class Pictures:
    """Pictures of one source: grey ``pixels`` (n, height, width), bytes or floats in [0, 1].

    ``listed`` says that the source holds a list of them, even if it is a list of one.
    """

    source: str
    kind: Literal["photograph", "array", "dataset"]
    pixels: np.ndarray
    listed: bool


def read_pictures(source: str) -> Pictures:
    """Read what the file ``source`` holds, or standard input for ``-``.

    Raises
    ------
    DataError
        Missing, unreadable, damaged, too large, or of a format that is not read.
    UsageError
        A PNG or JPEG, and the library that decodes them is not installed.
    """
    name = "standard input" if source == STANDARD_INPUT else source
    with _opened(source, name) as stream:
        head = stream.read(16)
        stream.seek(0)
        if not head:
            raise DataError(f"{name}: empty\n{_EXPECTED}")
        if head.startswith((_PNG, _JPEG)):
            grey = _decoded(stream, name, png=head.startswith(_PNG))
            return Pictures(source, "photograph", grey[np.newaxis], listed=False)
        if head.startswith(_NPY):
            return _from_array(source, _array(stream, name), name)
        if head.startswith((_GZIP, _IDX)):
            images = read_idx_images(stream, name, limit=MAX_BYTES)
            return Pictures(source, "dataset", images.reshape(-1, *images.shape[-2:]), listed=images.ndim == 3)
    foreign = next((words for start, magic, words in _FOREIGN if head[start:].startswith(magic)), None)
    found = (
        f"this is {foreign}" if foreign else f"begins with {head[:4].hex(' ')}, as none of the formats read here does"
    )
    raise DataError(f"{name}: {found}\n{_EXPECTED}\nsave or convert it as PNG or JPEG")


@contextmanager
def _opened(source: str, name: str) -> Iterator[BinaryIO]:
    """The source as a stream that can seek: files as they are, pipes read whole."""
    try:
        if source == STANDARD_INPUT:
            yield _whole(sys.stdin.buffer, name)
            return
        path = Path(source)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{name}: this is a folder\nname the images in it, for example {path / '*.png'}")
        with path.open("rb") as stream:
            yield stream if stat.S_ISREG(mode) else _whole(stream, name)
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file\n{_EXPECTED}") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        words = reason(error) if isinstance(error, OSError) else str(error)
        raise DataError(f"{name}: cannot be read: {words}\n{_EXPECTED}") from error


def _whole(stream: BinaryIO, name: str) -> BinaryIO:
    content = bytearray()
    while piece := stream.read(_PIECE):
        content += piece
        _check_bytes(len(content), name)
        if not content.startswith((_PNG, _JPEG, _NPY, _GZIP, _IDX)):
            break  # it will be refused; an endless one would fill the memory first
    return io.BytesIO(content)


def _check_bytes(count: int, name: str) -> None:
    if count > MAX_BYTES:
        raise DataError(f"{name}: more than {MAX_BYTES} bytes\nexpected at most that: give a smaller image or fewer")


def _decoded(stream: BinaryIO, name: str, *, png: bool) -> np.ndarray:
    """The grey bytes (height, width) of a PNG or JPEG file, turned as its camera says."""
    need("PIL", "images", f"{name}: reading PNG and JPEG")
    from PIL import Image, ImageOps
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Image.Image = PngImageFile(stream) if png else JpegImageFile(stream)
            _check_pixels(image.size, name)
            image.draft("L", (LEAST_DECODED, LEAST_DECODED))  # only JPEG files have it
            turned = ImageOps.exif_transpose(image)
            return _grey(turned)
    except DataError:
        raise
    except Exception as error:  # decoders meet hostile bytes with errors of every type
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "PNG" if png else "JPEG"
        raise DataError(f"{name}: damaged or cut short ({words[:100]})\nexpected a whole {kind} file") from error


def _check_pixels(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{name}: {width} x {height} pixels\nexpected at most {MAX_PIXELS // 10**6} million: give a smaller image"
        )


def _grey(image: object) -> np.ndarray:
    """An image of Pillow as grey bytes (height, width); what is transparent is paper."""
    from PIL import Image

    assert isinstance(image, Image.Image)
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits a pixel
        return np.clip(np.asarray(image, np.float32) / 257, 0, 255).astype(np.uint8)
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        pixels = image.convert("RGBA")
        for paper in (255, 0):  # white strokes on nothing need black behind them
            sheet = Image.new("RGBA", pixels.size, (paper, paper, paper, 255))
            grey = np.asarray(Image.alpha_composite(sheet, pixels).convert("L"))
            if grey.min() != grey.max():
                break
        return grey
    return np.asarray(image.convert("L"))


def _array(stream: BinaryIO, name: str) -> np.ndarray:
    _check_bytes(stream.seek(0, io.SEEK_END), name)
    stream.seek(0)
    try:
        array = parse_npy(stream.read(), name)
    except ValueError as error:
        raise DataError(f"{error}\nexpected numbers saved by np.save, without pickling") from error
    if array.size == 0 or array.dtype.kind == "U":
        raise DataError(f"{name}: an array of shape {array.shape} and type {array.dtype}\nexpected grey images")
    return array


def _from_array(source: str, array: np.ndarray, name: str) -> Pictures:
    """An array as pictures: (height, width), colour (height, width, 3 or 4), a list (n, …) of either, or a row.

    Bytes and integers are 0 to 255; floats are in [0, 1], or 0 to 255 where one is larger than 1.
    """
    colour = array.ndim > 2 and array.shape[-1] in (1, 3, 4)
    shape = (1, 1, 1, *(array.shape[:-1] if colour else array.shape))[-3:]
    if array.ndim - colour not in (1, 2, 3):
        raise DataError(f"{name}: an array of shape {array.shape}\nexpected (height, width) or (n, height, width)")
    _check_pixels((shape[2], shape[1]), name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{name}: numbers that are not finite\nexpected grey values in [0, 1] or 0 to 255")
    top = 1 if array.dtype.kind == "b" or (array.dtype.kind == "f" and array.max() <= 1) else 255
    if array.min() < 0 or array.max() > top:
        raise DataError(
            f"{name}: numbers from {array.min():g} to {array.max():g}\nexpected grey values in [0, 1] or 0 to 255"
        )
    grey = array if array.dtype == np.uint8 else array.astype(np.float32) / np.float32(top)
    if colour:
        weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
        scale = np.float32(255 if grey.dtype == np.uint8 else 1)
        grey = grey[..., 0] if grey.shape[-1] == 1 else grey[..., :3] @ weights / scale
    return Pictures(source, "array", grey.reshape(shape), listed=grey.ndim == 3)
