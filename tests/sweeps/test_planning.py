from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import Config
from mlptrain.errors import ConfigError, DataError
from mlptrain.sweeps import planning
from mlptrain.sweeps.planning import MAX_WIDTH, MEMORY_BYTES, PADDING, WavePlan, check_trials, plan_wave, stack_width
from mlptrain.sweeps.trials import Trial
from mlptrain.training.memory import memory_needed
from mlptrain.training.stack import architecture_of, stack_key
from tests.made import config

NO_DATA = Path("no-data")
IMAGES = 49_000


def plan(configs: list[Config], workers: int = 2, **options: Any) -> WavePlan:
    trials = [Trial(number, number, {}, each) for number, each in enumerate(configs)]
    return plan_wave(trials, NO_DATA, workers, **options)


def seeds(count: int, **values: Any) -> list[Config]:
    return [config(seed=seed, batch_seed=0, **values) for seed in range(count)]


def sizes(found: WavePlan) -> list[int]:
    return [len(stack.trials) for stack in found.stacks]


def width(**values: Any) -> int:
    each = config(**values)
    return stack_width(each, architecture_of(each, 784, 10), IMAGES)


MIXED = [
    config(seed=seed, batch_seed=0, hidden=[(15,), (30,), (64,)][seed % 3], batch_size=[16, 128][seed % 2])
    for seed in range(40)
]


