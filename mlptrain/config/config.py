"""The configuration of a run: one frozen, validated model, read from YAML and ``KEY=VALUE`` arguments."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from mlptrain.config.messages import Models, OneOf, enumerate_words, hint, problems, refusal, report, unknown
from mlptrain.config.overrides import merge, parse_overrides
from mlptrain.config.registry import DATASET_NAMES
from mlptrain.config.shipped import read_config_file
from mlptrain.config.values import UNPRINTABLE, flow, put, shown, whole
from mlptrain.config.yaml import Document, parse_value
from mlptrain.engine.activations import ACTIVATIONS
from mlptrain.engine.initializers import INITIALIZERS
from mlptrain.engine.losses import OUTPUTS, PAIRINGS, UNSOUND, outputs_for
from mlptrain.engine.optimizers import OPTIMIZERS
from mlptrain.engine.schedules import SCHEDULES
from mlptrain.errors import ConfigError
from mlptrain.system.text import shell_word

MAX_WHOLE = 10**9
"""Largest value of the keys that count something."""

Activation = Annotated[str, OneOf(lambda: ACTIVATIONS)]

Output = Annotated[str, OneOf(lambda: ("auto", *OUTPUTS))]

Init = Annotated[str, OneOf(lambda: ("auto", *INITIALIZERS))]

Loss = Annotated[str, OneOf(lambda: dict.fromkeys(loss for loss, _ in PAIRINGS))]

Optimizer = Annotated[str, OneOf(lambda: OPTIMIZERS)]

ScheduleName = Annotated[str, OneOf(lambda: SCHEDULES)]

Monitor = Literal["loss", "accuracy", "val_loss", "val_accuracy"]


def _wholes(value: Any) -> Any:
    """Return a list or a single number as a tuple, which is hashable."""
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

# Each key added after 0.1 needs json_schema_extra={"since": VERSION} in its Field: see `digested_values`.


class Elastic(BaseModel):
    """Elastic distortion of training images."""

    model_config = _FROZEN

    alpha: NotNegative = Field(default=36.0, description="Strength of the displacements, in pixels.")
    sigma: Positive = Field(
        default=5.0, description="Standard deviation of the Gaussian that smooths the displacements, in pixels."
    )


class Augment(BaseModel):
    """Random changes of each training image, drawn again for each use."""

    model_config = _FROZEN

    shift: NotNegative = Field(default=0.0, description="Largest shift along each axis, in pixels.")
    rotate: NotNegative = Field(default=0.0, le=180, description="Largest rotation, in degrees.")
    scale: Fraction = Field(default=0.0, description="Largest change of scale along each axis, as a fraction.")
    shear: NotNegative = Field(default=0.0, description="Largest shear, as a slope.")
    elastic: Elastic | None = Field(default=None, description="Elastic distortion; null for none.")


class Schedule(BaseModel):
    """Change of the learning rate over the steps; options that the schedule does not use stay null."""

    model_config = _FROZEN

    name: ScheduleName = Field(description="Kind of schedule.")
    warmup: Fraction = Field(
        default=0.0,
        description="Fraction of all steps for a linear warm-up: step t of w has t/w times the schedule's first rate.",
    )
    every: PositiveCount | None = Field(default=None, description="Steps between two reductions.")
    gamma: Positive | None = Field(default=None, description="Factor of each reduction.")
    factor: Positive | None = Field(default=None, description="Factor of each reduction.")
    patience: Count | None = Field(
        default=None, description="Epochs without a lower validation loss before a reduction; 0 means 1."
    )

    @model_validator(mode="after")
    def _has_its_options(self) -> Schedule:
        given = self.model_dump(exclude_none=True, exclude={"name", "warmup"}).keys()
        options = SCHEDULES[self.name].options
        example = flow({"name": self.name, **options} if options else self.name)
        if missing := sorted(options.keys() - given):
            raise refusal(f"{self.name} needs {enumerate_words(missing, 'and')}; write {example}")
        if useless := sorted(given - options.keys()):
            raise refusal(f"{self.name} does not use {enumerate_words(useless, 'and')}; write {example}")
        return self


class EarlyStopping(BaseModel):
    """Condition for ending training before the last epoch."""

    model_config = _FROZEN

    monitor: Monitor = Field(default="val_loss", description="Metric that must improve.")
    patience: Count = Field(default=5, description="Epochs without improvement after which training stops; 0 means 1.")
    min_delta: NotNegative = Field(default=0.0, description="Changes up to this size do not count as improvement.")
    restore_best: Flag = Field(default=True, description="Keep the model of the best epoch instead of the last.")


class Config(BaseModel):
    """All settings of a run. Frozen and hashable; read one with `load_config`.

    Constructing one directly raises pydantic's ``ValidationError`` instead of ``ConfigError``.
    """

    model_config = _FROZEN

    dataset: Annotated[str, _STRICT] = Field(
        default="sample", description=f"{', '.join(DATASET_NAMES)}, or a folder of IDX files."
    )
    split: Annotated[Split, BeforeValidator(_tuple)] = Field(
        default=(0.7, 0.2, 0.1),
        description="Fractions for training, validation and test, which sum to 1; or official (50,000 images, "
        "10,000 images, the test file); or official-60k (the whole training file, no validation, the test file).",
    )
    subset: PositiveCount | None = Field(default=None, description="Number of training images to use; null for all.")
    augment: Augment | None = Field(
        default=None, description="Random changes of training images, drawn again for each use; null for none."
    )

    hidden: Annotated[tuple[Units, ...], BeforeValidator(_wholes)] = Field(
        default=(30,),
        max_length=100,
        description="Units of each hidden layer; a number is one layer, [] is softmax regression.",
    )
    activation: Activation = Field(default="sigmoid", description="Activation of the hidden layers.")
    output: Output = Field(
        default="auto",
        description="Activation of the output layer; auto chooses softmax for cross_entropy, else sigmoid.",
    )
    init: Init = Field(default="auto", description="Initial weights; auto chooses by the activation of each layer.")
    batch_norm: Flag = Field(default=False, description="Batch normalisation before each hidden activation.")
    dropout: Annotated[Rates, BeforeValidator(_tuple)] = Field(
        default=0.0, description="Fraction of hidden units dropped: one number, or a list with one per hidden layer."
    )
    input_dropout: Fraction = Field(default=0.0, description="Fraction of pixels dropped.")

    loss: Loss = Field(
        default="cross_entropy", description="Loss, averaged over each batch; mse is 1/(2n) sum ||y - a||^2."
    )
    optimizer: Optimizer = Field(default="sgd", description="Rule that turns gradients into updates.")
    learning_rate: Positive = Field(default=0.5, description="Step size of the updates.")
    batch_size: PositiveCount | Literal["full"] = Field(
        default=64, description="Images per update; full uses all training images (plain gradient descent)."
    )
    epochs: Count = Field(default=20, description="Passes over the training images; 0 tests the initial model.")
    momentum: Fraction = Field(default=0.9, description="Fraction of the velocity kept at each step.")
    beta1: Fraction = Field(default=0.9, description="Decay of the running mean of gradients.")
    beta2: Fraction = Field(default=0.999, description="Decay of the running mean of squared gradients.")
    epsilon: Positive = Field(default=1e-7, description="Small number that keeps denominators above 0.")
    decay: NotNegative = Field(default=0.01, description="Decoupled weight decay: w -= rate * decay * w.")
    rho: Fraction = Field(default=0.9, description="Decay of the running mean of squared gradients.")
    schedule: Annotated[Schedule, BeforeValidator(_named)] = Field(
        default=Schedule(name="constant"),
        description="Change of the learning rate: a name, or a mapping such as {name: cosine, warmup: 0.1}.",
    )
    l1: NotNegative = Field(default=0.0, description="Adds l1 * sum |w| to the loss; biases are left out.")
    l2: NotNegative = Field(default=0.0, description="Adds l2/2 * sum w^2 to the loss; biases are left out.")
    max_norm: Positive | None = Field(
        default=None, description="Upper bound on the norm of each unit's incoming weights; null for none."
    )
    label_smoothing: Fraction = Field(
        default=0.0, description="Share of each target that is spread evenly over the classes."
    )
    clip_norm: Positive | None = Field(
        default=None, description="Upper bound on the norm of the whole gradient; null for none."
    )
    ema: Annotated[float, _FINITE, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="Decay per step of the averaged weights, which are the ones evaluated; null for no averaging.",
    )
    early_stopping: EarlyStopping | None = Field(
        default=None, description="Condition for ending training early; null for none."
    )
    seed: Seed = Field(
        default=0,
        description="Seed of initial weights and dropout, and of batch order and augmentation if batch_seed is null.",
    )
    batch_seed: Seed | None = Field(
        default=None, description="Seed of batch order and augmentation; null for the value of seed."
    )
    split_seed: Seed = Field(default=0, description="Seed of the split.")
    dtype: Literal["float32", "float64"] = Field(default="float32", description="Floating-point type of training.")
    checkpoint_seconds: NotNegative = Field(
        default=60.0, description="Age in seconds at which a checkpoint is renewed within an epoch."
    )

    @field_validator("dataset")
    @classmethod
    def _known_or_folder(cls, name: str) -> str:
        if name in DATASET_NAMES:
            return name
        if not name or UNPRINTABLE.search(name):
            raise refusal(f"must be a name or a folder (got {shown(name)})")
        path = os.path.expanduser(name)  # noqa: PTH111 (Path.expanduser raises if there is no home folder)
        if "/" in name or os.sep in name or os.path.isdir(path):  # noqa: PTH112 (bad names are no folder)
            return os.path.abspath(path)  # noqa: PTH100 (Path.absolute keeps '..')
        choices = ", ".join(DATASET_NAMES)
        raise refusal(f"must be a folder or one of {choices} (got {shown(name)}){hint(name, DATASET_NAMES)}")

    @field_validator("split")
    @classmethod
    def _sums_to_one(cls, split: tuple[float, ...] | str) -> tuple[float, ...] | str:
        if isinstance(split, tuple) and abs(sum(split) - 1) > 1e-9:
            raise refusal(f"the three fractions must sum to 1 (got {flow(split)}, sum {sum(split):g})")
        return split

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        outputs = outputs_for(self.loss)
        if self.output not in ("auto", *outputs):
            reason = UNSOUND.get((self.loss, self.output), f"there is no pair with {self.output}")
            raise refusal(f"{self.loss} needs {enumerate_words(outputs, 'or')}: {reason}", key="output")
        if isinstance(self.dropout, tuple) and len(self.dropout) != len(self.hidden):
            got = f"(got {len(self.dropout)} for {len(self.hidden)})"
            raise refusal(f"must be one number, or one per hidden layer {got}", key="dropout")
        if self.split == "official-60k":
            if self.schedule.name == "plateau":
                raise refusal("plateau follows the validation loss, and official-60k has no validation", key="schedule")
            if self.early_stopping is not None and self.early_stopping.monitor.startswith("val_"):
                monitor = self.early_stopping.monitor
                raise refusal(f"monitors {monitor}, and official-60k has no validation", key="early_stopping")
        return self

    def resolve(self) -> Config:
        """Return the config with ``output: auto`` replaced; ``init: auto`` and ``batch_seed: null`` stay."""
        output = outputs_for(self.loss)[0] if self.output == "auto" else self.output
        return self.model_copy(update={"output": output})


def _accepts_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple or any(map(_accepts_list, get_args(annotation)))


LIST_KEYS = tuple(key for key, field in Config.model_fields.items() if _accepts_list(field.annotation))
"""The keys whose value may be a list, which ``KEY=VALUE`` arguments separate by commas."""


def batch_seed_of(config: Config) -> int:
    """Return the seed of batch order and augmentation: ``batch_seed``, or ``seed`` if it is null."""
    return config.seed if config.batch_seed is None else config.batch_seed


# ---- reading ----------------------------------------------------------------------------------------


def is_sweep_file(document: Document) -> bool:
    """Return whether a document is a sweep file, which has at least one key that configs lack."""
    return any(key in document.values for key in ("parameters", "method", "base", "metric"))


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, or a shipped config by its name; apply ``KEY=VALUE`` overrides and validate the result.

    Without ``path``, all keys have their defaults.

    Raises
    ------
    ConfigError
        The file cannot be read, or a key or value is invalid; the message names file and line.
    """
    document = Document("defaults", {}, {}) if path is None else read_config_file(path)
    if is_sweep_file(document):
        raise ConfigError(
            f"{path}: a sweep file, not a config\nhint: train it with `mlptrain sweep {shell_word(str(path))}`"
        )
    return config_from(merge(document, parse_overrides(overrides, LIST_KEYS)))


