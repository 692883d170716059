"""Which networks of a wave train in one stack."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from mlptrain.config import Config
from mlptrain.sharing import stack_key


@dataclass(frozen=True)
class StackPlan:
    members: tuple[int, ...]
    threads: int


def plan_stacks(
    configs: Sequence[Config], inputs: int, classes: int, images: int, cores: int, stacked: bool = True
) -> tuple[tuple[StackPlan, ...], int]:
    groups: dict[Hashable, list[int]] = {}
    for index, config in enumerate(configs):
        groups.setdefault(stack_key(config) if stacked else index, []).append(index)
    size = 8
    stacks = [
        StackPlan(tuple(group[at : at + size]), 1) for group in groups.values() for at in range(0, len(group), size)
    ]
    return tuple(stacks), max(1, min(cores, len(stacks)))
