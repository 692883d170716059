"""What a network does on a part of the data, against the plainest NumPy and worked figures."""

from __future__ import annotations

import numpy as np
import pytest

from mlptrain.errors import DataError
from mlptrain.models.inspection import calibrate, favourites, inspect, most_influential
from tests.made import dataset, model, random_model


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_outputs_and_mean_activations(activation):
    data, network = dataset(count=1100), random_model(6, 5, 4, 3, activation=activation)
    indices = np.arange(3, 1100)
    found = inspect(network, data, indices)
    a, layers = data.images[indices] / 255, []
    for w, b in zip(network.weights[:-1], network.biases[:-1], strict=True):
        z = a @ w.T + b
        a = 1 / (1 + np.exp(-z)) if activation == "sigmoid" else np.maximum(z, 0)
        layers.append(a)
    assert np.allclose(found.probabilities, network.probabilities(data.images[indices]))
    for excitation, a in zip(found.excitation, layers, strict=True):
        expected = np.stack([a[data.labels[indices] == label].mean(axis=0) for label in range(3)], axis=1)
        assert np.allclose(excitation, expected)
    assert (found.guesses == network.predict(data.images[indices])).all()
    assert np.allclose(found.confidence, found.probabilities.max(axis=1))


def test_what_is_not_finite_is_not_inspected():
    with pytest.raises(DataError, match="not finite: its weights are too large"):
        inspect(model([[[1e308] * 6] * 3], [[1e308] * 3]), dataset(), np.arange(10))


def test_a_class_that_is_not_there_excites_nothing():
    found = inspect(random_model(6, 5, 3), dataset(), np.array([0, 1, 3, 4]))
    assert np.isnan(found.excitation[0][:, 2]).all() and np.isfinite(found.excitation[0][:, :2]).all()
    assert (favourites(found.excitation[0]) < 2).all()


def test_without_hidden_layers():
    assert inspect(random_model(6, 3), dataset(), np.arange(10)).excitation == ()


def test_favourites_are_the_strongest_first():
    assert favourites(np.array([[1.0, 3.0, 2.0], [5.0, 5.0, 0.0]])).tolist() == [[1, 2], [0, 1]]


def test_influence_is_the_norm_of_the_outgoing_weights():
    network = model([np.zeros((4, 2)), [[3.0, 0, 1, 4], [0, 0, 1, 3]]], [np.zeros(4), np.zeros(2)])
    assert most_influential(network, 0, 2).tolist() == [0, 3]
    assert most_influential(network, 0, 9).tolist() == [0, 1, 2, 3]


def test_the_calibration_error_of_a_worked_case():
    # Bin 0.9 to 1: two images at 0.95, one right: |0.5 - 0.95| * 2/4; bin 0.5 to 0.6: two at 0.55, both right.
    result = calibrate(np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, True]))
    assert result.error == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert result.counts.tolist() == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert result.accuracy[5] == 1 and result.accuracy[9] == 0.5 and np.isnan(result.accuracy[0])


def test_full_confidence_falls_into_the_last_bin():
    assert calibrate(np.array([1.0, 0.0]), np.array([True, False])).error == 0
