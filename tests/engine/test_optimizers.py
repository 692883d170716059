from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from mlptrain.engine import parameters as module
from mlptrain.engine.backprop import TrainingPass
from mlptrain.engine.network import Network
from mlptrain.engine.optimizers import OPTIMIZERS, Optimizer, Penalties, no_penalties
from mlptrain.engine.parameters import Architecture
from tests.peers import assert_same, others_of, torch_or_skip, twin, weights_of

# ---- update rules by hand ------------------------------------------------------------------------------

# The weight 1 after steps with the gradients 1, −2 and 1 at rate 0.1, by the formulas of the papers.
BY_HAND = {
    # 1 − 0.1, + 0.2, − 0.1
    "sgd": ({}, [0.9, 1.1, 1.0]),
    # μ = 0.5; v = −0.1, 0.15, −0.025
    "momentum": ({"momentum": 0.5}, [0.9, 1.05, 1.025]),
    # v as above; w += 0.5 v − 0.1 g: −0.05 − 0.1, 0.075 + 0.2, −0.0125 − 0.1
    "nesterov": ({"momentum": 0.5}, [0.85, 1.125, 1.0125]),
    # s = 1, 5, 6: −0.1, + 0.2 / √5, − 0.1 / √6, each √s with ε = 1 added: 2, 3.236068, 3.449490
    "adagrad": ({"epsilon": 1.0}, [0.95, 1.0118034, 0.9828136]),
    # ρ = 0.5: s = 0.5, 2.25, 1.625; √s = 0.7071068, 1.5, 1.2747549, with ε = 0.5: 1.2071068, 2, 1.7747549
    "rmsprop": ({"rho": 0.5, "epsilon": 0.5}, [0.9171573, 1.0171573, 0.9608115]),
    # ρ = 0.5, ε = 1: d = √(0 + 1) / √(0.5 + 1) = 0.8164966, u = 0.3333333;
    # d = −2 √1.3333333 / √3.25 = −1.2810252, u = 0.1666667 + 0.8205128 = 0.9871795; d = √1.9871795 / √2.625
    "adadelta": ({"rho": 0.5, "epsilon": 1.0}, [0.9183503, 1.0464529, 0.9594459]),
    # β₁ = 0.5, β₂ = 0.75, ε = 0: m̂ / √v̂ is 1 at first; then m = −0.75, m̂ = −1, v = 0.1875 + 1 = 1.1875,
    # v̂ = 1.1875 / 0.4375 = 2.7142857; then m = 0.125, m̂ = 0.1428571, v = 1.140625, v̂ = 1.140625 / 0.578125
    "adam": ({"beta1": 0.5, "beta2": 0.75, "epsilon": 0.0}, [0.9, 0.9606977, 0.9505272]),
    # As Adam's, each weight times 1 − 0.1 · 0.5 before the step: 0.95 − 0.1; 0.8075 + 0.0606977; …
    "adamw": ({"beta1": 0.5, "beta2": 0.75, "epsilon": 0.0, "decay": 0.5}, [0.85, 0.8681977, 0.8146173]),
}


def test_every_optimizer_has_worked_steps() -> None:
    assert OPTIMIZERS.keys() == {*BY_HAND, "nadam"}


def number() -> Network:
    """Return a network with one weight and one bias, both 1."""
    network = Network(Architecture((1, 1), "tanh", "linear", "mse"), 1, "float64")
    network.parameters.flat[:] = 1
    return network


def trace(optimizer: Optimizer, gradients: list[float], rate: float = 0.1) -> list[list[float]]:
    """Return weight and bias after each step."""
    seen = []
    for gradient in gradients:
        optimizer.gradients.flat[:] = gradient * (rate if optimizer.rule.linear else 1)
        optimizer.update(np.array([rate]))
        seen.append(optimizer.network.parameters.flat.tolist())
    return seen


def made(name: str, values: dict[str, Any], **penalties: Any) -> Optimizer:
    return Optimizer(name, number(), {key: np.array([value]) for key, value in values.items()}, only(**penalties))


def only(members: int = 1, **values: Any) -> Penalties:
    """Return penalties of which only these have an effect."""
    base = no_penalties(members)
    return Penalties(**{**vars(base), **{key: np.broadcast_to(value, members) for key, value in values.items()}})


