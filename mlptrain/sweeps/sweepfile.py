"""Sweeps from a sweep file, or from a plain config with a space on the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from mlptrain.config.config import PositiveCount, Seed, config_from, whole
from mlptrain.config.messages import Models, Problem, hint, problems, refusal, report
from mlptrain.config.overrides import Overrides, merge
from mlptrain.config.values import put, shown
from mlptrain.config.yaml import Document, read_yaml
from mlptrain.errors import ConfigError
from mlptrain.sweeps.parameters import check_values, is_space, parameters, spaces
from mlptrain.sweeps.space import Choice, Space
from mlptrain.sweeps.spec import METRICS, Halving, Metric, Spec

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
    """The keys of a sweep file; what stands below ``parameters`` is read by `parameters`."""

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
            raise refusal(f"is missing; {self.method} needs it: the number of points to try", key="run_cap")
        if self.method == "grid" and self.run_cap is not None:
            raise refusal("a grid has all its points; leave run_cap out, or use method: random", key="run_cap")
        if self.early_terminate is not None and self.method != "halving":
            wrong = f"belongs to method: halving (this is {self.method}); leave it out or change the method"
            raise refusal(wrong, key="early_terminate")
        return self


_MODELS: Models = {"": _SweepFile, "metric": _Metric, "early_terminate": _EarlyTerminate}

_MAPPINGS = {
    "metric": "must be a mapping such as {name: val_accuracy, goal: maximize}",
    "early_terminate": "must be a mapping such as {min_iter: 2, eta: 3}",
}

_EXPECTED = {
    "base": "must be the path of a config, relative to this file",
    "parameters": "must hold a key for each config key to vary, such as learning_rate: {values: [0.1, 0.3, 1]}",
}

_OWN_KEYS = ("method", "metric", "run_cap", "repeat", "early_terminate")
"""Keys of a sweep file that the command line may replace; every other key is one of the config."""


def read_sweep(path: Path, arguments: Sequence[str] = ()) -> Spec:
    """Read a sweep file, or a plain config of which ``KEY=VALUE,VALUE`` arguments give the space.

    In both an argument replaces the space of its key: several values with commas between them, one value, or a
    mapping such as ``{min: 0.1, max: 1.0}``. ``method``, ``metric.goal``, ``run_cap``, ``repeat`` and
    ``early_terminate`` may be given as well. Without a sweep file the method is grid, the metric val_accuracy.

    Raises
    ------
    ConfigError
        What is wrong, with file and line.
    """
    document = read_yaml(Path(path))
    given = spaces(arguments)
    own = {key: values for key, values in given.items() if key.partition(".")[0] in _OWN_KEYS}
    varied = {key: values for key, values in given.items() if key not in own}
    _check_single(own)
    if not is_sweep(document):
        return _from_config(document, own, varied)
    sweep = merge(document, Overrides({key: values[0] for key, values in own.items()}))
    return _spec(_replaced(sweep, varied), Path(path).parent)


def is_sweep(document: Document) -> bool:
    """Whether a document is meant as a sweep file rather than a config."""
    return any(key in document.values for key in ("parameters", "method", "base", "metric"))


def _check_single(own: dict[str, list[Any]]) -> None:
    for key, values in own.items():
        if len(values) != 1:
            raise ConfigError(f"command line: {key}: must be one value, it is a key of the sweep itself")


def _from_config(document: Document, own: dict[str, list[Any]], varied: dict[str, list[Any]]) -> Spec:
    config_from(document)  # its own mistakes first, with their lines
    if not any(len(values) > 1 or is_space(values[0]) for values in varied.values()):
        raise ConfigError(
            f"{document.source}: a config in which nothing varies\n"
            "give a space such as learning_rate=0.1,0.3,1, or name a sweep file (with base, method, metric, parameters)"
        )
    values: dict[str, Any] = {"base": document.source, "method": "grid"}
    values["metric"] = {"name": "val_accuracy", "goal": "maximize"}
    sweep = Document(document.source, {**values, "parameters": {}}, {})
    sweep = merge(sweep, Overrides({key: value[0] for key, value in own.items()}))
    return _spec(_replaced(sweep, varied), Path(), base=document)


def _replaced(sweep: Document, varied: dict[str, list[Any]]) -> Document:
    """The sweep with the spaces of the command line in place of those of the file."""
    spaces_given: dict[str, Any] = {}
    if not isinstance(sweep.values.get("parameters", {}), dict):
        return sweep  # the model says what is wrong with it
    values = {**sweep.values, "parameters": dict(sweep.values.get("parameters") or {})}
    for key, given in varied.items():
        if len(given) > 1:
            spaces_given[key] = {"values": given}
        else:
            spaces_given[key] = given[0] if is_space(given[0]) else {"value": given[0]}
        values["parameters"].pop(key, None)
    places = {f"parameters.{key}" for key in varied}
    lines = {k: n for k, n in sweep.lines.items() if not any(k == p or k.startswith(f"{p}.") for p in places)}
    replaced = Document(sweep.source, values, lines, sweep.overridden | places)
    for key, space in spaces_given.items():
        put(replaced.values["parameters"], key, space)
    return replaced


def _spec(document: Document, folder: Path, base: Document | None = None) -> Spec:
    try:
        model = _SweepFile.model_validate(document.values)
    except ValidationError as error:
        found = list(problems(_named(error), document.values, _MODELS, _EXPECTED, _MAPPINGS))
        raise ConfigError(report(found, document, _MODELS)) from None
    if wrong := list(_metric_problems(model)):
        raise ConfigError(report(wrong, document, _MODELS))
    space = Space(parameters(document))
    check_values(space, document)
    base_path = model.base if base is not None else os.path.normpath(folder / model.base)
    if base is None:
        base = _read_base(Path(base_path), document)
    resolved = config_from(base)
    halving = Halving() if model.early_terminate is None else Halving(**model.early_terminate.model_dump())
    metric = Metric(model.metric.name, model.metric.goal)
    splits = {resolved.split} if "split" not in space.parameters else set(_values(space, "split"))
    found = list(_fit(model, space, splits, metric))
    if found:
        raise ConfigError(report(found, document, _MODELS))
    return Spec(base, base_path, model.method, metric, space, model.run_cap, model.repeat, model.seed, halving)


def _read_base(path: Path, document: Document) -> Document:
    if not path.exists():
        place = document.where("base")
        raise ConfigError(f"{place}: base: there is no file {str(path)!r}; paths are relative to this file")
    return read_yaml(path)


def _named(error: ValidationError) -> Iterator[Any]:
    """Pydantic's errors, those about a missing key under the words for it."""
    for item in error.errors(include_url=False):
        if item["type"] == "missing" and item["loc"] != ("metric", "goal"):
            key = item["loc"][-1]
            words = {
                "base": "is missing; name the config that the sweep starts from, such as base: mnist.yaml",
                "method": "is missing; must be one of grid, random, halving, tpe",
                "metric": "is missing; write metric: {name: val_accuracy, goal: maximize}",
                "parameters": f"is missing; it {_EXPECTED['parameters']}",
            }[str(key)]
            yield {**item, "type": "refused", "ctx": {"problem": words, "key": ""}}
        else:
            yield item


