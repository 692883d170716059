from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlptrain.config.config import dump_yaml, load_config
from mlptrain.sweeps.finished import view_sweep
from mlptrain.sweeps.leaderboard import read_leaderboard
from tests.cli.conftest import Command


@pytest.fixture
def grid(tiny: Path) -> list[Any]:
    """A config and a space of four trials."""
    return [tiny, "learning_rate=0.1,0.5", "hidden=[3],[4]", "epochs=1"]


def board(path: Path) -> list[tuple[int, dict[str, Any]]]:
    return [(row.trial, dict(row.values)) for row in read_leaderboard(path / "leaderboard.csv").rows]


def test_a_sweep_is_shown_ranked_and_saved(mlptrain: Command, grid: list[Any], tmp_path: Path) -> None:
    result = mlptrain("sweep", *grid)
    assert result.code == 0 and result.err == ""
    lines = result.out.splitlines()
    assert lines[0].startswith("runs/tiny-001: 4 trials") and "learning_rate, hidden" in lines[1]
    assert sum(line.startswith("[") for line in lines) == 4 and any("[4/4]" in line for line in lines)
    assert any(line.split()[:3] == ["rank", "trial", "val_accuracy"] for line in lines)
    assert lines[-1] == "runs/tiny-001"
    assert mlptrain("eval", "runs/tiny-001/best").code == 0
    assert "\x1b" not in result.out


def test_json_and_print_give_the_same_values(mlptrain: Command, grid: list[Any]) -> None:
    result = mlptrain("sweep", *grid, "-q", "--json")
    summary = json.loads(result.out)
    assert result.err == "" and list(summary) == ["sweep", "trials", "failed", "best"]
    assert summary["trials"] == 4 and summary["failed"] == 0 and summary["best"]["run"] == "runs/tiny-001/best"
    assert summary["best"]["config"]["batch_seed"] == 0
    printed = mlptrain("sweep", *grid, "-q", "--print", "best.learning_rate", "--run", "again")
    assert float(printed.out) == summary["best"]["config"]["learning_rate"] and printed.err == ""
    printed = mlptrain("sweep", *grid, "-q", "--print", "best.hidden", "--run", "again", "--resume")
    assert json.loads(printed.out) == summary["best"]["config"]["hidden"]
    assert mlptrain("sweep", *grid, "-q", "--print", "best.nothing", "--run", "again", "--resume").code == 2


