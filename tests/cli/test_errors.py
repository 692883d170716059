"""Wrong inputs: at most three lines on stderr that name the place, the exit code, and no file left behind."""

from __future__ import annotations

import gzip
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.core import TyperGroup

from mlptrain.datasets.idx import write_idx
from mlptrain.system.signals import SIGNALS
from tests.cli.conftest import Command

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def config_with(text: str) -> Callable[[Path], list[str]]:
    def make(folder: Path) -> list[str]:
        (folder / "bad.yaml").write_text(text)
        return ["bad.yaml"]

    return make


def override(*arguments: str) -> Callable[[Path], list[str]]:
    return lambda folder: ["tiny.yaml", *arguments]


def own_folder(spoil: Any) -> Callable[[Path], list[str]]:
    """Return a maker of a folder with 20 images and labels, damaged by ``spoil``."""

    def make(folder: Path) -> list[str]:
        data = folder / "own"
        data.mkdir()
        write_idx(data / "train-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
        write_idx(data / "train-labels-idx1-ubyte", np.arange(20, dtype=np.uint8) % 10)
        spoil(data)
        return ["tiny.yaml", "dataset=./own"]

    return make


def cut_short(data: Path) -> None:
    path = data / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-7])


def wrong_magic(data: Path) -> None:
    path = data / "train-images-idx3-ubyte"
    path.write_bytes(b"\x89PNG" + path.read_bytes()[4:])


def fewer_labels(data: Path) -> None:
    write_idx(data / "train-labels-idx1-ubyte", np.zeros(19, np.uint8))


def empty(data: Path) -> None:
    for path in data.iterdir():
        path.unlink()


def bomb(data: Path) -> None:
    (data / "train-images-idx3-ubyte").unlink()
    header = struct.pack(">IIII", 0x803, 20, 28, 28)
    (data / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + bytes(50_000_000)))


def vast(data: Path) -> None:
    path = data / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">IIII", 0x803, 2**31 - 1, 28, 28) + bytes(1000))


def blocked_runs_dir(folder: Path) -> list[str]:
    (folder / "file").write_text("")
    return ["tiny.yaml", "--runs-dir", "file/runs"]


def existing_run(folder: Path) -> list[str]:
    (folder / "runs/a").mkdir(parents=True)
    return ["tiny.yaml", "--run", "a"]


def damaged_model(folder: Path) -> list[str]:
    (folder / "model.npz").write_bytes(b"PK\x03\x04 not really")
    return ["tiny.yaml", "--from", "model.npz"]


