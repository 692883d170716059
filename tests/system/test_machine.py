from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy  # noqa: F401  (loads the BLAS library whose threads are set)
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from mlptrain.system import machine
from mlptrain.system.machine import (
    VARIABLES,
    available_cores,
    available_memory,
    configured_threads,
    format_bytes,
    thread_variables,
    threads_for,
    threads_in_use,
    use_threads,
)


@pytest.fixture(autouse=True)
def no_threads_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("layers", "batch", "cores", "threads"),
    [
        ((784, 30, 10), 10, 16, 1),  # 235,200 multiply-adds: too few to share
        ((784, 128, 10), 64, 16, 1),  # 6,422,528: not worth the waiting
        ((784, 512, 512, 10), 128, 2, 2),  # 51,380,224
        ((784, 512, 512, 10), 128, 16, 2),
        ((784, 1024, 1024, 1024, 10), 256, 16, 13),  # 268,435,456 in the middle
        ((784, 1024, 1024, 1024, 10), 256, 0, 1),
        ((784, 10), 1, 16, 1),
    ],
)
def test_large_products_get_more_threads(layers: tuple[int, ...], batch: int, cores: int, threads: int) -> None:
    assert threads_for(layers, batch, cores) == threads


def test_cores_are_at_most_those_of_the_machine() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    assert threads_for((784, 1000, 10), 1000) == available_cores()


def test_the_first_variable_with_a_count_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configured_threads() is None
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    assert configured_threads() == 3
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert configured_threads() == 2


@pytest.mark.parametrize("value", ["", "0", "-1", "two", "4,2", "1.5", "²"])
def test_a_variable_without_a_count_is_ignored(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert configured_threads() is None


def blas_threads() -> set[int]:
    """Return the numbers of threads of the libraries that multiply matrices: not of OpenBLAS if MKL is loaded."""
    threads = {each["internal_api"]: each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
    if "mkl" in threads:  # by a test that ran before
        assert threads.pop("openblas") == 1
    return set(threads.values())


@pytest.fixture
def threads_restored() -> Iterator[None]:
    with threadpool_limits():
        yield


@pytest.mark.usefixtures("threads_restored")
def test_threads_are_set_and_reported_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_cores", lambda: 3)
    for count in (1, 3, 2):
        use_threads(count)
        assert blas_threads() == {count} and threads_in_use() == count
    use_threads(8)
    assert threads_in_use() == 3, "never more than the cores"


def test_threads_of_an_unsupported_blas_library_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "threadpool_info", lambda: [{"user_api": "openmp", "num_threads": 5}])
    assert threads_in_use() is None
    monkeypatch.setenv("VECLIB_MAXIMUM_THREADS", "4")
    assert threads_in_use() == 4


def test_variables_are_set_within_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = dict(os.environ)
    with pytest.raises(ZeroDivisionError), thread_variables(3):
        assert {os.environ[name] for name in VARIABLES} == {"3"}
        1 / 0  # noqa: B018
    with thread_variables(2, ["MKL_NUM_THREADS"]):
        assert (os.environ["MKL_NUM_THREADS"], os.environ["OMP_NUM_THREADS"]) == ("2", "7")
    assert dict(os.environ) == before


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with 8,000,000 kB available, and no limit of a control group or of the address space."""
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "address_space_left", lambda: None)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 4_000_000, "SC_PAGE_SIZE": 4096}[name])
    return tmp_path


def limit(system: Path, maximum: str, current: str) -> None:
    (system / "memory.max").write_text(f"{maximum}\n")
    (system / "memory.current").write_text(f"{current}\n")


def test_available_memory_of_the_system(system: Path) -> None:
    assert available_memory() == 8_192_000_000


def test_container_limit_is_respected(system: Path) -> None:
    limit(system, "1000000000", "300000000")
    assert available_memory() == 700_000_000


@pytest.mark.parametrize(("maximum", "current"), [("max", "300000000"), ("999999999999", "5"), ("", "")])
def test_container_without_an_effective_limit(system: Path, maximum: str, current: str) -> None:
    limit(system, maximum, current)
    assert available_memory() == 8_192_000_000


@pytest.mark.parametrize(
    ("groups", "folder", "maximum", "current"),
    [
        ("0::/user.slice/job.scope\n", "user.slice/job.scope", "memory.max", "memory.current"),
        ("0::/user.slice/job.scope\n", "user.slice", "memory.max", "memory.current"),
        (
            "5:cpu,cpuacct:/x\n4:memory:/jobs/7\n0::/\n",
            "memory/jobs/7",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
        ("4:memory:/jobs/7\n", "memory/jobs", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("4:memory:/docker/8f\n", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
    ids=["version 2", "a group above", "version 1", "a group above in version 1", "a container"],
)
def test_limits_of_control_groups_are_respected(
    system: Path, groups: str, folder: str, maximum: str, current: str
) -> None:
    (system / "cgroup").write_text(groups)
    (system / folder).mkdir(parents=True, exist_ok=True)
    (system / folder / maximum).write_text("1000000000\n")
    (system / folder / current).write_text("300000000\n")
    (system / folder / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 100000000\n")
    assert available_memory() == 800_000_000


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_a_limit_of_the_address_space_is_respected() -> None:
    code = """
import resource
from mlptrain.system.machine import WORKSPACE_BYTES, available_memory
resource.setrlimit(resource.RLIMIT_AS, (600_000_000, resource.RLIM_INFINITY))
print(600_000_000 - WORKSPACE_BYTES - available_memory())
"""
    used = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert 10_000_000 < used < 200_000_000, "the size of a process with the standard library"


def test_available_memory_is_never_negative(system: Path) -> None:
    limit(system, "1000", "5000")
    assert available_memory() == 0


def test_inactive_file_cache_of_a_container_counts_as_available(system: Path) -> None:
    """``memory.current`` includes the page cache, which is large after unpacking a dataset."""
    limit(system, "1000000000", "990000000")
    (system / "memory.stat").write_text("anon 90000000\nfile 900000000\ninactive_file 800000000\nactive_file 5\n")
    assert available_memory() == 810_000_000


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable:\n", "MemAvailable: many kB\n"])
def test_total_memory_is_used_if_the_available_is_unknown(system: Path, text: str) -> None:
    (system / "meminfo").write_text(text)
    assert available_memory() == 16_384_000_000


def test_unknown_memory_is_none(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (system / "meminfo").unlink()
    monkeypatch.delattr(os, "sysconf")
    assert available_memory() is None


def test_available_memory_of_this_machine() -> None:
    found = available_memory()
    assert found is None or found > 10_000_000


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_500_000, "1.5 MB"),
        (31_400_000_000, "31.4 GB"),
        (12 * 10**12, "12.0 TB"),
        (12 * 10**18, "12000000.0 TB"),
    ],
)
def test_format_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text
