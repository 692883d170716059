"""The config: defaults, types, messages, pairs of loss and output, the round trip through YAML, one vocabulary."""

from __future__ import annotations

import json
import math
import pickle
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import mlptrain
from mlptrain.config.config import (
    LIST_KEYS,
    Augment,
    Config,
    EarlyStopping,
    Elastic,
    Schedule,
    argument,
    config_from,
    config_schema,
    describe_problem,
    digested_values,
    dump_yaml,
    load_config,
    plain_values,
    warnings,
)
from mlptrain.config.overrides import parse_overrides
from mlptrain.config.registry import DATASET_NAMES
from mlptrain.config.values import put
from mlptrain.config.yaml import Document, parse_yaml
from mlptrain.engine.activations import ACTIVATIONS, Activation
from mlptrain.engine.losses import OUTPUTS, PAIRINGS, UNSOUND, outputs_for
from mlptrain.engine.optimizers import OPTIMIZERS, Rule
from mlptrain.engine.schedules import SCHEDULES, ScheduleKind
from mlptrain.errors import ConfigError, UsageError
from mlptrain.models.formats import describe_model
from mlptrain.models.onnx import write_onnx
from tests.made import processor_seconds_below


def from_text(text: str) -> Config:
    return config_from(parse_yaml(text, "x.yaml"))


def refusal(text: str = "", *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        from_text(text) if text else load_config(None, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_defaults() -> None:
    config = load_config(None)
    assert plain_values(config) == {
        "dataset": "sample", "split": [0.7, 0.2, 0.1], "subset": None, "augment": None,
        "hidden": [30], "activation": "sigmoid", "output": "auto", "init": "auto", "batch_norm": False,
        "dropout": 0.0, "input_dropout": 0.0,
        "loss": "cross_entropy", "optimizer": "sgd", "learning_rate": 0.5, "batch_size": 64, "epochs": 20,
        "momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "decay": 0.01, "rho": 0.9,
        "schedule": "constant", "l1": 0.0, "l2": 0.0, "max_norm": None, "label_smoothing": 0.0,
        "clip_norm": None, "ema": None, "early_stopping": None,
        "seed": 0, "batch_seed": None, "split_seed": 0, "dtype": "float32", "checkpoint_seconds": 60.0,
    }  # fmt: skip
    assert config.hidden == (30,)
    assert config == Config() == from_text("")


def test_digests_leave_out_later_keys_with_their_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for model, key in ((Config, "ema"), (Augment, "shear"), (Elastic, "sigma"), (Schedule, "warmup")):
        monkeypatch.setattr(model.model_fields[key], "json_schema_extra", {"since": "0.2"})
    default = from_text("augment: {elastic: {alpha: 5}}\nschedule: one_cycle")
    augment = {"shift": 0.0, "rotate": 0.0, "scale": 0.0, "elastic": {"alpha": 5.0}}
    expected = plain_values(default) | {"augment": augment}
    del expected["ema"]
    assert digested_values(default) == expected
    changed = from_text("ema: 0.9\naugment: {shear: 1, elastic: {sigma: 6}}\nschedule: {name: cosine, warmup: 0.1}")
    assert digested_values(changed) == plain_values(changed)


def test_a_config_is_frozen_hashable_and_can_be_pickled() -> None:
    config = load_config(None, ["hidden=15,30"])
    assert hash(config) == hash(load_config(None, ["hidden=[15,30]"]))
    assert len({config, Config(), from_text("hidden: [15, 30]")}) == 2
    assert pickle.loads(pickle.dumps(config)) == config
    with pytest.raises(ValidationError):
        config.epochs = 3


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("hidden: 30", "hidden", (30,)),
        ("hidden: 1e1", "hidden", (10,)),
        ("hidden: [1e1, 5]", "hidden", (10, 5)),
        ("hidden: []", "hidden", ()),
        ("epochs: 1e1", "epochs", 10),
        ("epochs: 0", "epochs", 0),
        ("learning_rate: 1e-3", "learning_rate", 0.001),
        ("learning_rate: 1", "learning_rate", 1.0),
        ("batch_size: full", "batch_size", "full"),
        ("batch_size: 1e2", "batch_size", 100),
        ("split: official", "split", "official"),
        ("split: official-60k", "split", "official-60k"),
        ("split: [0.3333333, 0.3333333, 0.3333334]", "split", (0.3333333, 0.3333333, 0.3333334)),
        ("subset: 10", "subset", 10),
        ("momentum: 0", "momentum", 0.0),
        ("seed: 9223372036854775807", "seed", 2**63 - 1),
        ("batch_seed: 3", "batch_seed", 3),
        ("dtype: float64", "dtype", "float64"),
        ("dataset: kmnist", "dataset", "kmnist"),
    ],
)
def test_values_that_are_accepted(text: str, key: str, value: object) -> None:
    read = getattr(from_text(text), key)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("batch_norm: true", "batch_norm", True),
        ("dropout: 0.5", "dropout", 0.5),
        ("hidden: [9, 8]\ndropout: [0.2, 0]", "dropout", (0.2, 0.0)),
        ("schedule: cosine", "schedule", Schedule(name="cosine")),
        ("schedule: cosine\nschedule.warmup: 0.1", "schedule", Schedule(name="cosine", warmup=0.1)),
        ("schedule: {name: step, every: 9, gamma: 1}", "schedule", Schedule(name="step", every=9, gamma=1)),
        ("early_stopping: {}", "early_stopping", EarlyStopping()),
        ("early_stopping.patience: 3", "early_stopping", EarlyStopping(patience=3)),
        ("augment: {shift: 2, elastic: {alpha: 30}}", "augment", Augment(shift=2, elastic=Elastic(alpha=30))),
        ("ema: 0.999", "ema", 0.999),
        ("max_norm: 3", "max_norm", 3.0),
        ("checkpoint_seconds: 0", "checkpoint_seconds", 0.0),
        ("optimizer: nadam", "optimizer", "nadam"),
        ("activation: gelu", "activation", "gelu"),
    ],
)  # fmt: skip
def test_keys_have_their_types(text: str, key: str, value: object) -> None:
    config = from_text(text)
    assert getattr(config, key) == value
    assert from_text(dump_yaml(config)) == config
    assert hash(config) == hash(from_text(text))