WRONG = {
    "missing config": (lambda folder: ["nowhere.yaml"], 2, ["nowhere.yaml"]),
    "bad yaml": (config_with("epochs: 3\nhidden: [30\n"), 2, ["bad.yaml:2", "YAML"]),
    "unknown key": (config_with("epochs: 3\nlearning_rte: 1\n"), 2, ["bad.yaml:2", "'learning_rate'"]),
    "duplicate key": (config_with("epochs: 3\nseed: 1\nepochs: 4\n"), 2, ["bad.yaml:3", "line 1"]),
    "wrong type": (config_with("\nepochs: many\n"), 2, ["bad.yaml:2", "'many'"]),
    "true is not 1": (config_with("epochs: true\n"), 2, ["bad.yaml:1", "true"]),
    "alias bomb": (
        config_with("a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
            f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefg", "bcdefgh", strict=True)
        )),
        2, ["bad.yaml:"],
    ),
    "negative rate": (override("learning_rate=-1"), 2, ["learning_rate", "(got -1)"]),
    "override without =": (override("learning_rate"), 2, ["'learning_rate'", "="]),
    "unknown activation": (override("activation=rleu"), 2, ["activation", "'relu'"]),
    "unsound pairing": (override("output=sigmoid"), 2, ["cross_entropy", "softmax"]),
    "sum of fractions": (override("split=[0.7,0.2,0.2]"), 2, ["split", "1.1"]),
    "official without test file": (override("split=official"), 2, ["official", "[0.7, 0.2, 0.1]"]),
    "impossible split": (own_folder(lambda data: None), 2, ["20", "split"]),
    "subset too large": (override("subset=999999"), 2, ["999999", "3500"]),
    "too large for memory": (override("hidden=[1000000,1000000]"), 2, ["GB"]),
    "unknown dataset": (override("dataset=mnits"), 2, ["mnits", "'mnist'"]),
    "missing dataset": (override("dataset=mnist"), 3, ["mlptrain download mnist", "dataset: sample"]),
    "missing folder": (override("dataset=./nowhere"), 3, ["nowhere"]),
    "cut short": (own_folder(cut_short), 3, ["own/train-images-idx3-ubyte", "15689", "15696"]),
    "wrong magic": (own_folder(wrong_magic), 3, ["own/train-images-idx3-ubyte", "00 00 08 03"]),
    "labels and images": (own_folder(fewer_labels), 3, ["20", "19", "train-labels-idx1-ubyte"]),
    "empty folder": (own_folder(empty), 3, ["own", "train-images-idx3-ubyte"]),
    "gzip bomb": (own_folder(bomb), 3, ["train-images-idx3-ubyte.gz"]),
    "vast header": (own_folder(vast), 3, ["train-images-idx3-ubyte"]),
    "unwritable runs": (blocked_runs_dir, 3, ["file/runs", "--runs-dir"]),
    "existing run": (existing_run, 2, ["runs/a", "--overwrite"]),
    "run outside of the folder": (override("--run", "../x"), 2, ["../x"]),
    "damaged model": (damaged_model, 3, ["model.npz"]),
    "missing model": (override("--from", "nowhere"), 3, ["nowhere"]),
    "no threads": (override("--threads", "0"), 2, ["--threads"]),
    "unknown option": (override("--fast"), 2, ["--fast"]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_of_train(name: str, mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    make, code, parts = WRONG[name]
    arguments = make(tmp_path)
    if name == "impossible split":
        arguments.append("split=[0.98,0.01,0.01]")
    before = sorted(tmp_path.rglob("*"))
    result = mlptrain("train", *arguments)
    assert result.code == code, result.err
    assert result.out == ""
    for part in parts:
        assert part in result.err
    assert "Traceback" not in result.err
    assert result.err.count("\n") <= 3 and result.err.startswith("mlptrain: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["eval", "nowhere"], 3, ["nowhere"]),
        (["eval", "a", "--split", "tset"], 2, ["tset", "test"]),
        (["eval", "a", "--dataset", "./nowhere"], 3, ["nowhere"]),
        (["eval", "a", "--min-accuracy", "1.0"], 5, ["below --min-accuracy 1"]),
        (["config", "nowhere.yaml"], 2, ["nowhere.yaml"]),
        (["config", "learning_rate=fast"], 2, ["learning_rate", "'fast'"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_inputs_of_other_commands(
    arguments: list[str], code: int, parts: list[str], mlptrain: Command, tiny: Path
) -> None:
    mlptrain("train", tiny, "--run", "a")
    result = mlptrain(*arguments)
    assert result.code == code, result.err
    assert all(part in result.err for part in parts), result.err
    assert result.err.count("\n") <= 3


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("train tiny.yaml --epochs 5", ["--epochs", "write epochs=5"]),
        ("train tiny.yaml --batch-size=32", ["write batch_size=32"]),
        ("train --lr 0.1 tiny.yaml", ["write learning_rate=0.1"]),
        ("lr-find tiny.yaml --hidden [64,32]", ["write 'hidden=[64,32]'"]),
        ("sweep tiny.yaml --schedule.warmup 0.1", ["write schedule.warmup=0.1"]),
        ("config --epochs", ["write epochs=VALUE"]),
        ("eval a --epochs 5", ["--epochs: unknown option", "mlptrain eval --help"]),
        ("train tiny.yaml --thread 3", ["'--threads'", "mlptrain train --help"]),
        ("train tiny.yaml --threads", ["--threads: needs a value"]),
        ("train tiny.yaml --threads=many", ["--threads", "many"]),
        ("train tiny.yaml --min-accuracy 2", ["--min-accuracy", "2"]),
        ("train tiny.yaml --quiet=3", ["--quiet: takes no value"]),
        ("train tiny.yaml -z", ["-z: unknown option"]),
        ("eval", ["RUN: missing", "mlptrain eval --help"]),
        ("predict a", ["IMAGE: missing"]),
        ("diagnose a b", ["diagnose: ", "b"]),
        ("trian", ["trian: unknown command", "'train'"]),
        ("--fast", ["--fast: unknown option", "`mlptrain --help`"]),
        ("train sweep.yaml", ["sweep.yaml", "`mlptrain sweep sweep.yaml`"]),
    ],
)
def test_what_people_type_gets_a_hint(
    arguments: str, parts: list[str], mlptrain: Command, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "sweep.yaml").write_text("base: tiny.yaml\nmethod: grid\nparameters: {seed: {values: [1, 2]}}\n")
    result = mlptrain(*arguments.split())
    assert (result.code, result.out) == (2, "")
    first, second = result.err.splitlines()
    assert first.startswith("mlptrain: ") and second.startswith("hint: ")
    assert all(part in result.err for part in parts), result.err


@pytest.mark.parametrize("method", ["make_context", "invoke", "main"])
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_any_time_has_its_exit_code(
    mlptrain: Command, monkeypatch: pytest.MonkeyPatch, number: Any, method: str
) -> None:
    monkeypatch.setattr(TyperGroup, method, lambda *arguments, **settings: signal.raise_signal(number))
    result = mlptrain("backprop", "x^2", "x=1")
    assert (result.code, result.out) == (128 + number, "") and result.err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("limit", "command", "code", "parts"),
    [
        ("-n 16", "sweep tiny.yaml seed=1,2 --workers 2", 3, ["too many open files", "hint: raise", "ulimit -n"]),
        ("-v 100000", "eval a", 3, ["not enough memory", "ulimit -v"]),
        ("-v 200000", "train tiny.yaml dataset=./own --run b", 3, ["not enough memory", "ulimit -v"]),
        ("-v 300000", "train tiny.yaml hidden=[3000,3000] --run b", 2, ["of memory", "MB are available"]),
        ("-v 300000", "sweep tiny.yaml hidden=[3000,3000],[3000] --run b", 2, ["of memory", "MB are available"]),
    ],
    ids=["open files", "libraries", "data", "train", "sweep"],
)
def test_limits_of_the_shell(limit: str, command: str, code: int, parts: list[str], tiny: Path, tmp_path: Path) -> None:
    if limit.startswith("-v") and sys.platform != "linux":
        pytest.skip("needs Linux")
    (tmp_path / "own").mkdir()
    write_idx(tmp_path / "own/train-labels-idx1-ubyte", np.zeros(130_000, np.uint8))
    with (tmp_path / "own/train-images-idx3-ubyte").open("wb") as stream:  # sparse
        stream.write(struct.pack(">IIII", 0x803, 130_000, 28, 28))
        stream.truncate(16 + 130_000 * 784)
    script = f"ulimit {limit} && exec {sys.executable} -m mlptrain {command} -q"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == code and done.stdout == ""
    assert all(part in done.stderr for part in parts) and done.stderr.count("\n") <= 2
    assert not (tmp_path / "runs/b").exists()


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_a_run_name_too_long_for_the_file_system(command: str, mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    values = ["seed=1,2"] if command == "sweep" else []
    for _ in range(2):  # without and with a folder of runs
        result = mlptrain(command, tiny, *values, "--run", "x" * 300)
        assert result.code == 3 and "file name too long" in result.err and "--run" in result.err.splitlines()[-1]
        (tmp_path / "runs").mkdir(exist_ok=True)


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be deleted")
@pytest.mark.parametrize("command", [["train", "{}"], ["sweep", "{}", "seed=1,2"], ["eval", "a"], ["config", "{}"]])
def test_a_current_folder_that_is_deleted(
    command: list[str], mlptrain: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = mlptrain(*(word.format(tiny) for word in command))
    assert result.code == 3 and result.out == "" and "current folder" in result.err and "\nhint: " in result.err
