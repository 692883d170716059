"""Train 784-128-10 on MNIST with PyTorch: python -m benchmarks.peers.torch_mnist DATA_DIR EPOCHS."""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

folder, epochs = Path(sys.argv[1]) / "mnist", int(sys.argv[2])


def read(name: str, offset: int) -> np.ndarray:
    """Return the bytes of an IDX file after its header."""
    return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=offset)


def load(name: str) -> TensorDataset:
    """Return images as floats in [0, 1], and labels."""
    x = read(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255
    return TensorDataset(
        torch.from_numpy(x), torch.from_numpy(read(f"{name}-labels-idx1-ubyte.gz", 8).astype(np.int64))
    )


torch.manual_seed(0)
train, test = load("train"), load("t10k")
model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
for _ in range(epochs):
    for x, y in DataLoader(train, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
with torch.no_grad():
    images, labels = test.tensors
    print((model(images).argmax(1) == labels).float().mean().item())
