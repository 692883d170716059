from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlptrain.datasets.dataset import Dataset
from mlptrain.engine.losses import PAIRINGS
from mlptrain.errors import DataError, UsageError
from mlptrain.models.augmentation import STRENGTH, mean_outputs_of_copies
from mlptrain.models.evaluation import (
    BATCH,
    LOSSES_OF_OUTPUTS,
    MAX_CLASSES,
    MAX_MISTAKES,
    Evaluation,
    Evaluator,
    Mistake,
    evaluate_models,
    score_examples,
    worst_mistakes,
)
from mlptrain.models.model import Model
from tests.made import dataset, model, random_model, sample

# Rows are true labels, columns predicted labels.
WORKED = Evaluation("test", 16, 0.5, 0.75, ((5, 1, 0), (2, 3, 1), (0, 0, 4)), ("ant", "bee", "cat"))


def bright(*pairs: tuple[int, int], classes: int = 3) -> Dataset:
    """Return images with one bright pixel each, from pairs (label, index of the bright pixel)."""
    data = dataset(len(pairs), classes, classes)
    data.images[:] = [[255 * (pixel == bright) for pixel in range(classes)] for _, bright in pairs]
    data.labels[:] = [label for label, _ in pairs]
    return data


# Its predicted label is the index of the brightest pixel.
BRIGHTEST = model([np.eye(3)], [np.zeros(3)])


def test_precision_recall_and_f1_by_hand() -> None:
    ant, bee, cat = WORKED.per_class
    assert (ant.label, ant.support) == ("ant", 6)
    assert (ant.precision, ant.recall, ant.f1) == pytest.approx((5 / 7, 5 / 6, 10 / 13))
    assert (bee.precision, bee.recall, bee.f1, bee.support) == pytest.approx((3 / 4, 3 / 6, 6 / 10, 6))
    assert (cat.precision, cat.recall, cat.f1, cat.support) == pytest.approx((4 / 5, 1, 8 / 9, 4))


def test_metrics_of_classes_without_predictions_or_images_are_zero() -> None:
    unpredicted, absent, fine = Evaluation(
        "test", 3, 0.5, 0.0, ((0, 1, 1), (0, 0, 0), (0, 0, 1)), tuple("abc")
    ).per_class
    assert (unpredicted.precision, unpredicted.recall, unpredicted.f1, unpredicted.support) == (0, 0, 0, 2)
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (0, 0, 0, 0)
    assert (fine.precision, fine.recall, fine.f1) == pytest.approx((1 / 2, 1, 2 / 3))


def test_confused_pairs_are_sorted_by_frequency() -> None:
    assert WORKED.confused_pairs(5) == [("bee", "ant", 2), ("ant", "bee", 1), ("bee", "cat", 1)]
    assert WORKED.confused_pairs(1) == [("bee", "ant", 2)]
    assert WORKED.confused_pairs(0) == []


def test_metrics_have_types_that_json_can_hold() -> None:
    result = evaluate_models([BRIGHTEST], bright((0, 0), (1, 0)), np.arange(2), "all")
    values = [*vars(result.per_class[0]).values(), result.loss, result.accuracy, result.count, *result.confusion[0]]
    assert {type(value) for value in values} == {str, float, int}


