from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mlptrain.datasets import cache, dataset
from mlptrain.datasets.cache import Decoded
from mlptrain.datasets.dataset import load_dataset
from mlptrain.datasets.idx import write_idx
from mlptrain.errors import DataError
from mlptrain.system.files import temporary_beside
from tests.datasets.test_dataset import IMAGES, LABELS, OFFICIAL, fill

ROOT = Path(__file__).parents[2]
# SHA-256 of "images (5, 2, 3) labels (5,) train 3\n", the bytes 0 to 29, and 3 1 4 1 5.
FINGERPRINT = "sha256:1827aeaeaa48472ad1bd6f9a9f898a3513dee356f781c7737de17027b82afa9b"


class Reading:
    """Counts how often the files themselves are decoded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        read = dataset.read_files

        def counted(pairs: tuple[dataset.FilePair, ...]) -> Decoded:
            self.count += 1
            return read(pairs)

        monkeypatch.setattr(dataset, "read_files", counted)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch)


def entries(data_dir: Path) -> list[Path]:
    return sorted((data_dir / ".cache").iterdir())


def contents(entry: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in entry.iterdir()}


def check(data_dir: Path, name: str = "mnist") -> dataset.Dataset:
    """Load a dataset and compare it with its files."""
    loaded = load_dataset(name, data_dir)
    assert loaded.images.tolist() == IMAGES.reshape(5, 6).tolist()
    assert loaded.labels.tolist() == LABELS.tolist()
    assert (loaded.shape, loaded.train_count, loaded.fingerprint) == ((2, 3), 3, FINGERPRINT)
    assert loaded.images.dtype == loaded.labels.dtype == np.uint8
    assert loaded.images.flags.c_contiguous
    return loaded


def test_gzip_is_inflated_once(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "mnist")
    for _ in range(3):
        check(tmp_path)
    assert reading.count == 1
    (entry,) = entries(tmp_path)
    assert re.fullmatch(r"mnist-[0-9a-f]{32}", entry.name)
    assert np.load(entry / "images.npy").tolist() == IMAGES.tolist()
    assert np.load(entry / "labels.npy").tolist() == LABELS.tolist()
    assert contents(entry).keys() == {"images.npy", "labels.npy", "entry.json"}


@pytest.mark.parametrize("name", ["mnist", "sample"])
def test_arrays_are_read_only(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "mnist")
    for _ in range(2):
        loaded = load_dataset(name, tmp_path)
        assert not loaded.images.flags.writeable and not loaded.labels.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            loaded.images[0, 0] = 1


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "entry.json"])
def test_damage_in_any_byte_is_repaired(tmp_path: Path, reading: Reading, name: str) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    good = contents(entry)
    header = 128 if name.endswith(".npy") else 0
    for index in range(len(good[name])):
        damaged = bytearray(good[name])
        damaged[index] ^= 1 << index % 8
        (entry / name).write_bytes(damaged)
        reading.count = 0
        check(tmp_path)
        if index >= header or reading.count:  # the header of an array contains padding
            assert reading.count == 1, index
            assert contents(entry) == good


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "entry.json"])
@pytest.mark.parametrize("damaged", [None, b"", b"[]", b"{}", bytes(200), 1, -1])
def test_missing_and_truncated_files_are_repaired(
    tmp_path: Path, reading: Reading, name: str, damaged: bytes | int | None
) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    good = contents(entry)
    (entry / name).unlink()
    if damaged is not None:
        (entry / name).write_bytes(damaged if isinstance(damaged, bytes) else good[name][:damaged])
    check(tmp_path)
    assert reading.count == 2
    assert contents(entry) == good


@pytest.mark.parametrize("changed", ["dtype", "shape", "order"])
def test_an_array_of_another_kind_is_repaired(tmp_path: Path, reading: Reading, changed: str) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    images = np.load(entry / "images.npy")
    other = {"dtype": images.view(np.int8), "shape": images.reshape(5, 3, 2), "order": np.asfortranarray(images)}
    np.save(entry / "images.npy", other[changed])
    check(tmp_path)
    assert reading.count == 2


def test_an_entry_belongs_to_its_files(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "a" / "mnist", train_labels=np.array([7, 7, 7], np.uint8))
    fill(tmp_path / "b" / "mnist")
    load_dataset("mnist", tmp_path / "a")
    check(tmp_path / "b")
    assert [path.name for path in entries(tmp_path / "a")] != [path.name for path in entries(tmp_path / "b")]
    check(tmp_path / "b")
    assert reading.count == 2


def test_changed_files_are_read_again_and_their_old_entry_is_removed(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "mnist", train_labels=np.array([7, 7, 7], np.uint8))
    fill(tmp_path / "kmnist", train_labels=np.array([8, 8, 8], np.uint8))
    load_dataset("kmnist", tmp_path)
    assert load_dataset("mnist", tmp_path).labels.tolist() == [7, 7, 7, 1, 5]
    before = entries(tmp_path)
    path = tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    stamp = path.stat()
    write_idx(path, LABELS[:3])
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    check(tmp_path)
    after = entries(tmp_path)
    assert len(before) == len(after) == 2
    assert {path.name for path in before} & {path.name for path in after} == {before[0].name}
    assert before[0].name.startswith("kmnist-")


def test_entries_of_version_0_1_are_removed(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "mnist-0123.bytes").write_bytes(b"old")
    check(tmp_path)
    assert [entry.suffix for entry in entries(tmp_path)] == [""]


def test_files_changed_while_they_are_read_are_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "mnist", train_labels=np.array([7, 7, 7], np.uint8))
    read = dataset.read_files

    def changed_before(pairs: tuple[dataset.FilePair, ...]) -> Decoded:
        fill(tmp_path / "mnist")
        return read(pairs)

    monkeypatch.setattr(dataset, "read_files", changed_before)
    check(tmp_path)
    assert not (tmp_path / ".cache").exists()


def test_cached_labels_are_checked(tmp_path: Path) -> None:
    """The same files are valid as a folder of the user's own and invalid as mnist."""
    fill(tmp_path / "mnist", train_labels=np.array([1, 10, 9], np.uint8))
    for _ in range(2):
        assert load_dataset(str(tmp_path / "mnist"), tmp_path).classes == 11
        with pytest.raises(DataError, match="label 10"):
            load_dataset("mnist", tmp_path)


