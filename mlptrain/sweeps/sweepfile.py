"""Sweep files, and configs whose space is on the command line, read as specifications of sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mlptrain.config.config import Config, PositiveCount, Seed, config_from, is_sweep_file
from mlptrain.config.messages import Models, Problem, hint, problems, refusal, report
from mlptrain.config.overrides import Overrides, merge
from mlptrain.config.shipped import find_config, read_config_file
from mlptrain.config.values import put, shown, whole
from mlptrain.config.yaml import Document
from mlptrain.errors import ConfigError
from mlptrain.sweeps.parameters import EXAMPLES, check_values, is_space, parameters, spaces
from mlptrain.sweeps.space import MAX_LISTED, Choice, Space
from mlptrain.sweeps.spec import DEFAULT_METRIC, METRICS, Halving, Metric, Spec

Method = Literal["grid", "random", "halving", "tpe"]

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class _Metric(BaseModel):
    model_config = _FROZEN

    name: Annotated[str, Field(strict=True)] = "val_accuracy"
    goal: Literal["maximize", "minimize"]


class _EarlyTerminate(BaseModel):
    model_config = _FROZEN

    min_iter: PositiveCount = 1
    eta: Annotated[int, Field(strict=True, ge=2, le=1000), BeforeValidator(whole)] = 3


class _SweepFile(BaseModel):
    """The keys of a sweep file; ``mlptrain/sweeps/parameters.py`` reads those below ``parameters``."""

    model_config = _FROZEN

    base: Annotated[str, Field(strict=True, min_length=1)]
    method: Method
    metric: _Metric
    run_cap: PositiveCount | None = None
    repeat: PositiveCount = 1
    seed: Seed = 0
    parameters: dict[str, Any]
    early_terminate: _EarlyTerminate | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> _SweepFile:
        if self.method in ("random", "tpe") and self.run_cap is None:
            raise refusal(f"is missing; {self.method} needs the number of points", key="run_cap")
        if self.method == "grid" and self.run_cap is not None:
            raise refusal("has no effect on a grid; remove it, or use method: random", key="run_cap")
        if self.early_terminate is not None and self.method != "halving":
            problem = f"has no effect on method: {self.method}; remove it, or use method: halving"
            raise refusal(problem, key="early_terminate")
        return self


_MODELS: Models = {"": _SweepFile, "metric": _Metric, "early_terminate": _EarlyTerminate}

_MAPPINGS = {
    "metric": "must be a mapping such as {name: val_accuracy, goal: maximize}",
    "early_terminate": "must be a mapping such as {min_iter: 2, eta: 3}",
}

_EXPECTED = {
    "base": "must be the name of a shipped config, or a path relative to this file",
    "parameters": "must be a mapping of config keys, such as learning_rate: {values: [0.1, 0.3, 1]}",
}

_OWN_KEYS = ("method", "metric", "run_cap", "repeat", "early_terminate")
"""Keys of a sweep file that the command line may replace; all others on the command line are config keys."""


def read_sweep(source: str | Path, arguments: Sequence[str] = ()) -> Spec:
    """Read a sweep file, or a config whose space is given by ``KEY=VALUE,VALUE`` arguments.

    ``source`` is a path, or the name of a shipped config or sweep; so is the base of a sweep file.
    An argument replaces the space of its key by values separated by commas, by one value, or by a mapping such as
    ``{min: 0.1, max: 1.0}``. ``method``, ``metric.goal``, ``run_cap``, ``repeat`` and ``early_terminate`` may be given
    as well. Without a sweep file the method is grid and the metric val_accuracy.
    If nothing varies, ``repeat`` trains one config with several seeds; values of arguments then belong to its base.

    Raises
    ------
    ConfigError
        Something is invalid; the message has file and line.
    """
    path = find_config(source)
    document = read_config_file(path)
    given = spaces(arguments)
    own = {key: values for key, values in given.items() if key.partition(".")[0] in _OWN_KEYS}
    varied = {key: values for key, values in given.items() if key not in own}
    for key, values in own.items():
        if len(values) != 1:
            raise ConfigError(f"command line: {key}: a key of the sweep must have one value (got {len(values)})")
    replaced = Overrides({key: values[0] for key, values in own.items()})
    varies = document.values.get("parameters") or any(len(each) > 1 or is_space(each[0]) for each in varied.values())
    sweep, base, folder = document, None, path.parent
    if not is_sweep_file(document):
        validated = config_from(document).split != "official-60k"  # reports mistakes with their lines
        metric = DEFAULT_METRIC if varies or validated else Metric("loss", "minimize")
        grid = {"base": document.source, "method": "grid", "metric": asdict(metric), "parameters": {}}
        sweep, base, folder = Document(document.source, grid, {}), document, Path()
    sweep = merge(sweep, replaced)
    if varies or sweep.values.get("repeat", 1) != 1:
        constants = {} if varies else {key: values[0] for key, values in varied.items()}
        return _spec(_with_spaces(sweep, varied if varies else {}), folder, base, Overrides(constants))
    if base is not None:
        raise ConfigError(
            f"{document.source}: nothing varies, this is a config\n"
            "hint: add a space such as learning_rate=0.1,0.3,1, train it with several seeds by repeat=20, or name a "
            "sweep file"
        )
    return _spec(_with_spaces(sweep, varied), folder)


def _with_spaces(sweep: Document, varied: dict[str, list[Any]]) -> Document:
    """Return the sweep with the spaces of the command line in place of those of the file."""
    parameters = sweep.values.get("parameters") or {}
    if not isinstance(parameters, dict):
        return sweep  # the model reports it
    parameters = {key: space for key, space in parameters.items() if key not in varied}
    for key, (value, *more) in varied.items():
        put(parameters, key, {"values": [value, *more]} if more else value if is_space(value) else {"value": value})
    keys = {f"parameters.{key}" for key in varied}
    lines = {k: line for k, line in sweep.lines.items() if not any(k == p or k.startswith(f"{p}.") for p in keys)}
    return Document(sweep.source, {**sweep.values, "parameters": parameters}, lines, sweep.overridden | keys)


def _spec(document: Document, folder: Path, base: Document | None = None, constants: Overrides | None = None) -> Spec:
    """Return the checked sweep of a document; ``constants`` replace values of the base."""
    try:
        model = _SweepFile.model_validate(document.values)
    except ValidationError as error:
        found = list(problems(_named(error), document.values, _MODELS, _EXPECTED, _MAPPINGS))
        raise ConfigError(report(found, document, _MODELS)) from None
    if wrong := list(_metric_problems(model)):
        raise ConfigError(report(wrong, document, _MODELS))
    space = Space(parameters(document))
    check_values(space, document)
    if base is None:
        try:
            path = find_config(model.base, folder)
        except ConfigError as error:
            raise ConfigError(f"{document.where('base')}: base: {error}") from None
        base = read_config_file(path)
    base = base if constants is None else merge(base, constants)
    halving = Halving() if model.early_terminate is None else Halving(**model.early_terminate.model_dump())
    if found := list(_fit(model, space, config_from(base))):
        raise ConfigError(report(found, document, _MODELS))
    metric = Metric(**model.metric.model_dump())
    return Spec(base, model.method, metric, space, model.run_cap, model.repeat, model.seed, halving)


def _named(error: ValidationError) -> Iterator[Any]:
    """Yield pydantic's errors, those about a missing key with the text for it."""
    for item in error.errors(include_url=False):
        if item["type"] == "missing" and item["loc"] != ("metric", "goal"):
            key = item["loc"][-1]
            problem = {
                "base": "is missing; name the config that the sweep modifies, such as base: mnist.yaml",
                "method": "is missing; must be one of grid, random, halving, tpe",
                "metric": "is missing; write metric: {name: val_accuracy, goal: maximize}",
                "parameters": f"is missing; {_EXPECTED['parameters']}",
            }[str(key)]
            yield {**item, "type": "refused", "ctx": {"problem": problem, "key": ""}}
        else:
            yield item


