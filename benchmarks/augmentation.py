"""Time of augmentation compared with the training step, on one BLAS thread: ``python -m benchmarks.augmentation``.

Timed in turn are the full recipe on a chunk of images, the steps of 784-800-10 at batch 128 on the same number of
images, and the steps while another thread augments, which a second core makes nearly free.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlptrain.system.machine import use_threads

REPEATS = 15
BATCH, STEPS = 128, 16
RECIPE = {"shift": 2, "rotate": 15, "scale": 0.15, "shear": 0.2, "elastic": {"alpha": 36, "sigma": 5}}


def workloads() -> dict[str, Callable[[], object]]:
    """Return the timed functions by name; each processes ``BATCH * STEPS`` images."""
    import numpy as np

    from mlptrain.config.config import Augment
    from mlptrain.datasets.augment import Augmenter
    from mlptrain.datasets.dataset import load_dataset
    from mlptrain.engine.backprop import TrainingPass
    from mlptrain.engine.network import Network
    from mlptrain.engine.optimizers import Optimizer
    from mlptrain.engine.parameters import Architecture

    data = load_dataset("sample", Path("data"))
    images, labels = data.images[: BATCH * STEPS], data.labels[: BATCH * STEPS]
    rng = np.random.default_rng(0)
    augmenter, augmented = Augmenter(data.shape, Augment.model_validate(RECIPE)), np.empty(images.shape, np.float32)

    network = Network(Architecture((784, 800, 10), "sigmoid", "softmax", "cross_entropy"))
    network.initialize("auto", [rng])
    optimizer = Optimizer("momentum", network, {"momentum": np.array([0.9])})
    rates = np.array([0.1])
    step, logits = TrainingPass(network, BATCH, optimizer.gradients), np.empty((1, 10, BATCH), np.float32)
    x = (images / np.float32(255)).reshape(STEPS, BATCH, -1)
    y = np.eye(10, dtype=np.float32)[labels].reshape(STEPS, BATCH, 10).swapaxes(1, 2).copy()

    def augment() -> None:
        augmenter.apply(images, rng, augmented)

    def train() -> None:
        for batch, targets in zip(x, y, strict=True):
            step.forward(batch, logits)
            step.backward(batch, targets, logits, np.float32(0.1 / BATCH))
            optimizer.update(rates)

    def both() -> None:
        thread = threading.Thread(target=augment)
        thread.start()
        train()
        thread.join()

    return {"augmentation": augment, "training step": train, "both, on two threads": both}


def medians(jobs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median microseconds per image of each function; they take turns after one untimed round."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(REPEATS + 1):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            times[name].append((time.perf_counter() - began) / (BATCH * STEPS) * 1e6)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def main() -> None:
    """Print the medians, and augmentation as a share of the step."""
    work = workloads()
    use_threads(1)
    times = medians(work)
    print(f"784-800-10 at batch {BATCH}, float32, one BLAS thread, median of {REPEATS}")
    for name, microseconds in times.items():
        print(f"{name:22} {microseconds:6.1f} µs per image")
    print(f"{'augmentation / step':22} {times['augmentation'] / times['training step']:6.2f}")


if __name__ == "__main__":
    main()
