from __future__ import annotations

import numpy as np
import pytest

from mlptrain.engine import optimizers
from mlptrain.engine.network import Architecture, Network, TrainingPass
from mlptrain.engine.optimizers import OPTIMIZERS, Optimizer


def test_sgd_by_hand():
    w = np.array([1.0, -2.0])
    OPTIMIZERS["sgd"].update(w, np.array([0.1, -0.2]), (), {})
    np.testing.assert_allclose(w, [0.9, -1.8])


def test_momentum_by_hand():
    # g = 1, rate 0.1, momentum 0.9: v = −0.1, −0.19, −0.271; w = 0.9, 0.71, 0.439.
    w, v = np.array([1.0]), np.array([0.0])
    seen = []
    for _ in range(3):
        OPTIMIZERS["momentum"].update(w, np.array([0.1]), (v,), {"momentum": 0.9})
        seen.append(float(w[0]))
    assert seen == pytest.approx([0.9, 0.71, 0.439])


def make(members: int = 1) -> Network:
    network = Network(Architecture((6, 5, 3), "tanh", "softmax", "cross_entropy"), members, "float64")
    network.initialize("auto", [np.random.default_rng(0)] * members)
    return network


def test_an_array_worked_in_blocks_gives_the_same_weights(monkeypatch):
    def trained() -> np.ndarray:
        network = make()
        optimizer = Optimizer("momentum", network, {"momentum": np.array([0.9])})
        optimizer.gradients.flat[:] = np.random.default_rng(1).random(optimizer.gradients.flat.size)
        optimizer.update()
        optimizer.update()
        return network.parameters.flat

    whole = trained()
    monkeypatch.setattr(optimizers, "BLOCK", 7)
    assert (trained() == whole).all()


def test_the_weights_of_torch_after_five_steps():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.random((50, 20)).astype("float32")
    labels = rng.integers(0, 4, 50)
    y = np.eye(4, dtype="float32")[labels].T.copy()
    for name, keywords in (("sgd", {}), ("momentum", {"momentum": 0.9})):
        network = Network(Architecture((20, 16, 8, 4), "relu", "softmax", "cross_entropy"))
        network.initialize("auto", [np.random.default_rng(3)])
        layers: list = []
        for weights, biases in zip(*network.member(0), strict=True):
            layer = torch.nn.Linear(weights.shape[1], weights.shape[0])
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weights))
                layer.bias.copy_(torch.from_numpy(biases))
            layers += [layer, torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        peer = torch.optim.SGD(model.parameters(), lr=0.3, **keywords)
        optimizer = Optimizer(name, network, {"momentum": np.array([0.9])})
        step = TrainingPass(network, 50, optimizer.gradients)
        logits = np.empty((1, 4, 50), "float32")
        for _ in range(5):
            peer.zero_grad()
            torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(labels)).backward()
            peer.step()
            step.forward(x, logits)
            step.backward(x, y, logits, np.float32(0.3 / 50))
            optimizer.update()
        ours = network.member(0)
        for index, layer in enumerate(layers[::2]):
            np.testing.assert_allclose(ours[0][index], layer.weight.detach().numpy(), rtol=0, atol=1e-5)
            np.testing.assert_allclose(ours[1][index], layer.bias.detach().numpy(), rtol=0, atol=1e-5)