def as_config(config: Config | Mapping[str, Any] | str | Path) -> Config:
    """Return a config, that of a mapping of keys, or that of a file.

    Raises
    ------
    ConfigError
        The file cannot be read, a key or value is invalid, or it is none of these.
    """
    if isinstance(config, Config):
        return config
    if isinstance(config, Mapping):
        return config_from(Document("config", {str(key): value for key, value in config.items()}, {}))
    if isinstance(config, str | Path):
        return load_config(Path(config))
    raise ConfigError(f"config: must be a config, a mapping or the path of a file (got {shown(config)})")


def config_from(document: Document) -> Config:
    """Validate a document.

    Raises
    ------
    ConfigError
        A key is unknown or a value invalid; at most three lines.
    """
    try:
        return Config.model_validate(document.values)
    except ValidationError as error:
        found = problems(error.errors(include_url=False), document.values, MODELS, _EXPECTED, _MAPPINGS)
        raise ConfigError(report(found, document, MODELS, _TYPED)) from None


def describe_problem(key: str, value: Any) -> str:
    """Return the message about the value of one dotted key, all other keys default; empty if it is valid."""
    values: dict[str, Any] = {}
    put(values, key, value)
    try:
        Config.model_validate(values)
    except ValidationError as error:
        # Conditions between keys do not count: those of `Config` have no location, those of a section have its key.
        alone = (item for item in error.errors(include_url=False) if item["type"] != "refused" or item["loc"])
        for found, words in problems(alone, values, MODELS, _EXPECTED, _MAPPINGS):
            if not words:
                return unknown(found, MODELS)
            outer = key.startswith(f"{found}.") and found not in MODELS
            if outer or f"{found}.".startswith(f"{key}."):
                return words
    return ""