@pytest.mark.parametrize("workers", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("configs", [MIXED, seeds(1), seeds(5), seeds(200), seeds(3, hidden=(1024, 1024))])
def test_each_trial_is_in_one_stack_of_its_kind(configs: Any, workers: int) -> None:
    found = plan(configs, workers)
    assert sorted(trial for stack in found.stacks for trial in stack.trials) == list(range(len(configs)))
    assert all(len({stack_key(configs[trial]) for trial in stack.trials}) == 1 for stack in found.stacks)
    assert max(sizes(found)) <= MAX_WIDTH
    assert 1 <= found.workers <= min(workers, len(found.stacks))
    assert all(stack.threads >= 1 and stack.threads * found.workers <= workers for stack in found.stacks)
    assert plan(configs, workers) == found


@pytest.mark.parametrize(
    ("count", "workers", "expected"),
    [
        (16, 1, [16]),
        (16, 2, [8, 8]),
        (16, 4, [4, 4, 4, 4]),
        (3, 8, [1, 1, 1]),
        (1, 2, [1]),
        (40, 2, [10, 10, 10, 10]),
    ],
)
def test_no_worker_is_idle(count: int, workers: int, expected: list[int]) -> None:
    found = plan(seeds(count), workers)
    assert sizes(found) == expected
    assert found.workers == min(workers, len(expected))


def test_two_long_groups_are_both_divided_for_four_workers() -> None:
    found = plan(seeds(8) + seeds(8, activation="relu"), 4)
    assert (sizes(found), found.workers) == ([4, 4, 4, 4], 4)


def test_a_short_group_is_not_divided() -> None:
    found = plan(seeds(8, epochs=10) + seeds(8, epochs=1, activation="relu"), 2)
    assert sizes(found) == [4, 4, 8]


def test_longest_stacks_come_first() -> None:
    found = plan(seeds(2, epochs=1) + seeds(2, epochs=5, activation="relu") + seeds(1, hidden=(512, 512)), 1)
    assert [stack.trials for stack in found.stacks] == [(4,), (2, 3), (0, 1)]


def test_trials_of_equal_length_share_a_stack() -> None:
    configs = [config(batch_seed=0, seed=seed, epochs=[1, 20][seed % 2]) for seed in range(8)]
    found = plan(configs, 2)
    assert [{configs[trial].epochs for trial in stack.trials} for stack in found.stacks][:2] == [{20}, {20}]


def padding(configs: list[Config], stack: tuple[int, ...]) -> int:
    members = [configs[trial] for trial in stack]
    largest = architecture_of(members[0], 784, 10, *members).parameter_count
    return sum(largest - architecture_of(each, 784, 10).parameter_count for each in members)


@pytest.mark.parametrize(
    ("hidden", "expected"),
    [
        ([(units,) for units in range(15, 31)], [8, 8]),
        ([(units,) for units in (15, 16, 17, 18) for _ in range(20)], [28, 27, 25]),
        ([(30,), (30,), (100,), (100,)], [2, 2]),
        ([(500,), (512,)], [1, 1]),
        ([(30, 10), (10, 30), (20, 20), (30, 30)], [3, 1]),
    ],
)
def test_networks_of_similar_size_share_stacks(hidden: list[Any], expected: list[int]) -> None:
    configs = [config(hidden=sizes, seed=seed, batch_seed=0) for seed, sizes in enumerate(hidden)]
    found = plan(configs, 1)
    assert sizes(found) == expected
    assert all(padding(configs, stack.trials) <= PADDING for stack in found.stacks)


def test_large_networks_of_different_sizes_share_a_stack_only_with_large_batches() -> None:
    def stacks(batch_size: int, units: range) -> list[int]:
        return sizes(plan([config(hidden=(n,), batch_seed=0, batch_size=batch_size) for n in units], 1))

    assert stacks(10, range(97, 101)) == [1, 1, 1, 1] and stacks(64, range(97, 101)) == [4]
    assert stacks(10, range(27, 31)) == [4]
    assert sizes(plan(seeds(4, hidden=(100,), batch_size=10), 1)) == [4]


def test_a_thousand_random_sizes_make_few_stacks() -> None:
    generator = np.random.default_rng(0)
    configs = [config(hidden=(int(units),), batch_seed=0) for units in generator.integers(8, 129, 1000)]
    found = plan(configs, 1)
    assert sorted(trial for stack in found.stacks for trial in stack.trials) == list(range(1000))
    assert len(found.stacks) < 200
    for stack in found.stacks:
        largest = max((configs[trial] for trial in stack.trials), key=lambda each: each.hidden)
        assert len(stack.trials) <= stack_width(largest, architecture_of(largest, 784, 10), IMAGES)


def test_trials_with_different_data_are_planned_together() -> None:
    found = plan(seeds(4, split_seed=0) + seeds(4, split_seed=1), 2)
    assert (sizes(found), found.workers) == ([4, 4], 2)


def test_without_stacks_each_trial_is_alone() -> None:
    found = plan(seeds(5), 2, stacked=False)
    assert sizes(found) == [1] * 5 and found.workers == 2


def test_trials_without_a_common_batch_seed_are_alone() -> None:
    assert sizes(plan([config(seed=seed) for seed in range(4)])) == [1] * 4


def test_stacks_are_numbered_from_first() -> None:
    assert [stack.number for stack in plan(seeds(16), 2, first=7).stacks] == [7, 8]


def test_large_products_get_the_threads_of_idle_workers() -> None:
    (stack,) = plan(seeds(1, hidden=(1024, 1024), batch_size=256), 4).stacks
    assert stack.threads == 4
    assert plan(seeds(1), 4).stacks[0].threads == 1, "the products of a small network are small"
    assert {stack.threads for stack in plan(seeds(4, hidden=(1024, 1024), batch_size=256), 4).stacks} == {1}
    assert {stack.threads for stack in plan(seeds(16), threads=3).stacks} == {3}


def test_small_networks_make_wide_stacks() -> None:
    widths = [width(hidden=(units,)) for units in (5, 15, 30, 128, 512)]
    assert widths == [64, 32, 16, 4, 1]
    assert width(hidden=()) == MAX_WIDTH


def test_optimizer_state_and_float64_make_stacks_narrower() -> None:
    assert width(optimizer="adam") == width(dtype="float64") == width() / 2


def test_augmented_images_make_stacks_wider() -> None:
    assert width(hidden=(128,), augment={"shift": 1}) == 8 * width(hidden=(128,))


def test_stacks_of_full_batches_fit_in_their_memory() -> None:
    each = config(batch_size="full", hidden=(30,))
    shape = architecture_of(each, 784, 10)
    chosen = width(batch_size="full", hidden=(30,))
    assert memory_needed(each, shape, IMAGES, chosen) <= MEMORY_BYTES < memory_needed(each, shape, IMAGES, 2 * chosen)


def test_missing_data_and_memory_are_found_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = Trial(0, 0, {}, config(dataset="mnist"))
    with pytest.raises(DataError, match="mnist"):
        check_trials([trial], NO_DATA)
    check_trials([Trial(0, 0, {}, config())], NO_DATA)
    monkeypatch.setattr("mlptrain.training.memory.available_memory", lambda: 1000)
    with pytest.raises(ConfigError, match="memory"):
        planning.check_trials([Trial(0, 0, {}, config())], NO_DATA)
