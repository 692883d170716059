from __future__ import annotations

from pathlib import Path

import pytest

from mlptrain import caches
from mlptrain.caches import USUAL, processor_caches


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(caches, "_CACHES", tmp_path)
    return tmp_path


def state(system: Path, *sizes: tuple[str, str, str]) -> None:
    for index, (level, kind, size) in enumerate(sizes):
        (system / f"index{index}").mkdir()
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (system / f"index{index}" / name).write_text(f"{text}\n")


L1 = (("1", "Data", "32K"), ("1", "Instruction", "32K"))


def test_what_linux_states(system):
    state(system, *L1, ("2", "Unified", "512K"), ("3", "Unified", "16M"))
    assert processor_caches() == (512 * 1024, 16 * 1024**2)


def test_no_third_level(system):
    state(system, *L1, ("2", "Unified", "4M"))
    assert processor_caches() == (4 * 1024**2, 4 * 1024**2)


@pytest.mark.parametrize("text", ["", "many", "12", "5Q"])
def test_a_system_that_does_not_say(system, text):
    assert processor_caches() == USUAL
    state(system, ("2", "Unified", text), ("3", "Unified", text))
    assert processor_caches() == USUAL


def test_this_machine():
    assert processor_caches().shared >= processor_caches().core > 2**16
