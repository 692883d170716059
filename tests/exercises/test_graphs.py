from __future__ import annotations

from typing import Any

from mlptrain.exercises.kinds import make_exercise
from tests.exercises.made import given_numbers
from tests.peers import torch_or_skip


def test_answers_are_those_of_pytorch() -> None:
    torch = torch_or_skip()

    def fold(function: Any) -> Any:
        return lambda x, y: function(x, y)

    gates = {"max": fold(torch.maximum), "min": fold(torch.minimum), "relu": torch.relu}
    for seed in range(50):
        items = make_exercise("chain-rule", str(seed)).items
        for given in dict.fromkeys(item.given for item in items):
            answers = {item.id: float(item.answer) for item in items if item.given == given}
            expression, _, values = given.partition(" = ")[2].partition("   for ")
            numbers = given_numbers(values)
            inputs = {
                name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in numbers.items()
            }
            output = eval(expression, gates, dict(inputs))
            output.backward()
            found = [output.item(), *(tensor.grad.item() for tensor in inputs.values())]
            assert found == [answers.pop(next(iter(answers))), *(answers[f"d{name}"] for name in numbers)]


def test_graphs_grow() -> None:
    items = make_exercise("chain-rule", "3").items
    orders = [item.hints[1] for item in items if item.question.startswith("value")]
    assert [order.count(" = ") for order in orders] == [2, 3, 4]


def test_the_third_graph_uses_an_input_twice() -> None:
    for seed in range(20):
        given = make_exercise("chain-rule", str(seed)).items[-1].given.partition("   for ")[0]
        uses = [given.partition(" = ")[2].replace("relu", "").count(name) for name in "vw"]
        assert sorted([*uses, given.partition(" = ")[2].replace("relu", "").count("u")]) == [1, 1, 2]
