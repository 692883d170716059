"""Image files of the supported formats, which are recognised by their content.

Files may be damaged or hostile: every declared size is compared with a limit before memory is allocated for it.
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
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from mlptrain.datasets.idx import read_idx_images
from mlptrain.engine.arrays import Bytes, Floats
from mlptrain.errors import DataError
from mlptrain.models.npz import parse_npy
from mlptrain.system.extras import require_extra
from mlptrain.system.files import reason

if TYPE_CHECKING:
    from PIL import Image

STANDARD_INPUT = "-"

MAX_BYTES = 2**28

MAX_PIXELS = 64_000_000

MAX_DECODED_BYTES = 128_000_000  # of the image in its decoder, plus one grey byte per pixel

MIN_JPEG_PIXELS = 1280  # on each side of a large JPEG image after the decoder has reduced it

_PNG, _JPEG, _NPY, _GZIP, _IDX = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\x93NUMPY", b"\x1f\x8b", b"\0\0\x08"

_EXPECTED = "expected a PNG or JPEG image, an .npy array, or an IDX file of images"

_EXPECTED_VALUES = "expected grey values in [0, 1] or 0 to 255\nhint: scale the array before it is saved"

_PIECE_BYTES = 2**20

_BAND_PIXELS = 2**20

_UPRIGHT: dict[object, Callable[[Bytes], Bytes]] = {
    2: np.fliplr,
    3: partial(np.rot90, k=2),
    4: np.flipud,
    5: np.transpose,
    6: partial(np.rot90, k=-1),
    7: lambda grey: np.rot90(grey, 2).T,
    8: np.rot90,
}
"""Functions that return an upright view of an image, by the orientation in its metadata (Exif 2.3, tag 274)."""

_UNSUPPORTED = (
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
class Images:
    """Grey images of one source: ``pixels`` (n, height, width), bytes or floats in [0, 1].

    ``is_list`` is True if the source contains a list of images, which may have one element.
    """

    kind: Literal["photograph", "array", "dataset"]
    pixels: Bytes | Floats
    is_list: bool


def read_images(source: str) -> Images:
    """Read the images in the file ``source``, or in standard input for ``-``.

    Raises
    ------
    DataError
        The file is missing, unreadable, damaged, too large, or has an unsupported format.
    UsageError
        The file is a PNG or JPEG image, and the library that decodes it is not installed.
    """
    name = "standard input" if source == STANDARD_INPUT else source
    with _open(source, name) as stream:
        head = stream.read(16)
        stream.seek(0)
        if not head:
            raise DataError(f"{name}: file is empty\n{_EXPECTED}")
        if head.startswith((_PNG, _JPEG)):
            grey = _decode(stream, name, png=head.startswith(_PNG))
            return Images("photograph", grey[np.newaxis], is_list=False)
        if head.startswith(_NPY):
            return _from_array(_read_array(stream, name), name)
        if head.startswith((_GZIP, _IDX)):
            images = read_idx_images(stream, name, limit=MAX_BYTES)
            return Images("dataset", images.reshape(-1, *images.shape[-2:]), is_list=images.ndim == 3)
    other = next((words for start, magic, words in _UNSUPPORTED if head[start:].startswith(magic)), None)
    found = f"{other} is not supported" if other else f"begins with {head[:4].hex(' ')}, like no supported format"
    raise DataError(f"{name}: {found}\n{_EXPECTED}\nhint: save or convert it as PNG or JPEG")


@contextmanager
def _open(source: str, name: str) -> Iterator[BinaryIO]:
    """Open ``source`` as a stream that can seek; pipes are read into memory."""
    try:
        if source == STANDARD_INPUT:
            yield _read_whole(sys.stdin.buffer, name)
            return
        path = Path(source)
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{name}: is a folder\nhint: name the images in it, for example {path / '*.png'}")
        with path.open("rb") as stream:
            yield stream if stat.S_ISREG(mode) else _read_whole(stream, name)
    except FileNotFoundError as error:
        raise DataError(f"{name}: no such file\n{_EXPECTED}") from error
    except (OSError, ValueError) as error:  # ValueError: the name contains a null byte
        words = reason(error) if isinstance(error, OSError) else str(error)
        raise DataError(f"{name}: cannot be read: {words}\n{_EXPECTED}") from error


def _read_whole(stream: BinaryIO, name: str) -> BinaryIO:
    content = bytearray()
    while piece := stream.read(_PIECE_BYTES):
        content += piece
        _check_bytes(len(content), name)
        if not content.startswith((_PNG, _JPEG, _NPY, _GZIP, _IDX)):
            break  # the format is unsupported, and the stream may be endless
    return io.BytesIO(content)


def _check_bytes(count: int, name: str) -> None:
    if count > MAX_BYTES:
        raise DataError(f"{name}: more than {MAX_BYTES} bytes\nhint: use a smaller file")


def _decode(stream: BinaryIO, name: str, *, png: bool) -> Bytes:
    """Return the grey bytes (height, width) of a PNG or JPEG image, upright."""
    require_extra("PIL", "images", f"{name}: reading PNG and JPEG")
    from PIL import ExifTags
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = PngImageFile(stream) if png else JpegImageFile(stream)
            _check_pixels(image.size, name)
            if "progressive" in image.info:  # the decoder then needs two bytes per band, even if it reduces the image
                _check_pixels(image.size, name, 2 * len(image.getbands()))
            image.draft("L", (MIN_JPEG_PIXELS, MIN_JPEG_PIXELS))  # no effect on PNG
            _check_pixels(image.size, name, 1 if image.mode in ("1", "L", "P") else 4)
            grey = _to_grey(image)
            upright = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
            return upright(grey) if upright else grey
    except DataError:
        raise
    except Exception as error:  # decoders raise errors of any type for damaged files
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = "PNG" if png else "JPEG"
        raise DataError(f"{name}: damaged or cut short ({words[:100]})\nexpected a complete {kind} file") from error


def _check_pixels(size: tuple[int, int], name: str, decoded: int = 1) -> None:
    """Check that an image, with ``decoded`` bytes per pixel in its decoder, is not too large."""
    width, height = size
    limit = min(MAX_PIXELS, MAX_DECODED_BYTES // (decoded + 1))
    if width * height > limit:
        each, other = (f" of {decoded} bytes", " or a grey") if decoded > 1 else ("", "")
        raise DataError(
            f"{name}: image has {width} x {height} pixels{each}\n"
            f"expected at most {limit // 10**6} million pixels{each}\n"
            f"hint: use a smaller{other} image"
        )


def _to_grey(image: Image.Image) -> Bytes:
    """Return a Pillow image as grey bytes (height, width), converted in bands of rows to save memory.

    The background of a transparent image is white, or black if the image would have only one colour.
    """
    width, height = image.size
    grey, rows = np.empty((height, width), np.uint8), max(1, _BAND_PIXELS // width)
    transparent = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    for paper in (255, 0) if transparent else (None,):
        for top in range(0, height, rows):
            band = image.crop((0, top, width, min(top + rows, height)))
            grey[top : top + rows] = _grey_band(band, paper)
        if paper is None or grey.min() != grey.max():
            break
    return grey


def _grey_band(band: Image.Image, paper: int | None) -> Bytes:
    """Return a band as grey bytes, with ``paper`` as the brightness of a transparent background."""
    from PIL import Image

    if band.mode.startswith("I") or band.mode == "F":  # 16 bits per pixel
        return np.clip(np.asarray(band, np.float32) / 257, 0, 255).astype(np.uint8)
    if paper is not None:
        sheet = Image.new("RGBA", band.size, (paper, paper, paper, 255))
        band = Image.alpha_composite(sheet, band.convert("RGBA"))
    return np.asarray(band.convert("L"))


def _read_array(stream: BinaryIO, name: str) -> NDArray[Any]:
    _check_bytes(stream.seek(0, io.SEEK_END), name)
    stream.seek(0)
    try:
        array = parse_npy(stream.read(), name)
    except ValueError as error:
        raise DataError(f"{error}\nexpected numbers saved by np.save without pickling") from error
    if array.size == 0 or array.dtype.kind == "U":
        raise DataError(f"{name}: array has shape {array.shape} and type {array.dtype}\nexpected grey images")
    return array


def _from_array(array: NDArray[Any], name: str) -> Images:
    """Return the images in an array: (height, width), (height, width, channels), a list (n, …) of either, or one row.

    There are 1, 3 or 4 channels. Integers are in 0 to 255; floats are in [0, 1], or in 0 to 255 if one exceeds 1.
    """
    colour = array.ndim > 2 and array.shape[-1] in (1, 3, 4)
    shape = (1, 1, 1, *(array.shape[:-1] if colour else array.shape))[-3:]
    if array.ndim - colour not in (1, 2, 3):
        raise DataError(f"{name}: array has shape {array.shape}\nexpected (height, width) or (n, height, width)")
    _check_pixels((shape[2], shape[1]), name)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{name}: array has values that are not finite\n{_EXPECTED_VALUES}")
    top = 1 if array.dtype.kind == "b" or (array.dtype.kind == "f" and array.max() <= 1) else 255
    if array.min() < 0 or array.max() > top:
        raise DataError(f"{name}: array has values from {array.min():g} to {array.max():g}\n{_EXPECTED_VALUES}")
    grey = array if array.dtype == np.uint8 else array.astype(np.float32) / np.float32(top)
    if colour:
        weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
        scale = np.float32(255 if grey.dtype == np.uint8 else 1)
        grey = grey[..., 0] if grey.shape[-1] == 1 else grey[..., :3] @ weights / scale
    return Images("array", grey.reshape(shape), is_list=grey.ndim == 3)
