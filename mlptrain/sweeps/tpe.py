"""Method tpe: points suggested by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), in batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from mlptrain.sweeps import samplers
from mlptrain.sweeps.samplers import Point, fingerprint
from mlptrain.sweeps.space import Choice, Parameter
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import DIVERGED, Result, Trial, Wave, Waves, trials_of
from mlptrain.system.extras import need

BATCH = 8
"""Points that are asked for at a time, so that some of them can be trained in one stack; the suggestions do not
depend on how many workers there are."""

TRIES = 25
"""Suggestions in a row that were tried before, after which the rest of a finite space is taken in random order."""

LIMIT = 200
"""As many after which a sweep ends early: its ranges hold no more numbers of so few digits."""

PROBED = 64
"""Random points that are held against the config's rules before anything is trained."""


def tpe(spec: Spec) -> Waves:
    """The waves of a sweep by TPE: the same suggestions for the same seed and results, no point twice.

    Raises
    ------
    UsageError
        Optuna is not installed.
    ConfigError
        The values of a point do not go together.
    """
    need("optuna", "optuna", "method: tpe")
    for point in samplers.random(spec.space, spec.seed, PROBED):
        next(trials_of(spec, 0, point))
    study = _study(spec)
    seen: set[str] = set()
    for start in range(0, spec.points or 0, BATCH):
        count = min(BATCH, (spec.points or 0) - start)
        batch: list[tuple[Any, Sequence[Trial]]] = []
        for asked, point in _asked(study, spec, seen, count):
            batch.append((asked, tuple(trials_of(spec, start + len(batch), point))))
        if not batch:
            return
        results = yield Wave(tuple(trial for _, trials in batch for trial in trials))
        for asked, trials in batch:
            _tell(study, spec, asked, [results[trial.number] for trial in trials])
        if len(batch) < count:
            return


def _study(spec: Spec) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():  # constant_liar is marked experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=spec.seed, constant_liar=True)
    return optuna.create_study(direction="maximize" if spec.metric.sign > 0 else "minimize", sampler=sampler)


def _asked(study: Any, spec: Spec, seen: set[str], count: int) -> Iterator[tuple[Any, Point]]:
    """Suggestions and their points, none of them seen before; where Optuna has no new ones, what is left."""
    from optuna.trial import TrialState

    space = spec.space
    distributions = {key: _distribution(parameter) for key, parameter in space.parameters.items()}
    misses = 0
    while count and misses < LIMIT:
        if misses == TRIES and space.size is not None:
            every = samplers.random(space, spec.seed, space.size)
            left = next(point for point in every if fingerprint(point) not in seen)
            study.enqueue_trial({key: _number(space.parameters[key], value) for key, value in left.items()})
        asked = study.ask(distributions)
        point = {key: _value(parameter, asked.params[key]) for key, parameter in space.parameters.items()}
        name = fingerprint(point)
        if name in seen:
            study.tell(asked, state=TrialState.FAIL)  # which Optuna leaves out of account
            misses += 1
            continue
        seen.add(name)
        misses, count = 0, count - 1
        yield asked, point


def _distribution(parameter: Parameter) -> Any:
    """A parameter for Optuna: values by their index, as it takes no lists; steps up to the last that fits."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(tuple(range(len(parameter.values))))
    if parameter.log and parameter.step is not None:  # which Optuna has not: it suggests any number, we the nearest
        return FloatDistribution(parameter.low, parameter.high, log=True)
    top = parameter.high if parameter.count is None else parameter.at(parameter.count - 1)
    if parameter.whole:
        return IntDistribution(int(parameter.low), int(top), log=parameter.log, step=int(parameter.step or 1))
    return FloatDistribution(parameter.low, top, log=parameter.log, step=parameter.step)


def _value(parameter: Parameter, suggested: Any) -> Any:
    """The value behind Optuna's number, a continuous one rounded as in a random search."""
    return parameter.at(suggested) if isinstance(parameter, Choice) else parameter.nearest(suggested)


def _number(parameter: Parameter, value: Any) -> Any:
    """Optuna's number for a value."""
    return parameter.values.index(value) if isinstance(parameter, Choice) else value


def _tell(study: Any, spec: Spec, asked: Any, results: Sequence[Result]) -> None:
    """Tell the mean of a point's finished trials; one that diverged counts as the worst, other failures not at all."""
    from optuna.trial import TrialState

    figures = [result.metrics.get(spec.metric.name) for result in results if not result.failed]
    known = [float(figure) for figure in figures if figure is not None and math.isfinite(figure)]
    if known:
        study.tell(asked, fmean(known))
    elif any(result.status == DIVERGED for result in results):
        study.tell(asked, state=TrialState.PRUNED)
    else:
        study.tell(asked, state=TrialState.FAIL)
