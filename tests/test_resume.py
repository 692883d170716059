"""Runs that are interrupted and go on come to the same bytes."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mlptrain
from benchmarks.full_disk import fill, small_disk
from benchmarks.stateful import OTHERS, SIX, left, stateful
from mlptrain import api
from mlptrain.checkpoint import load_checkpoint, save_checkpoint
from mlptrain.errors import DataError, DivergedError, UsageError
from mlptrain.job import versions
from mlptrain.lock import locked
from mlptrain.reports import EpochReport, Progress
from mlptrain.signals import Interrupted
from mlptrain.threads import VARIABLES


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


def small(**more):
    return stateful("momentum", **{"hidden": [4], "subset": 300, "epochs": 3, **more})


def partly(tmp_path, **more):
    """A run ``a`` that a time limit has ended within its first epoch."""
    result = mlptrain.train(small(**more), run="a", runs_dir=tmp_path, time_limit=0.0)
    assert (result.metrics["stopped"], result.metrics["epochs"]) == ("time_limit", 0)
    return result


def resume(tmp_path, config, **more):
    return mlptrain.train(config, run="a", runs_dir=tmp_path, resume=True, **more)


def test_a_time_limit_keeps_the_checkpoint_from_which_it_goes_on(tmp_path):
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    partly(tmp_path)
    assert (tmp_path / "a" / "checkpoint.npz").is_file()
    again = mlptrain.train(small(), run="a", runs_dir=tmp_path, resume=True, time_limit=0.0)
    assert (again.metrics["stopped"], again.metrics["epochs"]) == ("time_limit", 0)
    reports = []
    result = resume(tmp_path, small(), on_report=reports.append)
    assert left(tmp_path / "a") == left(whole.folder)
    assert result.metrics["stopped"] is None and result.metrics["epochs"] == 3
    assert result.metrics["seconds"] > again.metrics["seconds"] > 0
    assert (reports[0].resumed, reports[0].step, reports[0].history) == (True, 2, ())
    assert [report.epoch for report in result.history] == [1, 2, 3]
    assert not (tmp_path / "a" / "checkpoint.npz").exists()


def test_nothing_there_starts_and_complete_gives_the_result(tmp_path):
    first = resume(tmp_path, small())
    before = {path.name: path.read_bytes() for path in first.folder.iterdir()}
    reports = []
    again = resume(tmp_path, small(), on_report=reports.append)
    assert {path.name: path.read_bytes() for path in first.folder.iterdir()} == before
    assert again.metrics == first.metrics and len(reports) == 1
    assert (reports[0].epochs, reports[0].test_loss) == (3, first.metrics["test_loss"])
    assert [r.loss for r in again.history] == [r.loss for r in first.history]
    np.testing.assert_array_equal(again.model.weights[0], first.model.weights[0])


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_again(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".lock").touch()
    (tmp_path / "a" / ".config.yaml.99999999.00000000.tmp").touch()
    result = resume(tmp_path, small())
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "config.yaml", "history.csv", "metrics.json", "model.npz",
    ]  # fmt: skip


def test_rows_beyond_the_checkpoint_and_torn_ones_are_repaired(tmp_path):
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    partly(tmp_path)
    with (tmp_path / "a" / "history.csv").open("a") as stream:
        stream.write("1,0.5,0.5,,,0.1,1.0\n2,0.5,0")
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_the_history_is_shown_again_where_it_goes_on(tmp_path):
    seen = []

    def stop(report):
        seen.append(report)
        if isinstance(report, EpochReport) and report.epoch == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=stop)
    assert caught.value.exit_code == 143 and "interrupted in epoch 3" in str(caught.value)
    reports = []
    resume(tmp_path, small(), on_report=reports.append)
    assert reports[0].history == tuple(report for report in seen if isinstance(report, EpochReport))
    assert [report.epoch for report in reports if isinstance(report, EpochReport)] == [3]


@pytest.mark.parametrize(
    ("change", "words"),
    [({"learning_rate": 0.05}, "learning_rate was 0.1 and is 0.05"), ({"split_seed": 3}, "split_fingerprint was")],
)
def test_another_config_or_other_data_is_refused_unless_forced(tmp_path, change, words):
    partly(tmp_path)
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


def test_what_was_forced_is_remembered_over_another_interruption(tmp_path):
    partly(tmp_path)
    forced = mlptrain.train(small(epochs=2), run="a", runs_dir=tmp_path, resume=True, force=True, time_limit=0.0)
    assert forced.metrics["forced"][0]["changed"] == {"epochs": [3, 2]}
    assert resume(tmp_path, small(epochs=2)).metrics["forced"] == forced.metrics["forced"]


def test_other_versions_and_threads_are_refused(tmp_path, monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    partly(tmp_path)
    monkeypatch.setattr("mlptrain.job.versions", lambda: {**versions(), "numpy": "0.1"})
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with pytest.raises(UsageError, match=r"numpy version was .* and is '0.1', threads was null and is 7"):
        resume(tmp_path, small())


def test_another_network_does_not_fit_even_by_force(tmp_path):
    partly(tmp_path)
    for change in ({"hidden": [5]}, {"optimizer": "adam"}):
        with pytest.raises(UsageError, match="does not fit any more: ") as caught:
            resume(tmp_path, small(**change), force=True)
        assert str(caught.value).count("\n") <= 2
    assert resume(tmp_path, small()).metrics["epochs"] == 3, "and nothing was harmed"


def test_the_weights_that_it_started_from_need_not_be_named_again(tmp_path):
    start = mlptrain.train(small(epochs=1)).model
    other = mlptrain.train(small(epochs=1, seed=77)).model
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path, start=start)
    mlptrain.train(small(), run="a", runs_dir=tmp_path, start=start, time_limit=0.0)
    with pytest.raises(UsageError, match=r"start was .sha256:.* and is .sha256:"):
        resume(tmp_path, small(), start=other)
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 1}, "does not say where"),
        ({"step": -1}, "does not say where"),
        ({"step": "2"}, "does not say where"),
        ({"step": 10**6}, "has 10"),
        ({"order": "{}"}, ""),
        ({"order": 3}, ""),
        ({"stack.network.parameters": np.zeros(3, np.float32)}, ""),
        ({"more": 1}, "more"),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_own_config_is_damaged(tmp_path, change, words):
    partly(tmp_path)
    path = tmp_path / "a" / "checkpoint.npz"
    checkpoint = load_checkpoint(path)
    assert change.keys() & checkpoint.state.keys() or "more" in change, sorted(checkpoint.state)
    save_checkpoint(path, replace(checkpoint, state=dict(checkpoint.state) | change))
    with pytest.raises(DataError, match="not a usable checkpoint: ") as caught:
        resume(tmp_path, small())
    assert words in str(caught.value)
    result = mlptrain.train(small(), run="a", runs_dir=tmp_path, overwrite=True)
    assert result.metrics["epochs"] == 3 and not path.exists()


def test_what_resume_needs(tmp_path):
    with pytest.raises(UsageError, match="--resume with no name of a run"):
        mlptrain.train(small(), runs_dir=tmp_path, resume=True)
    with pytest.raises(UsageError, match="--resume with --overwrite"):
        mlptrain.train(small(), run="a", runs_dir=tmp_path, resume=True, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UsageError, match="not a run folder"):
        mlptrain.train(small(), run="mine", runs_dir=tmp_path, resume=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "notes.txt"]


def test_two_at_once_are_refused(tmp_path):
    partly(tmp_path)
    with locked(tmp_path / "a"):
        for options in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(UsageError, match="in use by process"):
                mlptrain.train(small(), run="a", runs_dir=tmp_path, **options)
    assert resume(tmp_path, small()).metrics["epochs"] == 3


def test_a_run_that_another_process_completes_meanwhile(tmp_path, monkeypatch):
    partly(tmp_path)

    def prepare(*arguments, **options):
        if not (tmp_path / "done").exists():
            (tmp_path / "done").touch()
            resume(tmp_path, small())
        return plain(*arguments, **options)

    plain = api.prepare
    monkeypatch.setattr(api, "prepare", prepare)
    reports = []
    assert resume(tmp_path, small(), on_report=reports.append).metrics["epochs"] == 3
    assert [type(report).__name__ for report in reports] == ["RunEnd"]


def test_metrics_that_are_damaged(tmp_path):
    resume(tmp_path, small())
    for content in ("{", "[]", "{}", '{"test_loss": "x", "test_accuracy": 1}', "[" * 100_000):
        (tmp_path / "a" / "metrics.json").write_text(content)
        with pytest.raises(DataError, match=r"metrics.json: damaged, not the figures of a run"):
            resume(tmp_path, small())


def test_a_second_signal_ends_it_within_the_first_ones_writing(tmp_path, monkeypatch):
    def flush(saver):
        signal.raise_signal(signal.SIGHUP)

    def stop(report):
        if isinstance(report, Progress) and report.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("mlptrain.saver.Saver.flush", flush)
    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=stop)
    assert caught.value.exit_code == 129
    monkeypatch.undo()
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_in_memory_an_interruption_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def stop(report):
        if isinstance(report, Progress):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), on_report=stop)
    assert str(caught.value) == "interrupted in epoch 1" and not list(tmp_path.iterdir())


def test_how_to_go_on_names_the_folders(tmp_path):
    with pytest.raises(Interrupted) as caught:
        mlptrain.train(small(), run="b/c d", runs_dir=tmp_path, data_dir=tmp_path, on_report=interrupt)
    runs = shlex.quote(str(tmp_path))
    assert str(caught.value).endswith(
        f"mlptrain train '{tmp_path}/b/c d/config.yaml' --run 'b/c d' --resume --runs-dir {runs} --data-dir {runs}"
    )


def interrupt(report):
    if isinstance(report, Progress):
        signal.raise_signal(signal.SIGINT)


def test_a_diverged_run_keeps_its_last_checkpoint(tmp_path):
    config = small(optimizer="sgd", learning_rate=1e30, schedule="constant", max_norm=None, loss="mse", output="linear")
    for _ in range(2):
        with pytest.raises(DivergedError):
            resume(tmp_path, config)
    assert not (tmp_path / "a" / "model.npz").exists()


def test_a_folder_that_is_deleted_under_the_run(tmp_path):
    def delete(report):
        if isinstance(report, EpochReport):
            shutil.rmtree(tmp_path / "a", ignore_errors=True)

    with pytest.raises(DataError, match=r"a/(history.csv|checkpoint.npz|model.npz): cannot be written: no such file"):
        mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=delete)


def wait_for_first_epoch(folder):
    """Until the checkpoint of an epoch is there: its thread takes a moment."""
    path, until = folder / "checkpoint.npz", time.monotonic() + 30
    while not (path.exists() and load_checkpoint(path).history):
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.01)


def test_no_more_file_descriptors(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def exhaust(report):
        if isinstance(report, EpochReport) and report.epoch == 2:
            wait_for_first_epoch(tmp_path / "a")
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))

    try:
        with pytest.raises(DataError, match=r"a/\S+: cannot be written: too many open files"):
            mlptrain.train(small(), run="a", runs_dir=tmp_path, on_report=exhaust)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    whole = mlptrain.train(small(), run="whole", runs_dir=tmp_path)
    assert load_checkpoint(tmp_path / "a" / "checkpoint.npz").history
    resume(tmp_path, small())
    assert left(tmp_path / "a") == left(whole.folder)


def test_kills_at_random_and_at_calls_that_write():
    """A few of what ``python -m benchmarks.kills`` does hundreds of times."""
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "6", "--configs", "sgd"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost, 6 of 6 byte-identical" in done.stdout


def test_a_full_disk_leaves_a_run_that_can_go_on(tmp_path):
    (tmp_path / "disk").mkdir()
    try:
        with small_disk(tmp_path / "disk", 2):
            runs, filler = tmp_path / "disk" / "runs", tmp_path / "disk" / "filler"
            result = mlptrain.train(small(epochs=2), run="whole", runs_dir=runs)

            def full(report):
                if isinstance(report, Progress) and report.epoch == 2:
                    # One under way would fail, free what it had taken, and leave room for the model.
                    wait_for_first_epoch(runs / "a")
                    fill(filler)

            with pytest.raises(DataError, match=r"a/\S+: cannot be written: no space left on device"):
                mlptrain.train(small(epochs=2), run="a", runs_dir=runs, on_report=full)
            filler.unlink()
            resume(runs, small(epochs=2))
            assert left(runs / "a") == left(result.folder)
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"no small disk here: {error}")
