"""Comparisons with PyTorch, if it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlptrain.engine.network import Network


def torch_or_skip() -> Any:
    """Return PyTorch, limited to one thread: a pool would wait for a busy core in each of these small steps."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    return torch


def twin(network: Network) -> Any:
    """Return member 0 as a PyTorch model in float64: Linear, BatchNorm1d if the layer is normalised, ReLU."""
    torch = torch_or_skip()
    architecture, parameters = network.architecture, network.parameters
    assert architecture.activation == "relu"
    depth = len(parameters.weights)
    modules: list[Any] = []
    with torch.no_grad():
        for index, weights in enumerate(parameters.weights):
            inputs, out, last = weights.shape[2], weights.shape[1], index == depth - 1
            normalised = architecture.batch_norm and not last
            linear = torch.nn.Linear(inputs, out, bias=not normalised, dtype=torch.float64)
            linear.weight.copy_(torch.from_numpy(weights[0]))
            modules.append(linear)
            shifted = linear
            if normalised:
                shifted = torch.nn.BatchNorm1d(out, dtype=torch.float64)
                shifted.weight.copy_(torch.from_numpy(parameters.gains[index][0, :, 0]))
                modules.append(shifted)
            shifted.bias.copy_(torch.from_numpy(parameters.biases[index][0, :, 0]))
            if not last:
                modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules)


def weights_of(model: Any) -> list[Any]:
    """Return the weight matrices of a twin, to which penalties and decay apply."""
    return [parameter for parameter in model.parameters() if parameter.dim() == 2]


def others_of(model: Any) -> list[Any]:
    """Return the biases and gains of a twin."""
    return [parameter for parameter in model.parameters() if parameter.dim() == 1]


def assert_same(network: Network, model: Any, tolerance: float = 1e-8) -> None:
    """Compare weights, biases, gains and running statistics entry by entry."""
    torch = torch_or_skip()
    parameters, statistics = network.parameters, network.statistics
    linears = [module for module in model if isinstance(module, torch.nn.Linear)]
    norms = [module for module in model if isinstance(module, torch.nn.BatchNorm1d)]
    shifted = [*(norms or linears[:-1]), linears[-1]]
    pairs = [
        *zip(parameters.weights, [linear.weight for linear in linears], strict=True),
        *zip(parameters.biases, [module.bias for module in shifted], strict=True),
        *zip(parameters.gains, [norm.weight for norm in norms], strict=True),
        *zip(statistics.means, [norm.running_mean for norm in norms], strict=True),
        *zip(statistics.variances, [norm.running_var for norm in norms], strict=True),
    ]
    for ours, theirs in pairs:
        expected = theirs.detach().numpy().reshape(ours[0].shape)
        np.testing.assert_allclose(ours[0], expected, rtol=0, atol=tolerance)


def layer_statistics(network: Network, x: np.ndarray, y: np.ndarray, rate: float) -> list[list[float | None]]:
    """Return the statistics of the layers of member 0 as PyTorch's hooks see them, and those of a step of its SGD.

    The loss is softmax with cross-entropy for one-hot targets ``y`` (classes, batch).
    """
    torch = torch_or_skip()
    architecture, parameters = network.architecture, network.parameters
    modules: list[Any] = []
    for index, weights in enumerate(parameters.weights):
        inputs, out, last = weights.shape[2], weights.shape[1], index == len(parameters.weights) - 1
        linear = torch.nn.Linear(inputs, out, dtype=torch.float64)
        layer = [linear]
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights[0]))
            shifted = linear
            if architecture.batch_norm and not last:
                linear.bias.zero_()
                shifted = torch.nn.BatchNorm1d(out, dtype=torch.float64)
                shifted.weight.copy_(torch.from_numpy(parameters.gains[index][0, :, 0]))
                layer.append(shifted)
            shifted.bias.copy_(torch.from_numpy(parameters.biases[index][0, :, 0]))
        modules.append([*layer, torch.nn.Softmax(dim=1) if last else torch_activations()[architecture.activation]])
    model = torch.nn.Sequential(*(module for layer in modules for module in layer))
    seen: dict[Any, Any] = {}
    for module in model:
        module.register_forward_hook(lambda module, given, output: seen.__setitem__(module, output))
    a = model(torch.from_numpy(x.astype(np.float64)))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    (-(torch.from_numpy(y.T.astype(np.float64)) * torch.log(a)).sum(dim=1).mean()).backward()
    before = [layer[0].weight.detach().clone() for layer in modules]
    optimizer.step()
    rows: list[Any] = []
    for (linear, *_, above), old in zip(modules, before, strict=True):
        z, a = seen[modules[len(rows)][-2]].detach(), seen[above].detach()
        saturated = dead = None
        if len(rows) < len(modules) - 1:
            given = z.clone().requires_grad_()
            (slope,) = torch.autograd.grad(torch_activations()[architecture.activation](given).sum(), given)
            steepest = {"sigmoid": 0.25, "tanh": 1.0}.get(architecture.activation)
            if steepest is None:
                dead = (slope.abs() < 0.005).all(dim=0).double().mean().item()
            else:
                saturated = (slope < 0.1 * steepest).double().mean().item()
        moments = [z.mean().item(), z.std(correction=0).item(), a.mean().item(), a.std(correction=0).item()]
        norm = old.norm().item()
        update = (linear.weight.detach() - old).norm().item() / norm
        rows.append([*moments, saturated, dead, linear.weight.grad.norm().item(), norm, update])
    return rows


def torch_activations() -> dict[str, Any]:
    """Return the modules of PyTorch for the activations."""
    torch = torch_or_skip()
    return {
        "sigmoid": torch.nn.Sigmoid(),
        "tanh": torch.nn.Tanh(),
        "relu": torch.nn.ReLU(),
        "leaky_relu": torch.nn.LeakyReLU(),
        "elu": torch.nn.ELU(),
        "selu": torch.nn.SELU(),
        "gelu": torch.nn.GELU(approximate="tanh"),
        "silu": torch.nn.SiLU(),
        "softplus": torch.nn.Softplus(threshold=1000),
        "linear": torch.nn.Identity(),
    }
