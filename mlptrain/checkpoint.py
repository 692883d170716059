"""``checkpoint.npz``: all that a run is continued from, to the same bytes as if it had never been interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from mlptrain.errors import DataError
from mlptrain.npz import read_npz, write_npz
from mlptrain.reports import EpochReport
from mlptrain.values import flow

FORMAT = "mlptrain checkpoint 1"
MAX_BYTES = 64 * 1024**3
_STATE = "state."


@dataclass(frozen=True)
class Checkpoint:
    """A run between two steps.

    ``origin`` is what decides its result, by dotted key (config, data, split, versions, threads); ``state`` the
    trainer's, arrays (n,) and plain values; ``history`` its finished epochs; ``forced`` where it was continued with
    another origin, and what had changed.
    """

    origin: Mapping[str, Any]
    state: Mapping[str, Any]
    history: tuple[EpochReport, ...] = ()
    forced: tuple[Mapping[str, Any], ...] = ()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write ``checkpoint.npz``, whole or not at all.

    Raises
    ------
    DataError
        It cannot be written; the one before stays.
    """
    plain = {key: value for key, value in checkpoint.state.items() if not isinstance(value, np.ndarray)}
    texts = {
        "format": FORMAT,
        "origin": dict(checkpoint.origin),
        "plain": plain,
        "history": [asdict(report) for report in checkpoint.history],
        "forced": [dict(change) for change in checkpoint.forced],
    }
    arrays = {key: np.frombuffer(json.dumps(value).encode(), np.uint8) for key, value in texts.items()}
    arrays |= {_STATE + key: checkpoint.state[key] for key in checkpoint.state.keys() - plain.keys()}
    write_npz(path, dict(sorted(arrays.items())))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read ``checkpoint.npz``; whether its state fits the network is for the trainer to say.

    Raises
    ------
    DataError
        Missing, damaged, or of another version; the message says what to do.
    """
    try:
        arrays = read_npz(path, MAX_BYTES)
    except DataError as error:
        raise unusable(path, str(error).removeprefix(f"{path}: ")) from error
    if _parsed(path, arrays, "format", str) != FORMAT:
        raise unusable(path, f"its format is not {FORMAT!r}")
    history = tuple(_epoch(path, number, item) for number, item in enumerate(_parsed(path, arrays, "history", list)))
    forced = _parsed(path, arrays, "forced", list)
    if not all(isinstance(change, dict) for change in forced):
        raise unusable(path, "what was forced is not a list of changes")
    state = _parsed(path, arrays, "plain", dict)
    state |= {key.removeprefix(_STATE): array for key, array in arrays.items() if key.startswith(_STATE)}
    return Checkpoint(_parsed(path, arrays, "origin", dict), state, history, tuple(forced))


def unusable(path: Path, why: str) -> DataError:
    """The error for a checkpoint from which nothing can be continued."""
    return DataError(f"{path}: not a usable checkpoint: {why.splitlines()[0]}\nremove it to train from the beginning")


def _parsed(path: Path, arrays: Mapping[str, np.ndarray], key: str, kind: type) -> Any:
    """The JSON text under ``key``, which holds a value of this kind."""
    array = arrays.get(key)
    if array is None or array.dtype != np.uint8:
        raise unusable(path, f"no {key} in it")
    try:
        value = json.loads(array.tobytes())
    except (ValueError, RecursionError) as error:
        raise unusable(path, f"its {key} is not JSON") from error
    if not isinstance(value, kind):
        raise unusable(path, f"its {key} is not a {kind.__name__}")
    return value


_NUMBERS = {field.name: "None" in str(field.type) for field in fields(EpochReport)}


def _epoch(path: Path, number: int, item: Any) -> EpochReport:
    """An epoch of the history, which has exactly the fields of a report, all of them numbers."""
    if not isinstance(item, dict) or item.keys() != _NUMBERS.keys() or item["epoch"] != number + 1:
        raise unusable(path, f"its history has no epoch {number + 1}")
    for name, may_be_none in _NUMBERS.items():
        value = item[name]
        if isinstance(value, bool) or not (isinstance(value, int | float) or (may_be_none and value is None)):
            raise unusable(path, f"{name} of epoch {number + 1} is not a number")
    return EpochReport(**item)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What differs between two origins: each key with its value then and now, null where there was none."""
    keys = list(dict.fromkeys([*now, *before]))
    return {key: [before.get(key), now.get(key)] for key in keys if before.get(key) != now.get(key)}


def described(changed: Mapping[str, list[Any]]) -> str:
    """The changes in words: ``learning_rate was 0.5 and is 0.1, ...``; three of them at most."""
    words = [f"{key} was {_short(then)} and is {_short(now)}" for key, (then, now) in changed.items()]
    return ", ".join(words[:3]) + (f" (and {len(words) - 3} more)" if len(words) > 3 else "")


def _short(value: Any) -> str:
    text = flow(value)
    return text if len(text) <= 60 else text[:57] + "..."