# --- location and limits


def test_the_sample_is_not_cached(tmp_path: Path) -> None:
    load_dataset("sample", tmp_path)
    load_dataset("sample", tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_the_users_own_folder_is_cached_in_the_data_folder(tmp_path: Path, reading: Reading) -> None:
    own = fill(tmp_path / "own")
    before = sorted(own.iterdir())
    (tmp_path / "data").mkdir()
    for _ in range(2):
        check(tmp_path / "data", str(own))
    check(tmp_path / "data", str(tmp_path / "data" / ".." / "own"))
    assert reading.count == 1
    assert sorted(own.iterdir()) == before
    (entry,) = entries(tmp_path / "data")
    assert re.fullmatch(r"folder-[0-9a-f]{12}-[0-9a-f]{32}", entry.name)


def test_the_data_folder_is_not_created(tmp_path: Path) -> None:
    own = fill(tmp_path / "own")
    check(tmp_path / "data", str(own))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("own", "data_dir"), [("x", "x"), ("x", "x/data"), ("x", "x/a/b"), ("x", "x/../x/data")])
def test_the_users_own_folder_is_never_written_to(tmp_path: Path, own: str, data_dir: str) -> None:
    fill(tmp_path / own)
    (tmp_path / data_dir).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    check(tmp_path / data_dir, str(tmp_path / own))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_into_the_users_own_folder_is_followed(tmp_path: Path) -> None:
    fill(tmp_path / "own")
    (tmp_path / "own" / "inside").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "own" / "inside")
    check(tmp_path / "data", str(tmp_path / "own"))
    assert not list((tmp_path / "own" / "inside").iterdir())


def test_unpacked_files_are_not_cached(tmp_path: Path) -> None:
    fill(tmp_path / "mnist", "")
    check(tmp_path)
    assert not (tmp_path / ".cache").exists()


