"""A trial: one point of the space with one seed, as the config of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlptrain.config.config import Config, config_from, plain_values
from mlptrain.config.overrides import SOURCE as COMMAND_LINE
from mlptrain.config.overrides import Overrides, merge
from mlptrain.config.values import flow
from mlptrain.errors import ConfigError
from mlptrain.sweeps.samplers import Point
from mlptrain.sweeps.spec import Spec

FINISHED, HALVED, DIVERGED, FAILED = "finished", "halved", "diverged", "failed"


@dataclass(frozen=True)
class Result:
    """How a trial ended: ``metrics`` as in ``metrics.json``, hardly any where it failed; ``message`` says why it did.

    ``key`` is its config's.
    """

    trial: int
    point: int
    key: str
    values: Mapping[str, Any]
    status: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    message: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it has no figures to be ranked by."""
        return self.status in (DIVERGED, FAILED)


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: its number from 0, the number of its point, the point, and its resolved config."""

    number: int
    point: int
    values: Point
    config: Config

    @property
    def name(self) -> str:
        """The name of its folder: ``0007``."""
        return f"{self.number:04d}"

    @property
    def key(self) -> str:
        """The name of its resolved config, equal for equal configs."""
        return config_key(self.config)


def config_key(config: Config) -> str:
    """A digest of every key of a resolved config."""
    return hashlib.sha256(json.dumps(plain_values(config), sort_keys=True).encode()).hexdigest()[:16]


def trials_of(spec: Spec, point: int, values: Point) -> Iterator[Trial]:
    """The trials of one point: one, or with ``repeat`` one a seed, counted up from the config's.

    All get one explicit ``batch_seed`` (the base's, unless the point has its own), so that trials of one stack see
    the same batches, as does a trial that is run again alone.

    Raises
    ------
    ConfigError
        The values of the point do not go together.
    """
    try:
        config = config_from(merge(spec.base, Overrides(values, "sweep"))).resolve()
    except ConfigError as error:
        shown = ", ".join(f"{key}={short(values[key])}" for key in spec.space.varied)
        rest = str(error).splitlines()[0].removeprefix(f"{COMMAND_LINE}: ")
        raise ConfigError(f"point {point} ({shown}) is no config: {rest}\ntake one of these values out") from None
    base = spec.base_config
    batch_seed = base.seed if config.batch_seed is None else config.batch_seed
    for repeat in range(spec.repeat):
        update: dict[str, Any] = {"batch_seed": batch_seed, "seed": config.seed + repeat}
        yield Trial(point * spec.repeat + repeat, point, values, config.model_copy(update=update))


def short(value: Any) -> str:
    """A value as it is typed in a shell, without spaces: ``[15,30]``."""
    return flow(value).replace(", ", ",").replace(": ", ":")


PAUSED = "paused"
"""The status of a trial that has been trained up to its wave's epoch and may go on."""


@dataclass(frozen=True)
class Wave:
    """Trials to train: to their end, or with ``until`` up to that epoch; ``dropped`` are those that end here.

    A trial that was in an earlier wave goes on from where it was paused.
    """

    trials: tuple[Trial, ...]
    until: int | None = None
    dropped: tuple[Trial, ...] = ()


Waves = Generator[Wave, Mapping[int, Result], None]
"""Yields waves and is sent the results of each, by trial."""