_EXPECTED = {
    "split": "must be three numbers above 0 such as [0.7, 0.2, 0.1], or official, or official-60k",
    "hidden": "must be at most 100 whole numbers from 1 to 1000000, such as 30, [128, 64] or []",
    "dropout": "must be a number from 0 to below 1, or a list with one per hidden layer",
    "batch_size": f"must be a whole number from 1 to {MAX_WHOLE}, or full",
}
"""The message for any invalid value of a key that accepts several kinds of values."""

_MAPPINGS = {
    "augment": "must be null or a mapping such as {shift: 2, rotate: 15}",
    "augment.elastic": "must be null or a mapping such as {alpha: 36, sigma: 5}",
    "schedule": "must be a name or a mapping such as {name: cosine, warmup: 0.1}",
    "early_stopping": "must be null or a mapping such as {monitor: val_loss, patience: 5}",
}
"""The message for a value that is not a mapping."""

_TYPED = {
    "split": "split=0.7,0.2,0.1",
    "hidden": "hidden=128,64",
    "augment": "augment.shift=2 augment.rotate=15",
    "augment.elastic": "augment.elastic.alpha=36",
    "schedule": "schedule=cosine schedule.warmup=0.1",
    "early_stopping": "early_stopping.patience=5",
}
"""The example for the command line, where brackets and braces need quotes."""