@pytest.mark.parametrize("name", BY_HAND)
def test_worked_steps(name: str) -> None:
    values, worked = BY_HAND[name]
    seen = trace(made(name, values), [1, -2, 1])
    assert [weight for weight, _ in seen] == pytest.approx(worked, abs=6e-8)
    if name != "adamw":  # which decays only weights
        assert [bias for _, bias in seen] == pytest.approx(worked, abs=6e-8)


def test_adamw_does_not_decay_biases() -> None:
    values, _ = BY_HAND["adamw"]
    assert [bias for _, bias in trace(made("adamw", values), [1, -2, 1])] == pytest.approx(BY_HAND["adam"][1], abs=6e-8)


def test_worked_steps_of_nadam() -> None:
    # μₜ = 0.5 (1 − ½ · 0.96^(0.004 t)): μ₁ = 0.2500408, μ₂ = 0.2500816, μ₃ = 0.2501224; ε = 0, β₂ = 0.75.
    # t = 1: m = 0.5, v̂ = 1: 0.1 [μ₂ 0.5 / (1 − μ₁ μ₂) + (1 − μ₁) / (1 − μ₁)] = 0.1 [0.1333812 + 1].
    # t = 2: m = −0.75, v̂ = 2.7142857; Πμ = 0.0625306:
    # 0.1 [μ₃ (−0.75) / (1 − Πμ μ₃) + (1 − μ₂) (−2) / (1 − Πμ)] / 1.6475089 = 0.1 [−0.1905724 − 1.5998781] / 1.6475089
    seen = trace(made("nadam", {"beta1": 0.5, "beta2": 0.75, "epsilon": 0.0}), [1, -2])
    assert [weight for weight, _ in seen] == pytest.approx([0.8866619, 0.9953381], abs=6e-8)


def test_velocity_contains_the_rate() -> None:
    # v = −0.1 · 1, then −0.05 − 0.01 · 1 (Sutskever et al. 2013).
    optimizer = made("momentum", {"momentum": 0.5})
    trace(optimizer, [1], rate=0.1)
    assert trace(optimizer, [1], rate=0.01)[0][0] == pytest.approx(0.9 - 0.06)


# ---- penalties by hand --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_worked_l1(name: str) -> None:
    # g = 0, l1 = 0.5: the gradient of the weight 1 is 0.5, of −1 it is −0.5, of 0 and of the bias it is 0.
    values = {"rho": 0.0, "epsilon": 0.5}  # rmsprop's step is then rate · 0.5 / (0.5 + 0.5)
    for weight, after in ((1.0, 0.95), (-1.0, -0.95), (0.0, 0.0)):
        optimizer = made(name, values, l1=0.5)
        optimizer.network.parameters.weights[0][:] = weight
        assert trace(optimizer, [0])[0] == pytest.approx([after, 1.0])


@pytest.mark.parametrize("name", ["sgd", "rmsprop"])
def test_worked_l2(name: str) -> None:
    # g = 0, l2 = 0.5: the gradient of the weight 1 is 0.5 and of 2 it is 1.
    values = {"rho": 0.0, "epsilon": 0.5}
    assert trace(made(name, values, l2=0.5), [0])[0] == pytest.approx([0.95, 1.0])
    optimizer = made("sgd", {}, l2=0.5)
    optimizer.network.parameters.weights[0][:] = 2
    assert trace(optimizer, [0])[0] == pytest.approx([1.9, 1.0])


def test_worked_l1_and_l2() -> None:
    assert trace(made("sgd", {}, l1=0.3, l2=0.5), [1])[0] == pytest.approx([1 - 0.1 * 1.8, 0.9])


@pytest.mark.parametrize("rate", [0.1, 1e-30])
@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_clipping_bounds_the_norm_of_the_whole_gradient(name: str, rate: float) -> None:
    # Weight and bias have the gradient 3: norm 4.2426407; with a norm of 1 each is 0.7071068.
    optimizer = made(name, {"epsilon": 1.0}, clip_norm=1.0)
    trace(optimizer, [3], rate)
    moved = 0.7071068 if name == "sgd" else 0.7071068 / 1.7071068
    assert optimizer.network.parameters.flat == pytest.approx(1 - rate * moved)
    # A gradient within the bound does not change.
    optimizer = made(name, {"epsilon": 1.0}, clip_norm=4.3)
    trace(optimizer, [3], rate)
    assert optimizer.network.parameters.flat == pytest.approx(1 - rate * (3 if name == "sgd" else 0.75))