def test_confusion_accuracy_and_loss_by_hand() -> None:
    data = bright((0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (1, 2), (2, 2))
    result = evaluate_models([BRIGHTEST], data, np.arange(7), "test")
    assert result.confusion == ((2, 1, 0), (0, 1, 2), (0, 0, 1))
    assert (result.split, result.count, result.accuracy) == ("test", 7, 4 / 7)
    # softmax of (1, 0, 0) is e/(e + 2) and twice 1/(e + 2).
    right, wrong = -np.log(math.e / (math.e + 2)), -np.log(1 / (math.e + 2))
    assert result.loss == pytest.approx((4 * right + 3 * wrong) / 7, rel=1e-12)
    assert result.confused_pairs(2) == [("1", "2", 2), ("0", "1", 1)]


def test_only_the_given_images_are_evaluated() -> None:
    data = bright((0, 0), (1, 0), (2, 2), (1, 1))
    result = evaluate_models([BRIGHTEST], data, np.array([3, 1]), "validation")
    assert result.confusion == ((0, 0, 0), (1, 1, 0), (0, 0, 0))


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 5 * BATCH + 7])
def test_results_do_not_depend_on_the_batch_size(count: int) -> None:
    data, made = dataset(count), random_model(6, 5, 3)
    result = evaluate_models([made], data, np.arange(count), "all")
    confusion = np.zeros((3, 3), int)
    for true, predicted in zip(data.labels, made.predict(data.images), strict=True):
        confusion[true, predicted] += 1
    assert np.array(result.confusion).tolist() == confusion.tolist()
    assert result.accuracy == pytest.approx(np.trace(confusion) / count)
    chosen = made.probabilities(data.images)[np.arange(count), data.labels]
    assert result.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-9)


def test_an_evaluator_uses_the_present_weights() -> None:
    data, made = bright((0, 0), (1, 1)), BRIGHTEST.network()
    evaluator = Evaluator(made, data, np.arange(2))
    assert evaluator.metrics()[1].tolist() == [1]
    made.parameters.weights[0] *= -1
    assert evaluator.metrics()[1].tolist() == [0]


def test_the_predicted_label_is_the_first_of_equal_outputs() -> None:
    _, correct = score_examples("mse", "linear", np.zeros((3, 2)), np.eye(3)[:, :2], np.array([0, 1]))
    assert correct.tolist() == [True, False]


def test_squared_error_of_the_example_in_the_course() -> None:
    # The loss is 0.035 for a = (0.9, 0.1, 0.1, 0.2, 0, …) and y = (1, 0, …).
    a = np.array([0.9, 0.1, 0.1, 0.2, 0, 0, 0, 0, 0, 0])
    losses, correct = score_examples("mse", "linear", a[:, None], np.eye(10)[:, :1], np.array([0]))
    assert losses == pytest.approx([0.035]) and correct.all()


def constant(*logits: float, **functions: Any) -> Model:
    """Return a model with one input and constant weighted inputs of its output units."""
    return model([np.zeros((len(logits), 1))], [logits], **functions)


def test_outputs_of_several_models_are_averaged() -> None:
    # The mean of (0.9, 0.1) and (0.4, 0.6) is (0.65, 0.35). Averaged weighted inputs would give 0.71.
    pair = [constant(np.log(9), 0), constant(0, np.log(1.5))]
    result = evaluate_models(pair, dataset(2, 1, 2), np.arange(2), "all")
    assert result.confusion == ((1, 0), (1, 0))
    assert result.loss == pytest.approx(-(np.log(0.65) + np.log(0.35)) / 2, rel=1e-12)


def test_both_kinds_of_averages_are_combined() -> None:
    data = sample()
    pair = [
        replace(random_model(784, 4, 10, seed=seed), config={"augment": {"shift": shift}})
        for seed, shift in enumerate((2, 4))
    ]
    result = evaluate_models(pair, data, np.arange(40), "all", augment=3)
    plain = evaluate_models(pair, data, np.arange(40), "all")
    assert replace(result, augmented=None) == plain and plain.augmented is None
    outputs = [mean_outputs_of_copies(model, data.images[:40].reshape(-1, 28, 28), 3) for model in pair]
    a = (outputs[0] + outputs[1]) / 2
    assert result.augmented is not None and (result.augmented.copies, result.augmented.strength) == (3, STRENGTH)
    assert result.augmented.accuracy == (a.argmax(axis=1) == data.labels[:40]).mean()
    assert result.augmented.loss == pytest.approx(-np.log(a[np.arange(40), data.labels[:40]]).mean())
    assert f"accuracy {result.augmented.accuracy:.4f}" in result._repr_html_()
    with pytest.raises(UsageError, match="without augmentation"):
        evaluate_models([random_model(784, 10)], data, np.arange(40), "all", augment=3)