@pytest.mark.parametrize(
    ("given", "key", "words"),
    [
        ("learning_rate=-1", "learning_rate", "greater than 0 (got -1)"),
        ("learning_rate=0", "learning_rate", "greater than 0 (got 0)"),
        ("learning_rate=.inf", "learning_rate", "finite number (got .inf)"),
        ("learning_rate=.nan", "learning_rate", "finite number (got .nan)"),
        ("learning_rate=1e999", "learning_rate", "finite number (got .inf)"),
        ("learning_rate=true", "learning_rate", "a number (got true)"),
        ("learning_rate=null", "learning_rate", "a number (got null)"),
        ("learning_rate='0.1'", "learning_rate", "a number (got '0.1')"),
        ("learning_rate=[1]", "learning_rate", "a number (got [1])"),
        ("learning_rate.x=1", "learning_rate", "a number (got {x: 1})"),
        ("epochs=-1", "epochs", "at least 0 (got -1)"),
        ("epochs=1.5", "epochs", "whole number (got 1.5)"),
        ("epochs=true", "epochs", "whole number (got true)"),
        ("epochs=1e10", "epochs", "at most 1000000000 (got 10000000000)"),
        ("epochs=.inf", "epochs", "whole number (got .inf)"),
        ("subset=0", "subset", "at least 1 (got 0)"),
        ("momentum=1", "momentum", "less than 1 (got 1)"),
        ("seed=-1", "seed", "at least 0 (got -1)"),
        ("seed=9223372036854775808", "seed", "less than 9223372036854775808 (got 9223372036854775808)"),
        ("batch_norm=yes", "batch_norm", "true or false (got 'yes')"),
        ("batch_norm=1", "batch_norm", "true or false (got 1)"),
        ("dataset=3", "dataset", "text (got 3)"),
        ("ema=1", "ema", "less than 1 (got 1)"),
        ("hidden=0", "hidden", "such as 30, [128, 64] or [] (got 0)"),
        ("hidden=[30, x]", "hidden", "(got [30, 'x'])"),
        ("hidden=[true]", "hidden", "(got [true])"),
        ("hidden=true", "hidden", "(got true)"),
        ("hidden=1.5", "hidden", "(got 1.5)"),
        ("hidden=null", "hidden", "(got null)"),
        ("hidden=[[30]]", "hidden", "(got [[30]])"),
        ("hidden={a: 1}", "hidden", "(got {a: 1})"),
        ("batch_size=0", "batch_size", "or full (got 0)"),
        ("batch_size=half", "batch_size", "(got 'half')"),
        ("batch_size=true", "batch_size", "(got true)"),
        ("split=[0.5,0.5]", "split", "or official, or official-60k (got [0.5, 0.5])"),
        ("split=[1.1,0.1,-0.2]", "split", "(got [1.1, 0.1, -0.2])"),
        ("split=[0.8,0.2,0]", "split", "(got [0.8, 0.2, 0])"),
        ("split=[.nan,0.5,0.5]", "split", "(got [.nan, 0.5, 0.5])"),
        ("split=[0.7,0.2,0.0999]", "split", "sum 0.9999"),
        ("split=offical", "split", "(got 'offical')"),
        ("split=[0.5,0.5,0.5]", "split", "(got [0.5, 0.5, 0.5], sum 1.5)"),
        ("dropout=1", "dropout", "0 to below 1"),
        ("dropout=[x]", "dropout", "(got ['x'])"),
        ("dropout=[0.1, 0.2]", "dropout", "(got 2 for 1)"),
        ("loss=mean_squared", "loss", "cross_entropy, binary_cross_entropy, mse (got 'mean_squared')"),
        ("activation=sigmoidd", "activation", "(got 'sigmoidd'); did you mean 'sigmoid'?"),
        ("activation=[relu]", "activation", "(got ['relu'])"),
        ("dtype=Float32", "dtype", "float32, float64 (got 'Float32'); did you mean 'float32'?"),
        ("schedule=cosin", "schedule", "one_cycle, plateau (got 'cosin'); did you mean 'cosine'?"),
        ("schedule.warmup=0.1", "schedule.name", "is missing; must be one of constant, step"),
        ("schedule=3", "schedule", "such as {name: cosine, warmup: 0.1} (got 3)"),
        ("early_stopping=true", "early_stopping", "such as {monitor: val_loss, patience: 5} (got true)"),
        ("early_stopping.patience=-1", "early_stopping.patience", "at least 0 (got -1)"),
        ("early_stopping.monitor=val_los", "early_stopping.monitor", "did you mean 'val_loss'?"),
        ("augment=5", "augment", "such as {shift: 2, rotate: 15} (got 5)"),
        ("augment.shift=-1", "augment.shift", "at least 0 (got -1)"),
        ("augment.rotate=.nan", "augment.rotate", "finite number (got .nan)"),
        ("augment.scale=1", "augment.scale", "less than 1 (got 1)"),
        ("augment.shear=.inf", "augment.shear", "finite number (got .inf)"),
        ("augment.elastic=5", "augment.elastic", "such as {alpha: 36, sigma: 5} (got 5)"),
        ("augment.elastic.sigma=0", "augment.elastic.sigma", "greater than 0 (got 0)"),
    ],
)
def test_invalid_values_are_named_with_what_is_expected(given: str, key: str, words: str) -> None:
    message = refusal("", given)
    problem, *hints = message.split("\n")
    assert problem.startswith(f"command line: {key}: ") and words in problem
    assert [hint[:6] for hint in hints] == ["hint: "] * ("such as" in problem) and not set("".join(hints)) & set("[]{}")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("learning_rte=3", "'learning_rate'"),
        ("Epochs=3", "'epochs'"),
        ("lr=3", "'learning_rate'"),
        ("zzz=3", "`mlptrain config`"),
        ("foo.bar=3", "`mlptrain config`"),
        ("monitor=loss", "'early_stopping.monitor'"),
        ("early_stopping.pateince=3", "'early_stopping.patience'"),
        ("early_stopping.foo=3", "monitor, patience, min_delta and restore_best"),
    ],
)
def test_unknown_keys_get_a_suggestion(given: str, hint: str) -> None:
    message = refusal("", given)
    assert message.startswith("command line: unknown key '") and hint in message


