from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain import memory
from mlptrain.memory import available_memory, format_bytes


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with 8,000,000 kB available and no container limit."""
    (tmp_path / "meminfo").write_text("MemTotal: 16000000 kB\nMemFree: 1 kB\nMemAvailable:    8000000 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", ((tmp_path / "memory.max", tmp_path / "memory.current"),))
    monkeypatch.setattr(memory.os, "sysconf", lambda name: {"SC_PHYS_PAGES": 4_000_000, "SC_PAGE_SIZE": 4096}[name])
    return tmp_path


def limit(system: Path, maximum: str, current: str) -> None:
    (system / "memory.max").write_text(f"{maximum}\n")
    (system / "memory.current").write_text(f"{current}\n")


def test_what_the_system_says(system):
    assert available_memory() == 8_192_000_000


def test_a_container_may_allow_less(system):
    limit(system, "1000000000", "300000000")
    assert available_memory() == 700_000_000


@pytest.mark.parametrize(("maximum", "current"), [("max", "300000000"), ("999999999999", "5"), ("", "")])
def test_a_container_without_a_limit_that_counts(system, maximum, current):
    limit(system, maximum, current)
    assert available_memory() == 8_192_000_000


def test_never_below_nothing(system):
    limit(system, "1000", "5000")
    assert available_memory() == 0


def test_file_cache_of_a_container_can_be_taken_back(system):
    """``memory.current`` counts the page cache: after unpacking a dataset it stands near the limit."""
    limit(system, "1000000000", "990000000")
    (system / "memory.stat").write_text("anon 90000000\nfile 900000000\ninactive_file 800000000\nactive_file 5\n")
    assert available_memory() == 810_000_000


@pytest.mark.parametrize("text", ["", "MemTotal: 5 kB\n", "MemAvailable:\n", "MemAvailable: many kB\n"])
def test_a_system_that_says_only_its_size(system, text):
    (system / "meminfo").write_text(text)
    assert available_memory() == 16_384_000_000


def test_a_system_that_says_nothing(system, monkeypatch):
    (system / "meminfo").unlink()
    monkeypatch.delattr(memory.os, "sysconf")
    assert available_memory() is None


def test_this_machine_has_memory():
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
def test_format_bytes(count, text):
    assert format_bytes(count) == text
