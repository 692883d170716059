"""Digests of everything that a refactoring must not change.

``python -m tests.stress.digests record FILE [--source DIR]`` runs small networks and sweeps that together use every
config key and every name of each vocabulary, and writes one value per weight array, history, leaderboard, resolved
config key, and key of the JSON files and outputs. ``compare FILE`` runs the same and lists every difference. The bytes
depend on the machine and on the versions of NumPy and BLAS: record and compare on one machine.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

SMALL = {"subset": 300, "epochs": 2, "batch_size": 32, "hidden": [8], "learning_rate": 0.1, "dtype": "float32"}
AUGMENT = {"shift": 2, "rotate": 10, "scale": 0.1, "shear": 0.1, "elastic": {"alpha": 20, "sigma": 4}}

CONFIGS: dict[str, dict[str, Any]] = {
    "sgd": {"activation": "sigmoid", "loss": "mse", "output": "sigmoid", "init": "normal", "optimizer": "sgd"}
    | {"schedule": "constant", "dtype": "float64", "seed": 7, "batch_seed": 5, "split_seed": 3},
    "momentum": {"activation": "relu", "optimizer": "momentum", "momentum": 0.8, "init": "he_normal", "l2": 1e-3}
    | {"schedule": {"name": "step", "every": 5, "gamma": 0.5}, "hidden": [12, 8], "dropout": [0.2, 0.1]},
    "nesterov": {"activation": "tanh", "optimizer": "nesterov", "momentum": 0.7, "init": "glorot_normal"}
    | {"schedule": {"name": "cosine", "warmup": 0.2}, "ema": 0.9, "split": [0.6, 0.3, 0.1]},
    "adagrad": {"activation": "elu", "optimizer": "adagrad", "init": "he_uniform", "l1": 1e-4, "epsilon": 1e-6},
    "adadelta": {"activation": "softplus", "optimizer": "adadelta", "rho": 0.95, "init": "glorot_uniform"}
    | {"learning_rate": 1.0, "batch_size": "full", "epochs": 4},
    "rmsprop": {"activation": "selu", "optimizer": "rmsprop", "rho": 0.8, "init": "lecun_normal", "max_norm": 1.0}
    | {"learning_rate": 0.01, "input_dropout": 0.1},
    "adam": {"activation": "leaky_relu", "optimizer": "adam", "beta1": 0.8, "beta2": 0.99, "init": "auto"}
    | {"learning_rate": 0.01, "batch_norm": True, "schedule": "one_cycle", "label_smoothing": 0.1, "clip_norm": 0.5},
    "adamw": {"activation": "gelu", "optimizer": "adamw", "decay": 0.1, "loss": "mse", "output": "softmax"}
    | {"learning_rate": 0.01, "schedule": {"name": "exponential", "gamma": 0.99}, "checkpoint_seconds": 0},
    "nadam": {"activation": "silu", "optimizer": "nadam", "loss": "cross_entropy", "output": "auto"}
    | {"learning_rate": 0.1, "epochs": 8, "schedule": {"name": "plateau", "factor": 0.5, "patience": 1}}
    | {"early_stopping": {"monitor": "val_loss", "patience": 2, "min_delta": 0.01, "restore_best": True}},
    "augment": {"loss": "binary_cross_entropy", "augment": AUGMENT, "epochs": 6, "dropout": 0.1}
    | {"early_stopping": {"monitor": "val_accuracy", "patience": 1, "restore_best": False}},
    "linear": {"activation": "linear", "loss": "mse", "output": "linear", "learning_rate": 0.01, "epochs": 6}
    | {"early_stopping": {"monitor": "accuracy", "patience": 0}},
    "zeros": {"hidden": [], "init": "zeros", "epochs": 0},
    "softmax": {"hidden": [], "init": "zeros", "output": "softmax", "subset": None, "batch_size": 256},
    "official": {"dataset": "./digits", "split": "official", "subset": None},
    "official-60k": {"dataset": "./digits", "split": "official-60k", "early_stopping": {"monitor": "loss"}},
    "diverging": {"activation": "linear", "loss": "mse", "output": "linear", "learning_rate": 1000.0},
    "everything": {"optimizer": "nadam", "learning_rate": 0.02, "epochs": 6, "hidden": [8, 6], "batch_norm": True}
    | {"dropout": 0.1, "input_dropout": 0.1, "ema": 0.9, "l2": 1e-4, "max_norm": 2.0, "augment": AUGMENT}
    | {"schedule": {"name": "plateau", "factor": 0.5, "patience": 1}, "early_stopping": {"patience": 3}},
}
"""The keys in which each config differs from `SMALL`."""

_ACCURACY = {"name": "val_accuracy", "goal": "maximize"}
SWEEPS: dict[str, dict[str, Any]] = {
    "grid": {"base": "momentum.yaml", "method": "grid", "metric": _ACCURACY, "repeat": 2}
    | {
        "parameters": {
            "learning_rate": {"values": [0.05, 0.2]},
            "hidden": {"values": [[4], [6, 4]]},
            "dropout": {"value": 0.1},
        }
    },
    "halving": {"base": "everything.yaml", "method": "halving", "metric": {"name": "val_loss", "goal": "minimize"}}
    | {"run_cap": 5, "early_terminate": {"min_iter": 1, "eta": 2}}
    | {"parameters": {"learning_rate": {"distribution": "log_uniform_values", "min": 1e-3, "max": 0.1}}},
    "random": {"base": "sgd.yaml", "method": "random", "metric": _ACCURACY, "run_cap": 4, "seed": 1}
    | {
        "parameters": {
            "hidden": {"min": 3, "max": 6},
            "momentum": {"min": 0.5, "max": 0.9, "q": 0.1},
            "optimizer": {"values": ["sgd", "nesterov"], "probabilities": [0.25, 0.75]},
            "schedule": {"name": {"values": ["constant", "cosine"]}},
        }
    },
    "tpe": {"base": "nesterov.yaml", "method": "tpe", "metric": _ACCURACY, "run_cap": 6}
    | {"parameters": {"learning_rate": {"min": 0.01, "max": 1.0}, "activation": {"values": ["tanh", "relu"]}}},
}

COMMANDS = (
    "train momentum.yaml --run profiled --profile --json --threads 1",
    "train momentum.yaml hidden=[12,8] seed=4 --from momentum --run warm --json --threads 1",
    "train everything.yaml --run resumed --time-limit 0 --json --threads 1",
    "train everything.yaml --run resumed --time-limit 0 --resume --json --threads 1",
    "train everything.yaml --run resumed --resume --json --threads 1",
    "train everything.yaml --run resumed --resume --json --threads 1 -q",  # already complete
    "train adam.yaml --run adam --json --threads 1",  # refused: the run exists
    "eval momentum --json --threads 1",
    "eval adam --split validation --mistakes 3 --json --threads 1",
    "eval momentum nesterov --split all --json --threads 1",
    "eval momentum --dataset ./digits --min-accuracy 1 --json --threads 1",
    "diagnose nadam --json",
    "diagnose diverging --json",
    "config --json",
    "config --schema",
    "config everything.yaml epochs=3 augment.elastic=null --json",
    "lr-find everything.yaml --steps 30 --json --threads 1",
    "predict adam digits/t10k-images-idx3-ubyte page.npy --json --threads 1",
    'backprop "max(x + y, exp(z)) * sigmoid(z) / y ** 2 - relu(x) + log(y) + tanh(z) - min(x, z)" x=-2 y=5 z=-4 --json',
    "download --check --json",
    "export momentum --format npz --json",
    "export adam --format json --json",
    "export adam --format onnx --json",
    "plot nadam --json --only curves --format svg",
    "report zeros --json --threads 1",
    "sweep grid.yaml --run grid --keep all --workers 1 --json --threads 1",
    "sweep grid.yaml --run alone --keep all --no-stack --workers 1 --json --threads 1",
    "sweep grid.yaml --run shard --shard 2/2 --workers 1 --json --threads 1",
    "sweep grid.yaml --list --threads 1",
    "sweep runs/shard --collect --run collected --json",
    "sweep halving.yaml --run halving --keep all --workers 1 --json --threads 1",
    "sweep halving.yaml --run halving --keep all --resume --workers 1 --json --threads 1",
    "sweep random.yaml --run random --workers 1 --json --threads 1",
    "sweep tpe.yaml --run tpe --workers 1 --json --threads 1",
    "sweep momentum.yaml learning_rate=0.1,1000 --run line --workers 1 --json --threads 1",
    "eval runs/halving/best --json --threads 1",
)

EXACT = ("eval", "lr-find", "predict", "backprop", "sweep grid.yaml --list")
"""Commands whose whole standard output is recorded, not only its shape."""


def commands() -> Iterator[str]:
    """Return every command line that is run, in order."""
    yield from (f"train {name}.yaml --run {name} --json --threads 1" for name in CONFIGS)
    yield from COMMANDS


def digest(data: bytes) -> str:
    """Return the SHA-256 of ``data``."""
    return hashlib.sha256(data).hexdigest()


def shape(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and the type of every value within a JSON value; the items of a list share a path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from shape(item, f"{path}.{key}")
    elif isinstance(value, list):
        yield path, "list"
        for item in value:
            yield from shape(item, f"{path}[]")
    else:
        yield path, type(value).__name__


def shapes(values: list[Any]) -> dict[str, str]:
    """Return the types found at each path of some JSON values."""
    found: dict[str, set[str]] = {}
    for value in values:
        for path, name in shape(value):
            found.setdefault(path, set()).add(name)
    return {path: " | ".join(sorted(names)) for path, names in found.items()}


def without_seconds(text: str) -> str:
    """Return a CSV table without its column ``seconds``."""
    rows = list(csv.reader(io.StringIO(text)))
    kept = [column for column, name in enumerate(rows[0]) if name != "seconds"]
    return "\n".join(",".join(row[column] for column in kept) for row in rows)


def write_inputs(folder: Path) -> None:
    """Write the configs, the sweeps, a dataset of noisy prototypes in IDX files, and an image."""
    for name, values in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(SMALL | values))
    for name, values in SWEEPS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    rng = np.random.default_rng(0)
    prototypes = rng.integers(0, 256, (10, 28, 28))
    (folder / "digits").mkdir()
    for name, count in (("train", 600), ("t10k", 120)):
        labels = np.arange(count) % 10
        images = (prototypes[labels] + rng.integers(0, 256, (count, 28, 28))) // 2
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = np.array([0x0800 + array.ndim, *array.shape], ">i4").tobytes()
            (folder / f"digits/{name}-{kind}-ubyte").write_bytes(header + array.astype(np.uint8).tobytes())
    page = np.full((90, 70), 250, np.uint8)
    page[20:70, 30:38] = 10
    np.save(folder / "page.npy", page)


def command_records(line: str, folder: Path, env: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Run a command and yield its exit code and the shape of its output."""
    command = [sys.executable, "-m", "mlptrain", *shlex.split(line)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        print(f"exit code {done.returncode}: mlptrain {line}\n{done.stderr}", file=sys.stderr)
    yield f"{line} > exit code", str(done.returncode)
    if line.startswith(EXACT):
        yield f"{line} > stdout", digest(done.stdout.encode())
    if done.stdout.startswith("{"):
        yield from ((f"{line} > {path}", names) for path, names in shapes([json.loads(done.stdout)]).items())


def file_records(file: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield that a file is there, and digests or shapes of what it contains."""
    yield name, "file"
    if file.name == "model.npz":
        with np.load(file) as arrays:
            for key in sorted(arrays.files):
                if key[0] in "Wb" and key[1:].isdecimal():
                    array = arrays[key]
                    yield f"{name} > {key}", f"{array.dtype} {array.shape} {digest(array.tobytes())}"
    elif file.suffix == ".csv":
        text = file.read_text()
        yield f"{name} > columns", text.splitlines()[0]
        yield f"{name} > rows", digest(without_seconds(text).encode())
    elif file.suffix == ".yaml":
        values = yaml.safe_load(file.read_text())
        yield from ((f"{name} > {key}", json.dumps(value)) for key, value in values.items())
    elif file.suffix in (".json", ".jsonl"):
        texts = [file.read_text()] if file.suffix == ".json" else file.read_text().splitlines()
        yield from ((f"{name} > {path}", names) for path, names in shapes(list(map(json.loads, texts))).items())


def measure(source: Path) -> dict[str, str]:
    """Run everything with the package in ``source``; return each recorded value by its name."""
    env = {key: value for key, value in os.environ.items() if key != "MLPTRAIN_DATA_DIR"}
    env |= {"PYTHONPATH": str(source.resolve()), "NO_COLOR": "1", "COLUMNS": "80"}
    env["XDG_DATA_HOME"] = os.devnull  # not the data of the user
    records: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        write_inputs(folder)
        for line in commands():
            records.update(command_records(line, folder, env))
        for file in sorted(path for path in (folder / "runs").rglob("*") if path.is_file()):
            found = file_records(file, str(file.relative_to(folder)))
            records.update((key, value.replace(str(folder), "FOLDER")) for key, value in found)
    return records


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return one line for each record that differs, is missing or is new."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [f"{name}: was {before.get(name, 'absent')}, is {now.get(name, 'absent')}" for name in names]


def main() -> int:
    """Record or compare; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.digests", description=__doc__)
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--source", type=Path, default=Path(__file__).parents[2], help="a checkout; default: this one")
    given = parser.parse_args()
    records = measure(given.source)
    if given.action == "record":
        given.file.write_text(json.dumps(records, indent=1) + "\n")
        print(f"{given.file}: {len(records)} records")
        return 0
    found = differences(json.loads(given.file.read_text()), records)
    print(*found, f"{len(found)} differences in {len(records)} records", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