def test_the_file_and_the_line_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("# mine\n\nlearning_rte: 3\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(str(path))}:3: unknown key 'learning_rte'"):
        load_config(path)
    path.write_text("epochs: 3\nlearning_rate: 0.1\n")
    with pytest.raises(ConfigError, match=r"^command line: learning_rate: "):
        load_config(path, ["learning_rate=-1"])
    assert load_config(path, ["epochs=5"]).epochs == 5
    assert load_config(path, ["epochs=5"]).learning_rate == 0.1


def test_at_most_two_problems_in_the_order_of_the_file() -> None:
    lines = refusal("epochs: -1\nfoo_bar: 1\nlearning_rate: 0\nhidden: [x, y, z]\n").splitlines()
    assert [line[:8] for line in lines] == ["x.yaml:1", "x.yaml:2", "(and 2 m"]
    assert refusal("seed: x\nepochs: y\n").count("\n") == 1


@pytest.mark.parametrize(("loss", "output"), UNSOUND)
def test_unsound_pairs_are_refused_with_a_reason(loss: str, output: str) -> None:
    message = refusal(f"loss: {loss}\noutput: {output}")
    assert message.startswith("x.yaml:2: output: ")
    assert outputs_for(loss)[0] in message and UNSOUND[loss, output] in message


