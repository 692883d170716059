from __future__ import annotations

import math
from typing import Any

import pytest

from mlptrain.engine.schedules import SCHEDULES, Plateau, make_schedule
from tests.peers import torch_or_skip


def factors(name: str, steps: int, warmup: float = 0.0, **options: float) -> list[float]:
    schedule, _ = make_schedule(name, options, warmup)
    return [schedule(step, steps) for step in range(steps)]


def test_names_of_the_schedules() -> None:
    assert list(SCHEDULES) == ["constant", "step", "exponential", "cosine", "one_cycle", "plateau"]


def test_worked_values() -> None:
    assert factors("constant", 3) == [1, 1, 1]
    assert factors("step", 7, every=3, gamma=0.5) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]
    assert factors("exponential", 4, gamma=0.5) == [1, 0.5, 0.25, 0.125]
    # Cosine at 0, 1/4, 1/2 and 3/4 of the steps.
    assert factors("cosine", 4) == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    # One cycle of 10 steps: the peak is at step 0.3 · 10 − 1 = 2, and step 1 is halfway from 0.04 to it.
    ten = factors("one_cycle", 10)
    assert ten[:3] == pytest.approx([0.04, 0.52, 1])
    assert ten[-1] == pytest.approx(4e-6)
    assert sorted(ten[2:], reverse=True) == ten[2:]


@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5, 0.999])
def test_factors_of_short_runs_are_between_0_and_1(name: str, steps: int, warmup: float) -> None:
    assert all(0 < factor <= 1 for factor in factors(name, steps, warmup))


def test_cosine_is_0_after_its_end() -> None:
    schedule, _ = make_schedule("cosine", {}, 0.0)
    assert schedule(10, 10) == schedule(25, 10) == 0


def test_factors_underflow_to_0() -> None:
    assert factors("exponential", 10_000, gamma=0.9)[-1] == 0


@pytest.mark.parametrize("options", [("exponential", {}), ("step", {"every": 2.0})], ids=str)
def test_factors_overflow_to_infinity(options: tuple[Any, ...]) -> None:
    name, values = options
    assert factors(name, 2000, gamma=10.0, **values)[-1] == math.inf


# ---- warm-up ------------------------------------------------------------------------------------------


def test_warm_up_rises_linearly_before_the_schedule() -> None:
    # 4 of 10 steps, then a cosine over the other 6.
    warmed = factors("cosine", 10, warmup=0.4)
    assert warmed[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert warmed[4:] == pytest.approx(factors("cosine", 6))
    assert factors("constant", 5, warmup=0.4) == [0.5, 1, 1, 1, 1]


def test_warm_up_delays_step_and_exponential() -> None:
    assert factors("step", 8, warmup=0.25, every=3, gamma=0.5) == [0.5, 1, 1, 1, 1, 0.5, 0.5, 0.5]
    assert factors("exponential", 5, warmup=0.4, gamma=0.5) == [0.5, 1, 1, 0.5, 0.25]


@pytest.mark.parametrize("name", ["constant", "cosine", "one_cycle"])
def test_warm_up_over_the_whole_run(name: str) -> None:
    schedule, _ = make_schedule(name, {}, math.nextafter(1, 0))
    assert schedule(500_000 - 1, 10**6) == pytest.approx(0.5 * factors(name, 1)[0])


def test_warm_up_shorter_than_a_step_has_no_effect() -> None:
    assert factors("cosine", 9, warmup=0.1) == factors("cosine", 9)


@pytest.mark.parametrize(("warmup", "steps"), [(0.1, 30), (0.29, 100), (0.07, 100), (0.57, 100), (0.1, 46_900)])
def test_number_of_warm_up_steps_is_exact(warmup: float, steps: int) -> None:
    warmed = factors("constant", steps, warmup)
    assert sum(factor < 1 for factor in warmed) == round(warmup * steps) - 1


# ---- plateau ------------------------------------------------------------------------------------------


def followed(losses: list[float], factor: float = 0.5, patience: int = 2) -> list[float]:
    """Return the factor after each epoch."""
    plateau = Plateau(factor, patience)
    seen = []
    for loss in losses:
        plateau.observe(loss)
        seen.append(plateau(0, 1))
    return seen


def test_worked_plateaus() -> None:
    assert followed([1.0, 0.9, 0.8, 0.7]) == [1, 1, 1, 1]
    # Reduced after two epochs not below 0.9, and after two more; a new best restarts the count.
    assert followed([0.9, 1.0, 0.95, 0.9, 0.9, 0.8, 0.85, 0.8]) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]
    assert followed([1, 2, 2, 2], patience=1) == [1, 0.5, 0.25, 0.125]
    assert followed([1, 2, 2], patience=0) == [1, 0.5, 0.25]
    assert followed([1, 2, 2, 2, 2], factor=0.1, patience=3)[-2:] == pytest.approx([0.1, 0.1])


