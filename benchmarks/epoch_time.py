"""Time one epoch of five networks: mlptrain beside PyTorch, scikit-learn and the bare matrix products.

    python -m benchmarks.epoch_time [--quick] [--data-dir DIR] [--threads N] [--markdown FILE]

All in one process with the same threads, one after another in turn; a ratio is the median of the ratios of
neighbours, so that a machine that slows down slows both. mlptrain runs its own training loop, from bytes, and counts
the epoch's loss and accuracy. The peers get their images as floats in memory. Naive NumPy is what one writes first,
without figures; PyTorch runs twice, with the same figures as mlptrain and bare, without any.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

# NumPy, and whatever imports it, is imported within the functions: the threads have to be chosen first.
if TYPE_CHECKING:
    import numpy as np

    from mlptrain.datasets.dataset import Dataset

RATE = 0.05


class Case(NamedTuple):
    """A network, from its inputs to its outputs, and its batch size."""

    layers: tuple[int, ...]
    activation: str
    batch: int


class Data(NamedTuple):
    """The same images as the engine takes them (bytes) and as the peers do: ``x`` (n, 784) float32, ``labels`` (n,)."""

    dataset: Dataset
    x: np.ndarray
    labels: np.ndarray


CASES = (
    Case((784, 15, 10), "sigmoid", 64),
    Case((784, 30, 10), "sigmoid", 10),
    Case((784, 128, 10), "relu", 64),
    Case((784, 512, 512, 10), "relu", 128),
    Case((784, 1024, 1024, 1024, 10), "relu", 256),
)


def load(count: int, data_dir: Path | None) -> Data:
    """The first images of MNIST where its files are there, else random bytes."""
    import numpy as np

    from mlptrain import api
    from mlptrain.datasets.dataset import Dataset
    from mlptrain.errors import DataError

    try:
        dataset = api.load_dataset("mnist", data_dir=data_dir)
    except DataError:
        rng, names = np.random.default_rng(0), tuple("0123456789")
        images, labels = rng.integers(0, 256, (count, 784), np.uint8), rng.integers(0, 10, count, np.uint8)
        dataset = Dataset("random bytes (no MNIST there)", images, labels, count, (28, 28), names, "")
    x = dataset.images[:count].astype(np.float32) / np.float32(255)
    return Data(dataset, x, dataset.labels[:count].astype(np.int64))


def mlptrain_epoch(case: Case, data: Data) -> Callable[[], object]:
    """mlptrain's own loop, without a validation part."""
    import numpy as np

    from mlptrain.config import Config
    from mlptrain.datasets.split import Split
    from mlptrain.trainer import Trainer

    values = {"hidden": case.layers[1:-1], "activation": case.activation, "batch_size": case.batch}
    config = Config.model_validate({**values, "learning_rate": RATE, "epochs": 1000}).resolve()
    none = np.empty(0, np.int64)
    split = Split(np.arange(len(data.x)), none, none, "")
    trainer = Trainer([config], data.dataset, split)
    return lambda: list(trainer.run(until=trainer.epoch + 1))


def products_epoch(case: Case, data: Data) -> Callable[[], object]:
    """The matrix products of an epoch alone: no bias, activation, loss, shuffling or update."""
    import numpy as np

    rng = np.random.default_rng(0)
    weights = [rng.random((out, inputs), np.float32) / inputs for inputs, out in pairwise(case.layers)]
    gradients = [np.empty_like(w) for w in weights]
    batches = np.split(data.x, range(case.batch, len(data.x), case.batch))
    sizes = {len(batch) for batch in batches}
    buffers = {size: [np.zeros((out, size), np.float32) for out in case.layers[1:]] for size in sizes}

    def epoch() -> None:
        for x in batches:
            a = buffers[len(x)]  # stand for activations and deltas alike
            np.matmul(weights[0], x.T, out=a[0])
            for index in range(1, len(weights)):
                np.matmul(weights[index], a[index - 1], out=a[index])
            for index in range(len(weights) - 1, 0, -1):
                np.matmul(a[index], a[index - 1].T, out=gradients[index])
                np.matmul(weights[index].T, a[index], out=a[index - 1])
            np.matmul(a[0], x, out=gradients[0])

    return epoch