def test_every_pair_is_either_legal_or_has_a_reason() -> None:
    losses = {loss for loss, _ in PAIRINGS}
    assert {(loss, output) for loss in losses for output in OUTPUTS} == PAIRINGS.keys() ^ UNSOUND.keys()


@pytest.mark.parametrize(("loss", "output"), PAIRINGS)
def test_outputs_that_fit_a_loss(loss: str, output: str) -> None:
    assert from_text(f"loss: {loss}\noutput: {output}").resolve().output == output


def test_resolve_replaces_the_automatic_output() -> None:
    resolved = {loss: from_text(f"loss: {loss}").resolve().output for loss, _ in PAIRINGS}
    assert resolved == {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "mse": "sigmoid"}
    config = Config().resolve()
    assert (config.init, config.batch_seed) == ("auto", None)
    assert from_text(dump_yaml(config)) == config


def test_the_dataset_is_a_name_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    here = str(Path.cwd())
    assert from_text("dataset: mine").dataset == f"{here}/mine"
    assert from_text("dataset: .").dataset == here
    assert from_text("dataset: not/yet/../there").dataset == f"{here}/not/there"
    assert from_text("dataset: ~/mine").dataset == f"{tmp_path}/mine"
    assert from_text("dataset: mnist").dataset == "mnist"
    assert from_text("dataset: ./mnist").dataset == f"{here}/mnist"
    message = refusal("dataset: mnits")
    assert message.startswith("x.yaml:1: dataset: ")
    assert ", ".join(DATASET_NAMES) in message and "did you mean 'mnist'?" in message
    assert refusal("dataset: ''") == "x.yaml:1: dataset: must be a name or a folder (got '')"


@pytest.mark.parametrize("name", ["a b", "é 😀", "it's", 'say "x"', "a: b #c", "x\u2028y", "back\\slash", "1", "{x}"])
def test_any_folder_survives_the_round_trip(name: str) -> None:
    config = load_config(None, [f"dataset=/data/{name}"])
    assert config.dataset == f"/data/{name}"
    assert from_text(dump_yaml(config)) == config


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("step", "needs every and gamma; write {name: step, every: 5000, gamma: 0.5}"),
        ("{name: step, every: 100}", "needs gamma;"),
        ("plateau", "needs factor and patience;"),
        ("{name: cosine, gamma: 0.5}", "does not use gamma; write cosine"),
    ],
)
def test_a_schedule_takes_the_options_of_its_kind(schedule: str, words: str) -> None:
    message = refusal(f"seed: 1\nschedule: {schedule}")
    assert message.startswith("x.yaml:2: schedule: ") and words in message


def test_keys_that_monitor_validation_need_a_validation_split() -> None:
    whole = "split: official-60k\n"
    assert "official-60k has no validation" in refusal(whole + "early_stopping: {}")
    plateau = "schedule: {name: plateau, factor: 0.5, patience: 2}"
    assert "official-60k has no validation" in refusal(whole + plateau)
    assert from_text(whole + "early_stopping.monitor: loss").early_stopping is not None
    assert from_text("split: official\n" + plateau).schedule.name == "plateau"


