"""Accuracy of ``mlptrain predict`` on simulated photographs: ``python -m benchmarks.photographs RUN``.

Digits of the run's test split are drawn as ink on paper or chalk on a board, anywhere in an image of 300 to 2,000
pixels, with uneven light, shadows, blur, noise, specks and JPEG artefacts. The script measures the accuracy of the
run's model on the photographs and on the original digits.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

SIZES = (300, 2000)


@dataclass(frozen=True)
class Photograph:
    """The bytes of an image file, its width and its kind."""

    content: bytes
    width: int
    dark_on_light: bool


def photograph(digit: np.ndarray, rng: np.random.Generator, sizes: tuple[int, int] = SIZES) -> Photograph:
    """Return a photograph of ``digit`` (28, 28) bytes, light on dark as in MNIST, with a width within ``sizes``."""
    width = int(np.exp(rng.uniform(*np.log(sizes))))
    height = round(width * rng.uniform(0.65, 1.4))
    dark = bool(rng.random() < 0.65)
    ink, drawn = _ink(digit, height, width, rng)
    paper = rng.uniform(0.55, 0.95) if dark else rng.uniform(0.08, 0.3)
    stroke = rng.uniform(0.05, 0.3) if dark else rng.uniform(0.65, 0.95)
    surface = paper + rng.uniform(0, 0.03) * _clouds(height, width, 40, rng)  # with its grain
    scene = (surface * (1 - ink) + stroke * ink) * _light(height, width, rng)
    tint = 1 + rng.uniform(-0.08, 0.08, 3)
    colours = np.clip(scene[..., np.newaxis] * tint, 0, 1)
    image = Image.fromarray((colours * 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.02) * drawn))
    noise = rng.normal(0, rng.uniform(0.005, 0.04), (height, width, 1))
    pixels = np.clip(np.asarray(image) / 255 + noise, 0, 1)
    stream = io.BytesIO()
    image = Image.fromarray((pixels * 255).astype(np.uint8))
    if rng.random() < 0.85:
        image.save(stream, "JPEG", quality=int(rng.integers(35, 96)))
    else:
        image.save(stream, "PNG", compress_level=1)
    return Photograph(stream.getvalue(), width, dark)


def _ink(digit: np.ndarray, height: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return the ink on each pixel in [0, 1], a digit at a random position plus specks, and its size in pixels."""
    size = int(min(height, width) * rng.uniform(0.25, 0.95))
    frame = Image.fromarray(digit).resize((size, size), Image.Resampling.BICUBIC)
    sharp = rng.uniform(1, 4)  # a pen's edges are sharper than those of 28 x 28 pixels
    drawn = np.clip((np.asarray(frame) / 255 - 0.5) * sharp + 0.5, 0, 1)
    ink = np.zeros((height, width))
    top, left = (int(rng.integers(0, room + 1)) for room in (height - size, width - size))
    ink[top : top + size, left : left + size] = drawn
    for _ in range(rng.integers(0, 6)):
        radius = max(1, round(rng.uniform(0.002, 0.01) * size))
        y, x = int(rng.integers(0, height)), int(rng.integers(0, width))
        ink[max(0, y - radius) : y + radius, max(0, x - radius) : x + radius] = rng.uniform(0.3, 1)
    return ink, size


def _light(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return the light on each pixel: a gradient, a vignette, and sometimes the soft edge of a shadow."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    across = x * np.cos(angle) + y * np.sin(angle)
    light: np.ndarray = 1 - rng.uniform(0, 0.3) * (1 + across) / 2 - rng.uniform(0, 0.2) * (x * x + y * y) / 2
    if rng.random() < 0.5:
        angle, place, softness = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6), rng.uniform(0.03, 0.3)
        beyond = (x * np.cos(angle) + y * np.sin(angle) - place) / softness
        light *= 1 - rng.uniform(0.15, 0.4) / (1 + np.exp(-np.clip(beyond, -50, 50)))
    light += rng.uniform(0, 0.03) * _clouds(height, width, 5, rng)
    return light


def _clouds(height: int, width: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise with about ``cells`` bumps per side."""
    noise = Image.fromarray(rng.normal(0, 1, (cells, cells)).astype(np.float32))
    return np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))


def measure(run: str, count: int, seed: int, data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return three boolean arrays for ``count`` test digits: original correct, photograph correct, dark on light."""
    import mlptrain
    from mlptrain.datasets.split import make_split
    from mlptrain.runs.folder import load_run_config
    from mlptrain.runs.locate import find_run

    config, model = load_run_config(find_run(run)), mlptrain.load_model(run)
    data = mlptrain.load_dataset(config.dataset, data_dir=data_dir)
    split = make_split(data, config.split, seed=config.split_seed, subset=config.subset)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(split.test, min(count, len(split.test)), replace=False)
    plain = model.predict(data.images[chosen]) == data.labels[chosen]
    hits, dark = [], []
    with tempfile.TemporaryDirectory() as folder:
        for index in chosen:
            made = photograph(data.images[index].reshape(data.shape), rng)
            path = Path(folder) / "photograph"
            path.write_bytes(made.content)
            (found,) = mlptrain.predict(model, [path])
            hits.append(found.label == model.class_names[data.labels[index]])
            dark.append(made.dark_on_light)
    return plain, np.array(hits), np.array(dark)


def main() -> None:
    """Print the accuracies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run folder, for example of configs/mnist.yaml")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    plain, hits, dark = measure(options.run, options.count, options.seed)
    print(f"{len(hits)} digits of the test split, seed {options.seed}")
    print(f"original digits   {plain.mean():.4f}")
    print(f"photographs       {hits.mean():.4f}")
    print(f"  dark on light   {hits[dark].mean():.4f} of {dark.sum()}")
    print(f"  light on dark   {hits[~dark].mean():.4f} of {(~dark).sum()}")


if __name__ == "__main__":
    main()
