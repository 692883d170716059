from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from mlptrain.datasets.idx import write_idx
from mlptrain.errors import UsageError
from mlptrain.handwriting.predict import Prediction, Rejection, predict_images
from tests.handwriting.made import scene
from tests.made import random_model, sample

MODEL = random_model(784, 5, 10)

DIGITS = sample().images[:3].reshape(-1, 28, 28)


def reason_of(results: list[Prediction | Rejection]) -> str:
    (result,) = results
    assert isinstance(result, Rejection)
    return str(result.error)


def predict_all(sources: list[str]) -> list[Prediction]:
    """Return the predictions for images of which none is rejected."""
    results = predict_images(MODEL, sources)
    assert all(isinstance(result, Prediction) for result in results)
    return cast(list[Prediction], results)


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    def save(array: np.ndarray, name: str = "digits.npy") -> str:
        np.save(tmp_path / name, array)
        return str(tmp_path / name)

    return save


def test_images_like_those_of_mnist_are_used_unchanged(save: Callable[..., str], tmp_path: Path) -> None:
    expected = MODEL.probabilities(DIGITS)
    write_idx(tmp_path / "digits.gz", DIGITS)
    for source in (save(DIGITS), save(DIGITS.reshape(3, 784), "rows.npy"), str(tmp_path / "digits.gz")):
        found = predict_all([source])
        assert [p.image for p in found] == [f"{source}[{index}]" for index in range(3)]
        np.testing.assert_allclose([p.probabilities for p in found], expected, rtol=1e-6)
        np.testing.assert_array_equal([p.seen for p in found], DIGITS / np.float32(255))
        assert [p.label for p in found] == [str(label) for label in expected.argmax(axis=1)]


@pytest.mark.parametrize("digit", [DIGITS[0], DIGITS[0].ravel(), DIGITS[0] / 255])
def test_a_single_image_is_named_after_its_file(save: Callable[..., str], digit: NDArray[Any]) -> None:
    (found,) = predict_images(MODEL, [save(digit)])
    assert found.image.endswith("digits.npy")
    np.testing.assert_allclose(found.seen, DIGITS[0] / 255, atol=1e-6)


def test_a_small_image_on_white_is_inverted(save: Callable[..., str]) -> None:
    (found,) = predict_images(MODEL, [save(255 - DIGITS[0])])
    assert np.corrcoef(found.seen.ravel(), DIGITS[0].ravel())[0, 1] > 0.8


def test_images_of_an_idx_file_are_never_inverted(tmp_path: Path) -> None:
    write_idx(tmp_path / "white", 255 - DIGITS)
    found = predict_images(MODEL, [str(tmp_path / "white")])
    np.testing.assert_allclose(found[1].seen, 1 - DIGITS[1] / 255, atol=1e-6)


def test_images_of_several_batches(save: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.handwriting.predict._BATCH_SIZE", 2)
    found = predict_all([save(DIGITS)])
    np.testing.assert_allclose([p.probabilities for p in found], MODEL.probabilities(DIGITS), rtol=1e-6)


def test_digits_are_framed_in_the_size_of_the_model(save: Callable[..., str]) -> None:
    model = random_model(64, 4, 10)
    (found,) = predict_images(model, [save(scene(200, 200, 50, 60))])
    assert found.seen.shape == (8, 8)


def test_a_model_without_square_inputs_takes_only_rows(save: Callable[..., str]) -> None:
    model = random_model(6, 4, 3)
    row = np.arange(6, dtype=np.uint8)
    assert predict_images(model, [save(row)])[0].seen.shape == (1, 6)
    assert re.search(r"200 x 200 pixels.* 6 inputs", reason_of(predict_images(model, [save(scene(200, 200, 50, 60))])))


def test_images_without_a_digit_are_rejected(save: Callable[..., str]) -> None:
    assert "same colour" in reason_of(predict_images(MODEL, [save(np.full((300, 200), 180, np.uint8))]))
    noise = np.random.default_rng(0).normal(0.5, 0.05, (300, 200)).clip(0, 1)
    assert "no digit found" in reason_of(predict_images(MODEL, [save(noise)]))


def test_the_other_images_are_classified(save: Callable[..., str], tmp_path: Path) -> None:
    source = save(np.stack([DIGITS[0], 0 * DIGITS[0], DIGITS[1]]))
    first, rejected, last, missing = predict_images(MODEL, [source, str(tmp_path / "missing.png")])
    assert isinstance(rejected, Rejection) and rejected.image == f"{source}[1]"
    assert isinstance(missing, Rejection) and missing.image == str(tmp_path / "missing.png")
    assert isinstance(first, Prediction) and isinstance(last, Prediction)
    np.testing.assert_allclose([first.probabilities, last.probabilities], MODEL.probabilities(DIGITS[:2]), rtol=1e-6)


def test_doubtful_images_have_a_warning(save: Callable[..., str]) -> None:
    two = np.minimum(scene(200, 300, 50, 30), scene(200, 300, 50, 160))
    (found,) = predict_images(MODEL, [save(two)])
    assert isinstance(found, Prediction) and "more than one digit" in found.warning
    (found,) = predict_images(MODEL, [save(scene(200, 300, 50, 30))])
    assert isinstance(found, Prediction) and found.warning == ""


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    np.save(stream, DIGITS[0])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stream.getvalue())))
    (found,) = predict_images(MODEL, ["-"])
    assert found.image == "-"
    assert re.match(r"standard input: .*empty", reason_of(predict_images(MODEL, ["-"])))
    with pytest.raises(UsageError, match="only once"):
        predict_images(MODEL, ["-", "-"])
    with pytest.raises(UsageError, match="at least one"):
        predict_images(MODEL, [])


def test_a_notebook_shows_the_input_and_the_probabilities(save: Callable[..., str]) -> None:
    (found,) = predict_all([save(DIGITS[0])])
    assert re.fullmatch(r"Prediction\(image='.*digits.npy', label='\d', probability=[01]\.\d{4}\)", repr(found))
    html = replace(found, image="<script>", warning="two digits", class_names=tuple("abcdefghij"))._repr_html_()
    assert html.count("<img") == 1 and "warning: two digits" in html and "<script" not in html
    assert all(f"<td>{name}</td>" in html for name in "abcdefghij")
    assert all(f">{output:.4f}<" in html for output in found.probabilities)
    assert "warning='two digits'" in repr(replace(found, warning="two digits"))
    assert "<td>9</td>" in replace(found, class_names=())._repr_html_()
