"""The specification of a sweep: base config, method, metric and space, and how it is written as YAML."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from mlptrain.config.config import Config, batches_of_one, config_from, digested_values, no_effect, unused_keys
from mlptrain.config.values import flow
from mlptrain.config.yaml import Document
from mlptrain.sweeps.space import Choice, Parameter, Space

METRICS = ("val_accuracy", "val_loss", "accuracy", "loss")
"""The metrics by which trials can be ranked."""


@dataclass(frozen=True)
class Metric:
    """The metric by which trials are ranked."""

    name: str = "val_accuracy"
    goal: str = "maximize"

    @property
    def sign(self) -> int:
        """1 if larger values are better, else -1."""
        return 1 if self.goal == "maximize" else -1


DEFAULT_METRIC = Metric()


@dataclass(frozen=True)
class Halving:
    """The options of successive halving: after ``min_iter`` epochs the best 1/``eta`` of the points continue."""

    min_iter: int = 1
    eta: int = 3


@dataclass(frozen=True)
class Spec:
    """A checked sweep; ``base`` is the document of the base config."""

    base: Document
    method: str
    metric: Metric
    space: Space
    run_cap: int | None = None
    repeat: int = 1
    seed: int = 0
    halving: Halving = Halving()

    @property
    def base_path(self) -> str:
        """The path or the name of the base config, as `train` finds it."""
        return self.base.source

    @property
    def base_config(self) -> Config:
        """The base config, validated and resolved."""
        return config_from(self.base).resolve()

    @property
    def seeds_only(self) -> bool:
        """True if the sweep trains one config with several seeds."""
        return not self.space.parameters

    @property
    def points(self) -> int | None:
        """Largest number of points; None if it depends on the samples."""
        return min((bound for bound in (self.space.size, self.run_cap) if bound is not None), default=None)

    def plain(self) -> dict[str, Any]:
        """Return the content of ``sweep.yaml``, whose base is ``base.yaml`` in the same folder."""
        values: dict[str, Any] = {"base": "base.yaml", "method": self.method, "metric": asdict(self.metric)}
        if self.run_cap is not None:
            values["run_cap"] = self.run_cap
        values |= {"repeat": self.repeat, "seed": self.seed}
        if self.method == "halving":
            values["early_terminate"] = asdict(self.halving)
        values["parameters"] = {key: plain_parameter(p) for key, p in self.space.parameters.items()}
        return values

    def yaml(self) -> str:
        """Return the text of ``sweep.yaml``."""
        lines = []
        for key, value in self.plain().items():
            if key == "parameters" and value:
                lines += [f"{key}:", *(f"  {name}: {flow(spec)}" for name, spec in value.items())]
            else:
                lines.append(f"{key}: {flow(value)}")
        return "\n".join(lines) + "\n"

    def facts(self) -> dict[str, Any]:
        """Return everything that defines the sweep, by the names under which differences are reported."""
        facts = self.plain()
        del facts["base"]
        parameters = facts.pop("parameters")
        facts |= {f"parameters.{key}": value for key, value in parameters.items()}
        return facts | {f"base: {key}": value for key, value in digested_values(self.base_config).items()}

    @property
    def digest(self) -> str:
        """A digest of `facts` and of the order of the parameters."""
        text = json.dumps([self.facts(), list(self.space.parameters)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def warnings(spec: Spec) -> list[str]:
    """Return a warning for each key that is varied, or differs from its default, and that has no effect."""
    base, parameters = spec.base_config, spec.space.parameters

    def values(key: str) -> tuple[Any, ...]:
        varied = parameters.get(key, Choice((getattr(base, key),)))
        return varied.values if isinstance(varied, Choice) else (varied.low, varied.high)

    optimizers = values("optimizer")
    unused = [
        no_effect(key, optimizers, users)
        for key, users in unused_keys(optimizers).items()
        if key in parameters or getattr(base, key) != Config.model_fields[key].default
    ]
    return unused + batches_of_one(values("batch_norm"), values("batch_size"))


def plain_parameter(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter in the keys of a sweep file."""
    if isinstance(parameter, Choice):
        if len(parameter.values) == 1:
            return {"value": parameter.values[0]}
        weights = {} if parameter.weights is None else {"probabilities": list(parameter.weights)}
        return {"values": list(parameter.values), **weights}
    kind = {"distribution": "log_uniform_values"} if parameter.log else {}
    step = {} if parameter.step is None else {"q": parameter.step}
    return {**kind, "min": parameter.low, "max": parameter.high, **step}
