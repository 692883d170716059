"""Time one epoch of many networks of one shape: a stack of mlptrain beside its products, PyTorch and JAX.

    python -m benchmarks.stack_time [--members K] [--quick] [--data-dir DIR] [--threads N] [--markdown FILE]

K networks 784-30-10, batch 64, that differ in rate and initial seed, an epoch of full MNIST each. All in one process
with the same threads, in turn, each epoch beside every other; a ratio is the median of the ratios of neighbours, so
that a machine that slows down slows all. mlptrain runs its own training loop, from bytes, and counts each network's
loss and accuracy: once as a stack, once network after network. The products alone are those of the stack, and of the
networks one after another; PyTorch trains eagerly, one network after another, without figures; JAX trains all at once
under ``vmap``, an epoch's steps in one ``scan`` under ``jit``, compiled before the clock starts, without figures. The
peers get their images as floats in memory.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.epoch_time import Case, Data, load, processor, products_epoch, torch_epoch

# NumPy, and whatever imports it, is imported within the functions: the threads have to be chosen first.
if TYPE_CHECKING:
    pass

CASE = Case((784, 30, 10), "sigmoid", 64)
STACK, SINGLES, PRODUCTS, SINGLE_PRODUCTS, TORCH, JAX = (
    "mlptrain, a stack",
    "mlptrain, one by one",
    "products of the stack",
    "products one by one",
    "PyTorch, one by one",
    "JAX vmap",
)
MODULES = {TORCH: "torch", JAX: "jax"}


def rates(members: int) -> list[float]:
    """A learning rate a network, from 0.01 to 1."""
    return [0.01 * 100 ** (member / max(1, members - 1)) for member in range(members)]


def trainers(data: Data, members: int, together: bool) -> list[Any]:
    """mlptrain's own loop, without a validation part: of all networks, or of each."""
    import numpy as np

    from mlptrain.config import Config
    from mlptrain.datasets.split import Split
    from mlptrain.trainer import Trainer

    none = np.empty(0, np.int64)
    split = Split(np.arange(len(data.x)), none, none, "")
    shared = {"hidden": CASE.layers[1:-1], "batch_size": CASE.batch, "epochs": 1000, "batch_seed": 0}
    configs = [
        Config.model_validate({**shared, "learning_rate": rate, "seed": seed}).resolve()
        for seed, rate in enumerate(rates(members))
    ]
    groups = [configs] if together else [[config] for config in configs]
    return [Trainer(group, data.dataset, split) for group in groups]


def mlptrain_epoch(data: Data, members: int, *, together: bool) -> Callable[[], object]:
    """An epoch of every network by mlptrain."""
    stacks = trainers(data, members, together)
    return lambda: [list(trainer.run(until=trainer.epoch + 1)) for trainer in stacks]


def stack_products_epoch(data: Data, members: int) -> Callable[[], object]:
    """The products of a stack's epoch alone: no bias, activation, loss, shuffling or update."""
    import numpy as np

    rng = np.random.default_rng(0)
    inputs, hidden, classes = CASE.layers
    w1 = rng.random((members * hidden, inputs), np.float32) / inputs
    w2 = rng.random((members, classes, hidden), np.float32) / hidden
    gradient1, gradient2 = np.empty_like(w1), np.empty_like(w2)
    batches = np.split(data.x, range(CASE.batch, len(data.x), CASE.batch))
    sizes = {len(batch) for batch in batches}
    buffers = {size: [np.zeros((members, units, size), np.float32) for units in (hidden, classes)] for size in sizes}

    def epoch() -> None:
        for x in batches:
            a, z = buffers[len(x)]  # stand for activations and deltas alike
            rows = a.reshape(-1, len(x))
            np.matmul(w1, x.T, out=rows)
            np.matmul(w2, a, out=z)
            np.matmul(z, a.transpose(0, 2, 1), out=gradient2)
            np.matmul(w2.transpose(0, 2, 1), z, out=a)
            np.matmul(rows, x, out=gradient1)

    return epoch


def one_by_one(data: Data, members: int, make: Callable[[Case, Data], Callable[[], object]]) -> Callable[[], object]:
    """An epoch of every network, each made by itself."""
    epochs = [make(CASE, data) for _ in range(members)]
    return lambda: [epoch() for epoch in epochs]


def jax_epoch(data: Data, members: int) -> Callable[[], object]:
    """JAX: all networks under ``vmap``, the epoch's steps in one ``scan``, shuffled anew, compiled beforehand."""
    import jax
    import jax.numpy as jnp

    inputs, hidden, classes = CASE.layers
    steps, batch = len(data.x) // CASE.batch, CASE.batch
    keys = jax.random.split(jax.random.key(0), members)

    def initial(key: Any) -> Any:
        first, second = jax.random.split(key)
        w1 = jax.random.normal(first, (inputs, hidden)) / inputs**0.5
        w2 = jax.random.normal(second, (hidden, classes)) / hidden**0.5
        return w1, jnp.zeros(hidden), w2, jnp.zeros(classes)

    def cost(parameters: Any, x: Any, labels: Any) -> Any:
        w1, b1, w2, b2 = parameters
        logits = jax.nn.sigmoid(x @ w1 + b1) @ w2 + b2
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1).mean()

    def update(parameters: Any, rate: Any, x: Any, labels: Any) -> Any:
        gradients = jax.grad(cost)(parameters, x, labels)
        return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients)

    every = jax.vmap(update, in_axes=(0, 0, None, None))
    rate = jnp.array(rates(members))

    def whole(parameters: Any, x: Any, labels: Any, order: Any) -> Any:
        def step(parameters: Any, indices: Any) -> Any:
            return every(parameters, rate, x[indices], labels[indices]), None

        rest = order[steps * batch :]
        parameters, _ = jax.lax.scan(step, parameters, order[: steps * batch].reshape(steps, batch))
        return every(parameters, rate, x[rest], labels[rest]) if len(rest) else parameters

    x, labels = jnp.asarray(data.x), jnp.asarray(data.labels.astype("int32"))
    state = {"parameters": jax.vmap(initial)(keys), "key": jax.random.key(1)}
    compiled = jax.jit(whole).lower(state["parameters"], x, labels, jnp.arange(len(data.x))).compile()

    def epoch() -> None:
        state["key"], key = jax.random.split(state["key"])
        order = jax.random.permutation(key, len(data.x))
        state["parameters"] = jax.block_until_ready(compiled(state["parameters"], x, labels, order))

    return epoch


