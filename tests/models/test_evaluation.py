from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlptrain.errors import DataError, UsageError
from mlptrain.models.evaluation import BATCH, Evaluation, Evaluator, evaluate_models, losses_and_hits, worst_mistakes
from tests.made import dataset, model, random_model

# Truths down, guesses across.
WORKED = Evaluation("test", 16, 0.5, 0.75, ((5, 1, 0), (2, 3, 1), (0, 0, 4)), ("ant", "bee", "cat"))


def bright(*pairs: tuple[int, int], classes: int = 3):
    """Images of one bright pixel, each as (label, the pixel that is bright)."""
    data = dataset(len(pairs), classes, classes)
    data.images[:] = [[255 * (pixel == bright) for pixel in range(classes)] for _, bright in pairs]
    data.labels[:] = [label for label, _ in pairs]
    return data


# Guesses the brightest pixel.
BRIGHTEST = model([np.eye(3)], [np.zeros(3)])


def test_precision_recall_and_f1_by_hand():
    ant, bee, cat = WORKED.per_class
    assert (ant.label, ant.support) == ("ant", 6)
    assert (ant.precision, ant.recall, ant.f1) == pytest.approx((5 / 7, 5 / 6, 10 / 13))
    assert (bee.precision, bee.recall, bee.f1, bee.support) == pytest.approx((3 / 4, 3 / 6, 6 / 10, 6))
    assert (cat.precision, cat.recall, cat.f1, cat.support) == pytest.approx((4 / 5, 1, 8 / 9, 4))


def test_a_class_that_nobody_guesses_or_that_is_not_there():
    nobody, absent, fine = Evaluation("test", 3, 0.5, 0.0, ((0, 1, 1), (0, 0, 0), (0, 0, 1)), tuple("abc")).per_class
    assert (nobody.precision, nobody.recall, nobody.f1, nobody.support) == (0, 0, 0, 2)
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (0, 0, 0, 0)
    assert (fine.precision, fine.recall, fine.f1) == pytest.approx((1 / 2, 1, 2 / 3))


def test_the_most_confused_pairs_come_first():
    assert WORKED.confused_pairs(5) == [("bee", "ant", 2), ("ant", "bee", 1), ("bee", "cat", 1)]
    assert WORKED.confused_pairs(1) == [("bee", "ant", 2)]
    assert WORKED.confused_pairs(0) == []


def test_figures_that_go_to_json_are_plain_numbers():
    result = evaluate_models([BRIGHTEST], bright((0, 0), (1, 0)), np.arange(2), "all")
    values = [*vars(result.per_class[0]).values(), result.loss, result.accuracy, result.count, *result.confusion[0]]
    assert {type(value) for value in values} == {str, float, int}


def test_counts_by_hand():
    data = bright((0, 0), (0, 0), (0, 1), (1, 1), (1, 2), (1, 2), (2, 2))
    result = evaluate_models([BRIGHTEST], data, np.arange(7), "test")
    assert result.confusion == ((2, 1, 0), (0, 1, 2), (0, 0, 1))
    assert (result.split, result.count, result.accuracy) == ("test", 7, 4 / 7)
    # softmax of (1, 0, 0) is e/(e + 2) and twice 1/(e + 2).
    right, wrong = -np.log(np.e / (np.e + 2)), -np.log(1 / (np.e + 2))
    assert result.loss == pytest.approx((4 * right + 3 * wrong) / 7, rel=1e-12)
    assert result.confused_pairs(2) == [("1", "2", 2), ("0", "1", 1)]


def test_only_the_images_asked_for():
    data = bright((0, 0), (1, 0), (2, 2), (1, 1))
    result = evaluate_models([BRIGHTEST], data, np.array([3, 1]), "validation")
    assert result.confusion == ((0, 0, 0), (1, 1, 0), (0, 0, 0))


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 5 * BATCH + 7])
def test_any_number_of_images(count):
    data, made = dataset(count), random_model(6, 5, 3)
    result = evaluate_models([made], data, np.arange(count), "all")
    confusion = np.zeros((3, 3), int)
    for truth, guess in zip(data.labels, made.predict(data.images), strict=True):
        confusion[truth, guess] += 1
    assert np.array(result.confusion).tolist() == confusion.tolist()
    assert result.accuracy == pytest.approx(np.trace(confusion) / count)
    chosen = made.probabilities(data.images)[np.arange(count), data.labels]
    assert result.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-9)


