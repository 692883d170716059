"""The configuration of a run: one frozen, validated model, read from YAML and ``KEY=VALUE`` arguments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mlptrain.config.messages import Models, enumerate_words, hint, problems, refusal, report, unknown
from mlptrain.config.overrides import merge, parse_overrides
from mlptrain.config.values import UNPRINTABLE, flow, put, shown
from mlptrain.config.yaml import Document, read_yaml
from mlptrain.errors import ConfigError

DATASETS = ("sample", "mnist", "fashion-mnist", "kmnist")

MAX_WHOLE = 10**9

Activation = Literal["sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "linear"]

Output = Literal["auto", "softmax", "sigmoid", "linear"]

Init = Literal[
    "auto",
    "zeros",
    "normal",
    "glorot_uniform",
    "glorot_normal",
    "he_uniform",
    "he_normal",
    "lecun_normal",
]

Loss = Literal["cross_entropy", "binary_cross_entropy", "mse"]

Optimizer = Literal["sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam"]

ScheduleName = Literal["constant", "step", "exponential", "cosine", "one_cycle", "plateau"]

Monitor = Literal["loss", "accuracy", "val_loss", "val_accuracy"]

OUTPUTS: dict[str, tuple[str, ...]] = {
    "cross_entropy": ("softmax",),
    "binary_cross_entropy": ("sigmoid",),
    "mse": ("sigmoid", "softmax", "linear"),
}
"""The outputs that go with each loss; ``output: auto`` is the first."""

_NO_PAIR = {
    ("cross_entropy", "sigmoid"): "sigmoid outputs are not a distribution, all ones would cost nothing",
    ("cross_entropy", "linear"): "linear outputs may be negative and then have no logarithm",
    ("binary_cross_entropy", "softmax"): "it judges each output on its own, softmax ties them together",
    ("binary_cross_entropy", "linear"): "linear outputs may be negative and then have no logarithm",
}

SCHEDULE_KEYS: dict[str, tuple[tuple[str, ...], str]] = {
    "constant": ((), "constant"),
    "step": (("every", "gamma"), "{name: step, every: 5000, gamma: 0.5}"),
    "exponential": (("gamma",), "{name: exponential, gamma: 0.9999}"),
    "cosine": ((), "cosine"),
    "one_cycle": ((), "one_cycle"),
    "plateau": (("factor", "patience"), "{name: plateau, factor: 0.5, patience: 3}"),
}
"""The keys that each schedule needs besides its name and warmup, and an example."""

USED_BY: dict[str, tuple[str, ...]] = {
    "momentum": ("momentum", "nesterov"),
    "beta1": ("adam", "adamw", "nadam"),
    "beta2": ("adam", "adamw", "nadam"),
    "epsilon": ("adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam"),
    "decay": ("adamw",),
    "rho": ("rmsprop", "adadelta"),
}
"""The optimizers that use a key; all of them use the keys that are not here."""


def whole(value: Any) -> Any:
    """``1e1`` is the whole number 10; YAML has no other way to write it short."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _wholes(value: Any) -> Any:
    """A bare number stands for a list of it; lists become tuples, so that a config is hashable."""
    if isinstance(value, (list, tuple)):
        return tuple(whole(item) for item in value)
    return (whole(value),) if isinstance(value, (int, float)) else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_STRICT = Field(strict=True)

_FINITE = Field(strict=True, allow_inf_nan=False)

Flag = Annotated[bool, _STRICT]

Positive = Annotated[float, _FINITE, Field(gt=0)]

NotNegative = Annotated[float, _FINITE, Field(ge=0)]

Fraction = Annotated[float, _FINITE, Field(ge=0, lt=1)]

Count = Annotated[int, _STRICT, Field(ge=0, le=MAX_WHOLE), BeforeValidator(whole)]

PositiveCount = Annotated[int, _STRICT, Field(ge=1, le=MAX_WHOLE), BeforeValidator(whole)]

Seed = Annotated[int, _STRICT, Field(ge=0, lt=2**63), BeforeValidator(whole)]

Units = Annotated[int, _STRICT, Field(ge=1, le=1_000_000)]

Split = tuple[Positive, Positive, Positive] | Literal["official", "official-60k"]

Rates = Fraction | Annotated[tuple[Fraction, ...], Field(max_length=100)]

_FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Elastic(BaseModel):
    """Elastic distortion of training images."""

    model_config = _FROZEN

    alpha: NotNegative = Field(default=36.0, description="Strength of the displacements, in pixels.")
    sigma: Positive = Field(default=5.0, description="Width of the Gaussian that smooths them, in pixels.")


