"""The changes that CONTRIBUTING.md describes, each made in a copy of the source tree with the code of the page."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlptrain
from mlptrain.config.registry import STEMS
from tests.readme import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL))
STORIES = dict(re.findall(r"^\| \[(.+?)\]\(#[\w-]+\) \| (.+) \|$", PAGE, re.MULTILINE))
EDIT = re.compile(
    r"^In (?:the new file )?`(?P<file>[^`]+)`(?:, (?P<place>before|at the end of) `(?P<anchor>[^`]+)`)?:\n\n"
    r"```python\n(?P<code>.*?)```",
    re.MULTILINE | re.DOTALL,
)
TINY = "subset: 200\nhidden: [8]\nepochs: 1\nlearning_rate: 0.01\n"


COMMANDS = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from mlptrain.cli import main
for line in sys.stdin:
    with redirect_stdout(StringIO()) as output, redirect_stderr(output):
        code = main(json.loads(line))
    print(json.dumps([code, output.getvalue()]), flush=True)
"""

INTERRUPTED = """
import mlptrain
import numpy
from mlptrain.system.machine import use_threads
use_threads(1)
reports = mlptrain.run(mlptrain.load_config("tiny.yaml", ["epochs=3"]), run="second")
while not hasattr(next(reports), "largest_weight"):
    pass
reports.close()
"""


class Tree:
    """A copy of the source tree, and a process that runs ``mlptrain`` commands from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(
            Path(mlptrain.__file__).parent, folder / "mlptrain", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(ROOT / "configs", folder / "configs")
        (folder / "data").mkdir()
        (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
        self.process: subprocess.Popen[str] | None = None

    def follow(self, story: str) -> None:
        """Make the edits of a story, which are in the files that the table of stories names."""
        edits = list(EDIT.finditer(SECTIONS[story]))
        named = {f"mlptrain/{file}" for file in re.findall("`([^`]+)`", STORIES[story])}
        assert {edit["file"] for edit in edits} == named != set()
        for edit in edits:
            path = self.folder / edit["file"]
            if edit["place"] is None:
                assert not path.exists()
                path.write_text(edit["code"], encoding="utf-8")
            else:
                lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
                lines.insert(position(lines, edit["place"], edit["anchor"]), edit["code"])
                path.write_text("".join(lines), encoding="utf-8")

    def start(self, program: str) -> subprocess.Popen[str]:
        """Start a Python program in the folder."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MLPTRAIN")}
        return subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(self.folder), "COLUMNS": "200", "NO_COLOR": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def mlptrain(self, *arguments: str, code: int = 0) -> str:
        """Run a command in the process of all commands; return its stdout and stderr together."""
        self.process = self.process or self.start(COMMANDS)
        assert self.process.stdin and self.process.stdout
        print(json.dumps(arguments), file=self.process.stdin, flush=True)
        exit_code, output = json.loads(self.process.stdout.readline())
        assert exit_code == code, output
        return output

    def schema(self) -> dict[str, dict]:
        return json.loads(self.mlptrain("config", "--schema"))["properties"]

    def train(self, *overrides: str) -> dict:
        return json.loads(self.mlptrain("train", "tiny.yaml", *overrides, "--threads", "1", "--json", "-q"))

    def column(self, run: str, name: str) -> list[str]:
        """Return a column of the history of a run."""
        with (self.folder / "runs" / run / "history.csv").open(encoding="utf-8") as stream:
            return [row[name] for row in csv.DictReader(stream)]


def position(lines: list[str], place: str, anchor: str) -> int:
    """Return the index before the only line that begins with ``anchor``, or after the indented block below it."""
    (start,) = [index for index, line in enumerate(lines) if line.strip().startswith(anchor)]
    if place == "before":
        return start
    end = start + 1
    while not lines[end].strip() or lines[end].startswith(" "):
        end += 1
    return next(index for index in range(end, start, -1) if lines[index - 1].strip())


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path)
    yield tree
    if tree.process:
        tree.process.communicate()