@pytest.mark.parametrize(
    ("config", "key", "users"),
    [
        (Config(momentum=0.5), "momentum: 0.5", "momentum and nesterov"),
        (Config(optimizer="adam", decay=0.1), "decay: 0.1", "adamw"),
        (Config(optimizer="adagrad", rho=0.8, epsilon=1e-8), "rho: 0.8", "adadelta and rmsprop"),
    ],
)
def test_keys_without_effect_bring_a_warning(config: Config, key: str, users: str) -> None:
    (warning,) = warnings(config)
    assert warning.startswith(f"{key} ") and warning.endswith(f" {users}") and config.optimizer in warning


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(optimizer="momentum", momentum=0.5),
        Config(optimizer="nesterov", momentum=0.5),
        Config(optimizer="adamw", decay=0.1, beta1=0.8, beta2=0.9, epsilon=1e-8),
        Config(optimizer="rmsprop", rho=0.8, epsilon=1e-8),
        Config(optimizer="adadelta", rho=0.8, epsilon=1e-8),
    ],
)
def test_keys_with_an_effect_bring_no_warning(config: Config) -> None:
    assert warnings(config) == []


def test_batches_of_one_image_are_not_normalised() -> None:
    (warning,) = warnings(Config(batch_norm=True, batch_size=1))
    assert "batch_norm: true" in warning and "batch_size: 1" in warning
    assert warnings(Config(batch_norm=True, batch_size=2)) == warnings(Config(batch_size=1)) == []


def test_one_warning_for_each_unused_key() -> None:
    config = Config(momentum=0.1, beta1=0.1, beta2=0.1, epsilon=0.1, decay=0.1, rho=0.1)
    assert [text.split(":")[0] for text in warnings(config)] == [
        "momentum", "beta1", "beta2", "epsilon", "decay", "rho",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("hidden", [64, 32], "64,32"),
        ("hidden", (64,), "64"),
        ("hidden", [], ","),
        ("dropout", [0.5], "0.5,"),
        ("dropout", 0.5, "0.5"),
        ("split", [0.5, 0.25, 0.25], "0.5,0.25,0.25"),
        ("split", "official", "official"),
        ("learning_rate", 1e-5, "1e-05"),
        ("subset", None, "null"),
        ("batch_norm", True, "true"),
        ("dataset", "./a b,c=[1]", "./a b,c=[1]"),
        ("dataset", "./1", "./1"),
        ("dataset", "1", '"1"'),
        ("dataset", " a", '" a"'),
        ("dataset", "[a", '"[a"'),
    ],
)
def test_arguments_read_back_as_their_values(key: str, value: Any, text: str) -> None:
    assert argument(key, value) == f"{key}={text}"
    read = parse_overrides([argument(key, value)], LIST_KEYS).values[key]
    hidden: dict[str, Any] = {"hidden": [8]} if key == "dropout" else {}
    if key == "dataset":
        assert read == value
    else:
        assert Config(**hidden, **{key: read}) == Config(**hidden, **{key: value})


def test_the_keys_with_lists_are_those_of_the_schema() -> None:
    properties = config_schema()["properties"]
    assert sorted(LIST_KEYS) == sorted(key for key, schema in properties.items() if '"array"' in json.dumps(schema))


def test_the_dump_has_three_sections() -> None:
    text = dump_yaml(load_config(None, ["hidden=[15,30]", "learning_rate=1e-3"]))
    assert text.startswith("# data\ndataset: sample\nsplit: [0.7, 0.2, 0.1]\nsubset: null\naugment: null\n\n")
    assert "\n# network\nhidden: [15, 30]\nactivation: sigmoid\noutput: auto\n" in text
    assert "\n# training\nloss: cross_entropy\noptimizer: sgd\nlearning_rate: 0.001\n" in text
    assert [line.split(":")[0] for line in text.splitlines() if ":" in line] == list(Config.model_fields)