def test_restored_plateau_continues_to_wait() -> None:
    first, second = Plateau(0.5, 2), Plateau(0.5, 2)
    for loss in (0.9, 1.0, 1.0, 1.0):
        first.observe(loss)
    second.restore(first.state())
    assert second.state() == first.state() == {"best": 0.9, "waited": 1, "value": 0.5}
    for plateau in (first, second):
        plateau.observe(0.9)
    assert first(0, 1) == second(0, 1) == 0.25


def test_plateau_with_warm_up() -> None:
    schedule, plateau = make_schedule("plateau", {"factor": 0.5, "patience": 1}, 0.4)
    assert plateau is not None
    assert [schedule(step, 10) for step in (0, 3, 4)] == [0.25, 1, 1]
    plateau.observe(1.0)
    plateau.observe(1.0)
    assert [schedule(step, 10) for step in (0, 3, 4, 9)] == [0.125, 0.5, 0.5, 0.5]


def test_runs_have_separate_plateaus() -> None:
    (_, one), (_, two) = (make_schedule("plateau", {"factor": 0.5, "patience": 1}, 0.0) for _ in range(2))
    assert one is not None and two is not None and one is not two
    one.observe(1)
    one.observe(1)
    assert (one.value, two.value) == (0.5, 1)


def test_only_plateau_needs_losses() -> None:
    options = {"every": 2, "gamma": 0.5}
    assert all(make_schedule(name, options, 0.1)[1] is None for name in SCHEDULES if name != "plateau")


def test_plateau_agrees_with_torch() -> None:
    torch = torch_or_skip()
    losses = [1.0, 0.8, 0.9, 0.85, 0.81, 0.7, 0.75, 0.7, 0.69, 0.7, 0.7, 0.7, 0.7]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    # PyTorch reduces the rate after ``patience`` + 1 epochs, Keras and this package after ``patience``.
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0)
    rates = []
    for loss in losses:
        peer.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert followed(losses, patience=2) == rates
    assert rates[-1] < 0.25


# ---- agreement with PyTorch --------------------------------------------------------------------------------


def peer_rates(steps: int, make: Any) -> list[float]:
    torch = torch_or_skip()
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = make(torch.optim.lr_scheduler, optimizer)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize("steps", [2, 7, 100])
def test_cosine_agrees_with_torch(steps: int) -> None:
    rates = peer_rates(steps, lambda made, optimizer: made.CosineAnnealingLR(optimizer, T_max=steps))
    assert factors("cosine", steps) == pytest.approx(rates, abs=1e-12)


@pytest.mark.parametrize("steps", [5, 10, 33, 100, 1001])
def test_one_cycle_agrees_with_torch(steps: int) -> None:
    rates = peer_rates(
        steps, lambda made, opt: made.OneCycleLR(opt, max_lr=1.0, total_steps=steps, cycle_momentum=False)
    )
    assert factors("one_cycle", steps) == pytest.approx(rates, abs=1e-12)


@pytest.mark.parametrize("every", [1, 3, 10])
def test_step_agrees_with_torch(every: int) -> None:
    rates = peer_rates(30, lambda made, optimizer: made.StepLR(optimizer, step_size=every, gamma=0.7))
    assert factors("step", 30, every=every, gamma=0.7) == pytest.approx(rates, rel=1e-12)


def test_exponential_agrees_with_torch() -> None:
    rates = peer_rates(30, lambda made, optimizer: made.ExponentialLR(optimizer, gamma=0.9))
    assert factors("exponential", 30, gamma=0.9) == pytest.approx(rates, rel=1e-12)
    assert math.isclose(rates[1], 0.9)


def test_worked_one_cycle() -> None:
    """Of 11 steps the peak is at 2.3, so step 2 is at 2/2.3 of the rise, and step 6 at 3.7/7.7 of the descent."""
    schedule, _ = make_schedule("one_cycle", {}, 0.0)
    assert schedule(0, 11) == pytest.approx(1 / 25)
    assert schedule(2, 11) == pytest.approx(1 + (1 / 25 - 1) * (1 + math.cos(math.pi * 2 / 2.3)) / 2)
    assert schedule(6, 11) == pytest.approx(4e-6 + (1 - 4e-6) * (1 + math.cos(math.pi * 3.7 / 7.7)) / 2)
    assert schedule(10, 11) == schedule(20, 11) == pytest.approx(4e-6)
