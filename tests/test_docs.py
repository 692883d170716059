"""The documentation: its code runs, its links resolve, and every command, option and config key is in it."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest

from tests.readme import PAGES, README, ROOT, Block, blocks
from tests.shells import AROUND

TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
OTHER_PAGES = [path for folder in ("benchmarks", "tests") for path in (ROOT / folder).rglob("*.md")]
LINKING = sorted(str(page.relative_to(ROOT)) for page in {*PAGES, *ROOT.glob("*.md"), *OTHER_PAGES})
SHELLS = ("fish", "bash", "zsh")
RUNNABLE = [
    name
    for name, text in TEXTS.items()
    if re.search("```(bash|python)\n", text) and name != "docs/formulas.md"  # tests/test_formulas.py runs its code
]
QUICK = [name for name in RUNNABLE if not name.startswith(("configs/", "docs/course"))]  # test_labs.py runs the others


def run(*command: str, folder: Path = ROOT, code: int = 0) -> str:
    """Run a command in which ``mlptrain`` and ``python`` are those of this environment; return its stdout."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def help_text(*command: str) -> str:
    """Return what ``mlptrain COMMAND --help`` prints, without a process of its own."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as text, pytest.raises(SystemExit):
        patch.setattr(sys, "argv", ["mlptrain", *command, "--help"])
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        runpy.run_module("mlptrain", run_name="__main__")
    return text.getvalue()


def commands() -> list[str]:
    return re.findall(r"^  ([a-z][a-z-]*) ", help_text(), re.MULTILINE)


def available(block: Block) -> bool:
    """Return whether tests have what a block needs: the MNIST files or a library, but no ``internet`` and ``slurm``."""
    if block.needs == "mnist":
        return "MLPTRAIN_DATA_DIR" in os.environ
    return not block.needs or find_spec(block.needs) is not None


def command_of(shell: str, code: str) -> list[str]:
    """Return the command with which a shell runs code and stops at the first line that fails."""
    if shell == "fish":  # it has no such option
        return ["fish", "--no-config", "-c", "".join(f"{line}\nor exit\n" for line in code.splitlines())]
    return [shell, *(["-f"] if shell == "zsh" else ["--norc"]), "-euo", "pipefail", "-c", code]


def run_page(name: str, shell: str, folder: Path) -> None:
    """Run the blocks of a page in order, because later ones use the runs of earlier ones."""
    for copied in ("configs", "docs"):
        shutil.copytree(ROOT / copied, folder / copied)
    page = ROOT / name
    for block in blocks(page)[2 if page == README else 0 :]:
        if block.file:
            (folder / block.file).write_text(block.code, encoding="utf-8")
        elif block.language == "bash" and available(block):
            run(*command_of(shell, block.code), folder=folder, code=block.exit)
        elif block.language == "python" and available(block):
            (folder / "example.py").write_text(block.code, encoding="utf-8")
            output = run("python", "example.py", folder=folder)
            assert "print" not in block.code or output


@pytest.mark.parametrize("name", QUICK)
def test_code_blocks_run(name: str, tmp_path: Path) -> None:
    """Run each page in one shell; ``python -m tests.stress.documentation`` runs all pages in all shells."""
    installed = list(filter(shutil.which, SHELLS))
    run_page(name, installed[QUICK.index(name) % len(installed)], tmp_path)


FAKE = """#!/bin/sh
words=$(printf '<%s>' "${0##*/}" "$@")
echo "$words" >> "$RECORD"
"""


def lines() -> list[str]:
    """Return every shell line of the documentation, and every command and ``KEY=VALUE`` in its sentences."""
    found = []
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        text = re.sub("```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        inline = [" ".join(code.split()) for code in re.findall("`([^`]+)`", text)]
        synopsis = re.compile(r"\||\[[A-Z]")
        found += [code for code in inline if re.match(r"(mlptrain|pip|python) ", code) and not synopsis.search(code)]
        found += [f"mlptrain train {code}" for code in inline if re.fullmatch(r"'?[a-z_.]+=[^=(]+", code)]
        found += [line for block in blocks(page) if block.language == "bash" for line in block.code.splitlines()]
    return found


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_runs_the_same_commands(shell: str, tmp_path: Path) -> None:
    """Compare the words that programs get from a shell with those of a POSIX shell without files that match."""
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    programs = tmp_path / "programs"
    programs.mkdir()
    python = ("python", "python3", "pip", "ruff", "mypy", "codespell", "pre-commit")
    for name in ("mlptrain", "sbatch", "dask", "xargs", *python):
        (programs / name).write_text(FAKE)
        (programs / name).chmod(0o755)
    code, records = "\n".join(lines()), []
    for number, (command, around) in enumerate(((["sh", "-euc", code], ()), (command_of(shell, code), AROUND))):
        folder = tmp_path / str(number)
        (folder / ".venv/bin").mkdir(parents=True)
        for path in (".venv/bin/activate", *around):
            (folder / path).touch()
        environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "RECORD": f"{folder}/record",
        }
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        records.append(sorted((folder / "record").read_text().splitlines()))
    assert records[0] == records[1] and len(records[0]) > 60


def test_every_option_is_documented() -> None:
    """An option that at most three commands have must be in a section that mentions the command."""
    sections = [section for text in TEXTS.values() for section in re.split(r"^#+ ", text, flags=re.MULTILINE)]
    options = {name: set(re.findall(r"(?<!\S)--[a-z][a-z-]+", help_text(name))) for name in commands()}
    missing = []
    for name, known in options.items():
        for option in known:
            common = sum(option in others for others in options.values()) > 3
            places = [section for section in sections if common or f"mlptrain {name}" in section]
            if not any(re.search(rf"{option}(?![\w-])", section) for section in places):
                missing.append((name, option))
    assert missing == []


def test_every_config_key_is_documented() -> None:
    schema = json.loads(run("mlptrain", "config", "--schema"))
    keys = [*schema["properties"], *(key for nested in schema["$defs"].values() for key in nested["properties"])]
    page = TEXTS["docs/configuration.md"]
    assert [key for key in keys if not re.search(rf"^\| `([a-z_]+\.)*{key}` \|", page, re.MULTILINE)] == []


@pytest.mark.parametrize("page", ["configuration", "diagnosis"])
def test_generated_tables_are_those_of_the_code(page: str) -> None:
    updated = runpy.run_path(str(ROOT / "tools" / f"make_{page}.py"))["updated"]
    text = TEXTS[f"docs/{page}.md"]
    assert updated(text) == text, f"run `python tools/make_{page}.py`"


@pytest.mark.parametrize("name", LINKING)
def test_relative_links_resolve(name: str) -> None:
    page = ROOT / name
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        resolves = linked.exists() and (not anchor or anchor in anchors(linked))
        if not resolves and "://" not in target:
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
