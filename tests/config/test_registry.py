from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlptrain.config.registry import DATASET_NAMES, DATASETS, SAMPLE


def test_names() -> None:
    assert SAMPLE == "sample"
    assert DATASET_NAMES == ("sample", "mnist", "fashion-mnist", "kmnist")
    assert tuple(DATASETS) == DATASET_NAMES[1:]
    assert all(name == info.name for name, info in DATASETS.items())


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_is_complete(name: str) -> None:
    info = DATASETS[name]
    assert {file.role: file.name for file in info.files} == {
        "train_images": "train-images-idx3-ubyte.gz",
        "train_labels": "train-labels-idx1-ubyte.gz",
        "test_images": "t10k-images-idx3-ubyte.gz",
        "test_labels": "t10k-labels-idx1-ubyte.gz",
    }
    assert all(re.fullmatch("[0-9a-f]{32}", file.md5) for file in info.files)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in info.files)
    assert len(set(info.class_names)) == 10
    assert info.title and info.licence and info.attribution
    assert info.mirrors[0].startswith("https://")
    assert all(mirror.endswith("/") for mirror in info.mirrors)


def test_no_digest_stands_twice() -> None:
    files = [file for info in DATASETS.values() for file in info.files]
    assert len({file.md5 for file in files}) == len({file.sha256 for file in files}) == 12


def test_nothing_can_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DATASETS["mnist"].name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        DATASETS["other"] = DATASETS["mnist"]  # type: ignore[index]


def test_imports_no_numpy() -> None:
    code = "import sys, mlptrain.config.registry; sys.exit('numpy' in sys.modules)"
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": root}
    assert subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=False).returncode == 0


@pytest.mark.mnist
@pytest.mark.skipif("MLPTRAIN_DATA_DIR" not in os.environ, reason="MLPTRAIN_DATA_DIR is not set")
def test_digests_of_the_real_files() -> None:
    for file in DATASETS["mnist"].files:
        data = (Path(os.environ["MLPTRAIN_DATA_DIR"]) / "mnist" / file.name).read_bytes()
        assert len(data) == file.size
        assert hashlib.md5(data).hexdigest() == file.md5
        assert hashlib.sha256(data).hexdigest() == file.sha256
