"""Timing of whole processes: time to reach an accuracy, peak memory and start-up."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.contestants import KERAS, TORCH
from benchmarks.epochs import Setting
from benchmarks.loading import measure
from benchmarks.report import Section, ratio, seconds
from benchmarks.worker import Entry, environment, installed


class Finished(NamedTuple):
    """A finished process: its seconds, its peak memory in bytes, and its output."""

    seconds: float
    memory: int
    output: str


def run(command: Sequence[str], entry: Entry) -> Finished:
    """Run a command with the threads of an entry.

    Raises
    ------
    RuntimeError
        The command failed; the message contains the last line of its standard error.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=errors, env=environment(entry))
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            lines = errors.read().strip().splitlines()
            raise RuntimeError(f"{' '.join(command)}: {lines[-1] if lines else process.returncode}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Finished(elapsed, usage.ru_maxrss * unit, output.read())


Command = Callable[[int], list[str]]
"""A function from a number of epochs to the command that trains them."""

RECIPE = ("optimizer=adamw", "learning_rate=0.004", "batch_norm=true", "ema=0.99")
AUGMENTED = (
    *("hidden=[512]", "batch_size=128", "batch_norm=true", "optimizer=adamw", "learning_rate=0.002"),
    *("schedule=one_cycle", "ema=0.99", "augment.shift=2", "augment.rotate=12", "augment.scale=0.12"),
)


def mlptrain_command(config: Path, runs: Path, data_dir: Path, threads: int, overrides: Sequence[str]) -> Command:
    """Return ``mlptrain train`` on the official files, including its run folder and the test."""
    fixed = [f"--runs-dir={runs}", f"--data-dir={data_dir}", f"--threads={threads}", "--json", "--quiet"]
    train = [sys.executable, "-m", "mlptrain", "train", str(config)]
    return lambda epochs: [*train, f"epochs={epochs}", *overrides, *fixed]


def script_command(module: str, data_dir: Path) -> Command:
    """Return the command of a peer's script."""
    return lambda epochs: [sys.executable, "-m", f"benchmarks.peers.{module}", str(data_dir), str(epochs)]


def accuracy(output: str) -> float:
    """Return the test accuracy that a command printed in its last line."""
    last = output.strip().splitlines()[-1]
    return float(json.loads(last)["test_accuracy"]) if last.startswith("{") else float(last)


class Racer(NamedTuple):
    """A tool that is timed until it reaches an accuracy."""

    name: str
    command: Command
    entry: Entry


def least_epochs(racer: Racer, target: float, tries: Sequence[int]) -> tuple[int, Finished] | None:
    """Return the first number of epochs in ``tries`` that reaches the accuracy, with that run, or None."""
    for epochs in tries:
        finished = run(racer.command(epochs), racer.entry)
        if accuracy(finished.output) >= target:
            return epochs, finished
    return None


CONFIG = """\
dataset: mnist
split: official-60k
hidden: [128]
activation: relu
batch_size: 64
"""


def whole(setting: Setting, data_dir: Path) -> Section:
    """Time processes until their first epoch ends, and until they reach an accuracy on the test file."""
    threads = setting.threads
    section = Section(
        "Whole processes, full MNIST",
        [
            "Whole processes including the test, next to the scripts in `benchmarks/peers/`: 784-128-10, batch 64; the "
            f"scripts with adam, mlptrain with `{' '.join(RECIPE)}`. The number of epochs is the smallest that reaches "
            f"the accuracy with seed 0, found beforehand. For 99 % mlptrain uses `{' '.join(AUGMENTED)}`; the scripts "
            "do not reach it.",
        ],
        ("to", "tool", "epochs", "test accuracy", "s", "× mlptrain", "peak memory MB"),
        left_out=[f"{name} is not installed and was left out." for name in (TORCH, KERAS) if not installed(name)],
    )
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "benchmark.yaml"
        config.write_text(CONFIG)

        def ours(overrides: Sequence[str]) -> Racer:
            command = mlptrain_command(config, Path(folder) / "runs", data_dir, threads, overrides)
            return Racer("mlptrain", command, Entry("mlptrain", threads))

        peers = [
            Racer(name, script_command(module, data_dir), Entry(name, threads))
            for name, module in ((TORCH, "torch_mnist"), (KERAS, "keras_mnist"))
            if installed(name)
        ]
        goals: list[tuple[str, float, Sequence[int]]] = [("the first epoch", 0.0, (1,)), ("97 %", 0.97, (1, 2, 3, 4))]
        if not setting.quick:
            goals.append(("98 %", 0.98, (2, 3, 4, 6, 9, 13)))
        for goal, target, tries in goals:
            found: list[tuple[Racer, int, Finished]] = []
            for racer in (ours(RECIPE), *peers):
                reached = least_epochs(racer, target, tries)
                if reached is None:
                    section.left_out.append(f"{racer.name} does not reach {goal} in {tries[-1]} epochs.")
                else:
                    found.append((racer, *reached))
            times = [
                [run(racer.command(epochs), racer.entry).seconds for racer, epochs, _ in found]
                for _ in range(1 if setting.quick else 3)
            ]
            for index, (racer, epochs, finished) in enumerate(found):
                values = [row[index] for row in times]
                against = "1" if racer.name == "mlptrain" else f"{ratio(values, [row[0] for row in times]):.2f}"
                shown = [goal, racer.name, str(epochs), f"{accuracy(finished.output):.2%}", seconds(values)]
                section.rows.append([*shown, against, f"{finished.memory / 1e6:.0f}"])
        if not setting.quick:
            racer = ours(AUGMENTED)
            best = least_epochs(racer, 0.99, (8, 12, 20))
            if best is not None:
                epochs, finished = best
                shown = ["99 %", racer.name, str(epochs), f"{accuracy(finished.output):.2%}"]
                section.rows.append([*shown, f"{finished.seconds:.1f}", "1", f"{finished.memory / 1e6:.0f}"])
    return section


def startup(setting: Setting, data_dir: Path | None) -> Section:
    """Time short commands."""
    python, here = [sys.executable, "-m"], Entry("mlptrain", 1)
    section = Section(
        "Start-up",
        ["Whole processes that take turns; loading from the cache is measured within the process."],
        ("what", "s", "× bare Typer program"),
    )
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "sample.yaml"
        config.write_text("epochs: 0\n")
        train = [*python, "mlptrain", "train", str(config), f"--runs-dir={folder}/runs"]
        commands = {
            "a bare Typer program, --help": [*python, "benchmarks.peers.bare_typer", "--help"],
            "mlptrain --help": [*python, "mlptrain", "--help"],
            "mlptrain train, sample, epochs=0": train,
        }
        for command in commands.values():
            run(command, here)
        repeats = range(5 if setting.quick else 15)
        times = [[run(command, here).seconds for command in commands.values()] for _ in repeats]
        for index, name in enumerate(commands):
            values = [row[index] for row in times]
            section.rows.append([name, seconds(values), f"{ratio(values, [row[0] for row in times]):.2f}"])
        if data_dir is not None:
            loads = [measure("mnist", data_dir) for _ in range(4)][1:]  # the first one fills the cache
            section.rows.append(["loading full MNIST from the cache", f"{statistics.median(loads):.3f}", "-"])
    return section