class Augment(BaseModel):
    """Random changes of each training image, drawn anew every time it is shown."""

    model_config = _FROZEN

    shift: NotNegative = Field(default=0.0, description="Largest shift along each axis, in pixels.")
    rotate: NotNegative = Field(default=0.0, le=180, description="Largest rotation, in degrees.")
    scale: Fraction = Field(default=0.0, description="Largest change of scale along each axis, as a fraction.")
    shear: NotNegative = Field(default=0.0, description="Largest shear, as a slope.")
    elastic: Elastic | None = Field(default=None, description="Elastic distortion; null for none.")


class Schedule(BaseModel):
    """How the learning rate moves over the steps; parameters that its name does not use stay null."""

    model_config = _FROZEN

    name: ScheduleName = Field(description="The kind of schedule.")
    warmup: Fraction = Field(default=0.0, description="Fraction of all steps over which the rate rises from 0.")
    every: PositiveCount | None = Field(default=None, description="step: steps between two reductions.")
    gamma: Positive | None = Field(default=None, description="step, exponential: factor of each reduction.")
    factor: Positive | None = Field(default=None, description="plateau: factor of each reduction.")
    patience: Count | None = Field(default=None, description="plateau: epochs without improvement before it.")

    @model_validator(mode="after")
    def _has_what_it_uses(self) -> Schedule:
        given = {key for key in ("every", "gamma", "factor", "patience") if getattr(self, key) is not None}
        uses, example = SCHEDULE_KEYS[self.name]
        if missing := sorted(set(uses) - given):
            raise refusal(f"{self.name} needs {enumerate_words(missing, 'and')}; write {example}")
        if useless := sorted(given - set(uses)):
            raise refusal(f"{self.name} does not use {enumerate_words(useless, 'and')}; write {example}")
        return self


class EarlyStopping(BaseModel):
    """When training ends before its last epoch."""

    model_config = _FROZEN

    monitor: Monitor = Field(default="val_loss", description="The figure that has to improve.")
    patience: Count = Field(default=5, description="Epochs without improvement before training ends.")
    min_delta: NotNegative = Field(default=0.0, description="Smallest change that counts as an improvement.")
    restore_best: Flag = Field(default=True, description="Whether the model of the best epoch is kept.")


