"""Train 784-128-10 on MNIST with Keras: python -m benchmarks.peers.keras_mnist DATA_DIR EPOCHS."""

import gzip
import sys
from pathlib import Path

import keras
import numpy as np

folder, epochs = Path(sys.argv[1]) / "mnist", int(sys.argv[2])


def read(name: str, offset: int) -> np.ndarray:
    """Return the bytes of an IDX file after its header."""
    return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=offset)


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images as floats in [0, 1], and labels."""
    x = read(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255
    return x, read(f"{name}-labels-idx1-ubyte.gz", 8)


keras.utils.set_random_seed(0)
layers = keras.layers
model = keras.Sequential(
    [keras.Input((784,)), layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")]
)
model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(*load("train"), batch_size=64, epochs=epochs, verbose=0)
print(model.evaluate(*load("t10k"), verbose=0)[1])
