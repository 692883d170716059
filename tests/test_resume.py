"""Runs that are interrupted and go on come to the same bytes."""

from __future__ import annotations

import signal

import pytest

import mlptrain
from benchmarks.stateful import OTHERS, SIX, left, stateful
from mlptrain.reports import EpochReport, Progress
from mlptrain.signals import Interrupted


def interrupted(config, folder, after, **more):
    """Train until the ``after``-th report and stop there as by Ctrl-C; False where it ended before that."""
    seen = []

    def count(report):
        if isinstance(report, Progress | EpochReport):
            seen.append(report)
            if len(seen) == after:
                signal.raise_signal(signal.SIGINT)

    try:
        mlptrain.train(config, run="a", runs_dir=folder, on_report=count, resume=True, **more)
    except Interrupted as error:
        assert error.exit_code == 130 and "--run a --resume" in str(error)
        assert (folder / "a" / "checkpoint.npz").is_file()
        return True
    return False


@pytest.mark.parametrize("name", [*SIX, *OTHERS])
def test_the_same_bytes_wherever_it_is_interrupted(name, tmp_path):
    config = stateful(name)
    whole = mlptrain.train(config, run="whole", runs_dir=tmp_path)
    assert sorted(path.name for path in whole.folder.iterdir()) == [
        "config.yaml", "history.csv", "metrics.json", "model.npz",
    ]  # fmt: skip
    times = 0
    while interrupted(config, tmp_path, after=4):
        times += 1
    assert times >= 2
    assert left(tmp_path / "a") == left(whole.folder)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "config.yaml", "history.csv", "metrics.json", "model.npz",
    ]  # fmt: skip