def competitors(data: Data, members: int) -> dict[str, Callable[[], object]]:
    """An epoch of everybody who is installed."""
    makes: dict[str, Callable[[], Callable[[], object]]] = {
        STACK: lambda: mlptrain_epoch(data, members, together=True),
        PRODUCTS: lambda: stack_products_epoch(data, members),
        SINGLES: lambda: mlptrain_epoch(data, members, together=False),
        SINGLE_PRODUCTS: lambda: one_by_one(data, members, products_epoch),
        TORCH: lambda: one_by_one(data, members, lambda case, data: torch_epoch(case, data, figures=False)),
        JAX: lambda: jax_epoch(data, members),
    }
    return {name: make() for name, make in makes.items() if name not in MODULES or find_spec(MODULES[name])}


def measure(epochs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of everybody's epoch, in turn, after one each to warm up; the stack runs before each of the others."""
    seconds: dict[str, list[float]] = {name: [] for name in epochs}
    paired: dict[str, list[float]] = {f"{STACK} before {name}": [] for name in epochs}
    for repeat in range(repeats + 1):
        for name, epoch in epochs.items():
            if name == STACK:
                continue
            marks = [time.perf_counter()]
            for run in (epochs[STACK], epoch):
                run()
                marks.append(time.perf_counter())
            if repeat:
                seconds[STACK].append(marks[1] - marks[0])
                paired[f"{STACK} before {name}"].append(marks[1] - marks[0])
                seconds[name].append(marks[2] - marks[1])
    return seconds | paired


def ratio(seconds: dict[str, list[float]], name: str) -> float:
    """How many times the stack's time somebody takes: the median over pairs of neighbours."""
    pairs = zip(seconds[name], seconds[f"{STACK} before {name}"], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def findings(seconds: dict[str, list[float]], members: int) -> list[list[str]]:
    """Rows of name, seconds, and times the stack's; then what follows from them."""
    rows = [[STACK, f"{statistics.median(seconds[STACK]):.3f}", "1.00"]]
    for name in (PRODUCTS, SINGLES, SINGLE_PRODUCTS, TORCH, JAX):
        if name in seconds:
            rows.append([name, f"{statistics.median(seconds[name]):.3f}", f"{ratio(seconds, name):.2f}"])
    share, gain = ratio(seconds, PRODUCTS), ratio(seconds, SINGLES)
    allowed = gain / share  # were there nothing in the stack but its products
    return [
        *rows,
        ["share of the stack's products in it", "", f"{share:.0%}"],
        [f"gain over {members} single runs", "", f"{gain:.2f}"],
        ["gain if the stack were its products alone", "", f"{allowed:.2f}"],
        ["share of that gain, (gain - 1) / (that - 1)", "", f"{(gain - 1) / (allowed - 1):.0%}" if members > 1 else ""],
    ]


def describe(data: Data, members: int, threads: int, repeats: int, names: list[str]) -> list[str]:
    """What was measured, on what, with what, and when."""
    modules = [
        import_module(name) for name in ("mlptrain", "numpy", *(MODULES[name] for name in names if name in MODULES))
    ]
    versions = ", ".join(f"{module.__name__} {module.__version__}" for module in modules)
    return [
        f"One epoch of {len(data.x):,} images ({data.dataset.name}) for {members} networks 784-30-10, batch 64, "
        f"sigmoid, cross-entropy, plain SGD, float32; median of {repeats}; times: of the stack.",
        f"{processor()}, {threads} threads, {platform.system()}; Python {platform.python_version()}, {versions}; "
        f"{datetime.date.today().isoformat()}.",
        *[f"{module} is not installed and left out." for name, module in MODULES.items() if name not in names],
    ]


def main() -> None:
    """Read the options, choose the threads, measure, print."""
    from mlptrain.threads import available_cores, use_threads

    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stack_time", description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=16, metavar="K", help="networks, 1 to 64 (default: 16)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the images, two repeats")
    parser.add_argument("--data-dir", type=Path, help="where MNIST lies; default: MLPTRAIN_DATA_DIR, else data")
    parser.add_argument("--threads", type=int, default=available_cores(), help="default: all cores")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    options = parser.parse_args()
    use_threads(options.threads)
    # XLA has no option for its threads: it takes as many as the process has cores.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    if find_spec("torch"):
        import_module("torch").set_num_threads(options.threads)

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    images, repeats = (6_000, 2) if options.quick else (60_000, 5)
    data = load(images, options.data_dir)
    epochs = competitors(data, options.members)
    rows = findings(measure(epochs, repeats), options.members)
    notes = describe(data, options.members, options.threads, repeats, list(epochs))
    header = ("an epoch of all", "seconds", "times")
    table = Table(*header, box=SIMPLE)
    for cells in rows:
        table.add_row(*cells)
    Console().print(table, *notes, sep="\n")
    if options.markdown:
        lines = [header, ("---", "---:", "---:"), *rows]
        text = "\n\n".join(notes) + "\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
        options.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
