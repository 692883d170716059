from __future__ import annotations

import dataclasses
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mlptrain.datasets.dataset import find_files, load_dataset, read_files
from mlptrain.datasets.idx import write_idx
from mlptrain.errors import DataError

IMAGES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)
OFFICIAL = {
    "train-images-idx3-ubyte": IMAGES[:3],
    "train-labels-idx1-ubyte": LABELS[:3],
    "t10k-images-idx3-ubyte": IMAGES[3:],
    "t10k-labels-idx1-ubyte": LABELS[3:],
}


def fill(folder: Path, ending: str = ".gz", dotted: bool = False, **changed: np.ndarray | None) -> Path:
    """Write the four small files; ``changed`` replaces one by its role, None leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, array in OFFICIAL.items():
        role = "_".join(stem.replace("t10k", "test").split("-")[:2])
        entry = changed.get(role, array)
        if entry is not None:
            write_idx(folder / f"{stem.replace('-idx', '.idx') if dotted else stem}{ending}", entry)
    return folder


def refusal(name: str, data_dir: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        load_dataset(name, data_dir)
    assert caught.value.exit_code == 3
    lines = str(caught.value).split("\n")
    assert len(lines) == 3
    return lines


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_own_folder(tmp_path: Path, ending: str, dotted: bool) -> None:
    folder = fill(tmp_path / "own", ending, dotted)
    dataset = load_dataset(str(folder), tmp_path / "data")
    assert dataset.name == str(folder)
    assert dataset.images.tolist() == IMAGES.reshape(5, 6).tolist()
    assert dataset.labels.tolist() == [3, 1, 4, 1, 5]
    assert dataset.images.flags.c_contiguous
    assert dataset.images.dtype == dataset.labels.dtype == np.uint8
    assert dataset.train_count == 3
    assert dataset.shape == (2, 3)
    assert dataset.class_names == tuple("0123456789")
    assert dataset.classes == 10
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"  # type: ignore[misc]


def test_own_folder_without_test_pair(tmp_path: Path) -> None:
    dataset = load_dataset(str(fill(tmp_path, test_images=None, test_labels=None)), tmp_path / "data")
    assert dataset.train_count == len(dataset.labels) == len(dataset.images) == 3


def test_own_folder_is_not_written_to(tmp_path: Path) -> None:
    before = sorted(fill(tmp_path / "own").iterdir())
    load_dataset(str(tmp_path / "own"), tmp_path / "data")
    assert sorted((tmp_path / "own").iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "own")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_dataset("~/own", tmp_path / "data").train_count == 3
    assert "no such folder" in refusal("~nobody-of-this-name/own", tmp_path)[0]


def test_more_than_ten_classes(tmp_path: Path) -> None:
    folder = fill(tmp_path, train_labels=np.array([0, 12, 3], np.uint8))
    assert load_dataset(str(folder), tmp_path).class_names == tuple(str(n) for n in range(13))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_registered(tmp_path: Path, ending: str) -> None:
    fill(tmp_path / "fashion-mnist", ending)
    dataset = load_dataset("fashion-mnist", tmp_path)
    assert dataset.name == "fashion-mnist"
    assert dataset.train_count == 3
    assert dataset.class_names[:2] == ("T-shirt/top", "Trouser")
    assert dataset.class_names[-1] == "Ankle boot"


def test_published_file_goes_before_the_unpacked_one(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    fill(tmp_path / "mnist", "", train_labels=np.array([7, 7, 7], np.uint8))
    assert load_dataset("mnist", tmp_path).labels.tolist() == [3, 1, 4, 1, 5]


def test_fingerprint_is_of_contents_and_division(tmp_path: Path) -> None:
    first = load_dataset(str(fill(tmp_path / "a")), tmp_path).fingerprint
    assert first.startswith("sha256:") and len(first) == 7 + 64
    assert load_dataset(str(fill(tmp_path / "b", "")), tmp_path).fingerprint == first
    fill(tmp_path / "mnist")
    assert load_dataset("mnist", tmp_path).fingerprint == first

    others = [
        fill(tmp_path / "c", train_images=IMAGES[:3] + 1),
        fill(tmp_path / "d", test_labels=np.array([1, 6], np.uint8)),
        fill(
            tmp_path / "e",
            train_images=IMAGES[:3].transpose(0, 2, 1),
            test_images=IMAGES[3:].reshape(2, 3, 2),
        ),
        fill(
            tmp_path / "f",
            train_images=IMAGES[:2],
            train_labels=LABELS[:2],
            test_images=IMAGES[2:],
            test_labels=LABELS[2:],
        ),
    ]
    assert len({first, *(load_dataset(str(folder), tmp_path).fingerprint for folder in others)}) == 5


def test_files_are_read_without_a_second_copy(tmp_path: Path) -> None:
    train, test = np.ones((3000, 28, 28), np.uint8), np.zeros((1000, 28, 28), np.uint8)
    labels = np.zeros(3000, np.uint8)
    fill(tmp_path, train_images=train, train_labels=labels, test_images=test, test_labels=labels[:1000])
    tracemalloc.start()
    dataset = load_dataset(str(tmp_path), tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dataset.images.nbytes == 4000 * 784
    assert peak < 1.25 * dataset.images.nbytes


def test_finding_and_reading_are_apart(tmp_path: Path) -> None:
    files = find_files(str(fill(tmp_path)), tmp_path)
    assert files.train.images.name == "train-images-idx3-ubyte.gz"
    assert files.test is not None and files.test.labels.name == "t10k-labels-idx1-ubyte.gz"
    images, labels, train_count = read_files(files)
    assert images.tolist() == IMAGES.tolist()
    assert labels.tolist() == LABELS.tolist()
    assert train_count == 3


def test_registered_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, expected, remedy = refusal("kmnist", Path("data"))
    assert found == f"{Path('data/kmnist')}: does not hold the dataset"
    assert expected.startswith("expected the four files of KMNIST")
    assert remedy == "run `mlptrain download kmnist`, or set `dataset: sample`"


def test_registered_not_downloaded_elsewhere(tmp_path: Path) -> None:
    remedy = refusal("mnist", tmp_path / "my data")[2]
    assert remedy == f"run `mlptrain download mnist --data-dir '{tmp_path}/my data'`, or set `dataset: sample`"


def test_registered_half_downloaded(tmp_path: Path) -> None:
    fill(tmp_path / "mnist", test_images=None, train_labels=None)
    found, _, remedy = refusal("mnist", tmp_path)
    names = "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz"
    assert found == f"{tmp_path / 'mnist'}: {names} missing"
    assert "mlptrain download mnist" in remedy


def test_missing_folder(tmp_path: Path) -> None:
    found, expected, remedy = refusal(str(tmp_path / "mnits"), tmp_path)
    assert found == f"{tmp_path / 'mnits'}: no such folder, and not the name of a dataset"
    assert expected == "expected sample, mnist, fashion-mnist, kmnist, or a folder of IDX files"
    assert remedy == "check the spelling and the working folder"


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"")
    assert refusal(str(tmp_path / "own"), tmp_path)[0].startswith(f"{tmp_path / 'own'}: is not a folder")


def test_empty_folder(tmp_path: Path) -> None:
    found, expected, remedy = refusal(str(tmp_path), tmp_path)
    assert found == f"{tmp_path}: holds no IDX files"
    assert "train-images-idx3-ubyte" in expected and "train-labels-idx1-ubyte" in expected
    assert remedy == "put these files there, or name another folder"


def test_only_a_test_pair(tmp_path: Path) -> None:
    folder = fill(tmp_path, train_images=None, train_labels=None)
    assert refusal(str(folder), tmp_path)[0] == f"{folder}: holds a t10k pair but no training pair"


@pytest.mark.parametrize(
    ("lacking", "there", "wanted"),
    [
        ("train_images", "train-labels-idx1-ubyte", "train-images-idx3-ubyte"),
        ("train_labels", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("test_images", "t10k-labels-idx1-ubyte", "t10k-images-idx3-ubyte"),
        ("test_labels", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
    ],
)
def test_half_a_pair(tmp_path: Path, lacking: str, there: str, wanted: str) -> None:
    found, expected, remedy = refusal(str(fill(tmp_path, ".gz", False, **{lacking: None})), tmp_path)
    assert found == f"{tmp_path / there}.gz: the other half of the pair is missing"
    assert expected == f"expected {wanted} beside it, with or without .gz"
    assert remedy == "add that file, or take this one away"


def test_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    found, _, remedy = refusal(str(tmp_path), tmp_path)
    assert found.endswith(": cannot be read: permission denied") and found.startswith(str(tmp_path))
    assert remedy == "check the path and its permissions"


def test_damaged_file(tmp_path: Path) -> None:
    path = fill(tmp_path) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-3])
    assert refusal(str(tmp_path), tmp_path)[0] == f"{path}: the gzip data end early"


def test_labels_and_images_differ_in_number(tmp_path: Path) -> None:
    found, expected, remedy = refusal(str(fill(tmp_path, test_labels=LABELS)), tmp_path)
    assert found == f"{tmp_path / 't10k-images-idx3-ubyte.gz'}: 2 images"
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    assert expected == f"expected as many labels as images, but {labels} holds 5"
    assert remedy == "put files together that belong to one dataset"


def test_training_and_test_images_differ_in_shape(tmp_path: Path) -> None:
    folder = fill(tmp_path, test_images=np.ones((2, 3, 2), np.uint8))
    found, expected, remedy = refusal(str(folder), tmp_path)
    assert found == f"{folder / 'train-images-idx3-ubyte.gz'}: images of 2 x 3 pixels"
    assert expected == f"expected those of {folder / 't10k-images-idx3-ubyte.gz'} to be the same, not 3 x 2"
    assert remedy == "put files together that belong to one dataset"


def test_label_above_99(tmp_path: Path) -> None:
    folder = fill(tmp_path, test_labels=np.array([99, 100], np.uint8))
    found, expected, remedy = refusal(str(folder), tmp_path)
    assert found == f"{folder / 't10k-labels-idx1-ubyte.gz'}: label 100 at entry 1 (counted from 0)"
    assert expected == "expected labels from 0 to 99"
    assert remedy == "correct the labels and make the file again"


def test_registered_labels_are_digits(tmp_path: Path) -> None:
    fill(tmp_path / "mnist", train_labels=np.array([1, 10, 9], np.uint8))
    found, expected, _ = refusal("mnist", tmp_path)
    assert found == f"{tmp_path / 'mnist' / 'train-labels-idx1-ubyte.gz'}: label 10 at entry 1 (counted from 0)"
    assert expected == "expected labels from 0 to 9"


@pytest.mark.mnist
@pytest.mark.skipif("MLPTRAIN_DATA_DIR" not in os.environ, reason="MLPTRAIN_DATA_DIR is not set")
def test_mnist() -> None:
    dataset = load_dataset("mnist", Path(os.environ["MLPTRAIN_DATA_DIR"]))
    assert dataset.images.shape == (70_000, 784)
    assert dataset.train_count == 60_000
    assert np.bincount(dataset.labels[:60_000]).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    ]
    assert dataset.labels[60_000:60_005].tolist() == [7, 2, 1, 0, 4]
    images = {image.tobytes() for image in dataset.images[:60_000]}
    sample = load_dataset("sample", Path())
    assert all(image.tobytes() in images for image in sample.images), "the sample is of the training file"