def test_repeats_of_a_config_suggest_a_limit(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    arguments = ("sweep", tiny, "repeat=3", "--run", "a", "--keep", "all", "--workers", 1)
    assert "suggested limit: --min-accuracy 0" in mlptrain(*arguments).out
    again = json.loads(mlptrain(*arguments, "--resume", "-q", "--json").out)
    assert list(again) == ["sweep", "trials", "failed", "best", "repeats"]
    runs = [json.loads((tmp_path / f"runs/a/trials/000{trial}/metrics.json").read_text()) for trial in range(3)]
    accuracies = [run["test_accuracy"] for run in runs]
    assert again["repeats"]["metric"] == "test_accuracy" and again["repeats"]["count"] == 3
    assert again["repeats"]["mean"] == pytest.approx(sum(accuracies) / 3) and again["repeats"]["min"] == min(accuracies)
    alone = json.loads(mlptrain("train", tiny, "seed=2", "-q", "--json", "--threads", 1).out)
    assert alone["test_loss"] == pytest.approx(runs[2]["test_loss"], rel=1e-6)
    printed = mlptrain("sweep", "--collect", "a", "--print", "repeats.min_accuracy")
    assert float(printed.out) == again["repeats"]["min_accuracy"]


def test_an_existing_sweep_is_resumed_or_refused(mlptrain: Command, grid: list[Any]) -> None:
    assert mlptrain("sweep", *grid, "-q", "--run", "a").code == 0
    refused = mlptrain("sweep", *grid, "-q", "--run", "a")
    assert refused.code == 2 and "--resume" in refused.err
    assert mlptrain("sweep", *grid, "-q", "--run", "a", "--resume").code == 0
    changed = mlptrain("sweep", *grid[:-1], "epochs=2", "-q", "--run", "a", "--resume")
    assert changed.code == 2 and "parameters.epochs" in changed.err
    assert "{value: 1}" in changed.err and "{value: 2}" in changed.err


def test_failed_trials_are_exit_6_and_json_is_printed(mlptrain: Command, tmp_path: Path) -> None:
    (tmp_path / "linear.yaml").write_text(
        "hidden: []\noutput: linear\nloss: mse\nsubset: 100\nepochs: 1\nbatch_size: 20\n"
    )
    result = mlptrain("sweep", "linear.yaml", "learning_rate=0.001,1e30", "-q", "--json")
    assert result.code == 6 and json.loads(result.out)["failed"] == 1
    assert "1 of 2 trials" in result.err and "0001 (diverged)" in result.err and result.err.count("\n") <= 3


def test_the_listed_commands_need_no_quotes_and_give_the_same_trials(
    mlptrain: Command, grid: list[Any], tmp_path: Path
) -> None:
    grid[0] = Path("tiny.yaml")
    lines = mlptrain("sweep", *grid, "early_stopping.patience=3", "--list", "--run", "L").out.splitlines()
    assert len(lines) == 4 and not list(tmp_path.glob("runs/*"))
    for line in lines:
        assert shlex.split(line) == line.split() and not set(line) & set("'\"{} $&;".replace(" ", ""))
        assert mlptrain(*line.split()[1:], "-q").code == 0
    models = [*tmp_path.glob("runs/L/trials/*/model.npz")]
    written = [path.stat().st_mtime_ns for path in models]
    for line in lines:
        assert mlptrain(*line.split()[1:], "-q").code == 0
    assert len(models) == 4 and written == [path.stat().st_mtime_ns for path in models], "trained a second time"
    swept = mlptrain("sweep", *grid, "early_stopping.patience=3", "--run", "S", "--keep", "all", "-q")
    assert swept.code == 0
    for trial in range(4):
        folders = [tmp_path / f"runs/{name}/trials/{trial:04d}" for name in "LS"]
        assert folders[0].joinpath("config.yaml").read_text() == folders[1].joinpath("config.yaml").read_text()
    collected = mlptrain("sweep", "--collect", "runs/L")
    assert collected.code == 0 and (tmp_path / "runs/L/best/model.npz").is_file()
    assert sorted(board(tmp_path / "runs/L"), key=repr) == sorted(board(tmp_path / "runs/S"), key=repr)


def test_a_shipped_sweep_is_found_by_its_name(mlptrain: Command, tmp_path: Path) -> None:
    arguments = ("hidden", "hidden=5,6", "epochs=1", "repeat=1", "subset=100")
    line = mlptrain("sweep", *arguments, "--list").out.splitlines()[0]
    assert line.startswith("mlptrain train quickstart ")
    assert mlptrain(*shlex.split(line)[1:]).code == 0
    result = mlptrain("sweep", *arguments)
    assert result.code == 0 and result.out.splitlines()[-1] == "runs/hidden-001"
    assert (tmp_path / "runs/hidden-001/base.yaml").read_text() == dump_yaml(load_config("quickstart").resolve())
    assert mlptrain("sweep", *arguments, "--resume").out.splitlines()[-1] == "runs/hidden-001"


def test_a_path_that_needs_quotes_is_refused(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "a b.yaml").write_text(tiny.read_text())
    result = mlptrain("sweep", "a b.yaml", "learning_rate=0.1,0.2", "--list")
    assert result.code == 2 and "a b.yaml" in result.err and result.out == ""
    result = mlptrain("sweep", tiny, "learning_rate=0.1,0.2", "--list", "--run", "../x")
    assert result.code == 2 and "'../x/trials/0000'" in result.err and result.out == ""


VAST = "seed={min: 0, max: 999999999}", "split_seed={min: 0, max: 999999999}", "batch_size=10,20,30", "epochs=1,2"


def test_a_trial_or_a_shard_of_a_vast_grid_trains_at_once(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    assert mlptrain("sweep", tiny, *VAST, "--index", 999_999_999_999, "--run", "one", "-q").code == 0
    text = (tmp_path / "runs/one/trials/999999999999/config.yaml").read_text()
    assert "split_seed: 666666666" in text and "seed: 166" in text and "batch_size: 20" in text and "epochs: 2" in text
    huge = "6000000000000000000", "5999999999999999999/6000000000000000001"
    assert mlptrain("sweep", tiny, *VAST, "--index", huge[0]).code == 2
    shard = mlptrain("sweep", tiny, *VAST, "--shard", huge[1], "--workers", 1, "-q", "--json")
    assert shard.code == 0 and json.loads(shard.out)["trials"] == 1
    assert json.loads(shard.out)["best"]["config"]["split_seed"] == 999_999_999


def test_the_best_trial_is_shown_with_the_command_that_trains_it(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    space = "hidden=[3,2],[2,3]", "learning_rate=0.1,0.5", "batch_size=10,20", "epochs=2"
    own = "--data-dir", "elsewhere"
    swept = mlptrain("sweep", tiny, *space, "method=halving", "run_cap=3", "--run", "s", "--workers", 1, *own)
    assert f" --data-dir {tmp_path / 'elsewhere'}\n" in swept.out
    collected = mlptrain("sweep", "--collect", "runs/s")
    for number, result in enumerate((swept, collected)):
        lines = result.out.splitlines()
        at = next(at for at, line in enumerate(lines) if line.startswith("best trial: "))
        words = shlex.split(lines[at + 1])
        assert {word.partition("=")[0] for word in words} >= {"hidden", "learning_rate", "batch_size"}
        assert mlptrain(*words[1:], "--run", f"again{number}", "-q").code == 0
        again = tmp_path / f"runs/again{number}/config.yaml"
        assert again.read_text() == (tmp_path / "runs/s/best/config.yaml").read_text()


def test_runs_are_collected_by_any_name(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    for name in ("rate=0.1", "b"):
        mlptrain("train", tiny, "epochs=1", "--run", name, "-q")
    for first in ("runs/rate=0.1", "rate=0.1"):
        collected = json.loads(mlptrain("sweep", "--collect", first, "b", "--json", "-q").out)
        assert collected["trials"] == 2
    refused = mlptrain("sweep", "--collect", "b", "epochs=1")
    assert refused.code == 2 and "epochs=1" in refused.err


def test_an_index_trains_one_trial(mlptrain: Command, grid: list[Any], tmp_path: Path) -> None:
    assert mlptrain("sweep", *grid, "--index", 2, "-q").code == 0
    text = (tmp_path / "runs/tiny/trials/0002/config.yaml").read_text()
    assert "learning_rate: 0.5" in text and "hidden: [3]" in text
    assert mlptrain("sweep", *grid, "--index", 4).code == 2


def test_an_index_needs_a_method_that_lists_its_trials(mlptrain: Command, grid: list[Any], tmp_path: Path) -> None:
    result = mlptrain("sweep", *grid, "--index", 0, "--run", "job")
    assert result.code == 0 and result.out.splitlines()[-1] == "runs/job/trials/0000" and "epoch" in result.out.lower()
    refused = mlptrain("sweep", *grid, "method=halving", "--index", 0)
    assert refused.code == 2 and "--index" in refused.err and "halving" in refused.err


def test_fail_fast_stops_at_the_first_failure(mlptrain: Command, tmp_path: Path) -> None:
    (tmp_path / "linear.yaml").write_text(
        "hidden: []\noutput: linear\nloss: mse\nsubset: 100\nepochs: 1\nbatch_size: 20\n"
    )
    options = ("--fail-fast", "--no-stack", "--workers", 1, "-q", "--json")
    result = mlptrain("sweep", "linear.yaml", "learning_rate=1e30,0.001,0.002", *options)
    assert result.code == 6 and "0000 (diverged)" in result.err
    assert json.loads(result.out)["best"] is None


def test_keys_without_effect_give_one_warning_each(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("sweep", tiny, "momentum=0.5,0.9", "rho=0.8", "optimizer=sgd,adam", "--list")
    assert result.code == 0 and len(result.out.splitlines()) == 4
    momentum, rho = result.err.splitlines()
    assert momentum.startswith("mlptrain: warning: momentum") and "nesterov" in momentum
    assert rho.startswith("mlptrain: warning: rho") and "rmsprop" in rho and "adadelta" in rho
    assert mlptrain("sweep", tiny, "momentum=0.5,0.9", "optimizer=sgd,nesterov", "--list").err == ""


def test_batches_of_one_image_with_batch_normalisation_give_one_warning(
    mlptrain: Command, tiny: Path, tmp_path: Path
) -> None:
    result = mlptrain("sweep", tiny, "batch_norm=false,true", "batch_size=1,2,4", "--list")
    assert result.err.count("warning: batch_norm") == 1
    assert mlptrain("sweep", tiny, "batch_norm=true", "batch_size=2,4", "--list").err == ""
    (tmp_path / "range.yaml").write_text(
        "base: tiny.yaml\nmethod: random\nrun_cap: 2\nmetric: {name: val_loss, goal: minimize}\n"
        "parameters: {batch_norm: {value: true}, batch_size: {min: 1, max: 9}}\n"
    )
    assert mlptrain("sweep", "range.yaml", "--list").err.count("warning: batch_norm") == 1


def test_a_sweep_over_losses_is_plotted_and_collected(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert mlptrain("sweep", tiny, "loss=mse,cross_entropy", "epochs=1,2", "--run", "s", "-q").code == 0
    assert mlptrain("plot", "s", "--only", "parameters").code == 0
    assert (tmp_path / "runs/s/plots/parameters.png").is_file()
    view = view_sweep(tmp_path / "runs/s")
    assert view.board.keys == ("loss", "epochs")
    assert {row.values["loss"] for row in view.ranked} == {"mse", "cross_entropy"}
    assert all(row.figures["loss"] > 0 and row.epochs == row.values["epochs"] for row in view.ranked)
    assert mlptrain("sweep", "--collect", "runs/s").code == 0


def test_shards_are_collected_to_the_whole_sweep(mlptrain: Command, grid: list[Any], tmp_path: Path) -> None:
    for shard in ("1/2", "2/2"):
        assert mlptrain("sweep", *grid, "--shard", shard, "-q").code == 0
    assert [path.name for path in sorted((tmp_path / "runs/tiny").iterdir())] == ["shard-1-of-2", "shard-2-of-2"]
    collected = mlptrain("sweep", "--collect", "runs/tiny/shard-1-of-2", "runs/tiny/shard-2-of-2", "-q", "--json")
    assert collected.code == 0 and json.loads(collected.out)["trials"] == 4
    assert mlptrain("sweep", *grid, "--run", "whole", "-q").code == 0
    assert board(tmp_path / "runs/tiny") == board(tmp_path / "runs/whole")
    one = mlptrain("sweep", "--collect", "runs/tiny/shard-1-of-2", "--run", "part")
    assert one.code == 0 and "missing: 2 trials, 0001, 0003" in one.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "SWEEP"),
        (["tiny.yaml", "epochs=1,2", "--shard", "3/2"], "I from 1 to N"),
        (["tiny.yaml", "epochs=1,2", "--shard", "x"], "I from 1 to N"),
        (["tiny.yaml", "epochs=1,2", "--shard", "1/2", "--list"], "combined"),
        (["tiny.yaml", "epochs=1,2", "--keep", "some"], "best, all, none"),
        (["tiny.yaml", "epochs=1,2", "--executor", "ray"], "processes, dask"),
        (["tiny.yaml", "epochs=1,2", "--scheduler", "tcp://x:1"], "--executor dask"),
        (["tiny.yaml", "epochs=1,2", "--print", "worst"], "best.KEY"),
        (["tiny.yaml", "epochs=1,2", "method=halving", "--list"], "halving"),
        (["--collect", "nowhere"], "no folder"),
        (["--collect", "."], "no run"),
    ],
)
def test_wrong_usage_is_exit_2(mlptrain: Command, tiny: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    result = mlptrain("sweep", *arguments)
    assert result.code == 2 and words in result.err, result.err
    assert not (tmp_path / "runs").exists()


def test_missing_data_leaves_no_folder(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    result = mlptrain("sweep", tiny, "learning_rate=0.1,0.2", "dataset=mnist")
    assert result.code == 3 and "mnist" in result.err and not (tmp_path / "runs").exists()


def test_tpe_without_optuna_names_the_extra(
    mlptrain: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlptrain.system.extras.find_spec", lambda name: None)
    result = mlptrain("sweep", tiny, "learning_rate=0.1,0.2", "method=tpe", "run_cap=2")
    assert result.code == 2 and "pip install 'mlptrain[optuna]'" in result.err and not (tmp_path / "runs").exists()


def begin(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Return the process of a sweep, in a group of its own."""
    command = [sys.executable, "-m", "mlptrain", "sweep", "tiny.yaml", "learning_rate=0.1,0.2", "--run", "s", "-q"]
    return subprocess.Popen([*command, *arguments], cwd=folder, stderr=subprocess.PIPE, start_new_session=True)


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Return the process of a sweep whose workers have just been started."""
    process = begin(folder, *arguments)
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and not workers(process.pid):
        time.sleep(0.02)
    return process


def workers(pid: int) -> list[int]:
    """Return the process ids of a sweep's workers: its children but the resource tracker of multiprocessing."""
    found = []
    with suppress(OSError):  # one that has just ended
        for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes():
                found.append(int(one))
    return found


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("command", [["sweep", "tiny.yaml", "learning_rate=0.1,0.2"], ["train", "tiny.yaml"]])
def test_a_folder_that_is_deleted_while_it_is_used_is_exit_3_and_stays_deleted(
    tiny: Path, tmp_path: Path, command: list[str]
) -> None:
    path = tmp_path / "runs/s"
    arguments = [sys.executable, "-m", "mlptrain", *command, "epochs=1000000", "--run", "s", "-q"]
    with subprocess.Popen(arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (path / "journal.jsonl").exists() | (path / "checkpoint.npz").exists():
            time.sleep(0.02)
        path.rename(tmp_path / "moved")
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 3 and not path.exists()
    assert errors.startswith("mlptrain: runs/s") and "Traceback" not in errors


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
@pytest.mark.parametrize(
    ("executor", "number", "code", "delay"),
    [
        ("processes", signal.SIGINT, 130, 0.1),
        ("processes", signal.SIGTERM, 143, 0.1),
        ("processes", signal.SIGKILL, -9, 0.1),
        ("dask", signal.SIGINT, 130, 0.1),
        ("dask", signal.SIGHUP, 129, 0.0),
    ],
)
def test_a_signal_ends_all_workers_and_leaves_a_sweep_to_resume(
    mlptrain: Command, tiny: Path, tmp_path: Path, executor: str, number: Any, code: int, delay: float
) -> None:
    """Also while the workers start; as from a terminal, Ctrl-C and SIGHUP reach all processes."""
    if executor == "dask":
        pytest.importorskip("distributed")
    process = start(tmp_path, "epochs=1000000", "--executor", executor)
    time.sleep(delay)
    busy = workers(process.pid)
    if number == signal.SIGKILL:
        locked = mlptrain("sweep", tiny, "learning_rate=0.1,0.2", "epochs=1000000", "--run", "s", "--resume")
        assert locked.code == 2 and f"process {process.pid}" in locked.err
    if number in (signal.SIGINT, signal.SIGHUP):
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code and busy
    end = time.monotonic() + 10
    while not all(map(gone, busy)) and time.monotonic() < end:
        time.sleep(0.02)
    assert all(map(gone, busy)), "a worker outlived the sweep"
    if code > 0:
        assert b"0 of 2 trials" in errors and b"--resume --run s" in errors and errors.count(b"\n") == 2, errors


def test_the_hint_of_an_interrupted_sweep_resumes_it_when_pasted(tiny: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "mlptrain"]
    options = ["--workers", "1", "--no-stack", "--keep", "all", "--runs-dir", "my runs"]
    command = [*program, "sweep", "tiny.yaml", "seed=1,2,3,4", "epochs=100", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while not process.stdout.readline().startswith("[1/4]"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    hint = errors.splitlines()[-1].partition("mlptrain ")[2]
    pasted = f"{shlex.join(program)} {hint}"
    done = subprocess.run(pasted, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert process.returncode == 130 and "already finished" in done.stdout
    assert done.stdout.splitlines()[-1] == "my runs/tiny-001"
    assert [path.name for path in (tmp_path / "my runs").iterdir()] == ["tiny-001"]
    assert len(list((tmp_path / "my runs/tiny-001/trials").glob("*/model.npz"))) == 4


def test_a_leading_folder_of_runs_is_dropped_from_the_name_of_a_sweep(
    mlptrain: Command, grid: list[Any], tmp_path: Path
) -> None:
    assert "nothing to resume" in mlptrain("sweep", *grid, "--run", "runs/a", "--resume").out
    again = mlptrain("sweep", *grid, "--run", "runs/a", "--resume").out
    assert "4 already finished" in again and "nothing to resume" not in again
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]
    collected = mlptrain("sweep", "--collect", "a", "--run", "runs/b", "-q", "--json")
    assert json.loads(collected.out)["sweep"] == "runs/b", collected.err


UNSHARED = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o ro none /dev/shm && exec "$@"', "sh"]
"""The beginning of a command that runs another one with a ``/dev/shm`` that cannot be written."""


def can_unshare() -> bool:
    return (
        shutil.which("unshare") is not None
        and not subprocess.run([*UNSHARED, "true"], check=False, stderr=subprocess.DEVNULL).returncode
    )


@pytest.mark.skipif(not can_unshare(), reason="mounts a folder in a namespace of its own")
def test_dask_needs_no_shared_memory(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    command = [sys.executable, "-m", "mlptrain", "sweep", "tiny.yaml", "learning_rate=0.1,0.2", "--executor", "dask"]
    done = subprocess.run(
        [*UNSHARED, *command, "--workers", "1", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(board(tmp_path / "runs/tiny-001")) == 2


def test_a_signal_ends_the_wait_for_a_scheduler(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        process = begin(tmp_path, "--executor", "dask", "--scheduler", address)
        server.settimeout(60)
        with server.accept()[0]:
            process.terminate()
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 143 and b"--resume --run s" in errors and errors.count(b"\n") == 2, errors
