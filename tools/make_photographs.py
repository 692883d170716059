"""Generate the photographs for the examples of ``mlptrain predict``: ``python tools/make_photographs.py``.

They show digits of the embedded sample as ink on paper and as chalk on a board. The same version of Pillow gives the
same bytes.
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
PHOTOGRAPHS = {"seven.jpg": (7, True), "two.jpg": (2, False)}
"""Label, and whether it is dark on light, per file."""


def main() -> None:
    """Write the files of `PHOTOGRAPHS`, each the first of its kind with a medium width."""
    digits = load_dataset("sample", Path("data"))
    FOLDER.mkdir(exist_ok=True)
    for name, (label, dark) in PHOTOGRAPHS.items():
        digit = digits.images[np.flatnonzero(digits.labels == label)[12]].reshape(28, 28)
        made = (photograph(digit, np.random.default_rng(seed)) for seed in count())
        chosen = next(p for p in made if p.dark_on_light == dark and 350 < p.width < 600)
        image = Image.open(io.BytesIO(chosen.content))
        image.thumbnail((320, 320))
        image.save(FOLDER / name, "JPEG", quality=70)
        print(FOLDER / name)


if __name__ == "__main__":
    main()
