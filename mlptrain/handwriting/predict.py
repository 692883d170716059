"""What a model says of pictures: each made into the image that the network sees, and its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting.digit import find_digit
from mlptrain.handwriting.reading import STANDARD_INPUT, Pictures, read_pictures
from mlptrain.models.model import Model

BLACK = 0.13  # the most that the background of an image like MNIST's may be

_BATCH = 1_000


@dataclass(frozen=True)
class Prediction:
    """A picture's name, what the network saw of it, (height, width) in [0, 1], and its outputs by class."""

    image: str
    label: str
    probabilities: tuple[float, ...]
    seen: np.ndarray


def predict_pictures(model: Model, sources: Sequence[str]) -> list[Prediction]:
    """Classify the pictures in files, or in standard input for ``-``.

    Images of the model's own size on black, and those of IDX files, are taken as they are; in anything else a
    digit is looked for.

    Raises
    ------
    DataError
        A file cannot be read, or there is no digit in a picture, or it does not fit the model.
    UsageError
        Nothing to read, standard input twice, or a library is missing.
    """
    if not sources:
        raise UsageError("no image to look at; give at least one")
    if sources.count(STANDARD_INPUT) > 1:
        raise UsageError("standard input, -, is given twice; it can be read once")
    predictions = []
    for source in sources:
        pictures = _unrolled(read_pictures(source), model.architecture.layers[0])
        images = pictures.pixels
        for start in range(0, len(images), _BATCH):
            names = [
                f"{source}[{index}]" if pictures.listed else source
                for index in range(start, min(start + _BATCH, len(images)))
            ]
            chunk = zip(names, images[start : start + _BATCH], strict=True)
            seen = np.stack([_seen(name, image, pictures.kind, model.architecture.layers[0]) for name, image in chunk])
            for name, image, output in zip(names, seen, model.probabilities(seen), strict=True):
                label = model.class_names[int(output.argmax())]
                predictions.append(Prediction(name, label, tuple(output.tolist()), image))
    return predictions


def _unrolled(pictures: Pictures, inputs: int) -> Pictures:
    """Rows as long as the model's inputs in an array (n, inputs) are images, one a row."""
    count, height, width = pictures.pixels.shape
    side = isqrt(inputs)
    if pictures.kind != "array" or pictures.listed or width != inputs or side * side != inputs:
        return pictures
    return replace(pictures, pixels=pictures.pixels.reshape(count * height, side, side), listed=height > 1)


def _seen(name: str, image: np.ndarray, kind: str, inputs: int) -> np.ndarray:
    """What the network gets of a picture, float32 in [0, 1]."""
    side = isqrt(inputs)
    if image.min() == image.max():
        raise DataError(f"{name}: one colour all over\nexpected a picture with a digit in it")
    fits = image.shape == (side, side) or (image.size == inputs and side * side != inputs)
    if fits and (kind == "dataset" or _background(image) <= BLACK):
        pixels = image.astype(np.float32)
        if image.dtype == np.uint8:
            pixels /= 255
        return pixels
    if side * side != inputs:
        height, width = image.shape
        raise DataError(
            f"{name}: {height} x {width} pixels; this model takes {inputs} numbers an image, which make no square\n"
            f"expected images of {inputs} pixels, as it was trained on"
        )
    digit = find_digit(image, side)
    if digit is None:
        raise DataError(
            f"{name}: no digit found, nothing stands out from the background\n"
            "expected one digit, dark on light or light on dark, with some room around it"
        )
    return digit


def _background(image: np.ndarray) -> float:
    """The usual brightness along the edges, in [0, 1]."""
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return float(np.median(edges)) / (255 if image.dtype == np.uint8 else 1)
