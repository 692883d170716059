"""Test digits drawn on the exported page of a run: ``python -m tests.stress.drawing RUN [--count 200]``.

Replays the digits as strokes in Chromium, classifies a picture of each drawing with ``predict``, and prints both
accuracies, the largest differences, and the times per frame. The exit code is 1 if the two differ.
"""

from __future__ import annotations

import argparse
import base64
import sys
import tempfile
from pathlib import Path

import numpy as np

import mlptrain
from tests.browser import replay, trace


def main() -> int:
    """Draw, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    data = mlptrain.load_dataset("mnist")
    indices = np.arange(data.train_count, data.train_count + options.count)
    truth = data.labels[indices]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = mlptrain.export_run(options.run, "html", output=folder)
        shown = replay(page, [trace(image) for image in data.images[indices].reshape(-1, 28, 28)])
        files = [folder / f"{index}.png" for index in indices]
        for file, result in zip(files, shown["results"], strict=True):
            file.write_bytes(base64.b64decode(result["picture"]))
        predictions = mlptrain.predict(options.run, files)
    results = shown["results"]
    drawn = np.array([int(result["label"]) for result in results])
    predicted = np.array([int(prediction.label) for prediction in predictions])
    seen = np.array([result["seen"] for result in results]) / 255
    pixels = np.abs(seen - [prediction.seen.ravel() for prediction in predictions]).max()
    found = np.array([result["outputs"] for result in results])
    outputs = np.abs(found - [prediction.probabilities for prediction in predictions]).max()
    print(f"accuracy: page {(drawn == truth).mean():.2%}, predict {(predicted == truth).mean():.2%}")
    print(f"labels that differ: {np.count_nonzero(drawn != predicted)} of {options.count}")
    print(f"largest difference: pixels {pixels:.5f} (rounded to 1/255), outputs {outputs:.5f} (rounded to 0.001)")
    print(f"ms per frame: median {np.median(shown['times']):.1f}, 95 % below {np.quantile(shown['times'], 0.95):.1f}")
    return int((drawn != predicted).any())


if __name__ == "__main__":
    sys.exit(main())