def naive_epoch(case: Case, data: Data) -> Callable[[], object]:
    """What one writes first in NumPy: one network, 2-D arrays, buffers reused, the rate times every gradient."""
    import numpy as np

    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((out, inputs), np.float32) / inputs**0.5 for inputs, out in pairwise(case.layers)]
    biases = [np.zeros((out, 1), np.float32) for out in case.layers[1:]]
    gradients = [np.empty_like(w) for w in weights]
    targets = np.eye(10, dtype=np.float32)[data.labels]
    sigmoid = case.activation == "sigmoid"

    def step(x: np.ndarray, y: np.ndarray, a: list[np.ndarray], d: list[np.ndarray]) -> None:
        for index, (w, b) in enumerate(zip(weights, biases, strict=True)):
            np.matmul(w, x.T if index == 0 else a[index - 1], out=a[index])
            a[index] += b
            if index < len(weights) - 1:
                np.copyto(a[index], 1 / (1 + np.exp(-a[index])) if sigmoid else np.maximum(a[index], 0))
        exponentials = np.exp(a[-1] - a[-1].max(axis=0))
        np.subtract(exponentials / exponentials.sum(axis=0), y.T, out=d[-1])
        for index in range(len(weights) - 1, -1, -1):
            np.matmul(d[index], x if index == 0 else a[index - 1].T, out=gradients[index])
            if index:
                np.matmul(weights[index].T, d[index], out=d[index - 1])
                d[index - 1] *= a[index - 1] * (1 - a[index - 1]) if sigmoid else a[index - 1] > 0
            gradients[index] *= RATE / len(x)
            weights[index] -= gradients[index]
            biases[index] -= RATE * d[index].mean(axis=1, keepdims=True)

    sizes = {case.batch, len(data.x) % case.batch} - {0}
    buffers = {
        size: [[np.empty((out, size), np.float32) for out in case.layers[1:]] for _ in range(2)] for size in sizes
    }

    def epoch() -> None:
        order = rng.permutation(len(data.x))
        for start in range(0, len(order), case.batch):
            indices = order[start : start + case.batch]
            step(data.x[indices], targets[indices], *buffers[len(indices)])

    return epoch


def torch_epoch(case: Case, data: Data, *, figures: bool = True) -> Callable[[], object]:
    """PyTorch, eager: tensors in memory, a shuffled index an epoch, no DataLoader; with the epoch's figures or not."""
    import torch
    from torch import nn

    activation = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}[case.activation]
    layers = [layer for inputs, out in pairwise(case.layers) for layer in (nn.Linear(inputs, out), activation())]
    model = nn.Sequential(*layers[:-1])
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)

    def epoch() -> tuple[float, float]:
        total, hits = 0.0, 0
        for indices in torch.randperm(len(x)).split(case.batch):
            optimizer.zero_grad()
            truth = labels[indices]
            outputs = model(x[indices])
            loss = criterion(outputs, truth)
            loss.backward()
            optimizer.step()
            if figures:
                total += loss.item() * len(indices)
                hits += int((outputs.argmax(1) == truth).sum().item())
        return total / len(x), hits / len(x)

    return epoch


def sklearn_epoch(case: Case, data: Data) -> Callable[[], object]:
    """scikit-learn's MLPClassifier: one iteration of plain SGD a call."""
    from sklearn.neural_network import MLPClassifier

    activation = {"sigmoid": "logistic", "relu": "relu"}[case.activation]
    sgd = {"solver": "sgd", "learning_rate_init": RATE, "momentum": 0.0, "nesterovs_momentum": False, "alpha": 0.0}
    model = MLPClassifier(case.layers[1:-1], activation=activation, batch_size=case.batch, **sgd)
    return lambda: model.partial_fit(data.x, data.labels, classes=range(10))


