from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlptrain.config.registry import DATASET_NAMES, DATASETS, SAMPLE


def test_names_are_unique() -> None:
    assert DATASET_NAMES[0] == SAMPLE and DATASET_NAMES[1:] == tuple(DATASETS)
    assert len(set(DATASET_NAMES)) == len(DATASET_NAMES)
    assert all(name == info.name for name, info in DATASETS.items())
    assert {"mnist", "fashion-mnist", "kmnist"} <= set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_is_complete(name: str) -> None:
    info = DATASETS[name]
    assert [file.name for file in info.files] == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    assert all(re.fullmatch("[0-9a-f]{32}", file.md5) for file in info.files)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in info.files)
    assert len(set(info.class_names)) == len(info.class_names) >= 10
    assert info.title and info.licence and info.attribution
    assert info.mirrors[0].startswith("https://")
    assert all(mirror.endswith("/") for mirror in info.mirrors)


def test_digests_are_unique() -> None:
    files = [file for info in DATASETS.values() for file in info.files]
    assert len({file.md5 for file in files}) == len({file.sha256 for file in files}) == len(files)


def test_importing_the_registry_does_not_import_numpy() -> None:
    code = "import sys, mlptrain.config.registry; sys.exit('numpy' in sys.modules)"
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    assert subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=False).returncode == 0


@pytest.mark.mnist
@pytest.mark.skipif("MLPTRAIN_DATA_DIR" not in os.environ, reason="MLPTRAIN_DATA_DIR is not set")
def test_digests_of_the_published_mnist_files() -> None:
    for file in DATASETS["mnist"].files:
        data = (Path(os.environ["MLPTRAIN_DATA_DIR"]) / "mnist" / file.name).read_bytes()
        assert len(data) == file.size
        assert hashlib.md5(data).hexdigest() == file.md5
        assert hashlib.sha256(data).hexdigest() == file.sha256
