"""Sweeps for shells and job arrays: ``mlptrain train`` commands of trials, and single values of the result."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mlptrain.config.config import Config, argument
from mlptrain.config.values import flat, short
from mlptrain.datasets.dataset import data_folder
from mlptrain.errors import UsageError
from mlptrain.runs.folder import run_path
from mlptrain.sweeps.methods import points_of
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import Trial, trials_of
from mlptrain.system.text import shell_line

_SAFE = re.compile(r"(?![=%])(?!.*==)[A-Za-z0-9_@%+=:,./-]+")
"""A word that no shell changes; zsh expands ``=ls`` and with an option ``a==ls``, old versions of fish ``%self``."""

_PLAIN_PATH = re.compile(r"/.*|[\w.][^=]*", re.DOTALL)
"""A path that `mlptrain train` does not take for an option or for ``KEY=VALUE``."""


def all_trials(spec: Spec) -> Iterator[Trial]:
    """Yield every trial of a grid or a random search, in order."""
    for number, point in points_of(spec):
        yield from trials_of(spec, number, point)


def check_listable(spec: Spec, option: str) -> None:
    """Check that the trials of a sweep are known before any of them has trained; ``option`` needs that.

    Raises
    ------
    UsageError
        The method is halving or tpe.
    """
    if spec.method in ("halving", "tpe"):
        raise UsageError(
            f"{option}: method {spec.method} chooses trials by the results of others\n"
            "hint: use method: grid or random, or run the sweep with one command and --workers"
        )


def find_trial(spec: Spec, number: int) -> Trial:
    """Return the trial of this number, from 0.

    Raises
    ------
    UsageError
        The sweep has fewer trials.
    """
    point, repeat = divmod(number, spec.repeat)
    points = spec.points or 0
    if point < points:  # checked first, because the points of a sample are drawn one after another
        found = next(points_of(spec, point), None)
        if found is not None:
            return list(trials_of(spec, *found))[repeat]
        points = number_of_points(spec)
    raise UsageError(f"--index {number}: must be less than the number of trials, {points * spec.repeat}")


def number_of_points(spec: Spec) -> int:
    """Return the number of points; those of a sample are drawn, because a space may have fewer than ``run_cap``."""
    return (spec.points or 0) if spec.run_cap is None else sum(1 for _ in points_of(spec))


def commands(spec: Spec, name: str, *, runs_dir: Path, data_dir: Path | None = None, threads: int = 1) -> Iterator[str]:
    """Yield one command per trial that sh, bash, zsh and fish read alike, without brackets, quotes and spaces.

    Raises
    ------
    UsageError
        A path would need quotes, or leads out of ``runs_dir``.
    """
    folders = [] if runs_dir == Path("runs") else ["--runs-dir", runs_dir.as_posix()]
    folders += [] if data_dir is None else ["--data-dir", data_dir.as_posix()]
    for trial in all_trials(spec):
        run = f"{name}/trials/{trial.name}"
        words = [*_train(spec, trial.config), "--threads", str(threads), "--run", run, "--resume", *folders]
        for word in words:
            if not _SAFE.fullmatch(word):
                raise UsageError(
                    f"--list: a command cannot contain {word!r}, which needs quotes\n"
                    "hint: use paths of letters, digits and ._-/ only, or run the sweep with --shard or --index"
                )
        run_path(runs_dir, run)  # refuses a name that `mlptrain train` would refuse
        yield " ".join(words)


def train_command(spec: Spec, config: Config, data_dir: Path | None = None) -> str:
    """Return the ``mlptrain train`` command of a trial's config, with all keys that the sweep varies."""
    folders = [] if data_dir in (None, data_folder()) else ["--data-dir", str(data_dir)]
    return shell_line([*_train(spec, config, spec.space.varied), *folders])


def _train(spec: Spec, config: Config, named: Collection[str] = ()) -> list[str]:
    """Return the words of the command that trains a config: the keys that differ from its file, and those ``named``."""
    before, after = (flat(each.model_dump(mode="json")) for each in (spec.base_config, config))
    named = {*named, *spec.base.overridden}

    def is_named(key: str) -> bool:
        return key in named or (after[key] is not None and not named.isdisjoint(_around(key)))

    keys = [key for key in after if key not in before or before[key] != after[key] or is_named(key)]
    base = spec.base_path if _PLAIN_PATH.fullmatch(spec.base_path) else f"./{spec.base_path}"
    return ["mlptrain", "train", base, *(argument(key, after[key]) for key in keys)]


def _around(key: str) -> Iterator[str]:
    """Yield the keys around a dotted key."""
    return (key.rsplit(".", count)[0] for count in range(1, key.count(".") + 1))


def lookup(summary: dict[str, Any], key: str) -> str:
    """Return ``--print KEY`` as text: a dotted key of the JSON object; ``best.X`` may be a key of config or metrics.

    Raises
    ------
    UsageError
        The object has no such key.
    """
    value: Any = summary
    parts = key.split(".")
    if parts[0] == "best" and isinstance(summary["best"], dict) and len(parts) > 1:
        best = summary["best"]
        value = next((values for values in (best, best["config"], best["metrics"]) if parts[1] in values), {})
        parts = parts[1:]
    for part in parts:
        if not isinstance(value, dict) or part not in value:
            raise UsageError(f"--print {key}: unknown key\nhint: --json prints the whole object")
        value = value[part]
    return value if isinstance(value, str) else short(value)


def check_key(key: str) -> None:
    """Check, before anything is trained, that the result can have a ``--print`` key.

    Raises
    ------
    UsageError
        The key begins with none of the object's keys.
    """
    first, _, rest = key.partition(".")
    if first not in ("sweep", "trials", "failed", "best", "repeats") or (first not in ("best", "repeats") and rest):
        raise UsageError(
            f"--print {key}: must be sweep, trials, failed, best.KEY or repeats.KEY, such as best.learning_rate"
        )
