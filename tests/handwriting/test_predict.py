from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from mlptrain.datasets.idx import write_idx
from mlptrain.errors import DataError, UsageError
from mlptrain.handwriting.predict import predict_images
from tests.handwriting.made import scene
from tests.made import random_model, sample

MODEL = random_model(784, 5, 10)

DIGITS = sample().images[:3].reshape(-1, 28, 28)


@pytest.fixture
def save(tmp_path):
    def save(array: np.ndarray, name: str = "digits.npy") -> str:
        np.save(tmp_path / name, array)
        return str(tmp_path / name)

    return save


def test_images_like_those_of_mnist_are_used_unchanged(save, tmp_path):
    expected = MODEL.probabilities(DIGITS)
    write_idx(tmp_path / "digits.gz", DIGITS)
    for source in (save(DIGITS), save(DIGITS.reshape(3, 784), "rows.npy"), str(tmp_path / "digits.gz")):
        found = predict_images(MODEL, [source])
        assert [p.image for p in found] == [f"{source}[{index}]" for index in range(3)]
        np.testing.assert_allclose([p.probabilities for p in found], expected, rtol=1e-6)
        np.testing.assert_array_equal([p.seen for p in found], DIGITS / np.float32(255))
        assert [p.label for p in found] == [str(label) for label in expected.argmax(axis=1)]


@pytest.mark.parametrize("digit", [DIGITS[0], DIGITS[0].ravel(), DIGITS[0] / 255])
def test_a_single_image_is_named_after_its_file(save, digit):
    (found,) = predict_images(MODEL, [save(digit)])
    assert found.image.endswith("digits.npy")
    np.testing.assert_allclose(found.seen, DIGITS[0] / 255, atol=1e-6)


def test_a_small_image_on_white_is_inverted(save):
    (found,) = predict_images(MODEL, [save(255 - DIGITS[0])])
    assert np.corrcoef(found.seen.ravel(), DIGITS[0].ravel())[0, 1] > 0.8


def test_images_of_an_idx_file_are_never_inverted(tmp_path):
    write_idx(tmp_path / "white", 255 - DIGITS)
    found = predict_images(MODEL, [str(tmp_path / "white")])
    np.testing.assert_allclose(found[1].seen, 1 - DIGITS[1] / 255, atol=1e-6)


def test_images_of_several_batches(save, monkeypatch):
    monkeypatch.setattr("mlptrain.handwriting.predict._BATCH_SIZE", 2)
    found = predict_images(MODEL, [save(DIGITS)])
    np.testing.assert_allclose([p.probabilities for p in found], MODEL.probabilities(DIGITS), rtol=1e-6)


def test_digits_are_framed_in_the_size_of_the_model(save):
    model = random_model(64, 4, 10)
    (found,) = predict_images(model, [save(scene(200, 200, 50, 60))])
    assert found.seen.shape == (8, 8)


def test_a_model_without_square_inputs_takes_only_rows(save):
    model = random_model(6, 4, 3)
    row = np.arange(6, dtype=np.uint8)
    assert predict_images(model, [save(row)])[0].seen.shape == (1, 6)
    with pytest.raises(DataError, match=r"200 x 200 pixels.* 6 inputs"):
        predict_images(model, [save(scene(200, 200, 50, 60))])


def test_images_without_a_digit_are_refused(save):
    with pytest.raises(DataError, match="same colour"):
        predict_images(MODEL, [save(np.full((300, 200), 180, np.uint8))])
    with pytest.raises(DataError, match=r"digits.npy\[1\]: .*same colour"):
        predict_images(MODEL, [save(np.stack([DIGITS[0], 0 * DIGITS[0]]))])
    noise = np.random.default_rng(0).normal(0.5, 0.05, (300, 200)).clip(0, 1)
    with pytest.raises(DataError, match="no digit found"):
        predict_images(MODEL, [save(noise)])


def test_standard_input_is_read_once(monkeypatch):
    stream = io.BytesIO()
    np.save(stream, DIGITS[0])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.getvalue())))
    (found,) = predict_images(MODEL, ["-"])
    assert found.image == "-"
    with pytest.raises(DataError, match=r"standard input: .*empty"):
        predict_images(MODEL, ["-"])
    with pytest.raises(UsageError, match="only once"):
        predict_images(MODEL, ["-", "-"])
    with pytest.raises(UsageError, match="at least one"):
        predict_images(MODEL, [])
