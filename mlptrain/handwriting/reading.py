"""Pictures from files of any kind that may hold them, or from standard input, recognised by their content.

Files come from anywhere: every size is held against a limit before memory is taken for it.
"""

from __future__ import annotations

import io
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from mlptrain.datasets.idx import read_idx_images
from mlptrain.errors import DataError
from mlptrain.models.npz import parse_npy
from mlptrain.system.extras import need
from mlptrain.system.files import reason

if TYPE_CHECKING:
    from PIL import Image

STANDARD_INPUT = "-"

MAX_BYTES = 2**28

MAX_PIXELS = 64_000_000

MAX_DECODED = 128_000_000  # bytes: the image in its decoder, and a grey byte a pixel

LEAST_DECODED = 1280  # pixels that the sides of a JPEG file keep, of which the decoder reduces larger ones

_PNG, _JPEG, _NPY, _GZIP, _IDX = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY", b"\x1f\x8b", b"\0\0\x08"

_EXPECTED = "expected a PNG or JPEG image, an .npy array, or an IDX file of images"

_PIECE = 2**20

_BAND = 2**20  # pixels that are made grey at a time

_UPRIGHT: dict[object, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: partial(np.rot90, k=2),
    4: np.flipud,
    5: np.transpose,
    6: partial(np.rot90, k=-1),
    7: lambda grey: np.rot90(grey, 2).T,
    8: np.rot90,
}
"""By the orientation that a camera notes (Exif 2.3, tag 274): the view in which its picture is upright, no copy."""

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
    from PIL import ExifTags
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = PngImageFile(stream) if png else JpegImageFile(stream)
            _check_pixels(image.size, name)
            if "progressive" in image.info:  # its decoder holds two bytes for each colour of a pixel, however drafted
                _check_pixels(image.size, name, 2 * len(image.getbands()))
            image.draft("L", (LEAST_DECODED, LEAST_DECODED))  # only JPEG files have it
            _check_pixels(image.size, name, 1 if image.mode in ("1", "L", "P") else 4)
            grey: np.ndarray = _grey(image)
            upright = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
            return upright(grey) if upright else grey
    except DataError:
        raise
    except Exception as error:  # decoders meet hostile bytes with errors of every type
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "PNG" if png else "JPEG"
        raise DataError(f"{name}: damaged or cut short ({words[:100]})\nexpected a whole {kind} file") from error


def _check_pixels(size: tuple[int, int], name: str, decoded: int = 1) -> None:
    """Refuse an image of too many pixels, each of which takes ``decoded`` bytes in its decoder."""
    width, height = size
    most = min(MAX_PIXELS, MAX_DECODED // (decoded + 1))
    if width * height > most:
        kind, other = (f" of {decoded} bytes", ", or a grey one") if decoded > 1 else ("", "")
        raise DataError(
            f"{name}: {width} x {height} pixels{kind}\n"
            f"expected at most {most // 10**6} million{' such' if kind else ''}: give a smaller image{other}"
        )


def _grey(image: Image.Image) -> np.ndarray:
    """An image of Pillow as grey bytes (height, width), a band of rows at a time; what is transparent is paper."""
    width, height = image.size
    grey, rows = np.empty((height, width), np.uint8), max(1, _BAND // width)
    see_through = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    for paper in (255, 0) if see_through else (None,):  # white strokes on nothing need black behind them
        for top in range(0, height, rows):
            band = image.crop((0, top, width, min(top + rows, height)))
            grey[top : top + rows] = _grey_band(band, paper)
        if paper is None or grey.min() != grey.max():
            break
    return grey


def _grey_band(band: Image.Image, paper: int | None) -> np.ndarray:
    """Grey bytes of some rows, on ``paper`` of this brightness where they are transparent."""
    from PIL import Image

    if band.mode.startswith("I") or band.mode == "F":  # 16 bits a pixel
        return np.clip(np.asarray(band, np.float32) / 257, 0, 255).astype(np.uint8)
    if paper is not None:
        sheet = Image.new("RGBA", band.size, (paper, paper, paper, 255))
        band = Image.alpha_composite(sheet, band.convert("RGBA"))
    return np.asarray(band.convert("L"))


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
