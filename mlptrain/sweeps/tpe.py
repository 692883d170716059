"""Method tpe: points that Optuna suggests by a tree-structured Parzen estimator (Bergstra et al. 2011)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Any

from mlptrain.sweeps.space import Choice, Parameter, Point, fingerprint
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import DIVERGED, Result, Wave, Waves, trials_of
from mlptrain.system.extras import require_extra

BATCH = 8
"""Number of points per wave, whatever the number of workers, so that trials can share stacks."""

MAX_DUPLICATES_FINITE = 25
"""Number of consecutive duplicate suggestions after which a finite space is searched for an untried point."""

MAX_DUPLICATES = 200
"""Number of consecutive duplicate suggestions after which the sweep stops: the space has no more points."""

CHECKED_POINTS = 64
"""Number of random points that are checked against the config's rules before training."""


def tpe(spec: Spec) -> Waves:
    """Yield the waves of a sweep by TPE: the same ones for the same seed and results, no point twice.

    Raises
    ------
    UsageError
        Optuna is not installed.
    ConfigError
        The values of a point contradict each other.
    """
    require_extra("optuna", "optuna", "method: tpe")
    for point in spec.space.sample(spec.seed, CHECKED_POINTS):
        next(trials_of(spec, 0, point))
    study = _study(spec)
    seen: set[str] = set()
    for start in range(0, spec.points or 0, BATCH):
        count = min(BATCH, (spec.points or 0) - start)
        suggested = enumerate(_suggestions(study, spec, seen, count), start)
        batch = [(suggestion, tuple(trials_of(spec, number, point))) for number, (suggestion, point) in suggested]
        if not batch:
            return
        results = yield Wave(tuple(trial for _, trials in batch for trial in trials))
        for suggestion, trials in batch:
            _tell(study, spec, suggestion, [results[trial.number] for trial in trials])
        if len(batch) < count:
            return


def _study(spec: Spec) -> Any:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():  # constant_liar is marked experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=spec.seed, constant_liar=True)
    return optuna.create_study(direction="maximize" if spec.metric.sign > 0 else "minimize", sampler=sampler)


def _suggestions(study: Any, spec: Spec, seen: set[str], count: int) -> Iterator[tuple[Any, Point]]:
    """Yield up to ``count`` of Optuna's trials with their points, without those in ``seen``, and add them to it."""
    from optuna.trial import TrialState

    space = spec.space
    distributions = {key: _distribution(parameter) for key, parameter in space.parameters.items()}
    duplicates = 0
    while count and duplicates < MAX_DUPLICATES:
        if duplicates == MAX_DUPLICATES_FINITE and space.size is not None:
            untried = next(point for point in space.sample(spec.seed) if fingerprint(point) not in seen)
            study.enqueue_trial({key: _number(space.parameters[key], value) for key, value in untried.items()})
        suggestion = study.ask(distributions)
        point = {key: _value(parameter, suggestion.params[key]) for key, parameter in space.parameters.items()}
        name = fingerprint(point)
        if name in seen:
            study.tell(suggestion, state=TrialState.FAIL)  # Optuna ignores failed trials
            duplicates += 1
            continue
        seen.add(name)
        duplicates, count = 0, count - 1
        yield suggestion, point


def _distribution(parameter: Parameter) -> Any:
    """Return a parameter's distribution in Optuna; a choice is drawn by index, because Optuna accepts no lists."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(tuple(range(len(parameter.values))))
    if parameter.log and parameter.step is not None:  # Optuna does not combine the two; `_value` rounds to a step
        return FloatDistribution(parameter.low, parameter.high, log=True)
    top = parameter.high if parameter.count is None else parameter.at(parameter.count - 1)
    if parameter.whole:
        return IntDistribution(int(parameter.low), int(top), log=parameter.log, step=int(parameter.step or 1))
    return FloatDistribution(parameter.low, top, log=parameter.log, step=parameter.step)


def _value(parameter: Parameter, number: Any) -> Any:
    """Return the value of Optuna's number, rounded as in a random search."""
    return parameter.at(number) if isinstance(parameter, Choice) else parameter.nearest(number)


def _number(parameter: Parameter, value: Any) -> Any:
    """Return Optuna's number of a value."""
    return parameter.values.index(value) if isinstance(parameter, Choice) else value


def _tell(study: Any, spec: Spec, suggestion: Any, results: Sequence[Result]) -> None:
    """Tell Optuna the mean metric of a point; a point that diverged counts as worst, one that failed is ignored."""
    from optuna.trial import TrialState

    values = [result.metrics.get(spec.metric.name) for result in results if not result.failed]
    finite = [float(value) for value in values if value is not None and math.isfinite(value)]
    if finite:
        study.tell(suggestion, fmean(finite))
    elif any(result.status == DIVERGED for result in results):
        study.tell(suggestion, state=TrialState.PRUNED)
    else:
        study.tell(suggestion, state=TrialState.FAIL)