def test_files_are_read_if_the_cache_cannot_be_written(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "mnist")
    (tmp_path / ".cache").write_bytes(b"a file")
    for _ in range(2):
        check(tmp_path)
    assert reading.count == 2
    assert (tmp_path / ".cache").read_bytes() == b"a file"


def test_a_full_disk_leaves_no_entry(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        check(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not entries(tmp_path)


def test_a_file_in_place_of_an_entry(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    shutil.rmtree(entry)
    entry.write_bytes(b"")
    check(tmp_path)
    assert reading.count == 2


def test_old_entries_of_the_users_own_folders_are_removed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(data_dir / "mnist")
    check(data_dir)
    for number in range(cache.MAX_FOLDER_ENTRIES + 3):
        fill(tmp_path / f"own{number}", train_labels=np.array([number % 10] * 3, np.uint8))
        load_dataset(str(tmp_path / f"own{number}"), data_dir)
    names = [entry.name.partition("-")[0] for entry in entries(data_dir)]
    assert names == ["folder"] * cache.MAX_FOLDER_ENTRIES + ["mnist"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = temporary_beside(entry / "images.npy")
    leftover = leftover.with_name(leftover.name.replace(f".{os.getpid()}.", f".{dead.pid}."))
    leftover.write_bytes(bytes(1000))
    (entry / "images.npy").unlink()
    check(tmp_path)
    assert not leftover.exists()


def test_an_entry_removed_while_it_is_in_use(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    loaded = check(tmp_path)
    (entry,) = entries(tmp_path)
    shutil.rmtree(entry)
    assert loaded.images.tolist() == IMAGES.reshape(5, 6).tolist()


# --- several processes


def test_threads_that_write_and_remove_the_same_entry(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    errors: list[BaseException] = []

    def load_repeatedly() -> None:
        try:
            for _ in range(15):
                check(tmp_path)
                for entry in entries(tmp_path):
                    shutil.rmtree(entry, ignore_errors=True)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=load_repeatedly) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    check(tmp_path)
    assert len(entries(tmp_path)) == 1


TRAIN = """
import sys
import mlptrain
from mlptrain.training.reports import EpochReport
def wait_after_an_epoch(report):
    if isinstance(report, EpochReport):
        for line in open("/proc/self/smaps"):
            if line.split("-")[0].isalnum() and "-" in line.split()[0]:
                ours = "images.npy" in line
            elif ours:
                print(line.strip())
        print("trained", flush=True)
        input()
        sys.exit()
config = mlptrain.load_config(overrides=["dataset=mnist", "hidden=[4]", "epochs=2", "split=official"])
for report in mlptrain.run(config, data_dir=sys.argv[1]):
    wait_after_an_epoch(report)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux reports shared pages")
def test_two_training_processes_share_the_pages(tmp_path: Path) -> None:
    for stem, array in OFFICIAL.items():
        count = 3000 if stem.startswith("train") else 1000
        made = np.arange(count, dtype=np.uint64) % 10 if array.ndim == 1 else np.full((count, 28, 28), 7)
        (tmp_path / "mnist").mkdir(exist_ok=True)
        write_idx(tmp_path / "mnist" / f"{stem}.gz", made.astype(np.uint8))
    load_dataset("mnist", tmp_path)
    command = [sys.executable, "-c", TRAIN, str(tmp_path)]
    started: list[subprocess.Popen[str]] = []
    found: list[dict[str, int]] = []
    try:
        for _ in range(2):
            process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            started.append(process)
            assert process.stdout is not None
            kilobytes: dict[str, int] = {}
            for line in process.stdout:
                if line.strip() == "trained":
                    break
                name, _, value = line.partition(":")
                kilobytes[name] = int(value.split()[0]) if value.endswith("kB\n") else 0
            found.append(kilobytes)
    finally:
        for process in started:
            process.communicate("\n", timeout=20)
    size = 4000 * 784 // 1024
    alone, together = found
    assert alone["Rss"] >= size and together["Rss"] >= size
    assert alone["Pss"] >= 0.9 * alone["Rss"]
    assert together["Pss"] <= 0.6 * together["Rss"], "each page counts half, because both processes map it"
    assert together["Shared_Clean"] >= size
    assert together["Private_Dirty"] == together["Anonymous"] == 0
