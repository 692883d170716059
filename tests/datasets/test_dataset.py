from __future__ import annotations

import dataclasses
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mlptrain.config.registry import DATASET_NAMES
from mlptrain.datasets.dataset import data_folder, find_files, load_dataset, read_files
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


def error_of(name: str, data_dir: Path) -> list[str]:
    """Return the lines of the message with which a dataset is refused."""
    with pytest.raises(DataError) as caught:
        load_dataset(name, data_dir)
    assert caught.value.exit_code == 3
    lines = str(caught.value).split("\n")
    assert len(lines) <= 3 and lines[-1].startswith("hint: ")
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
    assert error_of("~nobody-of-this-name/own", tmp_path)[0].startswith("~nobody-of-this-name/own: ")


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


def test_the_published_file_is_preferred_to_the_unpacked_one(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    fill(tmp_path / "mnist", "", train_labels=np.array([7, 7, 7], np.uint8))
    assert load_dataset("mnist", tmp_path).labels.tolist() == [3, 1, 4, 1, 5]


def test_fingerprint_depends_on_contents_and_division(tmp_path: Path) -> None:
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


def test_files_are_read_without_a_second_copy_in_memory(tmp_path: Path) -> None:
    train, test = np.ones((3000, 28, 28), np.uint8), np.zeros((1000, 28, 28), np.uint8)
    labels = np.zeros(3000, np.uint8)
    fill(tmp_path, train_images=train, train_labels=labels, test_images=test, test_labels=labels[:1000])
    tracemalloc.start()
    dataset = load_dataset(str(tmp_path), tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dataset.images.nbytes == 4000 * 784
    assert peak < 1.25 * dataset.images.nbytes


def test_files_are_found_before_they_are_read(tmp_path: Path) -> None:
    train, test = find_files(str(fill(tmp_path)), tmp_path)
    assert train.images.name == "train-images-idx3-ubyte.gz"
    assert test.labels.name == "t10k-labels-idx1-ubyte.gz"
    decoded = read_files((train, test))
    assert decoded.images.tolist() == IMAGES.tolist()
    assert decoded.labels.tolist() == LABELS.tolist()
    assert decoded.train_count == 3


def test_registered_dataset_that_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLPTRAIN_DATA_DIR", raising=False)
    (tmp_path / "data").mkdir()
    problem, hint = error_of("kmnist", Path("data"))
    assert problem.startswith(f"{tmp_path / 'data/kmnist'}: ")
    assert all(f"{stem}.gz" in problem for stem in OFFICIAL)
    assert "`mlptrain download kmnist`" in hint and "`dataset: sample`" in hint


def test_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    user = data_folder()
    assert user.is_absolute() and user.name == "mlptrain" and not user.exists()
    (tmp_path / "data").write_text("a file")
    assert data_folder() == user
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    assert data_folder() == tmp_path / "data"
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", "environment")
    assert data_folder() == tmp_path / "environment"
    assert data_folder("given") == tmp_path / "given"


def test_data_folder_of_a_deleted_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir("gone")
    (tmp_path / "gone").rmdir()
    assert data_folder("given") == Path("given")


def test_hint_names_another_data_folder(tmp_path: Path) -> None:
    hint = error_of("mnist", tmp_path / "my data")[-1]
    assert f"`mlptrain download mnist --data-dir '{tmp_path}/my data'`" in hint


def test_registered_dataset_that_is_incomplete(tmp_path: Path) -> None:
    fill(tmp_path / "mnist", test_images=None, train_labels=None)
    problem, hint = error_of("mnist", tmp_path)
    assert problem.startswith(f"{tmp_path / 'mnist'}: ")
    assert "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz" in problem and "train-images" not in problem
    assert "mlptrain download mnist" in hint


def test_missing_folder(tmp_path: Path) -> None:
    problem, expected, _ = error_of(str(tmp_path / "mnits"), tmp_path)
    assert problem == f"{tmp_path / 'mnits'}: no such folder"
    assert all(name in expected for name in DATASET_NAMES)


def test_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "own").write_bytes(b"")
    assert error_of(str(tmp_path / "own"), tmp_path)[0] == f"{tmp_path / 'own'}: is not a folder"


TRAIN_PAIR = ("train_images", "train_labels")


@pytest.mark.parametrize(
    ("absent", "missing"),
    [
        (["train_images"], ["train-images-idx3-ubyte"]),
        (["train_labels"], ["train-labels-idx1-ubyte"]),
        (["test_images"], ["t10k-images-idx3-ubyte"]),
        (["test_labels"], ["t10k-labels-idx1-ubyte"]),
        (TRAIN_PAIR, ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]),
        (
            (*TRAIN_PAIR, "test_images"),
            ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"],
        ),
        ((*TRAIN_PAIR, "test_images", "test_labels"), ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"]),
    ],
)
def test_missing_files(tmp_path: Path, absent: list[str], missing: list[str]) -> None:
    folder = fill(tmp_path, ".gz", False, **dict.fromkeys(absent))
    problem, _, _ = error_of(str(folder), tmp_path)
    assert problem == f"{folder}: missing {', '.join(missing)}"


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    problem, _, _ = error_of(str(tmp_path), tmp_path)
    assert problem.startswith(str(tmp_path)) and "permission denied" in problem


def test_damaged_file(tmp_path: Path) -> None:
    path = fill(tmp_path) / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-3])
    assert error_of(str(tmp_path), tmp_path)[0].startswith(f"{path}: ")


def test_numbers_of_labels_and_images_differ(tmp_path: Path) -> None:
    problem, expected, _ = error_of(str(fill(tmp_path, test_labels=LABELS)), tmp_path)
    assert problem == f"{tmp_path / 't10k-labels-idx1-ubyte.gz'}: 5 labels"
    assert "expected 2" in expected and str(tmp_path / "t10k-images-idx3-ubyte.gz") in expected


def test_training_and_test_images_differ_in_shape(tmp_path: Path) -> None:
    folder = fill(tmp_path, test_images=np.ones((2, 3, 2), np.uint8))
    problem, expected, _ = error_of(str(folder), tmp_path)
    assert problem.startswith(f"{folder / 't10k-images-idx3-ubyte.gz'}: ") and "3 x 2" in problem
    assert "2 x 3" in expected and str(folder / "train-images-idx3-ubyte.gz") in expected


def test_label_above_99(tmp_path: Path) -> None:
    folder = fill(tmp_path, test_labels=np.array([99, 100], np.uint8))
    problem, expected, _ = error_of(str(folder), tmp_path)
    assert problem == f"{folder / 't10k-labels-idx1-ubyte.gz'}: label 100 at index 1"
    assert expected == "expected labels from 0 to 99"


def test_label_above_the_classes_of_a_registered_dataset(tmp_path: Path) -> None:
    fill(tmp_path / "mnist", train_labels=np.array([1, 10, 9], np.uint8))
    problem, expected, _ = error_of("mnist", tmp_path)
    assert problem == f"{tmp_path / 'mnist' / 'train-labels-idx1-ubyte.gz'}: label 10 at index 1"
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
    assert all(image.tobytes() in images for image in sample.images), "the sample comes from the training file"
