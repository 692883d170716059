"""Runs that are interrupted and resumed end with the same bytes as runs that were not."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlptrain
from mlptrain.errors import DataError, DivergedError, UsageError
from mlptrain.runs import job
from mlptrain.runs.checkpoint import load_checkpoint, save_checkpoint
from mlptrain.runs.job import Job, versions
from mlptrain.system.lock import locked
from mlptrain.system.signals import Interrupted
from mlptrain.training.reports import EpochReport, Outcome, Progress
from tests.runs.made import COMPLETE, names, partly_trained, reports_of_resumed, resume, small
from tests.stress.full_disk import fill, small_disk
from tests.stress.stateful import OTHERS, SIX, left, stateful


def in_epoch_2(report: object) -> bool:
    return isinstance(report, Progress) and report.epoch == 2


def after_epoch_2(report: object) -> bool:
    return isinstance(report, EpochReport) and report.epoch == 2


def interrupted(reports: Iterator[object], number: int = signal.SIGINT) -> str:
    """Send a signal after the second epoch, which interrupts the run; return the message."""
    with pytest.raises(Interrupted) as caught:
        for report in reports:
            if after_epoch_2(report):
                signal.raise_signal(number)
    assert caught.value.exit_code == 128 + number
    return str(caught.value)


# ---- the same bytes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SIX, *OTHERS])
def test_the_same_bytes_wherever_the_run_is_interrupted(name: str, tmp_path: Path) -> None:
    config = stateful(name)
    whole = mlptrain.train(config, run="whole", runs_dir=tmp_path)
    assert names(whole.folder) == COMPLETE
    times = 0
    while not (tmp_path / "a" / "model.npz").exists():
        times += 1
        count = 0
        try:
            for report in reports_of_resumed(tmp_path, config):
                if isinstance(report, Progress | EpochReport):
                    count += 1
                    if count == 4:
                        signal.raise_signal(signal.SIGINT)
        except Interrupted as error:
            assert error.exit_code == 130 and "--run a --resume" in str(error)
            assert (tmp_path / "a" / "checkpoint.npz").is_file()
    assert times >= 3
    assert left(tmp_path / "a") == left(whole.folder)
    assert names(tmp_path / "a") == COMPLETE


def test_a_run_is_resumed_after_a_time_limit(tmp_path: Path) -> None:
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    partly_trained(tmp_path)
    assert (tmp_path / "a" / "checkpoint.npz").is_file()
    again = mlptrain.train(small(), run="a", runs_dir=tmp_path, resume=True, time_limit=0.0)
    assert (again.metrics["stopped"], again.metrics["epochs"]) == ("time_limit", 0)
    start, *_, result = reports_of_resumed(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)
    assert result.metrics["stopped"] is None and result.metrics["epochs"] == 3
    assert result.metrics["seconds"] > again.metrics["seconds"] > 0
    assert (start.resumed, start.step, start.history) == (True, 2, ())
    assert [report.epoch for report in result.history] == [1, 2, 3]
    assert not (tmp_path / "a" / "checkpoint.npz").exists()


def test_resuming_a_run_that_does_not_exist_starts_it_and_a_complete_one_yields_its_result(tmp_path: Path) -> None:
    first = resume(tmp_path, small())
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    outcome, again = reports_of_resumed(tmp_path, small())
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    assert (outcome.epochs, outcome.test_loss) == (3, first.metrics["test_loss"])
    assert again.metrics == first.metrics
    assert [r.loss for r in again.history] == [r.loss for r in first.history]
    np.testing.assert_array_equal(again.model.weights[0], first.model.weights[0])


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".lock").touch()
    (tmp_path / "a" / ".config.yaml.99999999.00000000.tmp").touch()
    assert names(resume(tmp_path, small()).folder) == COMPLETE


def test_rows_after_the_checkpoint_and_torn_rows_are_repaired(tmp_path: Path) -> None:
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    partly_trained(tmp_path)
    with (tmp_path / "a" / "history.csv").open("a") as stream:
        stream.write("1,0.5,0.5,,,0.1,1.0\n2,0.5,0")
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_a_resumed_run_reports_its_history(tmp_path: Path) -> None:
    interrupted(mlptrain.run(small(), run="a", runs_dir=tmp_path))
    start, *reports, result = reports_of_resumed(tmp_path, small())
    assert start.history == result.history[:2]
    assert [report.epoch for report in reports if isinstance(report, EpochReport)] == [3]


def test_the_initial_weights_need_not_be_named_again(tmp_path: Path) -> None:
    start = mlptrain.train(small(epochs=1)).model
    other = mlptrain.train(small(epochs=1, seed=77)).model
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path, start=start)
    mlptrain.train(small(), run="a", runs_dir=tmp_path, start=start, time_limit=0.0)
    with pytest.raises(UsageError, match=r"start was .sha256:.* and is .sha256:"):
        resume(tmp_path, small(), start=other)
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


# ---- signals -------------------------------------------------------------------------------------------


def test_the_message_has_the_epoch_and_the_command_that_resumes(tmp_path: Path) -> None:
    reports = mlptrain.run(small(), run="b/c d", runs_dir=tmp_path, data_dir=tmp_path)
    first, hint = interrupted(reports, signal.SIGTERM).splitlines()
    assert first == "interrupted in epoch 3"
    options = ["--run", "b/c d", "--resume", "--runs-dir", str(tmp_path), "--data-dir", str(tmp_path)]
    assert shlex.split(hint)[-10:] == ["mlptrain", "train", str(tmp_path / "b/c d/config.yaml"), *options]


def test_a_second_signal_does_not_wait_for_the_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlptrain.runs.checkpoint.Saver.flush", lambda saver: signal.raise_signal(signal.SIGHUP))
    with pytest.raises(Interrupted) as caught:
        for report in mlptrain.run(small(), run="a", runs_dir=tmp_path):
            if in_epoch_2(report):
                signal.raise_signal(signal.SIGINT)
    assert caught.value.exit_code == 129
    monkeypatch.undo()
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


# ---- what may change -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [({"learning_rate": 0.05}, "learning_rate was 0.1 and is 0.05"), ({"split_seed": 3}, "split_fingerprint was")],
)
def test_a_changed_config_or_changed_data_is_refused_unless_forced(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    partly_trained(tmp_path)
    before = (tmp_path / "a" / "config.yaml").read_bytes()
    with pytest.raises(UsageError, match=words) as caught:
        resume(tmp_path, small(**change))
    assert "--force" in str(caught.value) and str(caught.value).count("\n") == 1
    assert (tmp_path / "a" / "config.yaml").read_bytes() == before
    result = resume(tmp_path, small(**change), force=True)
    (forced,) = result.metrics["forced"]
    assert (forced["epoch"], forced["step"]) == (0, 1) and forced["changed"].keys() >= change.keys()
    assert (tmp_path / "a" / "config.yaml").read_bytes() != before
    with pytest.raises(UsageError, match="complete, and "):
        resume(tmp_path, small())


def test_what_was_forced_is_kept_over_another_interruption(tmp_path: Path) -> None:
    partly_trained(tmp_path)
    forced = mlptrain.train(small(epochs=2), run="a", runs_dir=tmp_path, resume=True, force=True, time_limit=0.0)
    assert forced.metrics["forced"][0]["changed"] == {"epochs": [3, 2]}
    assert resume(tmp_path, small(epochs=2)).metrics["forced"] == forced.metrics["forced"]


def test_other_versions_and_threads_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partly_trained(tmp_path)
    monkeypatch.setattr("mlptrain.runs.job.versions", lambda: {**versions(), "numpy": "0.1"})
    monkeypatch.setattr("mlptrain.runs.job.threads_in_use", lambda: 7)
    with pytest.raises(UsageError, match=r"numpy version was .* and is '0.1', threads was \d and is 7"):
        resume(tmp_path, small())


def test_a_checkpoint_of_another_network_is_refused_even_by_force(tmp_path: Path) -> None:
    partly_trained(tmp_path)
    for change in ({"hidden": [5]}, {"optimizer": "adam"}):
        with pytest.raises(UsageError, match="does not fit") as caught:
            resume(tmp_path, small(**change), force=True)
        assert str(caught.value).count("\n") <= 2
    assert resume(tmp_path, small()).metrics["epochs"] == 3, "and nothing was harmed"


def test_resume_needs_a_run_of_that_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resume: the name"):
        mlptrain.train(small(), runs_dir=tmp_path, resume=True)
    with pytest.raises(UsageError, match=r"--resume: .*--overwrite"):
        mlptrain.train(small(), run="a", runs_dir=tmp_path, resume=True, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UsageError, match="not a run folder"):
        mlptrain.train(small(), run="mine", runs_dir=tmp_path, resume=True)
    assert names(tmp_path) == ["mine", "notes.txt"]


# ---- other processes -----------------------------------------------------------------------------------


def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    partly_trained(tmp_path)
    with locked(tmp_path / "a"):
        for resumed in (True, False):
            with pytest.raises(UsageError, match="in use by process"):
                mlptrain.train(small(), run="a", runs_dir=tmp_path, resume=resumed, overwrite=not resumed)
    assert resume(tmp_path, small()).metrics["epochs"] == 3


def test_a_run_that_another_process_completes_while_the_data_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partly_trained(tmp_path)
    prepare = job.prepare

    def slow_prepare(*arguments: Any, **options: Any) -> Job:
        if not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            resume(tmp_path, small())
        return prepare(*arguments, **options)

    monkeypatch.setattr("mlptrain.runs.train.prepare", slow_prepare)
    *reports, result = reports_of_resumed(tmp_path, small())
    assert [type(report) for report in reports] == [Outcome] and result.metrics["epochs"] == 3


# ---- damage --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 1}, "history"),
        ({"step": -1}, "after step -1"),
        ({"step": "2"}, "after step 2"),
        ({"step": 10**6}, "has 10"),
        ({"order": "{}"}, ""),
        ({"order": 3}, ""),
        ({"stack.network.parameters": np.zeros(3, np.float32)}, ""),
        ({"more": 1}, "more"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_own_config_is_damaged(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    partly_trained(tmp_path)
    path = tmp_path / "a" / "checkpoint.npz"
    checkpoint = load_checkpoint(path)
    assert change.keys() & checkpoint.state.keys() or "more" in change, sorted(checkpoint.state)
    save_checkpoint(path, replace(checkpoint, state=dict(checkpoint.state) | change))
    with pytest.raises(DataError, match="not a usable checkpoint") as caught:
        resume(tmp_path, small())
    assert words in str(caught.value)
    result = mlptrain.train(small(), run="a", runs_dir=tmp_path, overwrite=True)
    assert result.metrics["epochs"] == 3 and not path.exists()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"test_loss": "x", "test_accuracy": 1}', "[" * 100_000])
def test_damaged_metrics_of_a_complete_run(tmp_path: Path, content: str) -> None:
    resume(tmp_path, small())
    (tmp_path / "a" / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"metrics.json: damaged"):
        resume(tmp_path, small())


def test_a_diverged_run_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    config = small(optimizer="sgd", learning_rate=1e30, schedule="constant", max_norm=None, loss="mse", output="linear")
    for _ in range(2):
        with pytest.raises(DivergedError):
            resume(tmp_path, config)
    assert not (tmp_path / "a" / "model.npz").exists()


def test_a_folder_that_is_deleted_during_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/a(: the folder was deleted|/checkpoint.npz: .*no such file)"):
        for report in mlptrain.run(small(), run="a", runs_dir=tmp_path):
            if isinstance(report, EpochReport):
                shutil.rmtree(tmp_path / "a", ignore_errors=True)


def test_a_folder_that_is_replaced_during_training_stays_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "other"
    mlptrain.train(small(), run="other", runs_dir=tmp_path)
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    with pytest.raises(DataError, match=f"{tmp_path / 'a'}: the folder was deleted, moved or replaced"):
        for report in mlptrain.run(small(), run="a", runs_dir=tmp_path):
            if isinstance(report, EpochReport) and other.exists():
                wait_for_first_epoch(tmp_path / "a")
                (tmp_path / "a").rename(tmp_path / "moved")
                other.rename(tmp_path / "a")
    assert {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()} == before


def wait_for_first_epoch(folder: Path) -> None:
    """Wait until the checkpoint of an epoch is written, which happens on a thread of its own."""
    path, until = folder / "checkpoint.npz", time.monotonic() + 30
    while not (path.exists() and load_checkpoint(path).history):
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.01)


def test_no_more_file_descriptors(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        with pytest.raises(DataError, match=r"a/\S+: cannot be written: too many open files"):
            for report in mlptrain.run(small(), run="a", runs_dir=tmp_path):
                if after_epoch_2(report):
                    wait_for_first_epoch(tmp_path / "a")
                    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    assert load_checkpoint(tmp_path / "a" / "checkpoint.npz").history
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_kills_at_random_and_at_calls_that_write() -> None:
    """Run a few of the kills of ``python -m tests.stress.kills``."""
    command = [sys.executable, "-m", "tests.stress.kills", "--kills", "6", "--configs", "sgd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost, 6 of 6 byte-identical" in done.stdout


def test_a_full_disk_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    try:
        with small_disk(tmp_path / "disk", 2):
            runs, filler = tmp_path / "disk" / "runs", tmp_path / "disk" / "filler"
            result = mlptrain.train(small(epochs=2), run="whole", runs_dir=runs)
            with pytest.raises(DataError, match=r"a/\S+: cannot be written: no space left on device"):
                for report in mlptrain.run(small(epochs=2), run="a", runs_dir=runs):
                    if in_epoch_2(report):
                        # A write under way would fail, free its space, and leave room for the model.
                        wait_for_first_epoch(runs / "a")
                        fill(filler)
            filler.unlink()
            resume(runs, small(epochs=2))
            assert left(runs / "a") == left(result.folder)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"no small disk here: {error}")
