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