def test_an_evaluator_sees_the_weights_as_they_stand():
    data, made = bright((0, 0), (1, 1)), BRIGHTEST.network()
    evaluator = Evaluator(made, data, np.arange(2))
    assert evaluator.figures()[1].tolist() == [1]
    made.parameters.weights[0] *= -1
    assert evaluator.figures()[1].tolist() == [0]


def test_the_first_of_equal_outputs_is_the_guess():
    _, hits = losses_and_hits("mse", "linear", np.zeros((3, 2)), np.eye(3)[:, :2], np.array([0, 1]))
    assert hits.tolist() == [True, False]


def test_the_courses_example():
    # a = (0.9, 0.1, 0.1, 0.2, 0 …) against y = (1, 0 …) costs 0.035.
    a = np.array([0.9, 0.1, 0.1, 0.2, 0, 0, 0, 0, 0, 0])
    losses, hits = losses_and_hits("mse", "linear", a[:, None], np.eye(10)[:, :1], np.array([0]))
    assert losses == pytest.approx([0.035]) and hits.all()


def always(*logits: float, **functions: str):
    """A model of one pixel that says the same whatever it sees."""
    return model([np.zeros((len(logits), 1))], [logits], **functions)


def test_several_models_are_averaged_in_their_outputs():
    # Probabilities (0.9, 0.1) and (0.4, 0.6): mean (0.65, 0.35). Averaged weighted inputs would give 0.71.
    pair = [always(np.log(9), 0), always(0, np.log(1.5))]
    result = evaluate_models(pair, dataset(2, 1, 2), np.arange(2), "all")
    assert result.confusion == ((1, 0), (1, 0))
    assert result.loss == pytest.approx(-(np.log(0.65) + np.log(0.35)) / 2, rel=1e-12)


def test_the_loss_of_averaged_outputs():
    data, first = dataset(2, 1, 2), np.array([0])
    # mse: mean (0.55, 0.3) against (1, 0): (0.45² + 0.3²) / 2.
    linear = {"output": "linear", "loss": "mse"}
    result = evaluate_models([always(0.9, 0.1, **linear), always(0.2, 0.5, **linear)], data, first, "all")
    assert result.loss == pytest.approx(0.14625, rel=1e-12)
    # binary cross-entropy: σ(ln 3) = 0.75 and σ(0) = 0.5, mean 0.625 for both outputs.
    binary = {"output": "sigmoid", "loss": "binary_cross_entropy"}
    result = evaluate_models([always(np.log(3), np.log(3), **binary), always(0, 0, **binary)], data, first, "all")
    assert result.loss == pytest.approx(-np.log(0.625) - np.log(0.375), rel=1e-12)


def test_a_model_averaged_with_itself_is_itself():
    data = dataset(50)
    for functions in (
        {},
        {"output": "sigmoid", "loss": "mse"},
        {"output": "sigmoid", "loss": "binary_cross_entropy"},
        {"output": "linear", "loss": "mse"},
        {"output": "softmax", "loss": "mse"},
    ):
        made = random_model(6, 4, 3, **functions)
        alone = evaluate_models([made], data, np.arange(50), "all")
        twice = evaluate_models([made, made], data, np.arange(50), "all")
        assert twice.confusion == alone.confusion
        assert twice.loss == pytest.approx(alone.loss, rel=1e-9)


