"""What a sweep is: its space, its method and its metric, read and checked; and how it is written down again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from mlptrain.config.config import Config, config_from, dump_yaml, no_effect, plain_values, unused_keys
from mlptrain.config.values import flow
from mlptrain.config.yaml import Document
from mlptrain.sweeps.space import Choice, Parameter, Space

METRICS = ("val_accuracy", "val_loss", "accuracy", "loss")


@dataclass(frozen=True)
class Metric:
    """The figure by which trials are ranked; ``sign`` times it is the better the larger."""

    name: str = "val_accuracy"
    goal: str = "maximize"

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.goal == "maximize" else -1


@dataclass(frozen=True)
class Halving:
    """Successive halving: the first cut after ``min_iter`` epochs, each leaves one in ``eta``, each next one ``eta``
    times as late (Jamieson and Talwalkar 2016)."""

    min_iter: int = 1
    eta: int = 3


@dataclass(frozen=True)
class Spec:
    """A sweep, checked: ``base`` is the document of the base config, ``base_path`` where it was read."""

    base: Document
    base_path: str
    method: str
    metric: Metric
    space: Space
    run_cap: int | None = None
    repeat: int = 1
    seed: int = 0
    halving: Halving = Halving()

    @property
    def base_config(self) -> Config:
        """The base config, validated and resolved."""
        return config_from(self.base).resolve()

    @property
    def points(self) -> int | None:
        """How many points there will be at most; None where only the sampler knows."""
        size = self.space.size
        bounds = [bound for bound in (size, self.run_cap) if bound is not None]
        return min(bounds, default=None)

    def plain(self) -> dict[str, Any]:
        """The sweep as a sweep file holds it, its base beside it as ``base.yaml``."""
        values: dict[str, Any] = {"base": "base.yaml", "method": self.method}
        values["metric"] = {"name": self.metric.name, "goal": self.metric.goal}
        if self.run_cap is not None:
            values["run_cap"] = self.run_cap
        values |= {"repeat": self.repeat, "seed": self.seed}
        if self.method == "halving":
            values["early_terminate"] = {"min_iter": self.halving.min_iter, "eta": self.halving.eta}
        values["parameters"] = {key: plain_parameter(p) for key, p in self.space.parameters.items()}
        return values

    def yaml(self) -> str:
        """``sweep.yaml``."""
        lines = []
        for key, value in self.plain().items():
            if key == "parameters":
                lines += [f"{key}:", *(f"  {name}: {flow(spec)}" for name, spec in value.items())]
            else:
                lines.append(f"{key}: {flow(value)}")
        return "\n".join(lines) + "\n"

    def base_yaml(self) -> str:
        """``base.yaml``."""
        return dump_yaml(self.base_config)

    def facts(self) -> dict[str, Any]:
        """Everything that two sweeps must share to be the same one, flat, by the words that a person knows it by."""
        plain = self.plain()
        facts = {f"parameters.{key}": value for key, value in plain.pop("parameters").items()}
        facts |= {f"base: {key}": value for key, value in plain_values(self.base_config).items()}
        return {**{key: value for key, value in plain.items() if key != "base"}, **facts}

    @property
    def digest(self) -> str:
        """A name for all of `facts`, and for the order of the parameters."""
        text = json.dumps([self.facts(), list(self.space.parameters)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def warnings(spec: Spec) -> list[str]:
    """One warning for each key, varied or at a non-default value, that no optimizer of the sweep uses."""
    base, parameters = spec.base_config, spec.space.parameters
    varied = parameters.get("optimizer")
    optimizers = varied.values if isinstance(varied, Choice) else (base.optimizer,)
    return [
        no_effect(key, optimizers, users)
        for key, users in unused_keys(optimizers).items()
        if key in parameters or getattr(base, key) != Config.model_fields[key].default
    ]


def plain_parameter(parameter: Parameter) -> dict[str, Any]:
    """A parameter as a sweep file holds it."""
    if isinstance(parameter, Choice):
        if len(parameter.values) == 1:
            return {"value": parameter.values[0]}
        weights = {} if parameter.weights is None else {"probabilities": list(parameter.weights)}
        return {"values": list(parameter.values), **weights}
    kind = {"distribution": "log_uniform_values"} if parameter.log else {}
    step = {} if parameter.step is None else {"q": parameter.step}
    return {**kind, "min": parameter.low, "max": parameter.high, **step}