def _metric_problems(model: _SweepFile) -> Iterator[Problem]:
    name = model.metric.name
    if name.startswith("test"):
        yield "metric.name", f"{name} would be biased by a search on the test split; use val_accuracy"
    elif name not in METRICS:
        yield "metric.name", f"must be one of {', '.join(METRICS)} (got {shown(name)}){hint(name, METRICS)}"


def _fit(model: _SweepFile, space: Space, base: Config) -> Iterator[Problem]:
    """Yield what the method and the metric cannot do with this space."""
    listed = model.method == "grid" or (model.method == "halving" and model.run_cap is None)
    for key, parameter in space.parameters.items():
        if parameter.count is None and listed:
            other = "use method: random with run_cap" if model.method == "grid" else "add a run_cap for random points"
            remedy = f"give values, whole numbers as bounds or a step q, or {other}"
            yield f"parameters.{key}", f"is continuous, which a grid cannot list; {remedy}"
        if isinstance(parameter, Choice) and parameter.weights is not None and (listed or model.method == "tpe"):
            why = "tries every value" if listed else "learns which values to try"
            yield f"parameters.{key}.probabilities", f"has no effect, because the method {why}; remove it"
    if model.method == "halving" and listed and (space.size or 0) > MAX_LISTED:
        yield "parameters", f"has {space.size:,} points, too many for the first rung; add a run_cap for random points"
    if not space.parameters and model.repeat == 1:
        yield "parameters", f"is empty; name a config key with a space such as {EXAMPLES}, or set repeat"
    split = space.parameters.get("split")
    splits = split.values if isinstance(split, Choice) else (base.split,)
    if model.metric.name.startswith("val_") and "official-60k" in splits:
        why = "needs validation images, and split: official-60k has none; use split: official"
        yield "metric", f"{model.metric.name} {why}"
