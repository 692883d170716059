from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlptrain.cli import main
from mlptrain.config import registry
from mlptrain.datasets import download as transfers
from mlptrain.datasets.transfer import Limits
from tests.datasets.fault_server import (
    CONTENTS,
    IMAGES,
    LABELS,
    FaultServer,
    dataset,
    fault_server,
    html,
    placed,
    stalled,
    status,
    truncated,
)

ROOT = Path(__file__).parents[2]
FINGERPRINT = "sha256:9a85fb64f27d395f6ef91fcd6de157c47311c6031b29499ab86f212ab53898a2"
MNIST = os.environ.get("MLPTRAIN_DATA_DIR")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """Run a server that is the only mirror of three small datasets."""
    with fault_server() as running:
        small = {name: dataset(running.url, name=name) for name in registry.DATASETS}
        monkeypatch.setattr(registry, "DATASETS", small)
        yield running


def test_files_are_downloaded_verified_and_not_downloaded_again(
    tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download"]) == 0
    assert placed(tmp_path / "data" / "mnist") == CONTENTS
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    for line, name, size in zip(lines, CONTENTS, ("60.0 kB", "3.0 kB", "20.0 kB", "500 bytes"), strict=False):
        assert line.startswith(f"mnist/{name}: {size} in ") and line.endswith("verified")
    assert str(tmp_path / "data/mnist") in lines[4] and lines[5] == "by Somebody; a licence"
    assert lines[-1].endswith("mlptrain train mnist")
    assert not errors

    server.asked.clear()
    assert main(["download", "mnist"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"mnist/{IMAGES}: 60.0 kB, already there, verified"
    assert lines[1] == f"mnist/{LABELS}: 3.0 kB, already there, verified"
    assert not server.asked


def test_all_datasets_go_to_the_data_dir(
    tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["download", "all", "--data-dir", "my data"]) == 0
    assert sorted(path.name for path in (tmp_path / "my data").iterdir()) == sorted(registry.DATASETS)
    output = capsys.readouterr().out
    assert f"mlptrain train mnist --data-dir '{tmp_path}/my data'\n" in output
    assert f"mlptrain train mnist dataset=kmnist --data-dir '{tmp_path}/my data'\n" in output


def test_the_environment_sets_the_data_dir(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "elsewhere"))
    assert main(["download", "kmnist"]) == 0
    assert placed(tmp_path / "elsewhere" / "kmnist") == CONTENTS
    assert capsys.readouterr().out.endswith("mlptrain train mnist dataset=kmnist\n")


def test_without_a_data_folder_the_files_go_to_that_of_the_user(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLPTRAIN_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert main(["download"]) == 0
    assert placed(tmp_path / "home/mlptrain/mnist") == CONTENTS
    output = capsys.readouterr().out
    assert str(tmp_path / "home/mlptrain/mnist") in output and output.endswith("mlptrain train mnist\n")
    assert main(["download", "--check"]) == 0

    (tmp_path / "data").mkdir()
    assert main(["download", "--check"]) == 3
    assert str(tmp_path / "data/mnist") in capsys.readouterr().err


def test_json_lists_the_files(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / IMAGES).write_bytes(CONTENTS[IMAGES])
    assert main(["download", "--json"]) == 0
    output, errors = capsys.readouterr()
    found = json.loads(output)
    assert found["data_dir"] == str(tmp_path / "data")
    assert [(file["file"], file["status"], file["mirror"]) for file in found["files"]] == [
        (name, *(("verified", None) if name == IMAGES else ("fetched", server.url))) for name in CONTENTS
    ]
    assert found["files"][1] == {
        "dataset": "mnist",
        "file": LABELS,
        "status": "fetched",
        "bytes": 3000,
        "path": str(tmp_path / "data/mnist" / LABELS),
        "mirror": server.url,
    }
    assert LABELS in errors


def test_quiet_prints_nothing(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check_reports_missing_and_damaged_files(
    tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["download", "-q"])
    server.asked.clear()
    assert main(["download", "--check"]) == 0
    assert f"mnist/{IMAGES}: 60.0 kB, already there, verified\n" in capsys.readouterr().out

    (tmp_path / "data" / "mnist" / IMAGES).write_bytes(bytes(60_000))
    (tmp_path / "data" / "mnist" / LABELS).unlink()
    assert main(["download", "--check"]) == 3
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert lines[0].startswith(f"mnist/{IMAGES}: damaged (wrong SHA-256 ") and lines[1] == f"mnist/{LABELS}: missing"
    assert lines[2].endswith("20.0 kB, already there, verified")
    assert errors.startswith(f"mlptrain: {tmp_path}/data/mnist: 2 of 4 files") and "`mlptrain download mnist`" in errors

    assert main(["download", "--check", "--json", "-q"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert [file["status"] for file in found["files"]] == ["damaged", "missing", "verified", "verified"]
    assert [file["bytes"] for file in found["files"]] == [60_000, None, 20_000, 500]
    assert main(["download", "--check", "kmnist"]) == 3
    assert not server.asked
    assert not (tmp_path / "data" / "kmnist").exists()


def test_a_failed_download_prints_nothing_to_stdout(
    tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.always(IMAGES, html)
    assert main(["download", "--json", "-q"]) == 3
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"mlptrain: {tmp_path}/data/mnist/{IMAGES}: ") and server.url in errors.splitlines()[1]
    assert not list(tmp_path.iterdir())


def test_one_failed_dataset_does_not_stop_the_others(
    tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan(IMAGES, status(404))
    assert main(["download", "all"]) == 3
    assert {path.name for path in (tmp_path / "data").iterdir()} == {*registry.DATASETS} - {"mnist"}
    assert "404" in capsys.readouterr().err


def test_a_repeated_attempt_is_shown(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.plan(IMAGES, truncated(1000))
    assert main(["download"]) == 0
    host, problem = capsys.readouterr().out.splitlines()[0].strip().split(": ", 1)
    assert host in server.url and "1,000 bytes" in problem and "0.5 s" in problem


def test_an_answer_that_is_not_http_is_shown_without_control_characters(
    server: FaultServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "Limits", lambda: Limits(tries=2, backoff=0.01))
    answer = b"\x1b[2J\x9b http://me:secret@host\r\n\r\n"
    server.always(IMAGES, lambda handler, body: handler.wfile.writelines([answer]))
    assert main(["download"]) == 3
    output, errors = capsys.readouterr()
    assert "\\x1b[2j\\x9b http://host" in output.lower() and "\\x1b[2j\\x9b http://host" in errors.lower()
    assert (output + errors).replace("\n", "").isprintable()


def test_a_mirror_is_tried_first(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    with fault_server() as mine:
        assert main(["download", "--mirror", mine.url.rstrip("/"), "--json", "-q"]) == 0
        assert {file["mirror"] for file in json.loads(capsys.readouterr().out)["files"]} == {mine.url}
        assert not server.asked


def test_files_are_copied_from_a_folder(
    tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    for name, content in CONTENTS.items():
        (tmp_path / "mine" / name).write_bytes(content)
    assert main(["download", "--from", "mine", "--json", "-q"]) == 0
    assert {(file["status"], file["mirror"]) for file in json.loads(capsys.readouterr().out)["files"]} == {
        ("fetched", "mine")
    }
    assert placed(tmp_path / "data" / "mnist") == placed(tmp_path / "mine") == CONTENTS
    (tmp_path / "mine" / IMAGES).unlink()
    assert main(["download", "kmnist", "--from", "mine"]) == 3
    assert IMAGES in capsys.readouterr().err
    assert not server.asked


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fashon-mnist"], ["'fashon-mnist'", "'fashion-mnist'"]),
        (["cifar10"], ["'cifar10'", "mnist, fashion-mnist, kmnist", "or all"]),
        (["sample"], ["dataset: sample"]),
        (["--mirror", "127.0.0.1:8000"], ["--mirror 127.0.0.1:8000"]),
        (["--mirror", "ftp://127.0.0.1/"], ["--mirror ftp://127.0.0.1/"]),
        (["--check", "--force"], ["--check", "--force"]),
        (["--check", "--from", "x"], ["--check", "--from"]),
        (["--from", "x", "--mirror", "http://x/"], ["--from", "--mirror"]),
    ],
)
def test_wrong_usage_is_exit_2(
    tmp_path: Path,
    server: FaultServer,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: list[str],
) -> None:
    assert main(["download", *arguments]) == 2
    output, errors = capsys.readouterr()
    assert all(word in errors for word in words) and not output
    assert not server.asked and not list(tmp_path.iterdir())


def test_training_without_the_files_names_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(ROOT / "configs" / "mnist.yaml")]) == 3
    errors = capsys.readouterr().err
    assert "`mlptrain download mnist`" in errors and "`dataset: sample`" in errors
    assert not list(tmp_path.iterdir())


COMMAND = """
import sys
from mlptrain.cli import entry
from mlptrain.config import registry
from tests.datasets.fault_server import dataset
registry.DATASETS = {"mnist": dataset(sys.argv.pop(1), name="mnist")}
entry()
"""


def test_ctrl_c_leaves_no_file(tmp_path: Path, server: FaultServer) -> None:
    server.always(IMAGES, stalled(20_000))
    command = [sys.executable, "-c", COMMAND, server.url, "download", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not (tmp_path / "data" / "mnist").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "mlptrain: interrupted by SIGINT\n" and output == ""
    assert not (tmp_path / "data").exists()


def test_a_closed_pipe_is_exit_141(tmp_path: Path, server: FaultServer) -> None:
    command = [sys.executable, "-c", COMMAND, server.url, "download", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 141 and not errors
    assert placed(tmp_path / "data" / "mnist").items() <= CONTENTS.items()


@pytest.mark.mnist
@pytest.mark.skipif(MNIST is None, reason="MLPTRAIN_DATA_DIR is not set")
def test_download_and_train_with_the_real_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert MNIST is not None
    files = {file.name: (Path(MNIST) / "mnist" / file.name).read_bytes() for file in registry.DATASETS["mnist"].files}
    with fault_server(files) as server:
        server.plan("train-images-idx3-ubyte.gz", truncated(5_000_000))
        assert main(["download", "--mirror", server.url, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert {(file["status"], file["mirror"]) for file in found["files"]} == {("fetched", server.url)}
        assert server.ranges("train-images-idx3-ubyte.gz") == ["", "bytes=5000000-"]
    assert placed(tmp_path / "data" / "mnist") == files
    fingerprints = set()
    for _ in range(2):
        assert main(["train", str(ROOT / "configs" / "mnist.yaml"), "epochs=1", "hidden=[15]", "--json", "-q"]) == 0
        metrics = json.loads(capsys.readouterr().out)
        assert metrics["test_accuracy"] > 0.85
        fingerprints.add(metrics["data_fingerprint"])
    assert fingerprints == {FINGERPRINT}, "read from the files and from the cache"
    (entry,) = (tmp_path / "data" / ".cache").iterdir()
    assert (entry / "images.npy").is_file()
