"""Displays in notebooks: what a kernel is told, and, if the tools of Jupyter are installed, a notebook."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import mlptrain
from mlptrain.errors import DivergedError
from mlptrain.reporting import notebook
from mlptrain.reporting.notebook import NotebookRun, NotebookSweep
from mlptrain.reporting.terminal import notebook_shell
from tests.readme import ROOT
from tests.reporting import made
from tests.reporting.test_sweep import reports as reports_of_sweep


class Shell:
    """The shell of a notebook, whose ``outputs`` are shown; ``messages`` counts what they were told."""

    def __init__(self) -> None:
        self.kernel = None
        self.display_pub = SimpleNamespace(publish=self._publish)
        self.outputs: dict[str, dict[str, str]] = {}
        self.messages = 0

    def _publish(self, data: dict[str, str], *, transient: dict[str, str], update: bool) -> None:
        assert update == (transient["display_id"] in self.outputs)
        self.outputs[transient["display_id"]] = data
        self.messages += 1

    @property
    def html(self) -> str:
        """The only output."""
        (data,) = self.outputs.values()
        return data["text/html"]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Let this process run in a notebook."""
    shell, module = Shell(), ModuleType("IPython")
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setattr(notebook, "REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(notebook, "PAUSE", 0)
    return shell


def test_only_a_kernel_is_a_notebook(shell: Shell) -> None:
    assert notebook_shell() is shell
    del shell.kernel  # the shell of IPython on a terminal
    assert notebook_shell() is None


def test_a_run_is_one_output_that_is_updated(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    result = mlptrain.train({"hidden": [5], "epochs": 3, "subset": 100}, progress=True)
    assert shell.messages >= 5 and capsys.readouterr().out == ""
    assert shell.html.count("<svg") == 2 and "<progress" not in shell.html
    assert all(f"{result.metrics[f'{name}accuracy']:.4f}" in shell.html for name in ("", "val_", "test_"))


def test_a_run_shows_its_progress_until_it_ends(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "REDRAW_SECONDS", 60.0)
    reporter = NotebookRun(shell)
    reporter.show(made.start(4))
    assert '<progress value="0" max="4">' in shell.html and "<svg" not in shell.html
    for report in (made.epoch(1, 4), made.layers(1), made.progress(2, 4)):
        reporter.show(report)
    assert shell.messages == 1, "no redraw is due"
    reporter.close()  # the run was interrupted
    assert '<progress value="1.5" max="4">' in shell.html and "epoch 2/4, 3s left" in shell.html
    assert shell.html.count("<svg") == 2
    reporter.show(made.end(4))
    reporter.close()
    assert "<progress" not in shell.html and "best epoch 17" in shell.html


def test_the_output_of_a_run_that_diverges_stays(shell: Shell) -> None:
    with pytest.raises(DivergedError):
        mlptrain.train({"hidden": [5], "epochs": 3, "learning_rate": 1e30, "activation": "relu"}, progress=True)
    assert "<progress" in shell.html


def test_a_run_that_is_complete_shows_its_metrics(shell: Shell, tmp_path: Path) -> None:
    config = {"hidden": [5], "epochs": 1, "subset": 100}
    mlptrain.train(config, run="a", runs_dir=tmp_path)
    result = mlptrain.train(config, run="a", runs_dir=tmp_path, resume=True, progress=True)
    assert "complete" in shell.html and f"{result.metrics['test_accuracy']:.4f}" in shell.html


def test_a_sweep_is_one_output_that_is_updated(shell: Shell) -> None:
    reporter = NotebookSweep(shell)
    *before, end = reports_of_sweep(3, failed=1)
    for report in before:
        reporter.show(report)
    assert '<progress value="3" max="3">' in shell.html and "SIGKILL" in shell.html and "2 workers" in shell.html
    reporter.show(end)
    reporter.close()
    assert "<progress" not in shell.html and "diverged" in shell.html and "0.8200" in shell.html
    assert "mlptrain train mnist.yaml" in shell.html


EXPECTED = {
    "train": (r"20 epochs on sample.*test.*<svg.*<svg", r"runs/notebook-001: .*\ntest accuracy 0\.\d+"),
    "result": (r"validation.*<svg.*<svg", r"TrainResult\(.*\)"),
    "evaluate": (r"precision.*predicted label.*data:image/png", r"Evaluation\(.*\)"),
    "predict": (r": 2 \(.*data:image/png.*probability", r"Prediction\(.*\)"),
    "sweep": (r"6 trials.*finished in.*val_accuracy", r"runs/quickstart-002: 6 trials.*\nfinished in .*"),
    "swept": (r"best trial.*val_accuracy.*importance", r"SweepResult\(.*\)"),
}
"""Patterns of the HTML and the plain text that each cell with a display must show."""


def test_the_notebook_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not find_spec("ipykernel"):
        pytest.skip("ipykernel is not installed")
    nbclient, nbconvert = pytest.importorskip("nbclient"), pytest.importorskip("nbconvert")
    nbformat = pytest.importorskip("nbformat")
    shutil.copytree(ROOT / "docs/photographs", tmp_path / "photographs")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(ROOT / "docs/notebook.ipynb", 4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "it is published without outputs"
    nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": tmp_path}}).execute()
    cells = {cell.id: cell for cell in notebook.cells if cell.get("outputs")}
    printed = "".join(output.text for output in cells.pop("command").outputs)
    assert "\x1b" not in printed and printed.count("Epoch ") == 3, "lines, and no stale rows"
    assert cells.keys() == EXPECTED.keys()
    for name, cell in cells.items():
        (output,) = cell.outputs
        html, text = (output.data[kind] for kind in ("text/html", "text/plain"))
        assert re.search(EXPECTED[name][0], html, re.DOTALL) and re.fullmatch(EXPECTED[name][1], text), name
        assert "array(" not in html + text and len(text) < 300 and len(html) < 30_000, name
    page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
    fragments = "".join(cell.outputs[0].data["text/html"] for cell in cells.values())
    for part in ("<svg ", "<img ", "<table>", 'class="mlptrain"'):
        assert page.count(part) == fragments.count(part) > 0, part