def test_the_loss_of_averaged_outputs() -> None:
    data, first = dataset(2, 1, 2), np.array([0])
    # mse: mean (0.55, 0.3) against (1, 0): (0.45² + 0.3²) / 2.
    linear = {"output": "linear", "loss": "mse"}
    result = evaluate_models([constant(0.9, 0.1, **linear), constant(0.2, 0.5, **linear)], data, first, "all")
    assert result.loss == pytest.approx(0.14625, rel=1e-12)
    # binary cross-entropy: σ(ln 3) = 0.75 and σ(0) = 0.5, mean 0.625 for both outputs.
    binary = {"output": "sigmoid", "loss": "binary_cross_entropy"}
    result = evaluate_models([constant(np.log(3), np.log(3), **binary), constant(0, 0, **binary)], data, first, "all")
    assert result.loss == pytest.approx(-np.log(0.625) - np.log(0.375), rel=1e-12)


@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")])
def test_averaged_outputs_are_not_rounded_to_float32(output: str, loss: str) -> None:
    saturated = model([20 * np.eye(3)], [[0, 0, 0]], output=output, loss=loss, dtype="float32")
    precise = replace(saturated, weights=(20 * np.eye(3),), biases=(np.zeros(3),))
    for images in (bright((0, 0), (1, 1)), bright((0, 1))):
        expected = evaluate_models([precise], images, np.arange(len(images.labels)), "all").loss
        found = evaluate_models([saturated] * 2, images, np.arange(len(images.labels)), "all").loss
        assert found == pytest.approx(expected, rel=1e-6)


def test_a_model_averaged_with_itself_has_the_same_metrics() -> None:
    data = dataset(50)
    pairs: list[dict[str, Any]] = [
        {},
        {"output": "sigmoid", "loss": "mse"},
        {"output": "sigmoid", "loss": "binary_cross_entropy"},
        {"output": "linear", "loss": "mse"},
        {"output": "softmax", "loss": "mse"},
    ]
    for functions in pairs:
        made = random_model(6, 4, 3, **functions)
        alone = evaluate_models([made], data, np.arange(50), "all")
        twice = evaluate_models([made, made], data, np.arange(50), "all")
        assert twice.confusion == alone.confusion
        assert twice.loss == pytest.approx(alone.loss, rel=1e-9)


def test_an_average_can_be_better_than_each_model() -> None:
    data = bright((0, 0), (1, 1), (2, 2))
    members = []
    for weak in range(3):  # each model confuses one class with the next
        w = 4 * np.eye(3)
        w[:, weak] = 2 * np.eye(3)[(weak + 1) % 3]
        members.append(model([w], [np.zeros(3)]))
    alone = [evaluate_models([member], data, np.arange(3), "all").accuracy for member in members]
    assert alone == pytest.approx([2 / 3] * 3)
    assert evaluate_models(members, data, np.arange(3), "all").accuracy == 1


def test_models_with_different_losses_have_no_common_loss() -> None:
    data = dataset(10)
    pair = [random_model(6, 3), random_model(6, 3, output="softmax", loss="mse")]
    assert evaluate_models(pair, data, np.arange(10), "all").loss is None


def test_every_loss_of_the_engine_is_defined_for_averaged_outputs() -> None:
    assert {loss for loss, _ in PAIRINGS} == LOSSES_OF_OUTPUTS.keys()


def test_the_loss_of_saturated_outputs_is_finite() -> None:
    result = evaluate_models([constant(1000, 0)] * 2, dataset(2, 1, 2), np.arange(2), "all")
    assert result.loss == pytest.approx(-np.log(np.finfo(float).tiny) / 2)
    assert evaluate_models([constant(1000, 0)], dataset(2, 1, 2), np.arange(2), "all").loss == pytest.approx(500)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_extreme_weighted_inputs_cause_no_warning(output: str) -> None:
    functions = {"output": output, "loss": "mse", "dtype": "float32"}
    for logits in ((-1e4, 1e4), (3e38, -3e38)):
        evaluate_models([constant(*logits, **functions)] * 2, dataset(2, 1, 2), np.arange(2), "all")


