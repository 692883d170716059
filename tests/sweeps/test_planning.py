from __future__ import annotations

from typing import Any

import pytest

from mlptrain.config.config import Config
from mlptrain.sweeps.planning import MEMORY, WIDEST, Machine, StackPlan, plan_stacks, step_seconds, width
from mlptrain.system.machine import Caches
from mlptrain.training.memory import memory_needed
from mlptrain.training.stack import architecture_of, stack_key
from tests.made import config

CACHES = Caches(1024**2, 32 * 1024**2)

IMAGES = 49_000


def plan(configs: list[Config], cores: int = 2, **options: Any) -> tuple[tuple[StackPlan, ...], int]:
    return plan_stacks(configs, 784, 10, IMAGES, cores, caches=CACHES, **options)


def trials(count: int, **values: Any) -> list[Config]:
    return [config(seed=seed, batch_seed=0, **values) for seed in range(count)]


def sizes(plans: tuple[StackPlan, ...]) -> list[int]:
    return [len(one.members) for one in plans]


def wide(cores: int = 2, **values: Any) -> int:
    each = config(**values)
    return width(each, architecture_of(each, 784, 10), IMAGES, Machine(cores, CACHES))


# ---- the plan -----------------------------------------------------------------------------------------

MIXED = [
    config(seed=seed, batch_seed=0, hidden=[(15,), (30,), (64,)][seed % 3], batch_size=[16, 128][seed % 2])
    for seed in range(40)
]


@pytest.mark.parametrize("cores", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("configs", [MIXED, trials(1), trials(5), trials(200), trials(3, hidden=(1024, 1024))])
def test_every_trial_once_among_its_like(configs, cores):
    plans, workers = plan(configs, cores)
    assert sorted(place for one in plans for place in one.members) == list(range(len(configs)))
    assert all(len({stack_key(configs[place]) for place in one.members}) == 1 for one in plans)
    assert max(sizes(plans)) <= WIDEST
    assert 1 <= workers <= min(cores, len(plans))
    assert all(one.threads >= 1 and one.threads * workers <= cores for one in plans)
    assert plan(configs, cores) == (plans, workers)


@pytest.mark.parametrize(
    ("count", "cores", "expected"),
    [
        (16, 1, [16]),
        (16, 2, [8, 8]),
        (16, 4, [4, 4, 4, 4]),
        (3, 8, [1, 1, 1]),
        (1, 2, [1]),
    ],
)
def test_no_core_waits_for_another(count, cores, expected):
    plans, workers = plan(trials(count), cores)
    assert sizes(plans) == expected
    assert workers == min(cores, len(expected))


def test_two_long_groups_on_four_cores_are_both_divided():
    plans, workers = plan(trials(8) + trials(8, activation="relu"), 4)
    assert (sizes(plans), workers) == ([4, 4, 4, 4], 4)


def test_the_longest_comes_first():
    plans, _ = plan(trials(2, epochs=1) + trials(2, epochs=5, activation="relu") + trials(1, hidden=(512, 512)), 1)
    assert [one.members for one in plans] == [(4,), (2, 3), (0, 1)]


def test_trials_of_one_length_lie_together():
    configs = [config(batch_seed=0, seed=seed, epochs=[1, 20][seed % 2]) for seed in range(8)]
    plans, _ = plan(configs, 2)
    epochs = [sorted({configs[place].epochs for place in one.members}) for one in plans]
    assert sum(len(each) for each in epochs) <= len(plans) + 1


def test_each_alone():
    plans, workers = plan(trials(5), 2, stacked=False)
    assert sizes(plans) == [1] * 5 and workers == 2


def test_trials_without_a_common_batch_seed_are_each_alone():
    assert sizes(plan([config(seed=seed) for seed in range(4)])[0]) == [1] * 4


def test_threads_where_products_are_large_and_cores_free():
    (one,), workers = plan(trials(1, hidden=(1024, 1024), batch_size=256), 4)
    assert (one.threads, workers) == (4, 1)
    (one,), _ = plan(trials(1), 4)
    assert one.threads == 1, "of a small network all products are small"
    plans, _ = plan(trials(4, hidden=(1024, 1024), batch_size=256), 4)
    assert [one.threads for one in plans] == [1] * 4


def test_no_trials():
    assert plan([]) == ((), 1)


def test_this_machines_caches_where_none_are_given():
    plans, _ = plan_stacks(trials(4), 784, 10, IMAGES, 1)
    assert sum(sizes(plans)) == 4


# ---- the model ----------------------------------------------------------------------------------------


def test_small_networks_make_wide_stacks_and_large_ones_none():
    widths = [wide(hidden=(units,)) for units in (15, 30, 128, 512)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] >= 16 and widths[1] >= 8
    assert wide(hidden=(1024, 1024), batch_size=128) == 1


def test_smaller_caches_make_narrower_stacks():
    each = config(hidden=(128,), batch_size=10)
    shape = architecture_of(each, 784, 10)
    small, large = (width(each, shape, IMAGES, Machine(1, Caches(2**18, shared))) for shared in (2**20, 2**26))
    assert small < large


def test_augmentation_is_shared_by_the_members():
    assert wide(hidden=(512,), augment={"shift": 1}) > wide(hidden=(512,))


def test_a_stack_of_full_batches_stays_within_memory():
    each = config(batch_size="full", hidden=(200,))
    shape = architecture_of(each, 784, 10)
    chosen = wide(batch_size="full", hidden=(200,))
    assert chosen == 1 or memory_needed(each, shape, IMAGES, chosen) <= MEMORY
    assert memory_needed(each, shape, IMAGES, 8) > MEMORY


def test_a_members_share_falls_until_the_cache_is_full():
    each = config()
    shape, machine = architecture_of(each, 784, 10), Machine(1, CACHES)
    shares = [step_seconds(each, shape, 64, members, machine) for members in (1, 2, 4, 8)]
    assert shares == sorted(shares, reverse=True)
    assert step_seconds(each, shape, 64, 1000, machine) > step_seconds(each, shape, 64, 16, machine)
    assert step_seconds(config(dtype="float64"), shape, 64, 8, machine) > 1.5 * shares[-1]


def test_no_hidden_layer():
    assert wide(hidden=()) > 16