def test_clipping_at_rate_0_and_gradient_0() -> None:
    assert trace(made("sgd", {}, clip_norm=1.0), [5], rate=0.0) == [[1, 1]]
    assert trace(made("sgd", {}, clip_norm=1.0), [0]) == [[1, 1]]
    assert trace(made("adam", {"beta1": 0.9, "beta2": 0.9, "epsilon": 1e-8}, clip_norm=1.0), [0]) == [[1, 1]]


def test_clipped_gradient_includes_the_penalties() -> None:
    # w = 1, l2 = 4: the gradients are 4 and 0, bounded by 1 they are 1 and 0.
    assert trace(made("sgd", {}, l2=4.0, clip_norm=1.0), [0])[0] == pytest.approx([0.9, 1.0])


def test_max_norm_bounds_the_incoming_weights_of_each_unit() -> None:
    network = Network(Architecture((2, 3), "tanh", "linear", "mse"), 2, "float64")
    rows = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])  # norms 5, 0.5 and 0
    network.parameters.flat[:] = 7
    network.parameters.weights[0][:] = rows
    optimizer = Optimizer("sgd", network, {}, only(2, max_norm=np.array([1.0, np.inf])))
    optimizer.update(np.ones(2))
    np.testing.assert_allclose(network.parameters.weights[0][0], [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]], rtol=1e-14)
    np.testing.assert_array_equal(network.parameters.weights[0][1], rows)
    assert (network.parameters.biases[0] == 7).all()


# ---- the optimizer ------------------------------------------------------------------------------------

HYPERPARAMETERS = {
    "momentum": 0.9,
    "beta1": 0.85,
    "beta2": 0.98,
    "rho": 0.95,
    "epsilon": 1e-4,
    "decay": 0.05,
}
RATES = {
    "momentum": 0.05,
    "nesterov": 0.05,
    "adagrad": 0.05,
    "adadelta": 1.0,
    "rmsprop": 0.003,
    "adam": 0.01,
    "adamw": 0.01,
    "nadam": 0.01,
}


def make(members: int = 1, dtype: str = "float64", batch_norm: bool = False) -> Network:
    network = Network(Architecture((20, 16, 8, 4), "relu", "softmax", "cross_entropy", batch_norm), members, dtype)
    network.initialize("auto", [np.random.default_rng(3 + k) for k in range(members)])
    return network


def hyperparameters(members: int = 1) -> dict[str, np.ndarray]:
    return {key: np.full(members, value) for key, value in HYPERPARAMETERS.items()}


def examples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 50)
    return rng.random((50, 20)), np.eye(4)[labels].T.copy(), labels


def train(
    network: Network,
    name: str,
    penalties: Penalties | None = None,
    steps: int = 20,
    rates: np.ndarray | None = None,
    **keywords: Any,
) -> Optimizer:
    """Train on the full batch."""
    x, y, _ = examples()
    members = network.members
    rates = np.full(members, RATES.get(name, 0.3)) if rates is None else rates
    optimizer = Optimizer(name, network, hyperparameters(members), penalties, **keywords)
    step, logits = TrainingPass(network, 50, optimizer.gradients), np.empty((members, 4, 50), network.dtype)
    for _ in range(steps):
        step.forward(x.astype(network.dtype), logits)
        step.backward(x.astype(network.dtype), y.astype(network.dtype), logits, optimizer.delta_scale(rates, 50))
        optimizer.update(rates)
    return optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("size", [1, 7, 320, 448])