Make = Callable[[Case, Data], Callable[[], object]]
OURS, PRODUCTS, NAIVE = "mlptrain", "products", "naive"
TORCH, BARE_TORCH, SKLEARN = "torch", "torch bare", "sklearn"
COMPETITORS: dict[str, Make] = {
    OURS: mlptrain_epoch,
    PRODUCTS: products_epoch,
    NAIVE: naive_epoch,
    TORCH: torch_epoch,
    BARE_TORCH: partial(torch_epoch, figures=False),
    SKLEARN: sklearn_epoch,
}
HEADER = (
    "network",
    "batch",
    "mlptrain s/epoch",
    "products alone",
    "share of products",
    "naive NumPy ratio",
    "PyTorch ratio",
    "PyTorch bare",
    "sklearn ratio",
)


def measure(case: Case, data: Data, names: list[str], repeats: int) -> dict[str, list[float]]:
    """Seconds an epoch, in turn, after one epoch each to warm up."""
    epochs = {name: COMPETITORS[name](case, data) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(repeats + 1):
        for name, epoch in epochs.items():
            began = time.perf_counter()
            epoch()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def row(case: Case, seconds: dict[str, list[float]]) -> list[str]:
    """The cells of a table row; a peer's ratio is its time over mlptrain's."""

    def ratio(name: str) -> float:
        return statistics.median(theirs / ours for theirs, ours in zip(seconds[name], seconds[OURS], strict=True))

    times = [f"{statistics.median(seconds[name]):.3f}" for name in (OURS, PRODUCTS)]
    peers = [f"{ratio(name):.2f}" if name in seconds else "-" for name in (NAIVE, TORCH, BARE_TORCH, SKLEARN)]
    return ["-".join(map(str, case.layers)), str(case.batch), *times, f"{ratio(PRODUCTS):.0%}", *peers]


def describe(data: Data, names: list[str], threads: int, repeats: int) -> list[str]:
    """What was measured, on what, with what, and when."""
    modules = [importlib.import_module(name) for name in (OURS, "numpy", *dict.fromkeys(map(module_of, names[3:])))]
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in modules)
    system = f"{processor()}, {threads} threads, {platform.system()}; Python {platform.python_version()}"
    return [
        f"One epoch of {len(data.x):,} images ({data.dataset.name}), float32; sigmoid units in the first two networks, "
        f"relu in the others; median of {repeats}; ratio: peer / mlptrain.",
        f"{system}, {versions}; {datetime.date.today().isoformat()}.",
        *[f"{name} is not installed and left out." for name in (TORCH, SKLEARN) if name not in names],
    ]


def module_of(name: str) -> str:
    """The module that a competitor needs."""
    return name.split()[0]


def processor() -> str:
    """The processor's name, where the system says it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def markdown(notes: list[str], rows: list[list[str]]) -> str:
    """The notes and the table as Markdown."""
    lines = [HEADER, ["---", *["---:"] * (len(HEADER) - 1)], *rows]
    return "\n\n".join(notes) + "\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Read the options, choose the threads, measure, print."""
    from mlptrain.threads import available_cores, use_threads

    parser = argparse.ArgumentParser(prog="python -m benchmarks.epoch_time", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the images, two repeats")
    parser.add_argument("--data-dir", type=Path, help="where MNIST lies; default: MLPTRAIN_DATA_DIR, else data")
    parser.add_argument("--threads", type=int, default=available_cores(), help="default: all cores")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    options = parser.parse_args()
    use_threads(options.threads)
    names = [name for name in COMPETITORS if name in (PRODUCTS, NAIVE) or find_spec(module_of(name))]
    if TORCH in names:
        importlib.import_module(TORCH).set_num_threads(options.threads)

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    images, repeats = (4_900, 2) if options.quick else (49_000, 5)
    data = load(images, options.data_dir)
    rows = [row(case, measure(case, data, names, repeats)) for case in CASES]
    notes = describe(data, names, options.threads, repeats)
    table = Table(*HEADER, box=SIMPLE, padding=0)
    table.columns[0].no_wrap = True
    for cells in rows:
        table.add_row(*cells)
    Console().print(table, *notes, sep="\n")
    if options.markdown:
        options.markdown.write_text(markdown(notes, rows), encoding="utf-8")


if __name__ == "__main__":
    main()
