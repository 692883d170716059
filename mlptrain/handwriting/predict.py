"""Predictions for image files: each image as the network receives it, and the outputs for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from mlptrain.engine.arrays import Bytes, Floats
from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting.digit import Digit, find_digit
from mlptrain.handwriting.reading import STANDARD_INPUT, Images, read_images
from mlptrain.models.augmentation import mean_outputs_of_copies
from mlptrain.models.model import PIXEL_SCALE, Model
from mlptrain.system.html import Cell, bar, fragment, grey_image, note, row, table

MAX_BACKGROUND = 0.13  # brightness of the background of an image like those of MNIST

_BATCH_SIZE = 1_000


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    ``image`` is the name of the file, with an index if it contains a list. ``label`` is the predicted class,
    ``probabilities`` the outputs per class, and ``seen`` (height, width) the input of the network, in [0, 1].
    ``warning`` says why the image may not contain one digit; it is empty if nothing is unusual.
    ``class_names`` are those of the model.
    """

    image: str
    label: str
    probabilities: tuple[float, ...]
    seen: Floats
    warning: str = ""
    class_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        probability, warning = max(self.probabilities), f", warning={self.warning!r}" if self.warning else ""
        return f"Prediction(image={self.image!r}, label={self.label!r}, probability={probability:.4f}{warning})"

    def _repr_html_(self) -> str:
        """Return the input of the network and the outputs, for notebooks."""
        names = self.class_names or tuple(map(str, range(len(self.probabilities))))
        outputs = zip(names, self.probabilities, strict=True)
        rows: list[list[Cell]] = [[name, (f"{output:.4f}", bar(output))] for name, output in outputs]
        return fragment(
            f"{self.image}: {self.label} ({max(self.probabilities):.1%})",
            *([note(f"warning: {self.warning}")] if self.warning else []),
            row(grey_image(self.seen.tolist(), "input of the network", scale=6), table(("class", "probability"), rows)),
        )


@dataclass(frozen=True)
class Rejection:
    """An image, or a whole file, that cannot be classified, and the error that says why."""

    image: str
    error: DataError


def predict_images(model: Model, sources: Sequence[str], augment: int | None = None) -> list[Prediction | Rejection]:
    """Classify the images in files, or in standard input for ``-``.

    With ``augment`` the outputs are averaged over that number of deformed copies of each image.

    A file that cannot be read, and an image that contains no digit or does not fit the model, gives a `Rejection`.

    Images of the size of the model's inputs are used unchanged if they have a black background or come from an IDX
    file. In all others a digit is located.

    Raises
    ------
    DataError
        The outputs of the model are not finite.
    UsageError
        There is no source, or standard input occurs twice, or a library is missing, or ``augment`` is given and the
        model was trained without augmentation.
    """
    if not sources:
        raise UsageError("no image to classify\nhint: name at least one file")
    if sources.count(STANDARD_INPUT) > 1:
        raise UsageError("standard input (-) can be read only once\nhint: remove all but one -")
    inputs = model.architecture.layers[0]
    results: list[Prediction | Rejection] = []
    for source in sources:
        try:
            images = _rows_as_images(read_images(source), inputs)
        except DataError as error:
            results.append(Rejection(source, error))
            continue
        for start in range(0, len(images.pixels), _BATCH_SIZE):
            chunk = enumerate(images.pixels[start : start + _BATCH_SIZE], start)
            named = [(f"{source}[{index}]" if images.is_list else source, image) for index, image in chunk]
            results += _predict_batch(model, named, images.kind, augment)
    return results


def _predict_batch(
    model: Model, named: Sequence[tuple[str, Bytes | Floats]], kind: str, augment: int | None
) -> list[Prediction | Rejection]:
    """Classify images (height, width), each given with its name."""
    digits: list[Digit | Rejection] = []
    for name, image in named:
        try:
            digits.append(_network_input(name, image, kind, model.architecture.layers[0]))
        except DataError as error:
            digits.append(Rejection(name, error))
    seen = [digit.pixels for digit in digits if isinstance(digit, Digit)]
    outputs: Iterator[Floats] = iter(_outputs(model, np.stack(seen), augment) if seen else ())
    results: list[Prediction | Rejection] = []
    for (name, _), digit in zip(named, digits, strict=True):
        if isinstance(digit, Digit):
            output = next(outputs)
            label = model.class_names[int(output.argmax())]
            probabilities = tuple(output.tolist())
            results.append(Prediction(name, label, probabilities, digit.pixels, digit.warning, model.class_names))
        else:
            results.append(digit)
    return results


def _outputs(model: Model, images: Floats, augment: int | None) -> Floats:
    return model.probabilities(images) if augment is None else mean_outputs_of_copies(model, images, augment)


def _rows_as_images(images: Images, inputs: int) -> Images:
    """Return an array (n, inputs) as n square images, and all other images unchanged."""
    count, height, width = images.pixels.shape
    side = isqrt(inputs)
    if images.kind != "array" or images.is_list or width != inputs or side * side != inputs:
        return images
    return replace(images, pixels=images.pixels.reshape(count * height, side, side), is_list=height > 1)


def _network_input(name: str, image: Bytes | Floats, kind: str, inputs: int) -> Digit:
    """Return ``image``, or the digit in it, as an image of the size of the model's inputs."""
    side = isqrt(inputs)
    if image.min() == image.max():
        raise DataError(f"{name}: all pixels have the same colour\nexpected an image of a digit")
    fits = image.shape == (side, side) or (image.size == inputs and side * side != inputs)
    if fits and (kind == "dataset" or _background(image) <= MAX_BACKGROUND):
        pixels = image.astype(np.float32)
        if image.dtype == np.uint8:
            pixels /= PIXEL_SCALE
        return Digit(pixels, "")
    if side * side != inputs:
        height, width = image.shape
        raise DataError(
            f"{name}: image has {height} x {width} pixels, but the model has {inputs} inputs\n"
            "hint: use images of the size that the model was trained on"
        )
    digit = find_digit(image, side)
    if digit is None:
        raise DataError(
            f"{name}: no digit found\n"
            "expected one digit with a margin around it, dark on a light background or light on a dark one"
        )
    return digit


def _background(image: Bytes | Floats) -> float:
    """Return the median brightness along the edges, in [0, 1]."""
    edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return float(np.median(edges)) / (255 if image.dtype == np.uint8 else 1)
