"""Trials: the runs of a sweep, their results, and the waves in which they train."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlptrain.config.config import Config, config_from, digested_values
from mlptrain.config.overrides import SOURCE as COMMAND_LINE
from mlptrain.config.overrides import Overrides, merge
from mlptrain.config.values import short
from mlptrain.engine.state import State
from mlptrain.errors import ConfigError
from mlptrain.models.model import Model
from mlptrain.sweeps.space import Point
from mlptrain.sweeps.spec import Spec
from mlptrain.training.reports import EpochReport, LayersReport

FINISHED, HALVED, DIVERGED, FAILED = "finished", "halved", "diverged", "failed"

PAUSED = "paused"
"""Status of a trial that has trained up to the last epoch of its wave, and can continue in the next one."""


@dataclass(frozen=True)
class Trial:
    """One run of a sweep: a point of the space with one seed.

    ``number`` and ``point`` count from 0; ``values`` are those of the varied keys.
    """

    number: int
    point: int
    values: Mapping[str, Any]
    config: Config

    @property
    def name(self) -> str:
        """Name of the trial's run folder, such as ``0007``."""
        return trial_name(self.number)

    @property
    def key(self) -> str:
        """Digest of the trial's config."""
        return config_key(self.config)

    def result(self, status: str, **rest: Any) -> Result:
        """Return the result of the trial; ``rest`` are further attributes of `Result`."""
        return Result(self.number, self.point, self.key, self.values, status, **rest)


@dataclass(frozen=True)
class Result:
    """A trial that has ended or was paused.

    Attributes
    ----------
    trial, point
        Numbers of the trial and of its point.
    key
        Digest of the trial's config.
    values
        Values of the varied keys.
    status
        ``finished``, ``halved``, ``diverged``, ``failed`` or ``paused``.
    metrics
        Content of ``metrics.json``; a trial that diverged has ``seconds`` alone, one that failed nothing.
    message
        Reason why the trial diverged or failed.
    history, layers, model, state
        Sent by the worker process: the epochs of this wave, the statistics of their layers, the trained model, and the
        state from which a paused trial continues. They are written to the sweep's folder and are not part of the
        journal.
    """

    trial: int
    point: int
    key: str
    values: Mapping[str, Any]
    status: str
    metrics: Mapping[str, Any] = field(default_factory=dict)
    message: str | None = None
    history: tuple[EpochReport, ...] = ()
    layers: tuple[LayersReport, ...] = ()
    model: Model | None = None
    state: State | None = None

    @property
    def failed(self) -> bool:
        """True if the trial diverged or could not be trained, and so cannot be ranked."""
        return self.status in (DIVERGED, FAILED)

    @property
    def recorded(self) -> Result:
        """The result as the journal contains it."""
        return replace(self, history=(), layers=(), model=None, state=None)


@dataclass(frozen=True)
class Wave:
    """Trials that train before the method of the sweep decides again.

    They train to their end or, with ``until``, up to that epoch; a trial of an earlier wave continues from its state.
    ``dropped`` are paused trials that do not continue.
    """

    trials: tuple[Trial, ...]
    until: int | None = None
    dropped: tuple[Trial, ...] = ()


Waves = Generator[Wave, Mapping[int, Result], None]
"""A generator that yields waves and is sent the results of each, by trial number."""


def trial_name(number: int) -> str:
    """Return the name of a trial's run folder, such as ``0007``."""
    return f"{number:04d}"


def config_key(config: Config) -> str:
    """Return the digest of a resolved config."""
    return hashlib.sha256(json.dumps(digested_values(config), sort_keys=True).encode()).hexdigest()[:16]


def trials_of(spec: Spec, point: int, values: Point) -> Iterator[Trial]:
    """Yield the trials of a point: one, or with ``repeat`` one per seed, counted from the seed of the config.

    All trials of a sweep have the same ``batch_seed`` (the base's, unless the point sets it), so that a trial meets the
    same batches in a stack and alone. If only seeds vary, each trial has its own, so that the trials differ as much as
    runs with other seeds.

    Raises
    ------
    ConfigError
        The values of the point contradict each other.
    """
    try:
        config = config_from(merge(spec.base, Overrides(values, "sweep"))).resolve()
    except ConfigError as error:
        given = ", ".join(f"{key}={short(values[key])}" for key in spec.space.varied)
        problem = str(error).splitlines()[0].removeprefix(f"{COMMAND_LINE}: ")
        raise ConfigError(
            f"point {point} ({given}): {problem}\nhint: remove one of these values from the sweep"
        ) from None
    shared = spec.base_config.seed if config.batch_seed is None else config.batch_seed
    varied = {key: values[key] for key in spec.space.varied}
    for repeat in range(spec.repeat):
        own = None if config.batch_seed is None else config.batch_seed + repeat  # None means the seed
        batch_seed = own if spec.seeds_only else shared
        update: dict[str, Any] = {"batch_seed": batch_seed, "seed": config.seed + repeat}
        yield Trial(point * spec.repeat + repeat, point, varied, config.model_copy(update=update))


def trial_of(spec: Spec, result: Result) -> Trial:
    """Return the trial of a result, rebuilt from the values of its point."""
    parameters = spec.space.parameters.items()
    values = {key: result.values[key] if key in result.values else parameter.at(0) for key, parameter in parameters}
    return list(trials_of(spec, result.point, values))[result.trial - result.point * spec.repeat]