def _metric_problems(model: _SweepFile) -> Iterator[Problem]:
    name = model.metric.name
    if name.startswith("test"):
        yield (
            "metric.name",
            f"{name} is measured on the test part; a search by it would spoil the one honest figure: use val_accuracy",
        )
    elif name not in METRICS:
        yield "metric.name", f"must be one of {', '.join(METRICS)} (got {shown(name)}){hint(name, METRICS)}"


def _values(space: Space, key: str) -> Iterator[Any]:
    parameter = space.parameters[key]
    for value in map(parameter.at, range(parameter.count or 0)):
        yield tuple(value) if isinstance(value, list) else value


def _fit(model: _SweepFile, space: Space, splits: set[Any], metric: Metric) -> Iterator[Problem]:
    """What the method and the metric cannot do with this space."""
    listed = model.method == "grid" or (model.method == "halving" and model.run_cap is None)
    for key, parameter in space.parameters.items():
        if parameter.count is None and listed:
            remedy = "give values, whole bounds or a step q" + (
                ", or use method: random with run_cap" if model.method == "grid" else ", or a run_cap to draw so many"
            )
            yield f"parameters.{key}", f"is continuous, and a grid over it has no end; {remedy}"
        if isinstance(parameter, Choice) and parameter.weights is not None and (listed or model.method == "tpe"):
            why = "tries every value once" if listed else "learns from results which values to draw"
            yield f"parameters.{key}.probabilities", f"has no effect: this method {why}; leave it out"
    if metric.name.startswith("val_") and "official-60k" in splits:
        yield "metric", f"{metric.name} needs validation images, and split: official-60k has none; use official"