def test_every_story_is_followed_by_a_test() -> None:
    assert len(STORIES) == 6
    for story in STORIES:
        assert f"test_{story.lower().replace(' ', '_')}" in globals()


def test_every_file_and_module_that_the_page_names_exists() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    for path in re.findall(r"`((?:mlptrain|tests|tools|docs|benchmarks)/[\w/.-]+)`", prose):
        assert (ROOT / path).exists() or path in ("mlptrain/cli/score.py", "tests/cli/test_score.py"), path
    for module in re.findall(r"python -m ((?:tests|benchmarks)[\w.]*)", PAGE):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_add_an_activation(tree: Tree) -> None:
    tree.follow("Add an activation")
    assert "softsign" in tree.schema()["activation"]["enum"]
    metrics = tree.train("activation=softsign")
    assert 0 < metrics["test_loss"] != tree.train("activation=linear")["test_loss"]


def test_add_an_optimizer(tree: Tree) -> None:
    tree.follow("Add an optimizer")
    schema = tree.schema()
    assert "lion" in schema["optimizer"]["enum"]
    assert "lion" in schema["beta2"]["description"] and "lion" not in schema["rho"]["description"]
    assert tree.train("optimizer=lion", "epochs=3")["loss"] < tree.train("optimizer=lion")["loss"]


def test_add_a_dataset(tree: Tree) -> None:
    tree.follow("Add a dataset")
    assert "my-digits" in tree.mlptrain("download", "--help")
    assert "my-digits" in tree.schema()["dataset"]["description"]
    assert "mlptrain download my-digits" in tree.mlptrain("train", "tiny.yaml", "dataset=my-digits", code=3)
    (tree.folder / "mine").mkdir()
    for stem in STEMS:
        sample = tree.folder / "mlptrain" / "datasets" / "sample" / f"{stem.partition('-')[2]}.gz"
        shutil.copy(sample, tree.folder / "mine" / f"{stem}.gz")
    tree.mlptrain("download", "my-digits", "--from", "mine")
    assert tree.train("dataset=my-digits", "split=official")["test_loss"] > 0


def test_add_a_command(tree: Tree) -> None:
    tree.follow("Add a command")
    assert re.search(r"score +Print the test accuracy of a run\.", tree.mlptrain("--help"))
    metrics = tree.train("--run", "first")
    assert json.loads(tree.mlptrain("score", "first", "--json")) == {"test_accuracy": metrics["test_accuracy"]}
    assert "other" in tree.mlptrain("score", "other", code=3)


def test_add_a_config_key(tree: Tree) -> None:
    tree.follow("Add a config key")
    assert tree.schema()["bias_init"]["default"] == 0
    assert "bias_init" in tree.mlptrain("config", "bias_init=-1", code=2)
    assert "\nbias_init: 0.5\n" in tree.mlptrain("config", "bias_init=0.5")
    shutil.copytree(ROOT / "tests" / "data" / "v0.1" / "sweep", tree.folder / "runs" / "sweep")
    assert "learning_rate" in tree.mlptrain("sweep", "runs/sweep/sweep.yaml", "--run", "sweep", "--resume")
    losses = [tree.train("activation=relu", "epochs=0", f"bias_init={value}")["test_loss"] for value in (0, 0.5)]
    assert losses[0] != losses[1]


def test_add_a_metric_per_epoch(tree: Tree) -> None:
    tree.follow("Add a metric per epoch")
    tree.train("epochs=3", "--run", "first")
    with tree.start(INTERRUPTED) as interrupted:
        pass
    assert interrupted.returncode == 0
    tree.train("epochs=3", "--run", "second", "--resume")
    first, second = (tree.column(name, "largest_weight") for name in ("first", "second"))
    assert first == second and len(set(first)) == 3 and min(map(float, first)) > 0
