from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from mlptrain.datasets import cache, dataset
from mlptrain.datasets.dataset import load_dataset
from mlptrain.datasets.idx import write_idx
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

        def counted(files: dataset.DatasetFiles) -> dataset.DatasetArrays:
            self.count += 1
            return read(files)

        monkeypatch.setattr(dataset, "read_files", counted)


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(monkeypatch)


def entries(data_dir: Path) -> list[Path]:
    return sorted((data_dir / ".cache").iterdir())


def check(data_dir: Path, name: str = "mnist") -> dataset.Dataset:
    """Load, and see that everything is as in the files."""
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
    assert re.fullmatch(r"mnist-[0-9a-f]{32}\.bytes", entry.name)
    assert entry.stat().st_size == 4096 + 30 + 5


@pytest.mark.parametrize("name", ["mnist", "sample"])
def test_nobody_can_write_to_the_images(tmp_path: Path, name: str) -> None:
    fill(tmp_path / "mnist")
    for _ in range(2):
        loaded = load_dataset(name, tmp_path)
        assert not loaded.images.flags.writeable and not loaded.labels.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            loaded.images[0, 0] = 1


def test_damage_in_any_byte_is_found_and_healed(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    good = entry.read_bytes()
    places = [*range(0, 120, 7), 11, 12, 2000, 4095, *range(4096, len(good))]
    for number, place in enumerate(places):
        damaged = bytearray(good)
        damaged[place] ^= 1 << number % 8
        entry.write_bytes(damaged)
        check(tmp_path)
        assert reading.count == number + 2, place
        assert entry.read_bytes() == good


@pytest.mark.parametrize("content", [b"", b"mlptrain", bytes(4096), bytes(4131), bytes(10_000)])
def test_other_contents_are_healed(tmp_path: Path, reading: Reading, content: bytes) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    good = entry.read_bytes()
    for bad in (content, good[:-1], good + b"!", good[:4096]):
        entry.write_bytes(bad)
        check(tmp_path)
        assert entry.read_bytes() == good
    assert reading.count == 5


def test_another_version_is_replaced(tmp_path: Path, reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    monkeypatch.setattr(cache, "_VERSION", 2)
    check(tmp_path)
    check(tmp_path)
    assert reading.count == 2


def test_an_entry_of_other_files_does_not_pass_for_this_one(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "a" / "mnist", train_labels=np.array([7, 7, 7], np.uint8))
    fill(tmp_path / "b" / "mnist")
    load_dataset("mnist", tmp_path / "a")
    check(tmp_path / "b")
    (wrong,), (entry,) = entries(tmp_path / "a"), entries(tmp_path / "b")
    wrong.replace(entry)
    check(tmp_path / "b")
    assert reading.count == 3


def test_changed_files_are_read_again_and_the_old_entry_goes(tmp_path: Path, reading: Reading) -> None:
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


def test_files_that_change_while_they_are_read_are_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "mnist", train_labels=np.array([7, 7, 7], np.uint8))
    read = dataset.read_files

    def changed_before(files: dataset.DatasetFiles) -> dataset.DatasetArrays:
        fill(tmp_path / "mnist")
        return read(files)

    monkeypatch.setattr(dataset, "read_files", changed_before)
    check(tmp_path)
    assert not (tmp_path / ".cache").exists()


def test_labels_of_the_cache_are_checked_too(tmp_path: Path) -> None:
    """The same files are fine as a folder of one's own and wrong as mnist."""
    fill(tmp_path / "mnist", train_labels=np.array([1, 10, 9], np.uint8))
    for _ in range(2):
        assert load_dataset(str(tmp_path / "mnist"), tmp_path).classes == 11
        with pytest.raises(dataset.DataError, match="label 10"):
            load_dataset("mnist", tmp_path)


# --- where it lies


def test_the_sample_is_not_cached(tmp_path: Path) -> None:
    load_dataset("sample", tmp_path)
    load_dataset("sample", tmp_path / "data")
    assert not list(tmp_path.iterdir())


def test_a_folder_of_ones_own_is_cached_in_the_data_folder(tmp_path: Path, reading: Reading) -> None:
    own = fill(tmp_path / "own")
    before = sorted(own.iterdir())
    (tmp_path / "data").mkdir()
    for _ in range(2):
        check(tmp_path / "data", str(own))
    check(tmp_path / "data", str(tmp_path / "data" / ".." / "own"))
    assert reading.count == 1
    assert sorted(own.iterdir()) == before
    (entry,) = entries(tmp_path / "data")
    assert re.fullmatch(r"folder-[0-9a-f]{12}-[0-9a-f]{32}\.bytes", entry.name)


def test_the_data_folder_is_not_made(tmp_path: Path) -> None:
    own = fill(tmp_path / "own")
    check(tmp_path / "data", str(own))
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("own", "data_dir"), [("x", "x"), ("x", "x/data"), ("x", "x/a/b"), ("x", "x/../x/data")])
def test_a_folder_of_ones_own_is_never_written_to(tmp_path: Path, own: str, data_dir: str) -> None:
    fill(tmp_path / own)
    (tmp_path / data_dir).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    check(tmp_path / data_dir, str(tmp_path / own))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_into_a_folder_of_ones_own_is_seen_through(tmp_path: Path) -> None:
    fill(tmp_path / "own")
    (tmp_path / "own" / "inside").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "own" / "inside")
    check(tmp_path / "data", str(tmp_path / "own"))
    assert not list((tmp_path / "own" / "inside").iterdir())