@pytest.mark.parametrize("count", [1, 2])
def test_outputs_that_are_not_finite_are_refused(count: int) -> None:
    overflowing = constant(1e200, 0, output="linear", loss="mse")  # the output is finite, its square is not
    with pytest.raises(DataError, match="not finite"):
        evaluate_models([overflowing] * count, dataset(2, 1, 2), np.arange(2), "all")
    infinite = model([[[1e308] * 2] * 2], [[1e308] * 2])  # softmax of two infinities
    with pytest.raises(DataError, match="not finite"):
        evaluate_models([infinite] * count, dataset(2, 2, 2), np.arange(2), "all")


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match=r"made: .*1 x 8 pixels.* 6 inputs"):
        evaluate_models([random_model(6, 3)], dataset(5, pixels=8), np.arange(5), "all")
    with pytest.raises(DataError, match="6 inputs"):
        evaluate_models([random_model(8, 3), random_model(6, 3)], dataset(5, pixels=8), np.arange(5), "all")


def test_labels_beyond_the_classes_of_the_model_are_refused() -> None:
    with pytest.raises(DataError, match=r"labels go up to 4.* 0 to 2"):
        evaluate_models([random_model(6, 3)], dataset(5, classes=5), np.arange(5), "all")


def test_a_model_may_have_more_classes_than_the_dataset() -> None:
    result = evaluate_models([random_model(6, 4)], dataset(5, classes=3), np.arange(5), "all")
    assert len(result.confusion) == len(result.per_class) == 4


def test_models_with_different_numbers_of_classes_are_not_averaged() -> None:
    with pytest.raises(UsageError, match="different numbers of classes"):
        evaluate_models([random_model(6, 3), random_model(6, 4)], dataset(5), np.arange(5), "all")


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(UsageError, match="validation split is empty"):
        evaluate_models([BRIGHTEST], bright((0, 0)), np.arange(0), "validation")


def test_class_names_are_those_of_the_model() -> None:
    named = replace(BRIGHTEST, class_names=("o", "ki", "su"))
    assert evaluate_models([named], bright((1, 0)), np.arange(1), "all").confused_pairs(9) == [("ki", "o", 1)]


def test_mistakes_are_sorted_by_confidence_and_then_by_position() -> None:
    confidence, labels = np.array([0.9, 0.6, 0.8, 0.8, 0.99]), np.array([1, 2, 3, 4, 5])
    predicted = np.array([0, 0, 0, 0, 5])
    assert worst_mistakes(confidence, predicted, labels, 3).tolist() == [0, 2, 3]
    assert worst_mistakes(confidence, predicted, labels, 9).tolist() == [0, 2, 3, 1]


def test_a_notebook_shows_tables_and_mistakes_and_no_arrays() -> None:
    names = ("<b>ant</b>", "bee", "cat")
    mistake = Mistake(7, np.eye(4), names[0], "bee", 0.625)
    evaluation = replace(WORKED, class_names=names, mistakes=(mistake,) * 20)
    assert repr(evaluation) == "Evaluation(split='test', count=16, loss=0.5, accuracy=0.75)"
    assert repr(mistake) == "Mistake(index=7, truth='<b>ant</b>', guess='bee', confidence=0.625)"
    html = evaluation._repr_html_()
    assert "<b>ant" not in html and "&lt;b&gt;ant" in html and "0.8333" in html and "loss 0.5000" in html
    assert html.count("<img") == MAX_MISTAKES and "(62.5%)" in html
    shades = [float(share) for share in re.findall(r"rgba\(217,105,30,([\d.]+)\)", html)]
    assert len(shades) == 9 and shades[3] == max(shades) and shades[0] == shades[4] == shades[6] == 0


def test_a_notebook_shows_no_confusion_matrix_of_many_classes() -> None:
    count = MAX_CLASSES + 1
    diagonal = tuple(map(tuple, np.eye(count, dtype=int).tolist()))
    html = Evaluation("all", count, None, 1.0, diagonal, tuple(map(str, range(count))))._repr_html_()
    assert html.count("<table>") == 1 and "loss" not in html and "<img" not in html
