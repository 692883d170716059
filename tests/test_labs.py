"""The course and its laboratories: their commands run, and worksheets say what is expected of every config."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from benchmarks.diagnosis import expected
from mlptrain.cli import main
from mlptrain.reporting import gallery
from mlptrain.runs.diagnosis import CASES
from tests.readme import ROOT, blocks
from tests.test_docs import available

LABS = ("lab1", "lab2")
SHORT = ["epochs=1", "subset=1000"]
PAGES = {"course": ROOT / "docs/course.md", **{lab: ROOT / "configs" / lab / "README.md" for lab in LABS}}
TEXTS = {lab: page.read_text(encoding="utf-8") for lab, page in PAGES.items()}
CONFIGS = {lab: {path.stem for path in PAGES[lab].parent.glob("*.yaml")} for lab in LABS}


def commands(page: str) -> list[tuple[list[str], int]]:
    """Return the words of each command of a page, without ``mlptrain``, and its exit code."""
    return [
        (shlex.split(line)[1:], block.exit)
        for block in blocks(PAGES[page])
        for line in block.code.splitlines()
        if block.language == "bash" and available(block)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Run the commands in one process, with one epoch of few images per run and empty plots.

    ``python -m tests.stress.documentation`` runs them unchanged and checks the numbers of the tables.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gallery, "save", lambda draw, path, heading: path.touch())
    with threadpool_limits():
        for words, code in commands(page):
            if words[0] in ("train", "sweep") and "--collect" not in words:
                words = [word for word in words if not word.startswith(("epochs=", "subset="))] + SHORT
            assert main(words) == code, f"{words}\n{capfd.readouterr().err}"
    written = {tmp_path / words[-1] for words, _ in commands(page) if "--output" in words}
    assert all(path.is_file() for path in written)


@pytest.mark.parametrize("lab", LABS)
def test_every_config_is_trained(lab: str) -> None:
    trained = {words[1].removeprefix(f"{lab}/") for words, _ in commands(lab) if words[0] == "train"}
    assert trained == CONFIGS[lab]


@pytest.mark.parametrize("lab", LABS)
def test_every_picture_is_written_by_a_command(lab: str) -> None:
    """``tools/make_pictures.py labs`` makes the pictures with the commands of the worksheet."""
    written = {words[-1] for words, _ in commands(lab) if "--output" in words}
    shown = set(re.findall(rf"pictures/{lab}-(\S+)\)", TEXTS[lab]))
    assert shown <= written
    assert {f"{lab}-{name}" for name in shown} == {path.name for path in (ROOT / "docs/pictures").glob(f"{lab}-*")}


def test_the_stated_verdicts_are_the_expected_ones() -> None:
    table = re.findall(r"^\| (`.+`) \| `(\w+)` \|$", TEXTS["lab1"], re.MULTILINE)
    verdicts = {name: case for names, case in table for name in re.findall(r"`(\w+)`", names) if case in CASES}
    assert set(verdicts) == CONFIGS["lab1"]
    assert [name for name, case in verdicts.items() if case not in expected(f"lab1/{name}")] == []
