from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlptrain.config.config import dump_yaml, load_config
from mlptrain.system.machine import VARIABLES, available_cores
from tests.cli.conftest import Command
from tests.stress.stateful import history


def test_the_folder_of_a_run_and_its_name_in_the_last_line(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    result = mlptrain("train", tiny)
    assert result.code == 0 and result.err == ""
    assert result.out.splitlines()[-1] == "runs/tiny-001"
    folder = tmp_path / "runs/tiny-001"
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.yaml",
        "history.csv",
        "layers.csv",
        "metrics.json",
        "model.npz",
    ]
    with (folder / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["epochs"] == 2 and metrics["val_loss"] == float(rows[1]["val_loss"])
    assert np.load(folder / "model.npz")["W1"].shape == (8, 784)


def test_a_summary_is_appended_and_compares_with_a_baseline(
    mlptrain: Command, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    assert mlptrain("train", tiny, "--run", "a", "--summary", summary, "--min-accuracy", 0).code == 0
    metrics = json.loads((tmp_path / "runs/a/metrics.json").read_text())
    (tmp_path / "baseline.json").write_text(json.dumps({**metrics, "test_accuracy": 0.5}))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = mlptrain("train", tiny, "--baseline", "baseline.json", "--min-accuracy", 1)
    assert result.code == 5
    difference = f"{metrics['test_accuracy'] - 0.5:+.4f}"
    assert any(line.startswith("baseline baseline.json") and difference in line for line in result.out.splitlines())
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    assert mlptrain("train", tiny, "--run", "b", "--baseline", "a", "-q").out == ""
    text = summary.read_text()
    assert text.startswith("before\n### runs/a: passed") and text.count("### ") == 2
    assert "### runs/tiny-001: failed" in text and f"| 0.5000 | {difference} |" in text


def test_a_summary_that_cannot_be_written_is_exit_3_after_the_run_is_saved(
    mlptrain: Command, tiny: Path, tmp_path: Path
) -> None:
    result = mlptrain("train", tiny, "--run", "a", "--summary", tmp_path)
    assert result.code == 3 and "--summary" in result.err and (tmp_path / "runs/a/metrics.json").is_file()
    assert mlptrain("train", tiny, "--baseline", "missing").code == 3
    assert list((tmp_path / "runs").iterdir()) == [tmp_path / "runs/a"], "refused before training"
    diverging = ("learning_rate=1e30", "activation=relu", "hidden=5,5")
    assert mlptrain("train", tiny, *diverging, "--run", "b", "--summary", tmp_path).code == 4
    assert mlptrain("train", tiny, *diverging, "--run", "c", "--summary", tmp_path / "s.md").code == 4
    assert (tmp_path / "s.md").read_text().startswith("### c: failed")


@pytest.mark.parametrize("arguments", [[], ["quickstart"]])
def test_without_a_config_the_quickstart_is_trained(mlptrain: Command, tmp_path: Path, arguments: list[str]) -> None:
    result = mlptrain("train", *arguments, "epochs=1", "subset=100", "hidden=5")
    assert result.code == 0 and result.out.splitlines()[-1] == "runs/quickstart-001"
    saved = (tmp_path / "runs/quickstart-001/config.yaml").read_text()
    assert saved == dump_yaml(load_config("quickstart", ["epochs=1", "subset=100", "hidden=5"]).resolve())


def test_a_path_with_an_equals_sign_is_a_config(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "lr=1").mkdir()
    for path in ("lr=1/lr=1.yaml", "epochs=2.yaml"):
        tiny.rename(tmp_path / path)
        assert mlptrain("train", path, "--dry-run").code == 0
        tiny = tmp_path / path


def test_a_copied_config_trains_to_the_same_bytes(mlptrain: Command, tmp_path: Path) -> None:
    mlptrain("init", "dropout")
    shown = mlptrain("config", "dropout").out
    (tmp_path / "shown.yaml").write_text(shown)
    for config in ("dropout", "dropout.yaml", "shown.yaml"):
        assert mlptrain("train", config, "epochs=1", "subset=200", "--run", config).code == 0
    first, *others = [
        (tmp_path / f"runs/{run}/model.npz").read_bytes() for run in ("dropout", "dropout.yaml", "shown.yaml")
    ]
    assert others == [first, first]


def test_runs_are_numbered(mlptrain: Command, tiny: Path) -> None:
    assert [mlptrain("train", tiny, "-q", "--json").code for _ in range(2)] == [0, 0]
    assert json.loads(mlptrain("train", tiny, "-q", "--json").out)["run"] == "runs/tiny-003"


def test_json_prints_one_object_to_stdout(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("train", tiny, "--json")
    metrics = json.loads(result.out)
    assert metrics["run"] == "runs/tiny-001" and metrics["stopped"] is None
    assert metrics["data_fingerprint"].startswith("sha256:") and metrics["split_fingerprint"].startswith("sha256:")
    assert "Epoch 2/2" in result.err


def test_quiet_prints_nothing(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("train", tiny, "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")


def test_profile_divides_the_training_time(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("train", tiny, "--profile")
    lines = result.out.splitlines()
    assert any(line.startswith("  products ") for line in lines) and "GFLOP/s" in result.out
    assert lines[-1] == "runs/tiny-001"
    quiet = mlptrain("train", tiny, "--profile", "--quiet", "--json")
    profile = json.loads(quiet.out)["profile"]
    assert sum(profile["phases"].values()) == pytest.approx(profile["seconds"]) and quiet.err == ""
    assert "profile" not in json.loads(mlptrain("train", tiny, "-q", "--json").out)


def test_plain_output_has_no_escape_codes(mlptrain: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = mlptrain("train", tiny)
    assert "\x1b" not in result.out + result.err and "\r" not in result.out
    assert "Epoch 1/2\n10/10 - " in result.out


def test_log_every_prints_each_nth_epoch_and_the_last(mlptrain: Command, tiny: Path) -> None:
    lines = mlptrain("train", tiny, "epochs=5", "--log-every", 2).out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 2/5", "Epoch 4/5", "Epoch 5/5"]


def test_an_accuracy_below_the_minimum_is_exit_5(mlptrain: Command, tiny: Path) -> None:
    assert mlptrain("train", tiny, "--min-accuracy", 0.05, "-q").code == 0
    result = mlptrain("train", tiny, "--min-accuracy", 0.999, "--json", "-q")
    assert result.code == 5
    assert json.loads(result.out)["test_accuracy"] < 0.999
    assert "runs/tiny-002" in result.err and "--min-accuracy 0.999" in result.err


def test_zero_epochs_save_and_test_the_initial_model(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    metrics = json.loads(mlptrain("train", tiny, "epochs=0", "--json", "-q").out)
    assert metrics["epochs"] == 0 and metrics["loss"] is None and metrics["best_epoch"] is None
    assert 0 <= metrics["test_accuracy"] < 0.5 and metrics["val_loss"] > 0
    assert (tmp_path / "runs/tiny-001/history.csv").read_text().count("\n") == 1
    assert (tmp_path / "runs/tiny-001/model.npz").exists()


def test_a_saved_config_gives_the_same_model(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    mlptrain("train", tiny, "seed=3", "learning_rate=1e-1", "--run", "a")
    assert mlptrain("train", "runs/a/config.yaml", "--run", "b").code == 0
    models = [(tmp_path / f"runs/{name}/model.npz").read_bytes() for name in "ab"]
    assert models[0] == models[1]
    assert history(tmp_path / "runs/a") == history(tmp_path / "runs/b")
    assert (tmp_path / "runs/a/config.yaml").read_bytes() == (tmp_path / "runs/b/config.yaml").read_bytes()


def test_runs_of_different_seeds_share_the_split(mlptrain: Command, tiny: Path) -> None:
    first, second = (json.loads(mlptrain("train", tiny, f"seed={seed}", "--json").out) for seed in (1, 2))
    assert first["split_fingerprint"] == second["split_fingerprint"]
    assert first["test_loss"] != second["test_loss"]


def test_an_existing_run_is_kept_without_overwrite(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    mlptrain("train", tiny, "--run", "a")
    (tmp_path / "runs/a/notes.txt").write_text("mine")
    before = (tmp_path / "runs/a/model.npz").read_bytes()
    refused = mlptrain("train", tiny, "--run", "a", "seed=9")
    assert refused.code == 2 and "runs/a" in refused.err and "--overwrite" in refused.err
    assert (tmp_path / "runs/a/model.npz").read_bytes() == before
    assert mlptrain("train", tiny, "--run", "a", "seed=9", "--overwrite").code == 0
    assert (tmp_path / "runs/a/model.npz").read_bytes() != before
    assert (tmp_path / "runs/a/notes.txt").read_text() == "mine"


def test_overwrite_keeps_the_old_run_if_the_new_one_cannot_start(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    mlptrain("train", tiny, "--run", "a")
    assert mlptrain("train", tiny, "--run", "a", "--overwrite", "dataset=./nowhere").code == 3
    assert (tmp_path / "runs/a/model.npz").exists()


def test_a_dry_run_writes_nothing(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    result = mlptrain("train", tiny, "--dry-run")
    assert result.code == 0 and "784-8-10" in result.out
    assert not (tmp_path / "runs").exists()
    mlptrain("train", tiny, "--run", "a")
    assert mlptrain("train", tiny, "--dry-run", "--run", "a").code == 2


def test_from_starts_from_saved_weights(mlptrain: Command, tiny: Path) -> None:
    first = json.loads(mlptrain("train", tiny, "--run", "a", "--json").out)
    copied = json.loads(mlptrain("train", tiny, "--from", "a", "epochs=0", "seed=5", "--json").out)
    assert copied["test_loss"] == first["test_loss"]
    from_file = json.loads(mlptrain("train", tiny, "--from", "runs/a/model.npz", "epochs=0", "--json").out)
    assert from_file["test_loss"] == first["test_loss"]
    refused = mlptrain("train", tiny, "--from", "a", "hidden=[9]")
    assert refused.code == 2 and "784-8-10" in refused.err and "784-9-10" in refused.err


def test_the_run_whose_weights_are_used_is_named(mlptrain: Command, tiny: Path) -> None:
    first = json.loads(mlptrain("train", tiny, "--run", "a", "--json", "-q").out)
    line = f"starting from runs/a (val_accuracy {first['val_accuracy']:.4f})"
    for start in ("a", "runs/a/model.npz", "latest", "best:val_accuracy"):
        assert line in mlptrain("train", tiny, "--dry-run", "--from", start).out.splitlines()
    assert line in mlptrain("train", tiny, "--run", "b", "--from", "a", "--time-limit", "0").out.splitlines()
    resumed = mlptrain("train", tiny, "--run", "b", "--resume").out
    assert "resumed in epoch" in resumed and "starting from" not in resumed


def test_a_sweep_is_no_start(mlptrain: Command, tiny: Path) -> None:
    mlptrain("sweep", tiny, "learning_rate=0.1,0.2", "--run", "s", "-q")
    refused = mlptrain("train", tiny, "--from", "s")
    assert refused.code == 2 and refused.err.endswith("runs/s/best\n")
    assert "starting from runs/s/best (" in mlptrain("train", tiny, "--dry-run", "--from", "s/best").out


def test_a_time_limit_leaves_a_tested_model(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    started = time.perf_counter()
    metrics = json.loads(mlptrain("train", tiny, "epochs=100000", "--time-limit", 0.5, "--json", "-q").out)
    assert time.perf_counter() - started < 10
    assert metrics["stopped"] == "time_limit" and metrics["test_loss"] > 0
    assert 0 < metrics["epochs"] < 100000
    assert (tmp_path / "runs/tiny-001/model.npz").exists()


def test_divergence_is_exit_4_and_leaves_the_history(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    result = mlptrain("train", tiny, "loss=mse", "output=linear", "activation=relu", "learning_rate=1e9", "--json")
    assert result.code == 4 and result.out == ""
    assert "epoch 1" in result.err and "learning_rate=1e+08" in result.err
    assert sorted(path.name for path in (tmp_path / "runs/tiny-001").iterdir()) == [
        "config.yaml",
        "history.csv",
        "layers.csv",
    ]


def test_a_key_without_effect_gives_a_warning(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("train", tiny, "momentum=0.5", "--dry-run")
    assert result.code == 0 and result.err.count("warning") == 1 and "momentum" in result.err


def test_a_full_batch_is_one_step_per_epoch(mlptrain: Command, tiny: Path) -> None:
    assert "Epoch 1/2\n1/1 - " in mlptrain("train", tiny, "batch_size=full").out


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mlptrain", *map(str, arguments)]


@pytest.mark.parametrize(
    ("options", "variables", "threads"),
    [
        ([], {}, 1),  # by the size of the network
        ([], {"OMP_NUM_THREADS": "2"}, 2),
        (["--threads", 2], {}, 2),
        (["--threads", 1], {"OMP_NUM_THREADS": "2"}, 1),
    ],
)
def test_threads_come_from_the_option_the_environment_or_the_network(
    mlptrain: Command,
    tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[int | str],
    variables: dict[str, Any],
    threads: int,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = mlptrain("train", tiny, "--json", "-q", *options)
    assert json.loads(result.out)["threads"] == min(threads, available_cores())


def test_batches_of_one_image_with_batch_normalisation_give_a_warning(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("train", tiny, "batch_norm=true", "batch_size=1", "epochs=1", "-q")
    assert result.code == 0 and result.err.count("warning") == 1 and "batch_norm" in result.err
    assert mlptrain("train", tiny, "batch_norm=true", "subset=141", "-q").err == "", "a last batch of one image is fine"


def test_an_unknown_library_for_matrix_products(mlptrain: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPTRAIN_PRODUCTS", "blis")
    result = mlptrain("train", tiny)
    assert result.code == 2 and "MLPTRAIN_PRODUCTS" in result.err and "'blis'" in result.err
    assert not Path("runs").exists()


@pytest.mark.skipif(not list(metadata.distributions(name="mkl")), reason="MKL is not installed")
def test_products_of_mkl_are_recorded(mlptrain: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPTRAIN_PRODUCTS", "mkl")
    assert mlptrain("train", tiny, "--run", "b", "--threads", 1).code == 0
    metrics = json.loads(Path("runs/b/metrics.json").read_text())
    assert metrics["versions"]["mkl"] == metadata.version("mkl") and metrics["threads"] == 1


def test_more_threads_than_cores_give_a_warning(mlptrain: Command, tiny: Path) -> None:
    result = mlptrain("train", tiny, "--json", "-q", "--threads", 1000)
    assert json.loads(result.out)["threads"] == available_cores()
    assert "warning: --threads 1000" in result.err


def test_a_closed_pipe_is_exit_141_without_a_message(tiny: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("train", tiny, "epochs=2000"), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=30), error) == (141, b"")
    assert (tmp_path / "runs/tiny-001/checkpoint.npz").is_file()


def started(folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """Return a process whose run has finished its third epoch."""
    process = subprocess.Popen(
        command("train", *arguments), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("Epoch 3/"):
        pass
    return process


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_prints_the_command_that_resumes_the_run(tiny: Path, tmp_path: Path, number: str, code: int) -> None:
    process = started(tmp_path, tiny, "epochs=100000", "--run", "a", "--threads", "1")
    process.send_signal(getattr(signal, number))
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert re.search(r"epoch \d+", error)
    assert error.endswith("mlptrain train runs/a/config.yaml --run a --resume --threads 1\n")
    with (tmp_path / "runs/a/history.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) >= 3
    assert sorted(path.name for path in (tmp_path / "runs/a").iterdir()) == [
        "checkpoint.npz", "config.yaml", "history.csv", "layers.csv",
    ]  # fmt: skip


def test_a_second_process_cannot_use_the_folder(
    tiny: Path, tmp_path: Path, mlptrain: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # in both processes
    process = started(tmp_path, tiny, "epochs=100000", "--run", "a")
    try:
        for option in ("--resume", "--overwrite"):
            result = mlptrain("train", tiny, "epochs=100000", "--run", "a", option)
            assert result.code == 2 and f"process {process.pid}" in result.err
    finally:
        process.kill()
        process.communicate()
    result = mlptrain("train", tiny, "epochs=100000", "--run", "a", "--resume", "--time-limit", "0")
    assert result.code == 0, result.err


def test_latest_may_be_another_run_when_a_run_is_resumed(mlptrain: Command, tiny: Path) -> None:
    mlptrain("train", tiny, "--run", "first", "-q")
    command = "train", tiny, "--from", "latest", "--run", "a", "--resume"
    assert "starting from runs/first" in mlptrain(*command, "--time-limit", "0").out
    mlptrain("train", tiny, "hidden=3", "--run", "other", "-q")
    assert mlptrain(*command).code == 0


def test_a_resumed_run_equals_an_uninterrupted_one(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    first = mlptrain("train", tiny, "--run", "a", "--resume", "--time-limit", "0")
    assert first.code == 0 and (tmp_path / "runs/a/checkpoint.npz").is_file()
    changed = mlptrain("train", tiny, "learning_rate=0.1", "--run", "a", "--resume")
    assert (changed.code, changed.err.count("\n")) == (2, 2)
    assert all(words in changed.err for words in ("learning_rate", "0.5", "0.1"))
    assert "nothing to resume" in first.out
    resumed = mlptrain("train", tiny, "--run", "runs/a", "--resume")
    assert resumed.code == 0 and "resumed in epoch 1 after step 1\n" in resumed.out
    assert "nothing to resume" not in resumed.out and not (tmp_path / "runs/runs").exists()
    whole = mlptrain("train", tiny, "--run", "whole", "--json")
    complete = mlptrain("train", tiny, "--run", "a", "--resume", "--json")
    assert complete.code == 0 and "Epoch" not in complete.err
    metrics = [json.loads(result.out) for result in (whole, complete)]
    assert metrics[0]["test_loss"] == metrics[1]["test_loss"]
    assert (tmp_path / "runs/a/model.npz").read_bytes() == (tmp_path / "runs/whole/model.npz").read_bytes()
    assert mlptrain("train", tiny, "--resume").code == 2
    assert mlptrain("train", tiny, "--run", "a", "--resume", "--overwrite").code == 2


def test_a_damaged_checkpoint_is_exit_3(mlptrain: Command, tiny: Path, tmp_path: Path) -> None:
    mlptrain("train", tiny, "--run", "a", "--time-limit", "0")
    (tmp_path / "runs/a/checkpoint.npz").write_bytes(b"no archive")
    result = mlptrain("train", tiny, "--run", "a", "--resume")
    assert result.code == 3 and "checkpoint" in result.err and "--overwrite" in result.err
    assert mlptrain("train", tiny, "--run", "a", "--overwrite").code == 0
    assert not (tmp_path / "runs/a/checkpoint.npz").exists()


def test_a_signal_before_training_is_reported(mlptrain: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminate(*arguments: Any, **options: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("mlptrain.runs.train.prepare", terminate)
    result = mlptrain("train", tiny)
    assert (result.code, result.err) == (143, "mlptrain: interrupted by SIGTERM\n")


@pytest.mark.mnist
@pytest.mark.skipif("MLPTRAIN_DATA_DIR" not in os.environ, reason="needs the official MNIST files")
def test_full_mnist_in_its_official_split(tmp_path: Path) -> None:
    config = tmp_path / "official.yaml"
    config.write_text("dataset: mnist\nsplit: official\nhidden: [30]\nlearning_rate: 0.5\nepochs: 2\n")
    done = subprocess.run(
        command("train", config, "--json", "--min-accuracy", 0.92), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "50,000 training, 10,000 validation, 10,000 test" in done.stderr


def test_layers_shows_statistics_of_each_layer(mlptrain: Command, tiny: Path) -> None:
    shown, quiet = mlptrain("train", tiny, "--layers"), mlptrain("train", tiny)
    assert shown.code == quiet.code == 0 and "gradient" not in quiet.out
    rows = [line.split() for line in shown.out.splitlines() if line.startswith("  layer")]
    assert [row[1] for row in rows] == ["1", "2"] * 3 and all("gradient" in row and "update" in row for row in rows)