def test_random_numbers_survive_the_round_trip() -> None:
    pick = random.Random(2)
    for _ in range(200):
        config = Config(
            learning_rate=10 ** pick.uniform(-300, 300),
            momentum=pick.random(),
            epsilon=5e-324,
            split=pick.choice([(0.1, 0.2, 0.7), (1 / 3, 1 / 3, 1 / 3), "official"]),
            hidden=tuple(pick.randrange(1, 1000) for _ in range(pick.randrange(4))),
            seed=pick.randrange(2**63),
            batch_seed=pick.choice([None, 5]),
            batch_size=pick.choice(["full", 7]),
        )
        assert from_text(dump_yaml(config)) == config


FULL = """\
# a config
dataset: sample
split: [0.7, 0.2, 0.1]
augment: {shift: 2, elastic: {alpha: 36, sigma: 5}}
hidden: [30, 20]
activation: sigmoid
output: auto
batch_norm: false
dropout: [0.1, 0.2]
loss: cross_entropy
learning_rate: 1e-3
batch_size: full
epochs: 20
schedule: {name: cosine, warmup: 0.1}
schedule.every: 3
ema: null
early_stopping: {monitor: val_loss, patience: 5}
early_stopping.min_delta: 0
seed: 0
"""


def test_mutated_configs_raise_only_config_errors() -> None:
    pick = random.Random(3)
    lines = FULL.splitlines()
    pieces = [
        *"[]{}:,-.'\"#&*!|>%@~\t 019ae", "null", "true", "-1", "1e999", ".nan", "x: ", "\n  ", "- ", "*a",
        "&a ", "name", "full", "official", "[[1]]", "{a: 1}", "1.5", "😀", "\x00", "\u2028",
    ]  # fmt: skip
    accepted, messages = 0, set()
    with processor_seconds_below(3):
        for _ in range(2500):
            mutated = [line for line in lines if pick.random() > 0.5]
            for _ in range(pick.randrange(4)):
                row = pick.randrange(len(mutated)) if mutated else 0
                line = pick.choice(lines)
                first, last = sorted(pick.randrange(len(line) + 1) for _ in range(2))
                mutated[row : row + 1] = [line[:first] + pick.choice(pieces) + line[last:]]
            try:
                from_text("\n".join(mutated))
                accepted += 1
            except ConfigError as error:
                messages.add(str(error))
    assert accepted > 100
    assert len(messages) > 500
    for message in messages:
        assert message.count("\n") <= 2
        assert "Input should" not in message
        assert "pydantic" not in message
        assert "is invalid" not in message
        assert all(line.startswith(("x.yaml", "(and ", "hint: ")) for line in message.splitlines())


def test_messages_about_wrong_types_are_our_own() -> None:
    wrong: list[Any] = [
        None, True, -1, 0, 1.5, 10**30, math.inf, "x", "", [], [1], ["x"], [[1]], {}, {"x": 1},
    ]  # fmt: skip
    keys = [
        *Config.model_fields,
        *(f"augment.{name}" for name in Augment.model_fields),
        *(f"augment.elastic.{name}" for name in Elastic.model_fields),
        *(f"schedule.{name}" for name in Schedule.model_fields),
        *(f"early_stopping.{name}" for name in EarlyStopping.model_fields),
    ]
    refused = 0
    for key in keys:
        for value in wrong:
            values: dict[str, Any] = {}
            put(values, key, value)
            try:
                config_from(Document("x.yaml", values, {key.partition(".")[0]: 1}))
            except ConfigError as error:
                refused += 1
                assert re.match(r"x\.yaml:1: (\S+: \S|unknown key)", str(error))
                assert not re.search("is invalid|nput should|validat", str(error))
    assert refused > 500


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"k{i}: 1\n" for i in range(4_900)),
        "hidden: [" + "x," * 9_900 + "]",
        "activation: " + "sigmoid" * 35_000,
        "dataset: " + "mnist" * 50_000,
        "dropout: &a " + "x" * 200_000 + "\nhidden: [" + "*a," * 9_000 + "]",
        "a: &a {" + ".".join("k" * 40) + ": 1}\nhidden: [" + "*a," * 200 + "]",
        "".join(f"augment.elastic.k{i}: 1\n" for i in range(2_000)),
    ],
    ids=range(7),
)
def test_refusing_a_vast_config_takes_less_than_a_second(text: str) -> None:
    with processor_seconds_below(1):
        message = refusal(text)
    assert len(message) < 1000


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("schedule.parameterf.name", "unknown key 'schedule.parameterf'"),
        ("le.arning_rate", "unknown key 'le'"),
        ("early_stoping.patience", "unknown key 'early_stoping'; did you mean 'early_stopping'?"),
        ("schedule.warmupp", "unknown key 'schedule.warmupp'; did you mean 'schedule.warmup'?"),
    ],
)
def test_a_key_below_an_unknown_key_is_unknown(key: str, words: str) -> None:
    assert describe_problem(key, 1).startswith(words)


