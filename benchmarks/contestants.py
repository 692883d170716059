"""The contestants: each one turns a case and its data into a function that trains one epoch.

mlptrain runs its own training loop, from bytes, and counts the epoch's loss and accuracy. The peers get their images
as floats in memory and shuffle an index. *The products alone* are the matrix products of an epoch and nothing else:
no engine that calls the same BLAS can be faster.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from benchmarks.work import RATE, Case, Data

Epoch = Callable[[], object]
Make = Callable[[Case, Data], Epoch]


def mlptrain_epoch(case: Case, data: Data) -> Epoch:
    """Return an epoch of mlptrain without validation; K members with different seeds and rates form one stack."""
    import numpy as np

    from mlptrain.config.config import Config
    from mlptrain.datasets.split import Split
    from mlptrain.training.trainer import Trainer

    none = np.empty(0, np.int64)
    split = Split(np.arange(len(data.x)), none, none, "")
    # More epochs than are ever run: each call trains one more.
    config = Config.model_validate({**case.config(), "epochs": 1_000_000, "batch_seed": 0}).resolve()
    rates = [config.learning_rate * (k + 1) / case.members for k in range(case.members)]
    configs = [config.model_copy(update={"seed": k, "learning_rate": rate}) for k, rate in enumerate(rates)]
    trainer = Trainer(configs, data.dataset, split)
    return lambda: list(trainer.run(until=trainer.epoch + 1))


def default_epoch(case: Case, data: Data) -> Epoch:
    """Return an epoch of mlptrain with the number of threads that its commands choose."""
    from mlptrain.system.machine import threads_for, use_threads

    use_threads(threads_for(case.layers, case.batch))
    return mlptrain_epoch(case, data)


def mkl_epoch(case: Case, data: Data) -> Epoch:
    """Return an epoch of mlptrain with the products of MKL."""
    os.environ["MLPTRAIN_PRODUCTS"] = "mkl"
    from mlptrain.engine.products import multiplication
    from mlptrain.system.machine import use_threads

    multiplication()
    use_threads(int(os.environ["MKL_NUM_THREADS"]))
    return mlptrain_epoch(case, data)


def products_epoch(case: Case, data: Data) -> Epoch:
    """Return the matrix products of an epoch alone: no biases, activations, loss, shuffling or update."""
    import numpy as np

    rng, members = np.random.default_rng(0), case.members
    layers = case.layers
    weights = [rng.random((members, out, inputs), np.float32) / inputs for inputs, out in pairwise(layers)]
    first, flat_gradient = weights[0].reshape(-1, layers[0]), np.empty((members * layers[1], layers[0]), np.float32)
    above = [w[0] if members == 1 else w for w in weights[1:]]
    gradients = [np.empty_like(w) for w in above]
    a = [np.zeros((members, out, case.batch), np.float32) for out in layers[1:]]  # activations and deltas alike
    flat = a[0].reshape(-1, case.batch)
    units = [x[0] if members == 1 else x for x in a]
    product = np.dot if members == 1 else np.matmul
    batches = np.split(data.x, range(case.batch, len(data.x), case.batch))

    def epoch() -> None:
        for x in batches:
            np.dot(first, x.T, out=flat)
            for index, w in enumerate(above):
                product(w, units[index], out=units[index + 1])
            for index in range(len(above) - 1, -1, -1):
                product(units[index + 1], units[index].swapaxes(-1, -2), out=gradients[index])
                product(above[index].swapaxes(-1, -2), units[index + 1], out=units[index])
            np.dot(flat, x, out=flat_gradient)

    return epoch


def naive_epoch(case: Case, data: Data) -> Epoch:
    """Return an epoch in straightforward NumPy: one network, 2-D arrays, no metrics."""
    import numpy as np

    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((out, inputs), np.float32) / inputs**0.5 for inputs, out in pairwise(case.layers)]
    biases = [np.zeros((out, 1), np.float32) for out in case.layers[1:]]
    targets = np.eye(10, dtype=np.float32)[data.labels]
    sigmoid = case.activation == "sigmoid"

    def step(x: np.ndarray, y: np.ndarray) -> None:
        a = [x.T]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            z = w @ a[-1] + b
            a.append(1 / (1 + np.exp(-z)) if sigmoid else np.maximum(z, 0))
        z = weights[-1] @ a[-1] + biases[-1]
        exponentials = np.exp(z - z.max(axis=0))
        delta = exponentials / exponentials.sum(axis=0) - y.T
        for index in range(len(weights) - 1, -1, -1):
            gradient, bias_gradient = delta @ a[index].T, delta.sum(axis=1, keepdims=True)
            if index:
                slope = a[index] * (1 - a[index]) if sigmoid else a[index] > 0
                delta = (weights[index].T @ delta) * slope
            weights[index] -= np.float32(RATE / len(x)) * gradient
            biases[index] -= np.float32(RATE / len(x)) * bias_gradient

    def epoch() -> None:
        order = rng.permutation(len(data.x))
        for start in range(0, len(order), case.batch):
            indices = order[start : start + case.batch]
            step(data.x[indices], targets[indices])

    return epoch


def torch_epoch(case: Case, data: Data, *, metrics: bool = True, compiled: bool = False) -> Epoch:
    """Return an epoch of PyTorch: tensors in memory, one permutation per epoch, no DataLoader.

    ``metrics`` adds loss and accuracy, ``compiled`` uses ``torch.compile``. K members are trained one by one.
    """
    import torch
    from torch import nn

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    activation = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}[case.activation]
    criterion = nn.CrossEntropyLoss()
    x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)

    def member() -> Epoch:
        layers = [layer for inputs, out in pairwise(case.layers) for layer in (nn.Linear(inputs, out), activation())]
        plain = nn.Sequential(*layers[:-1])
        optimizer = torch.optim.SGD(plain.parameters(), lr=RATE)
        model = torch.compile(plain) if compiled else plain

        def epoch() -> tuple[float, float]:
            total, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            for indices in torch.randperm(len(x)).split(case.batch):
                optimizer.zero_grad()
                truth = labels[indices]
                outputs = model(x[indices])
                loss = criterion(outputs, truth)
                loss.backward()
                optimizer.step()
                if metrics:
                    total += loss.detach() * len(indices)
                    hits += (outputs.detach().argmax(1) == truth).sum()
            return total.item() / len(x), hits.item() / len(x)

        return epoch

    epochs = [member() for _ in range(case.members)]
    return lambda: [epoch() for epoch in epochs]


def jax_epoch(case: Case, data: Data) -> Epoch:
    """Return an epoch of JAX: a compiled ``scan`` over the batches, with metrics; K members are a ``vmap``."""
    import jax
    import jax.numpy as jnp

    activation = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu}[case.activation]
    x, labels = jnp.asarray(data.x), jnp.asarray(data.labels)
    steps = len(data.x) // case.batch
    keys = jax.random.split(jax.random.PRNGKey(0), case.members)

    def initial(key: Any) -> Any:
        parts = zip(jax.random.split(key, len(case.layers) - 1), pairwise(case.layers), strict=True)
        return [(jax.random.normal(k, (i, o)) / i**0.5, jnp.zeros(o)) for k, (i, o) in parts]

    def loss(parameters: Any, images: Any, truth: Any) -> Any:
        a = images
        for w, b in parameters[:-1]:
            a = activation(a @ w + b)
        logits = a @ parameters[-1][0] + parameters[-1][1]
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), truth[:, None], axis=1)
        return -chosen.mean(), (logits.argmax(1) == truth).sum()

    def step(parameters: Any, batch: Any) -> Any:
        (value, hits), gradients = jax.value_and_grad(loss, has_aux=True)(parameters, *batch)
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, gradients), (value, hits)

    def run(parameters: Any, order: Any) -> Any:
        images, truth = x[order].reshape(steps, case.batch, -1), labels[order].reshape(steps, case.batch)
        every = jax.vmap(step, in_axes=(0, None)) if case.members > 1 else step
        return jax.lax.scan(every, parameters, (images, truth))

    compiled = jax.jit(run)
    state = [jax.vmap(initial)(keys) if case.members > 1 else initial(keys[0])]
    rng = [jax.random.PRNGKey(1)]

    def epoch() -> None:
        rng[0], key = jax.random.split(rng[0])
        state[0], metrics = compiled(state[0], jax.random.permutation(key, len(data.x)))
        jax.block_until_ready((state[0], metrics))

    return epoch


def sklearn_epoch(case: Case, data: Data) -> Epoch:
    """Return an epoch of scikit-learn's MLPClassifier: one iteration of plain SGD per call."""
    from sklearn.neural_network import MLPClassifier

    activation = {"sigmoid": "logistic", "relu": "relu"}[case.activation]
    sgd = {"solver": "sgd", "learning_rate_init": RATE, "momentum": 0.0, "nesterovs_momentum": False, "alpha": 0.0}
    model = MLPClassifier(case.layers[1:-1], activation=activation, batch_size=case.batch, **sgd)
    return lambda: model.partial_fit(data.x, data.labels, classes=range(10))


