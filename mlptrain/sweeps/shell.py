"""Sweeps for shells and job arrays: a ``mlptrain train`` command a trial, and single values of the result."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlptrain.config.config import Config
from mlptrain.config.values import flat
from mlptrain.errors import UsageError
from mlptrain.sweeps.methods import points_of
from mlptrain.sweeps.spec import Spec
from mlptrain.sweeps.trials import Trial, short, trials_of

_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./\[\]-]+")


def all_trials(spec: Spec) -> Iterator[Trial]:
    """Every trial of a grid or a random search, in order, made one at a time."""
    for number, point in enumerate(points_of(spec)):
        yield from trials_of(spec, number, point)


def check_listable(spec: Spec, option: str) -> None:
    """Refuse to divide or list a sweep whose next trials depend on results.

    Raises
    ------
    UsageError
        The method is halving or tpe.
    """
    if spec.method in ("halving", "tpe"):
        raise UsageError(
            f"{option}: method {spec.method} decides by results which trial comes next, so they cannot be told apart "
            "beforehand\nuse method: grid or random, or let one command run it with --workers"
        )


def trial_number(spec: Spec, number: int) -> Trial:
    """The trial of this number, from 0.

    Raises
    ------
    UsageError
        There are fewer trials.
    """
    for count, trial in enumerate(all_trials(spec)):
        if count == number:
            return trial
    raise UsageError(f"--index {number}: this sweep has {count + 1} trials, numbered from 0")


def commands(spec: Spec, name: str, *, runs_dir: Path, data_dir: Path | None = None, threads: int = 1) -> Iterator[str]:
    """One complete command a trial, of words that no shell changes: they need no quotes.

    Raises
    ------
    UsageError
        A path would need quoting.
    """
    places = [] if runs_dir == Path("runs") else ["--runs-dir", str(runs_dir)]
    places += [] if data_dir is None else ["--data-dir", str(data_dir)]
    base = spec.base_config
    for trial in all_trials(spec):
        keys = [f"{key}={short(value)}" for key, value in overrides(base, trial.config).items()]
        run = f"{name}/trials/{trial.name}"
        words = ["mlptrain", "train", spec.base_path, *keys, "--threads", str(threads), "--run", run, *places]
        for word in words:
            if not _SAFE.fullmatch(word):
                raise UsageError(
                    f"--list: {word!r} would have to be quoted, and its lines hold no quotes\n"
                    "use names of letters, digits and ._-/ only, or run the sweep with --shard or --index"
                )
        yield " ".join(words)


def overrides(base: Config, config: Config) -> dict[str, Any]:
    """Return the dotted keys, and their values, that turn one resolved config into another; no value is a mapping."""
    before, after = (flat(each.model_dump(mode="json")) for each in (base, config))
    return {key: value for key, value in after.items() if key not in before or before[key] != value}


def lookup(summary: dict[str, Any], key: str) -> str:
    """The text of ``--print KEY``: a dotted key of the JSON object; ``best.X`` finds X in its config and metrics.

    Raises
    ------
    UsageError
        There is no such key.
    """
    value: Any = summary
    parts = key.split(".")
    if parts[0] == "best" and isinstance(summary["best"], dict) and len(parts) > 1:
        best = summary["best"]
        value = next((place for place in (best, best["config"], best["metrics"]) if parts[1] in place), {})
        parts = parts[1:]
    for part in parts:
        if not isinstance(value, dict) or part not in value:
            raise UsageError(f"--print {key}: there is no such key; see the object that --json prints")
        value = value[part]
    return value if isinstance(value, str) else short(value)


def check_key(key: str) -> None:
    """Refuse, before anything is trained, a ``--print`` key that cannot be in the result.

    Raises
    ------
    UsageError
        It begins with none of the object's keys.
    """
    first, _, rest = key.partition(".")
    if first not in ("sweep", "trials", "failed", "best") or (first != "best" and rest):
        raise UsageError(f"--print {key}: must be sweep, trials, failed or best.KEY, such as best.learning_rate")