def test_the_json_schema() -> None:
    result = json.loads(json.dumps(config_schema()))
    assert result["additionalProperties"] is False
    properties = result["properties"]
    assert list(properties) == list(Config.model_fields)
    assert all(entry["description"] for entry in properties.values())
    assert properties["learning_rate"]["exclusiveMinimum"] == 0
    assert properties["learning_rate"]["type"] == "number"
    assert {"minimum": 1, "maximum": 1_000_000, "type": "integer"} in properties["hidden"]["anyOf"]
    assert properties["hidden"]["default"] == [30]
    assert "cosine" in properties["schedule"]["anyOf"][0]["enum"]
    assert properties["schedule"]["default"] == "constant"
    assert {"Augment", "Elastic", "Schedule", "EarlyStopping"} == set(result["$defs"])
    defaults = {key: entry["default"] for key, entry in properties.items()}
    assert defaults == json.loads(json.dumps(plain_values(Config())))


# ---- one vocabulary ---------------------------------------------------------------------------------


def trained(*overrides: str) -> Any:
    return mlptrain.train(load_config(None, ["epochs=1", "subset=64", *overrides]))


def choices(key: str) -> list[str]:
    return config_schema()["properties"][key]["enum"]


def test_an_activation_needs_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def square(z: np.ndarray, scratch: np.ndarray) -> None:
        np.multiply(z, z, out=z)

    def square_backward(delta: np.ndarray, z: np.ndarray, scratch: np.ndarray) -> None:
        delta *= 2 * z

    assert "square" not in choices("activation")
    monkeypatch.setitem(ACTIVATIONS, "square", Activation(square, square_backward, "zeros", from_output=False))
    assert "square" in choices("activation")
    assert "square" in refusal("activation: unknown")
    result = trained("activation=square", "learning_rate=0.1")
    assert result.metrics["test_loss"] > 0
    assert not result.model.weights[0].any(), "init: auto takes the entry's"
    assert load_config(None, ["activation=square"]) == from_text(dump_yaml(Config(activation="square")))


def test_onnx_refuses_an_activation_that_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setitem(ACTIVATIONS, "twice", ACTIVATIONS["relu"])
    model = trained("activation=twice").model
    with pytest.raises(UsageError, match="twice"):
        write_onnx(tmp_path / "model.onnx", model, describe_model(model, None))


def test_an_optimizer_needs_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def sign(w: np.ndarray, g: np.ndarray, state: object, scratch: np.ndarray, h: Any) -> None:
        w -= h["rate"] * (np.sign(g) + h["rho"])

    monkeypatch.setitem(OPTIMIZERS, "sign", Rule(sign, 0, ("rho",)))
    properties = config_schema()["properties"]
    assert "sign" in properties["optimizer"]["enum"]
    assert "sign" in properties["rho"]["description"] and "sign" not in properties["beta1"]["description"]
    config = load_config(None, ["optimizer=sign", "rho=0.5", "beta1=0.5"])
    assert [warning.partition(":")[0] for warning in warnings(config)] == ["beta1"]
    assert trained("optimizer=sign", "learning_rate=0.001").metrics["test_loss"] > 0


def test_a_schedule_needs_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ScheduleKind(lambda gamma: lambda step, steps: gamma / (step + 1), {"gamma": 0.9})
    monkeypatch.setitem(SCHEDULES, "harmonic", kind)
    schema = config_schema()
    assert "harmonic" in schema["properties"]["schedule"]["anyOf"][0]["enum"]
    assert "harmonic" in schema["$defs"]["Schedule"]["properties"]["gamma"]["description"]
    assert "{name: harmonic, gamma: 0.9}" in refusal("schedule: harmonic")
    assert trained("schedule={name: harmonic, gamma: 0.5}").metrics["test_loss"] > 0
