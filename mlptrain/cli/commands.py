"""The commands of the ``mlptrain`` program.

To add a command, write a module with a function of the same name, add it to `COMMANDS`, and run
``python tools/make_completion.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Command(NamedTuple):
    """A command: its module and the function of the same name in it, its first line of help, its parser's settings."""

    module: str
    help: str
    settings: Mapping[str, Any] = {}


COMMANDS = {
    "download": Command("download", "Download the files of a dataset and verify them."),
    "init": Command("init", "Copy a shipped config or sweep to change it."),
    "train": Command("train", "Train one network and save it in a run folder."),
    "eval": Command("evaluate", "Measure the loss and accuracy of trained networks."),
    "sweep": Command("sweep", "Train many networks with different settings and rank them."),
    "plot": Command("plot", "Draw the plots of a run, of several runs, or of a sweep."),
    "report": Command("report", "Write a self-contained HTML page about runs or a sweep."),
    "runs": Command("runs", "List runs and sweeps with their state, metrics and differences."),
    "compare": Command("compare", "Compare the settings, metrics and mistakes of runs."),
    "watch": Command("watch", "Show a run or a sweep while another process trains it."),
    "diagnose": Command("diagnose", "Diagnose a run by its curves and layers and suggest a change."),
    "predict": Command("predict", "Classify images of your own handwritten digits."),
    "export": Command("export", "Write a model as ONNX, NumPy, JSON, or a web page to draw on."),
    "lr-find": Command("lr_find", "Suggest a learning rate after a short range test."),
    "config": Command("config", "Show a config, list the shipped ones, or describe the keys."),
    "backprop": Command(
        "backprop",
        "Show the forward and backward pass through an expression.",
        {"ignore_unknown_options": True, "help_option_names": ["--help"]},  # -x*y, -h*y and --x are expressions
    ),
    "exercise": Command("exercise", "Practise backpropagation by hand and in code."),
}