class Config(BaseModel):
    """Every setting of a run. Frozen and hashable; read one with `load_config`.

    Constructing it directly raises pydantic's ``ValidationError`` instead of ``ConfigError``, and skips the
    check for what this version does not have yet.
    """

    model_config = _FROZEN

    dataset: Annotated[str, _STRICT] = Field(
        default="sample", description="sample, mnist, fashion-mnist, kmnist, or a folder of IDX files."
    )
    split: Annotated[Split, BeforeValidator(_tuple)] = Field(
        default=(0.7, 0.2, 0.1),
        description="Fractions for training, validation and test, with sum 1; or the files' own order: "
        "official (50,000 / 10,000 / test file), official-60k (whole training file, no validation).",
    )
    subset: PositiveCount | None = Field(default=None, description="Train on only this many images; null for all.")
    augment: Augment | None = Field(default=None, description="Random changes of training images; null for none.")

    hidden: Annotated[tuple[Units, ...], BeforeValidator(_wholes)] = Field(
        default=(30,),
        max_length=100,
        description="Units of each hidden layer; a number is one layer, [] is softmax regression.",
    )
    activation: Activation = Field(default="sigmoid", description="Activation of the hidden layers.")
    output: Output = Field(
        default="auto",
        description="Output activation; auto: softmax for cross_entropy, sigmoid for the other losses.",
    )
    init: Init = Field(default="auto", description="Initial weights; auto chooses by the activation of each layer.")
    batch_norm: Flag = Field(default=False, description="Batch normalisation before each hidden activation.")
    dropout: Annotated[Rates, BeforeValidator(_tuple)] = Field(
        default=0.0, description="Fraction of hidden units dropped: one number, or one for each hidden layer."
    )
    input_dropout: Fraction = Field(default=0.0, description="Fraction of pixels dropped.")

    loss: Loss = Field(default="cross_entropy", description="Cost of a batch; mse is 1/(2n) sum ||y - a||^2.")
    optimizer: Optimizer = Field(default="sgd", description="Rule that turns gradients into updates.")
    learning_rate: Positive = Field(default=0.5, description="Step size of the updates.")
    batch_size: PositiveCount | Literal["full"] = Field(
        default=64, description="Images an update; full: all training images (plain gradient descent)."
    )
    epochs: Count = Field(default=20, description="Passes over the training images; 0 tests the initial model.")
    momentum: Fraction = Field(default=0.9, description="Fraction of the velocity that is kept (momentum, nesterov).")
    beta1: Fraction = Field(default=0.9, description="Decay of the mean of gradients (adam, adamw, nadam).")
    beta2: Fraction = Field(default=0.999, description="Decay of the mean of squares (adam, adamw, nadam).")
    epsilon: Positive = Field(default=1e-7, description="Keeps denominators above 0 (the adaptive optimizers).")
    decay: NotNegative = Field(default=0.01, description="Decoupled weight decay (adamw): w -= rate * decay * w.")
    rho: Fraction = Field(default=0.9, description="Decay of the mean of squares (rmsprop, adadelta).")
    schedule: Annotated[Schedule, BeforeValidator(_named)] = Field(
        default=Schedule(name="constant"),
        description="How the learning rate moves: a name, or {name: cosine, warmup: 0.1, ...}.",
    )
    l1: NotNegative = Field(default=0.0, description="Adds l1 * sum |w| to the cost; biases are left out.")
    l2: NotNegative = Field(default=0.0, description="Adds l2/2 * sum w^2 to the cost; biases are left out.")
    max_norm: Positive | None = Field(default=None, description="Bound on the norm of each unit's incoming weights.")
    label_smoothing: Fraction = Field(default=0.0, description="Share of the target spread evenly over the classes.")
    clip_norm: Positive | None = Field(default=None, description="Bound on the norm of the whole gradient.")
    ema: Annotated[float, _FINITE, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay a step of the averaged weights that are evaluated; null for no averaging.",
    )
    early_stopping: EarlyStopping | None = Field(default=None, description="When to end early; null for never.")
    seed: Seed = Field(
        default=0,
        description="Initial weights, dropout and, without batch_seed, batch order and augmentation.",
    )
    batch_seed: Seed | None = Field(default=None, description="Batch order and augmentation; null: the seed.")
    split_seed: Seed = Field(default=0, description="The split alone.")
    dtype: Literal["float32", "float64"] = Field(default="float32", description="Type of the numbers computed with.")
    checkpoint_seconds: NotNegative = Field(default=60.0, description="Longest time between two checkpoints.")

    @field_validator("dataset")
    @classmethod
    def _known_or_folder(cls, name: str) -> str:
        if name in DATASETS:
            return name
        if not name or UNPRINTABLE.search(name):
            raise refusal(f"must be a name or a folder (got {shown(name)})")
        path = os.path.expanduser(name)  # noqa: PTH111 (Path.expanduser raises where there is no home)
        if "/" in name or os.sep in name or os.path.isdir(path):  # noqa: PTH112 (bad names are no folder)
            return os.path.abspath(path)  # noqa: PTH100 (Path.absolute keeps '..')
        choices = ", ".join(DATASETS)
        raise refusal(f"{shown(name)} is neither a folder here nor one of {choices}{hint(name, DATASETS)}")

    @field_validator("split")
    @classmethod
    def _sum_is_one(cls, split: tuple[float, ...] | str) -> tuple[float, ...] | str:
        if isinstance(split, tuple) and abs(sum(split) - 1) > 1e-9:
            raise refusal(f"the three parts must have the sum 1 (got {flow(split)}, sum {sum(split):g})")
        return split

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        if reason := _NO_PAIR.get((self.loss, self.output)):
            raise refusal(f"{self.loss} needs {OUTPUTS[self.loss][0]}: {reason}", key="output")
        if isinstance(self.dropout, tuple) and len(self.dropout) != len(self.hidden):
            got = f"(got {len(self.dropout)} for {len(self.hidden)})"
            raise refusal(f"must be one number, or one for each hidden layer {got}", key="dropout")
        if self.split == "official-60k":
            if self.schedule.name == "plateau":
                raise refusal("plateau follows the validation loss, and official-60k has no validation", key="schedule")
            if self.early_stopping is not None and self.early_stopping.monitor.startswith("val_"):
                watched = self.early_stopping.monitor
                raise refusal(f"watches {watched}, and official-60k has no validation", key="early_stopping")
        return self

    def resolve(self) -> Config:
        """The config with ``output: auto`` settled; ``init: auto`` and ``batch_seed: null`` are values."""
        output = OUTPUTS[self.loss][0] if self.output == "auto" else self.output
        return self.model_copy(update={"output": output})