def test_a_committee_corrects_its_members():
    data = bright((0, 0), (1, 1), (2, 2))
    members = []
    for weak in range(3):  # each takes one of the digits for the next
        w = 4 * np.eye(3)
        w[:, weak] = 2 * np.eye(3)[(weak + 1) % 3]
        members.append(model([w], [np.zeros(3)]))
    alone = [evaluate_models([member], data, np.arange(3), "all").accuracy for member in members]
    assert alone == pytest.approx([2 / 3] * 3)
    assert evaluate_models(members, data, np.arange(3), "all").accuracy == 1


def test_models_of_different_losses_have_none_together():
    data = dataset(10)
    pair = [random_model(6, 3), random_model(6, 3, output="softmax", loss="mse")]
    assert evaluate_models(pair, data, np.arange(10), "all").loss is None


def test_saturated_outputs_cost_much_but_not_infinitely_much():
    result = evaluate_models([always(1000, 0)] * 2, dataset(2, 1, 2), np.arange(2), "all")
    assert result.loss == pytest.approx(-np.log(np.finfo(float).tiny) / 2)
    assert evaluate_models([always(1000, 0)], dataset(2, 1, 2), np.arange(2), "all").loss == pytest.approx(500)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_extreme_inputs_bring_no_warning(output):
    functions = {"output": output, "loss": "mse", "dtype": "float32"}
    for logits in ((-1e4, 1e4), (3e38, -3e38)):
        evaluate_models([always(*logits, **functions)] * 2, dataset(2, 1, 2), np.arange(2), "all")


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_not_finite_has_no_figures(count):
    overflowing = always(1e200, 0, output="linear", loss="mse")  # the output is finite, its square is not
    with pytest.raises(DataError, match="not finite: its weights are too large"):
        evaluate_models([overflowing] * count, dataset(2, 1, 2), np.arange(2), "all")
    infinite = model([[[1e308] * 2] * 2], [[1e308] * 2])  # softmax of two infinities
    with pytest.raises(DataError, match="not finite: its weights are too large"):
        evaluate_models([infinite] * count, dataset(2, 2, 2), np.arange(2), "all")


def test_images_of_another_size_are_refused():
    with pytest.raises(DataError, match=r"made: images of 1 x 8 pixels; this model takes 6 numbers"):
        evaluate_models([random_model(6, 3)], dataset(5, pixels=8), np.arange(5), "all")
    with pytest.raises(DataError, match="this model takes 6"):
        evaluate_models([random_model(8, 3), random_model(6, 3)], dataset(5, pixels=8), np.arange(5), "all")


def test_classes_that_the_model_does_not_know_are_refused():
    with pytest.raises(DataError, match=r"labels up to 4; this model knows classes 0 to 2"):
        evaluate_models([random_model(6, 3)], dataset(5, classes=5), np.arange(5), "all")


def test_a_model_may_know_more_classes_than_there_are():
    result = evaluate_models([random_model(6, 4)], dataset(5, classes=3), np.arange(5), "all")
    assert len(result.confusion) == len(result.per_class) == 4


def test_models_of_different_classes_are_not_averaged():
    with pytest.raises(UsageError, match="different numbers of classes"):
        evaluate_models([random_model(6, 3), random_model(6, 4)], dataset(5), np.arange(5), "all")


def test_an_empty_part_is_refused():
    with pytest.raises(UsageError, match="validation part of this split is empty"):
        evaluate_models([BRIGHTEST], bright((0, 0)), np.arange(0), "validation")


def test_names_are_the_models():
    named = replace(BRIGHTEST, class_names=("o", "ki", "su"))
    assert evaluate_models([named], bright((1, 0)), np.arange(1), "all").confused_pairs(9) == [("ki", "o", 1)]


def test_the_most_confident_mistakes_come_first_of_equals_the_first():
    confidence, labels = np.array([0.9, 0.6, 0.8, 0.8, 0.99]), np.array([1, 2, 3, 4, 5])
    guesses = np.array([0, 0, 0, 0, 5])
    assert worst_mistakes(confidence, guesses, labels, 3).tolist() == [0, 2, 3]
    assert worst_mistakes(confidence, guesses, labels, 9).tolist() == [0, 2, 3, 1]
