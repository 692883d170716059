from __future__ import annotations

import numpy as np
import pytest

from mlptrain.errors import DataError
from mlptrain.models.inspection import inspect, measure_calibration, most_influential_units, strongest_classes
from tests.made import dataset, model, random_model


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_outputs_and_mean_activations(activation: str) -> None:
    data, network = dataset(count=1100), random_model(6, 5, 4, 3, activation=activation)
    indices = np.arange(3, 1100)
    found = inspect(network, data, indices)
    a, layers = data.images[indices] / 255, []
    for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
        z = a @ w.T + b
        a = 1 / (1 + np.exp(-z)) if activation == "sigmoid" else np.maximum(z, 0)
        layers.append(a)
    assert np.allclose(found.probabilities, network.probabilities(data.images[indices]))
    for mean_activations, a in zip(found.mean_activations, layers, strict=True):
        expected = np.stack([a[data.labels[indices] == label].mean(axis=0) for label in range(3)], axis=1)
        assert np.allclose(mean_activations, expected)
    assert (found.predicted_labels == network.predict(data.images[indices])).all()
    assert np.allclose(found.confidence, found.probabilities.max(axis=1))


def test_outputs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="not finite"):
        inspect(model([[[1e308] * 6] * 3], [[1e308] * 3]), dataset(), np.arange(10))


def test_a_class_without_images_has_no_mean_activation() -> None:
    found = inspect(random_model(6, 5, 3), dataset(), np.array([0, 1, 3, 4]))
    assert np.isnan(found.mean_activations[0][:, 2]).all() and np.isfinite(found.mean_activations[0][:, :2]).all()
    assert (strongest_classes(found.mean_activations[0]) < 2).all()


def test_a_network_without_hidden_layers_has_no_mean_activations() -> None:
    assert inspect(random_model(6, 3), dataset(), np.arange(10)).mean_activations == ()


def test_classes_are_sorted_by_mean_activation() -> None:
    assert strongest_classes(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0]])).tolist() == [[1, 2], [0, 1]]


def test_influential_units_have_the_largest_outgoing_weights() -> None:
    network = model([np.zeros((4, 2)), [[3.0, 0, 1, 4], [0, 0, 1, 3]]], [np.zeros(4), np.zeros(2)])
    assert most_influential_units(network, 0, 2).tolist() == [0, 3]
    assert most_influential_units(network, 0, 9).tolist() == [0, 1, 2, 3]


def test_the_calibration_error_by_hand() -> None:
    # Two images at 0.95, one correct: |0.5 - 0.95| · 2/4. Two images at 0.55, both correct: |1 - 0.55| · 2/4.
    result = measure_calibration(np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, True]))
    assert result.error == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert result.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert result.accuracy[5] == 1 and result.accuracy[9] == 0.5 and np.isnan(result.accuracy[0])


def test_full_confidence_belongs_to_the_last_bin() -> None:
    assert measure_calibration(np.array([1.0, 0.0]), np.array([True, False])).error == 0