def keras_epoch(case: Case, data: Data) -> Epoch:
    """Return an epoch of Keras: ``fit`` with accuracy, on the installed backend."""
    import keras

    dense = [keras.layers.Dense(units, activation=case.activation) for units in case.layers[1:-1]]
    model = keras.Sequential([keras.Input(case.layers[:1]), *dense, keras.layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return lambda: model.fit(data.x, data.labels, batch_size=case.batch, epochs=1, verbose=0)


OURS, PRODUCTS, NAIVE = "mlptrain", "products alone", "naive NumPy"
DEFAULT, MKL = "mlptrain by default", "mlptrain with MKL"
TORCH, BARE_TORCH, COMPILED_TORCH = "PyTorch", "PyTorch bare", "PyTorch compiled"
JAX, SKLEARN, KERAS = "JAX", "scikit-learn", "Keras"
CONTESTANTS: dict[str, Make] = {
    OURS: mlptrain_epoch,
    DEFAULT: default_epoch,
    MKL: mkl_epoch,
    PRODUCTS: products_epoch,
    NAIVE: naive_epoch,
    TORCH: torch_epoch,
    BARE_TORCH: partial(torch_epoch, metrics=False),
    COMPILED_TORCH: partial(torch_epoch, compiled=True),
    JAX: jax_epoch,
    SKLEARN: sklearn_epoch,
    KERAS: keras_epoch,
}
MODULES = {
    TORCH: "torch",
    BARE_TORCH: "torch",
    COMPILED_TORCH: "torch",
    JAX: "jax",
    SKLEARN: "sklearn",
    KERAS: "keras",
}
"""The module that a contestant needs in addition to NumPy."""