MODELS: Models = {
    "": Config,
    "augment": Augment,
    "augment.elastic": Elastic,
    "schedule": Schedule,
    "early_stopping": EarlyStopping,
}


# ---- writing ----------------------------------------------------------------------------------------

SECTIONS = {"dataset": "data", "hidden": "network", "loss": "training"}
"""Headings in a config, by the key that follows."""


def plain_values(config: Config) -> dict[str, Any]:
    """Return all keys in order as the plain values of YAML and JSON: lists, numbers, text, dicts."""
    values = config.model_dump(mode="json")
    schedule = config.schedule.model_dump(exclude_defaults=True)
    values["schedule"] = schedule["name"] if len(schedule) == 1 else schedule
    return values


def digested_values(config: Config) -> dict[str, Any]:
    """Return the plain values that the digests of a sweep cover.

    A key added after 0.1 counts only with a value other than its default, so that the digests in older journals stay
    valid. Such a key is marked by ``json_schema_extra={"since": VERSION}``, at any level.
    """
    values = plain_values(config)
    _remove_later_defaults(config, values)
    return values


def _remove_later_defaults(model: BaseModel, values: dict[str, Any]) -> None:
    for key, field in type(model).model_fields.items():
        value, extra = getattr(model, key), field.json_schema_extra
        if isinstance(extra, dict) and "since" in extra and value == field.default:
            values.pop(key, None)  # missing in a schedule, which is written without defaults
        elif isinstance(value, BaseModel) and isinstance(values[key], dict):
            _remove_later_defaults(value, values[key])


