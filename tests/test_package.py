"""The wheel: its files, and commands in an empty folder that have nothing but the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

import mlptrain
from tests.readme import README, ROOT

PACKAGE = ROOT / "mlptrain"
REPOSITORY = re.findall("^repo_url: (.+)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)[0]
RAW = f"{REPOSITORY.replace('github.com', 'raw.githubusercontent.com')}/main/"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the content of the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"]))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def files(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if "__pycache__" not in path.parts}


def test_the_wheel_has_the_package_and_the_configs(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info")
    assert metadata.name == f"mlptrain-{mlptrain.__version__}.dist-info"
    configs = {str(Path("configs") / path.relative_to(ROOT / "configs")) for path in (ROOT / "configs").rglob("*.yaml")}
    assert {path.name for path in installed.iterdir()} == {"mlptrain", metadata.name}
    assert files(installed / "mlptrain") == files(PACKAGE) | configs
    assert len(configs) > 60 and "py.typed" in files(PACKAGE)


def test_the_long_description_has_absolute_links(installed: Path) -> None:
    """A package index has no other files: pictures are linked by their content, other files by their pages."""
    text = next(installed.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    links = re.findall(r"(!?)\[[^]]*\]\(((?!\w+:|#)\S+)\)", README.read_text(encoding="utf-8"))
    assert len(links) > 15
    for picture, target in links:
        assert f"]({RAW if picture else REPOSITORY + '/blob/main/'}{target})" in text
        assert f"]({target})" not in text


def test_the_source_archive_has_what_the_tests_need() -> None:
    builder = SdistBuilder(str(ROOT))
    found = {file.relative_path for file in builder.recurse_included_files()}
    for folder in ("mlptrain", "tests", "configs", "docs", "tools", "benchmarks"):
        assert any(path.startswith(f"{folder}/") for path in found), folder
    assert {"README.md", "CONTRIBUTING.md", "tests/data/README.md"} <= found


COMMANDS = {
    "train epochs=1": 0,
    "train nielsn": 2,
    "init": 0,
    "train quickstart.yaml epochs=1": 0,
    "sweep hidden hidden=5,6 epochs=1 repeat=1 --workers 1": 0,
    "config nielsen": 0,
    "config --list": 0,
}
"""Commands in an empty folder, and their exit codes."""

PROGRAM = """
import sys
from mlptrain.cli import main
if __name__ == "__main__":
    print(*(main(command.split()) for command in sys.argv[1:]), file=sys.stderr)
"""


def test_the_wheel_alone_is_enough(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    empty = tmp_path / "empty"
    empty.mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MLPTRAIN")}
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py", *COMMANDS],
        cwd=empty,
        env={**kept, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.splitlines()[-1].split() == [str(code) for code in COMMANDS.values()], done.stderr
    assert str(installed) not in done.stdout + done.stderr
    assert (empty / "runs/quickstart-002/model.npz").is_file() and (empty / "runs/hidden-001/best/model.npz").is_file()
