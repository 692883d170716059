"""Make the photographs that the README tries ``mlptrain predict`` on: ``python tools/make_photographs.py``.

Digits of the embedded sample, as ink on paper and as chalk on a board; the same bytes each time with the same Pillow.
"""

from __future__ import annotations

import io
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.photographs import photograph
from mlptrain.datasets.dataset import load_dataset

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "photographs"
PICTURES = {"seven.jpg": (7, True), "two.jpg": (2, False)}
"""The label and whether it is dark on light, by file."""


def main() -> None:
    """Write the files of `PICTURES`, each the first of its kind that is neither large nor tiny."""
    digits = load_dataset("sample", Path("data"))
    FOLDER.mkdir(exist_ok=True)
    for name, (label, dark) in PICTURES.items():
        digit = digits.images[np.flatnonzero(digits.labels == label)[12]].reshape(28, 28)
        made = (photograph(digit, np.random.default_rng(seed)) for seed in count())
        chosen = next(p for p in made if p.dark_on_light == dark and 350 < p.width < 600)
        image = Image.open(io.BytesIO(chosen.content))
        image.thumbnail((320, 320))
        image.save(FOLDER / name, "JPEG", quality=70)
        print(FOLDER / name)


if __name__ == "__main__":
    main()