def batch_seed_of(config: Config) -> int:
    """The seed of batch order and augmentation: ``batch_seed``, else ``seed``."""
    return config.seed if config.batch_seed is None else config.batch_seed


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file (None: all defaults), apply ``KEY=VALUE`` overrides and validate the result.

    Raises
    ------
    ConfigError
        The file cannot be read, or a key or value is not allowed; the message names file and line.
    """
    document = Document("defaults", {}, {}) if path is None else read_yaml(Path(path))
    return config_from(merge(document, parse_overrides(overrides)))


def config_from(document: Document) -> Config:
    """Validate a document.

    Raises
    ------
    ConfigError
        A key is unknown, or a value not allowed; at most three lines.
    """
    try:
        config = Config.model_validate(document.values)
    except ValidationError as error:
        found = problems(error.errors(include_url=False), document.values, _MODELS, _EXPECTED, _MAPPINGS)
        raise ConfigError(report(found, document, _MODELS)) from None
    return config


def problem_with(key: str, value: Any) -> str:
    """What is wrong with the value of one dotted key, whatever the other keys hold; nothing where it may stand."""
    values: dict[str, Any] = {}
    put(values, key, value)
    try:
        Config.model_validate(values)
    except ValidationError as error:
        alone = (item for item in error.errors(include_url=False) if item["type"] != "refused" or item["loc"])
        for place, words in problems(alone, values, _MODELS, _EXPECTED, _MAPPINGS):
            if not words:
                return unknown(place, _MODELS)
            inside = place.startswith(f"{key}.") or (key.startswith(f"{place}.") and place not in _MODELS)
            if place == key or inside or place in _EXPECTED:
                return words
    return ""


def plain_values(config: Config) -> dict[str, Any]:
    """All keys in order as plain values, as they stand in YAML and JSON: lists, numbers, text, dicts."""
    values = config.model_dump(mode="json")
    schedule = config.schedule.model_dump(exclude_defaults=True)
    values["schedule"] = schedule["name"] if len(schedule) == 1 else schedule
    return values


def dump_yaml(config: Config) -> str:
    """The config as YAML, all keys in order, every number written so that it reads back equal."""
    headings = {"dataset": "# data\n", "hidden": "\n# network\n", "loss": "\n# training\n"}
    return "".join(f"{headings.get(key, '')}{key}: {flow(value)}\n" for key, value in plain_values(config).items())


def no_effect(what: str, optimizers: Sequence[str], users: Sequence[str]) -> str:
    """The warning that these optimizers do not read ``what``, and that ``users`` do."""
    chosen, others = enumerate_words(optimizers, "and"), enumerate_words(users, "and")
    return f"{what} has no effect with the optimizer {chosen}; it is used by {others}"


def warnings(config: Config) -> list[str]:
    """One warning for each key at a non-default value that the optimizer does not use."""
    return [
        no_effect(f"{key}: {flow(getattr(config, key))}", (config.optimizer,), users)
        for key, users in USED_BY.items()
        if config.optimizer not in users and getattr(config, key) != Config.model_fields[key].default
    ]


# ---- what is wrong, in plain words ------------------------------------------------------------------


_EXPECTED = {
    "split": "must be three numbers above 0 such as [0.7, 0.2, 0.1], or official, or official-60k",
    "hidden": "must be at most 100 whole numbers from 1 to 1000000, such as 30, [128, 64] or []",
    "dropout": "must be a number from 0 to below 1, or a list of one for each hidden layer",
    "batch_size": f"must be a whole number from 1 to {MAX_WHOLE}, or full",
}
"""Keys whose value may take several shapes: one sentence for whatever is wrong with it."""

_MAPPINGS = {
    "augment": "must be null or a mapping such as {shift: 2, rotate: 15}",
    "augment.elastic": "must be null or a mapping such as {alpha: 36, sigma: 5}",
    "schedule": "must be a name or a mapping such as {name: cosine, warmup: 0.1}",
    "early_stopping": "must be null or a mapping such as {monitor: val_loss, patience: 5}",
}

_MODELS: Models = {
    "": Config,
    "augment": Augment,
    "augment.elastic": Elastic,
    "schedule": Schedule,
    "early_stopping": EarlyStopping,
}


def config_schema() -> dict[str, Any]:
    """The JSON Schema of a config file, for editors and other programs."""
    result = Config.model_json_schema()
    keys = result["properties"]
    keys["hidden"] = _or_short(keys["hidden"], keys["hidden"]["items"], [30])
    keys["schedule"] = _or_short(keys["schedule"], {"enum": list(get_args(ScheduleName))}, "constant")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}


def _or_short(full: dict[str, Any], short: dict[str, Any], default: Any) -> dict[str, Any]:
    """The schema of a key that may also be written in a short form."""
    shared: dict[str, Any] = {name: full.pop(name) for name in ("description", "title") if name in full}
    full.pop("default")
    return {**shared, "default": default, "anyOf": [short, full]}
