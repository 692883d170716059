"""Method tpe: points suggested by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), in batches."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from mlptrain.errors import UsageError
from mlptrain.sweeps.leaderboard import Result
from mlptrain.sweeps.samplers import Point, fingerprint
from mlptrain.sweeps.space import Choice, Parameter
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import Trial, trials_of
from mlptrain.sweeps.waves import Wave, Waves

BATCH = 8
"""Points that are asked for at a time, so that some of them can be trained in one stack; the suggestions do not
depend on how many workers there are."""

TRIES = 100
"""Suggestions in a row that were tried before, after which the space counts as exhausted."""


def tpe(spec: Spec) -> Waves:
    """The waves of a sweep by TPE: the same suggestions for the same seed and results.

    Raises
    ------
    UsageError
        Optuna is not installed.
    """
    study = _study(spec)
    distributions = {key: _distribution(key, parameter) for key, parameter in spec.space.parameters.items()}
    seen: dict[str, int] = {}
    figures: dict[int, float | None] = {}
    while len(seen) < (spec.run_cap or 0):
        batch: list[tuple[Any, list[Trial]]] = []
        misses = 0
        while len(batch) < BATCH and len(seen) < (spec.run_cap or 0) and misses < TRIES:
            asked = study.ask(distributions)
            point = _point(spec, asked.params)
            name = fingerprint(point)
            if name in seen:  # tell what is known of it and ask again
                _tell(study, asked, figures.get(seen[name]))
                misses += 1
                continue
            misses = 0
            seen[name] = len(seen)
            batch.append((asked, list(trials_of(spec, seen[name], point))))
        if not batch:
            return
        results = yield Wave(tuple(trial for _, trials in batch for trial in trials))
        for asked, trials in batch:
            figure = _figure(spec, trials, results)
            figures[trials[0].point] = figure
            _tell(study, asked, figure)


def _study(spec: Spec) -> Any:
    try:
        import optuna
    except ImportError:
        raise UsageError("method: tpe needs Optuna; install it with: pip install 'mlptrain[optuna]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():  # constant_liar is marked experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=spec.seed, constant_liar=True)
    direction = optuna.study.StudyDirection.MAXIMIZE if spec.metric.sign > 0 else optuna.study.StudyDirection.MINIMIZE
    return optuna.create_study(direction=direction, sampler=sampler)


def _distribution(key: str, parameter: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):  # by index: Optuna takes no lists
        return CategoricalDistribution(range(len(parameter.values)))
    if parameter.log and parameter.step is not None:
        raise UsageError(f"{key}: Optuna has no steps q on a logarithmic range; leave q out, or use method: random")
    if parameter.whole:
        step = 1 if parameter.step is None else int(parameter.step)
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=step)
    top = parameter.high if parameter.step is None else parameter.at((parameter.count or 1) - 1)
    return FloatDistribution(parameter.low, top, log=parameter.log, step=parameter.step)


def _point(spec: Spec, suggested: Mapping[str, Any]) -> Point:
    """The point behind Optuna's numbers, continuous ones rounded as those of a random search are."""
    point = {}
    for key, parameter in spec.space.parameters.items():
        value = suggested[key]
        point[key] = parameter.at(value) if isinstance(parameter, Choice) else parameter.nearest(value)
    return point


def _figure(spec: Spec, trials: list[Trial], results: Mapping[int, Result]) -> float | None:
    """The mean metric of a point's finished trials, or None."""
    known = [results[trial.number] for trial in trials if trial.number in results]
    figures = [float(result.metrics[spec.metric.name]) for result in known if not result.failed]
    return fmean(figures) if figures else None


def _tell(study: Any, asked: Any, figure: float | None) -> None:
    from optuna.trial import TrialState

    if figure is None:
        study.tell(asked, state=TrialState.FAIL)
    else:
        study.tell(asked, figure)