def dump_yaml(config: Config) -> str:
    """Return the config as YAML, all keys in order, every number written so that it reads back equal."""
    headings = {key: f"\n# {title}\n" for key, title in SECTIONS.items()}
    lines = [f"{headings.get(key, '')}{key}: {flow(value)}\n" for key, value in plain_values(config).items()]
    return "".join(lines).removeprefix("\n")


def argument(key: str, value: Any) -> str:
    """Return the ``KEY=VALUE`` argument that `load_config` reads as this value, which is no mapping.

    Lists have no brackets: ``64,32``, ``,`` (empty), and with one number ``0.5,``, or ``64`` for ``hidden``, where it
    means the same. Text has quotes only if it needs them.
    """
    if isinstance(value, (list, tuple)):
        comma = "," if len(value) < 2 and (key != "hidden" or not value) else ""
        return f"{key}={','.join(map(flow, value))}{comma}"
    return f"{key}={value if isinstance(value, str) and _reads_back(value) else flow(value)}"


def _reads_back(text: str) -> bool:
    try:
        return bool(parse_value(text) == text)
    except ConfigError:
        return False


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a config file, for editors and other programs."""
    result = Config.model_json_schema()
    keys, options = result["properties"], result["$defs"]["Schedule"]["properties"]
    keys["hidden"] = _or_short(keys["hidden"], keys["hidden"]["items"], [30])
    keys["schedule"] = _or_short(keys["schedule"], {"enum": options["name"]["enum"]}, "constant")
    _add_users(keys, {name: rule.hyperparameters for name, rule in OPTIMIZERS.items()})
    _add_users(options, {name: kind.options for name, kind in SCHEDULES.items()})
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **result}


def _or_short(full: dict[str, Any], short: dict[str, Any], default: Any) -> dict[str, Any]:
    """Return the schema of a key that also has a short form."""
    shared: dict[str, Any] = {name: full.pop(name) for name in ("description", "title") if name in full}
    full.pop("default")
    return {**shared, "default": default, "anyOf": [short, full]}


def _add_users(keys: dict[str, Any], table: Mapping[str, Collection[str]]) -> None:
    """Add the entries of a table that use a key to its description."""
    for key, schema in keys.items():
        if users := [name for name, used in table.items() if key in used]:
            schema["description"] += f" Used by {enumerate_words(users, 'and')}."


# ---- warnings ---------------------------------------------------------------------------------------


def unused_keys(optimizers: Collection[str]) -> dict[str, list[str]]:
    """Return the hyperparameters that none of these optimizers uses, each with the optimizers that use it."""
    users = {
        key: [name for name, rule in OPTIMIZERS.items() if key in rule.hyperparameters] for key in Config.model_fields
    }
    return {key: names for key, names in users.items() if names and not set(names) & set(optimizers)}


def no_effect(setting: str, optimizers: Sequence[str], users: Sequence[str]) -> str:
    """Return the warning that these optimizers do not use ``setting``, and that ``users`` do."""
    chosen, others = enumerate_words(optimizers, "and"), enumerate_words(users, "and")
    return f"{setting} has no effect with the optimizer {chosen}; it is used by {others}"


def batches_of_one(batch_norm: Collection[Any], batch_size: Collection[Any]) -> list[str]:
    """Return the warning that batches of one image are not normalised, if the keys may have these values."""
    warning = "batch_norm: true has no effect with batch_size: 1, because one image has no variance"
    return [warning] if True in batch_norm and 1 in batch_size else []


def warnings(config: Config) -> list[str]:
    """Return a warning for each key with a non-default value that has no effect."""
    unused = [
        no_effect(f"{key}: {flow(getattr(config, key))}", (config.optimizer,), users)
        for key, users in unused_keys([config.optimizer]).items()
        if getattr(config, key) != Config.model_fields[key].default
    ]
    return unused + batches_of_one([config.batch_norm], [config.batch_size])