def test_size_of_blocks_does_not_change_the_bytes(monkeypatch: pytest.MonkeyPatch, name: str, size: int) -> None:
    """The first layer has 320 weights, the three layers 480."""
    penalties = only(l1=1e-3, l2=1e-2, clip_norm=0.5, max_norm=1.0)
    steps = 2 if size == 1 else 4
    whole, pieces = make(), make()
    train(whole, name, penalties, steps)
    monkeypatch.setattr(module, "BLOCK_ENTRIES", size)
    train(pieces, name, penalties, steps)
    np.testing.assert_array_equal(whole.parameters.flat, pieces.parameters.flat)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_and_state_are_updated_in_place(name: str) -> None:
    optimizer = train(make(), name, steps=2)
    arrays = [optimizer.network.parameters.flat, *(state.flat for state in optimizer.states)]
    kept = [array.copy() for array in arrays]
    optimizer.gradients.flat[:] = 0.1
    optimizer.update(np.array([0.1]))
    assert all((array != old).any() for array, old in zip(arrays, kept, strict=True))
    assert len(optimizer.states) == optimizer.rule.states


@pytest.mark.parametrize(("order", "same"), [((0,), True), ((0, 1), True), ((0, 1), False)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restored_optimizer_continues_as_the_original(name: str, order: tuple[int, ...], same: bool) -> None:
    """For one network, and for a stack that is restored in reverse order."""
    back, count = order[::-1], len(order)

    def stack(members: Sequence[int]) -> Optimizer:
        values = {key: value * (1 if same else np.array([1, 0.99])) for key, value in hyperparameters(count).items()}
        return Optimizer(name, make(count), {key: value[list(members)] for key, value in values.items()})

    def steps(optimizer: Optimizer, members: Sequence[int], number: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(number):
            for array in optimizer.gradients.arrays:
                array[:] = rng.normal(size=(count, *array.shape[1:]))[list(members)]
            optimizer.update(np.full(count, 0.1))

    first, second = stack(order), stack(back)
    steps(first, order, 3, 0)
    states = [first.state(member) for member in back]
    networks = [first.network.state(member) for member in back]
    steps(first, order, 2, 1)
    second.restore(states)
    second.network.restore(networks)
    steps(second, back, 2, 1)
    assert second.steps == first.steps == 5
    for after, resumed in zip(first.network.parameters.arrays, second.network.parameters.arrays, strict=True):
        np.testing.assert_array_equal(after, resumed[::-1])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_float32_is_kept_and_close_to_float64(name: str) -> None:
    single, double = make(dtype="float32"), make()
    optimizer = train(single, name, only(l1=1e-3, l2=1e-2, clip_norm=0.5, max_norm=1.0))
    train(double, name, only(l1=1e-3, l2=1e-2, clip_norm=0.5, max_norm=1.0))
    assert {array.dtype for array in (*single.parameters.arrays, *(s.flat for s in optimizer.states))} == {
        np.dtype("float32")
    }
    np.testing.assert_allclose(single.parameters.flat, double.parameters.flat, rtol=0, atol=2e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("key", "value"), [("beta1", 1 - 1e-12), ("beta2", 1 - 1e-12), ("rho", 1 - 1e-12), ("epsilon", 1e-60)]
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_hyperparameters_that_float32_rounds_to_0_or_1(name: str, key: str, value: float, dtype: str) -> None:
    """Rules divide by 1 − β and ε; a pixel that is always 0 has gradient 0."""
    network = make(dtype=dtype)
    optimizer = Optimizer(name, network, {**hyperparameters(), key: np.array([value])})
    for _ in range(3):
        optimizer.gradients.flat[:] = 0.1
        optimizer.gradients.weights[0][:, :, 0] = 0
        optimizer.update(np.array([0.01]))
    assert np.isfinite(network.parameters.flat).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_scalars_and_one_number_per_network_agree(name: str) -> None:
    flat, broadcast = make(3), make(3)
    train(flat, name, only(3, l1=1e-3, l2=1e-2))
    train(broadcast, name, only(3, l1=1e-3, l2=1e-2), same_rates=False)
    np.testing.assert_allclose(flat.parameters.flat, broadcast.parameters.flat, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_networks_of_a_stack_have_separate_rates(name: str) -> None:
    rates = RATES.get(name, 0.3) * np.array([0.5, 2.0])
    stack = make(2)
    train(stack, name, rates=rates, same_rates=False)
    for member, rate in enumerate(rates):
        solo = make()
        solo.restore([make(2).state(member)])
        train(solo, name, rates=np.array([rate]))
        for ours, alone in zip(stack.parameters.arrays, solo.parameters.arrays, strict=True):
            np.testing.assert_allclose(ours[member], alone[0], rtol=0, atol=1e-12)


def test_equal_numbers_need_few_blocks() -> None:
    assert len(Optimizer("adam", make(2), hyperparameters(2))._blocks) == 1
    assert len(Optimizer("adamw", make(2), hyperparameters(2))._blocks) == 2, "only weights decay"
    assert len(Optimizer("adam", make(2), hyperparameters(2), only(2, l2=[0.1, 0.1]))._blocks) == 2
    assert len(Optimizer("adam", make(2), hyperparameters(2), same_rates=False)._blocks) == 6
    assert len(Optimizer("sgd", make(2), {}, same_rates=False)._blocks) == 1, "its rate is in the delta"
    assert len(Optimizer("sgd", make(2), {}, only(2, l2=0.1), same_rates=False)._blocks) == 6


def test_hyperparameters_of_0_and_above_1_are_not_changed() -> None:
    assert trace(made("momentum", {"momentum": 0.0}), [1, -2]) == trace(made("sgd", {}), [1, -2])
    assert trace(made("adagrad", {"epsilon": 1.5}), [1])[0][0] == 1 - 0.1 / 2.5


def test_clipping_in_a_stack_with_a_rate_of_0() -> None:
    stack, solo = make(2), make(1)
    train(stack, "sgd", only(2, clip_norm=0.1), rates=np.array([0.3, 0.0]), same_rates=False)
    train(solo, "sgd", only(clip_norm=0.1), rates=np.array([0.3]))
    for ours, alone, start in zip(
        stack.parameters.arrays, solo.parameters.arrays, make(2).parameters.arrays, strict=True
    ):
        np.testing.assert_allclose(ours[0], alone[0], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(ours[1], start[1])


# ---- agreement with PyTorch --------------------------------------------------------------------------------


def peer_of(torch: Any, name: str, model: Any, l2: float = 0.0) -> Any:
    """Return PyTorch's optimizer of that name; only weight matrices decay."""
    rate, h = RATES.get(name, 0.3), HYPERPARAMETERS
    betas, eps = (h["beta1"], h["beta2"]), h["epsilon"]
    decay = h["decay"] if name == "adamw" else l2
    groups = [{"params": weights_of(model), "weight_decay": decay}, {"params": others_of(model), "weight_decay": 0.0}]
    optim = torch.optim
    peers = {
        "sgd": lambda: optim.SGD(groups, lr=rate),
        "momentum": lambda: optim.SGD(groups, lr=rate, momentum=h["momentum"]),
        "nesterov": lambda: optim.SGD(groups, lr=rate, momentum=h["momentum"], nesterov=True),
        "adagrad": lambda: optim.Adagrad(groups, lr=rate, eps=eps),
        "adadelta": lambda: optim.Adadelta(groups, lr=rate, rho=h["rho"], eps=eps),
        "rmsprop": lambda: optim.RMSprop(groups, lr=rate, alpha=h["rho"], eps=eps),
        "adam": lambda: optim.Adam(groups, lr=rate, betas=betas, eps=eps),
        "adamw": lambda: optim.AdamW(groups, lr=rate, betas=betas, eps=eps),
        "nadam": lambda: optim.NAdam(groups, lr=rate, betas=betas, eps=eps, momentum_decay=4e-3),
    }
    if name not in peers:
        pytest.skip(f"PyTorch has no {name}")
    return peers[name]()


def train_peer(torch: Any, model: Any, peer: Any, steps: int = 20, before: Any = None, after: Any = None) -> None:
    x, _, labels = examples()
    for _ in range(steps):
        peer.zero_grad()
        torch.nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(labels)).backward()
        if before is not None:
            before()
        peer.step()
        if after is not None:
            after()


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
@pytest.mark.parametrize("l2", [0.0, 0.02])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_agrees_with_torch(name: str, l2: float, batch_norm: bool) -> None:
    if name == "adamw" and l2:
        pytest.skip("PyTorch's AdamW has no other decay")
    torch, network = torch_or_skip(), make(batch_norm=batch_norm)
    model, start = twin(network), network.parameters.flat.copy()
    train_peer(torch, model, peer_of(torch, name, model, l2))
    train(network, name, only(l2=l2))
    assert abs(network.parameters.flat - start).max() > 0.01
    assert_same(network, model)


@pytest.mark.parametrize("bound", [0.05, 0.3])
@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_clipping_agrees_with_torch(name: str, bound: float) -> None:
    torch, network = torch_or_skip(), make()
    model = twin(network)
    norms = []

    def clip() -> None:
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), bound)))

    train_peer(torch, model, peer_of(torch, name, model), before=clip)
    train(network, name, only(clip_norm=bound))
    assert max(norms) > bound
    assert_same(network, model, 1e-5)  # PyTorch divides by the norm plus 1e-6


@pytest.mark.parametrize("name", ["nesterov", "rmsprop"])
def test_max_norm_agrees_with_torch(name: str) -> None:
    torch, network = torch_or_skip(), make()
    model, clipped = twin(network), []

    def bound() -> None:
        with torch.no_grad():
            for weights in weights_of(model):
                clipped.append(int((weights.norm(dim=1) > 1.1).sum()))
                weights.copy_(torch.renorm(weights, 2, 0, 1.1))

    train_peer(torch, model, peer_of(torch, name, model), after=bound)
    train(network, name, only(max_norm=1.1))
    assert sum(clipped) > 20
    assert max(np.linalg.norm(w, axis=-1).max() for w in network.parameters.weights) <= 1.1 + 1e-12
    assert_same(network, model, 1e-5)  # renorm divides by the norm plus 1e-7


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_l1_agrees_with_torch(name: str) -> None:
    torch, network = torch_or_skip(), make()
    model = twin(network)

    def add_signs() -> None:
        for weights in weights_of(model):
            weights.grad.add_(0.003 * torch.sign(weights))

    train_peer(torch, model, peer_of(torch, name, model), before=add_signs)
    train(network, name, only(l1=0.003))
    assert_same(network, model)


@pytest.mark.parametrize("batch_norm", [False, True], ids=["plain", "batch_norm"])
def test_every_optimizer_reduces_the_loss(batch_norm: bool) -> None:
    x, y, _ = examples()
    for name in OPTIMIZERS:
        network = make(batch_norm=batch_norm)
        optimizer = train(network, name, steps=1)
        first = loss_of(network, optimizer, x, y)
        train(network, name, steps=60)
        assert loss_of(network, optimizer, x, y) < 0.9 * first, name


def loss_of(network: Network, optimizer: Optimizer, x: np.ndarray, y: np.ndarray) -> float:
    logits = np.empty((1, 4, 50))
    TrainingPass(network, 50, optimizer.gradients).forward(x, logits)
    shifted = logits[0] - logits[0].max(axis=0)
    return float((np.log(np.exp(shifted).sum(axis=0)) - (shifted * y).sum(axis=0)).mean())


# ---- preview -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("penalized", [False, True], ids=["plain", "penalties"])
@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_preview_is_the_change_that_the_next_step_makes(name: str, members: int, penalized: bool) -> None:
    network = Network(Architecture((5, 4, 3), "tanh", "softmax", "cross_entropy"), members, "float64")
    network.initialize("normal", [np.random.default_rng(seed) for seed in range(members)])
    each = np.arange(1, members + 1, dtype=np.float64)
    penalties = Penalties(each * 0.01, each * 0.02, each * 0.5, each) if penalized else None
    values = {"momentum": 0.9, "epsilon": 1e-7, "rho": 0.9, "beta1": 0.9, "beta2": 0.999, "decay": 0.01}
    optimizer = Optimizer(name, network, {key: np.full(members, v) for key, v in values.items()}, penalties)
    rng, rates = np.random.default_rng(3), np.full(members, 0.05)
    for _ in range(3):
        gradients = rng.normal(size=optimizer.gradients.flat.size)
        optimizer.gradients.flat[:] = gradients
        before = network.parameters.flat.copy()
        states = [optimizer.state(member) for member in range(members)]
        changes = optimizer.preview(rates).flat.copy()
        assert (network.parameters.flat == before).all()
        assert repr([optimizer.state(member) for member in range(members)]) == repr(states)
        optimizer.gradients.flat[:] = gradients
        optimizer.update(rates)
        np.testing.assert_allclose(changes, network.parameters.flat - before, rtol=1e-9, atol=1e-12)