def test_unpacked_files_need_no_cache(tmp_path: Path) -> None:
    fill(tmp_path / "mnist", "")
    check(tmp_path)
    assert not (tmp_path / ".cache").exists()


def test_training_goes_on_where_it_cannot_be_written(tmp_path: Path, reading: Reading) -> None:
    fill(tmp_path / "mnist")
    (tmp_path / ".cache").write_bytes(b"a file")
    for _ in range(2):
        check(tmp_path)
    assert reading.count == 2
    assert (tmp_path / ".cache").read_bytes() == b"a file"


def test_training_goes_on_where_the_disk_is_full(tmp_path: Path, reading: Reading) -> None:
    import resource

    fill(tmp_path / "mnist")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4100, hard))
    try:
        check(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not entries(tmp_path)


def test_a_folder_where_the_entry_should_be(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    entry.unlink()
    (entry / "x").mkdir(parents=True)
    check(tmp_path)
    assert entries(tmp_path) == [entry]


def test_it_does_not_grow(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(data_dir / "mnist")
    check(data_dir)
    for number in range(cache.KEPT + 3):
        fill(tmp_path / f"own{number}", train_labels=np.array([number % 10] * 3, np.uint8))
        load_dataset(str(tmp_path / f"own{number}"), data_dir)
    names = [entry.name.partition("-")[0] for entry in entries(data_dir)]
    assert names == ["folder"] * cache.KEPT + ["mnist"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    check(tmp_path)
    (entry,) = entries(tmp_path)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = temporary_beside(entry)
    leftover = leftover.with_name(leftover.name.replace(f".{os.getpid()}.", f".{dead.pid}."))
    leftover.write_bytes(bytes(1000))
    entry.unlink()
    check(tmp_path)
    assert entries(tmp_path) == [entry]


def test_removed_while_it_is_in_use(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    loaded = check(tmp_path)
    (entry,) = entries(tmp_path)
    entry.unlink()
    assert loaded.images.tolist() == IMAGES.reshape(5, 6).tolist()


# --- several at once


def test_several_writing_at_once(tmp_path: Path) -> None:
    fill(tmp_path / "mnist")
    faults: list[BaseException] = []

    def load_again_and_again() -> None:
        try:
            for _ in range(15):
                check(tmp_path)
                for entry in entries(tmp_path):
                    entry.unlink(missing_ok=True)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=load_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
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
                ours = "/.cache/mnist-" in line
            elif ours:
                print(line.strip())
        print("trained", flush=True)
        input()
        sys.exit()
config = mlptrain.load_config(overrides=["dataset=mnist", "hidden=[4]", "epochs=2", "split=official"])
for report in mlptrain.run(config, data_dir=sys.argv[1]):
    wait_after_an_epoch(report)
"""


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells whose pages are shared")
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
    size = 4000 * 785 // 1024
    alone, together = found
    assert alone["Rss"] >= size and together["Rss"] >= size
    assert alone["Pss"] >= 0.9 * alone["Rss"]
    assert together["Pss"] <= 0.6 * together["Rss"], "each page counts half: both processes have it"
    assert together["Shared_Clean"] >= size
    assert together["Private_Dirty"] == together["Anonymous"] == 0
