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
from mlptrain.datasets import registry
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
    monkeypatch.delenv("MLPTRAIN_DATA_DIR", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    """A server, and a registry of three small datasets of which it is the only mirror."""
    with fault_server() as running:
        small = {name: dataset(running.url, name=name) for name in registry.DATASETS}
        monkeypatch.setattr(registry, "DATASETS", small)
        yield running


def test_download(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download"]) == 0
    assert placed(tmp_path / "data" / "mnist") == CONTENTS
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    for line, name, size in zip(lines, CONTENTS, ("60.0 kB", "3.0 kB", "20.0 kB", "500 bytes"), strict=False):
        assert line.startswith(f"mnist/{name}: {size} in ") and line.endswith("/s), verified")
    assert lines[4:] == [
        "Mnist: 4 files verified in data/mnist (MD5 and SHA-256)",
        "by Somebody; a licence",
        "next: mlptrain train configs/mnist.yaml",
    ]
    assert not errors

    server.asked.clear()
    assert main(["download", "mnist"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"mnist/{IMAGES}: 60.0 kB, there and verified",
        f"mnist/{LABELS}: 3.0 kB, there and verified",
    ]
    assert not server.asked


def test_all_and_another_folder(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "all", "--data-dir", "my data"]) == 0
    assert sorted(path.name for path in (tmp_path / "my data").iterdir()) == ["fashion-mnist", "kmnist", "mnist"]
    output = capsys.readouterr().out
    assert "next: mlptrain train configs/mnist.yaml --data-dir 'my data'\n" in output
    assert "next: mlptrain train configs/mnist.yaml dataset=kmnist --data-dir 'my data'\n" in output


def test_data_dir_of_the_environment(
    tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLPTRAIN_DATA_DIR", str(tmp_path / "elsewhere"))
    assert main(["download", "kmnist"]) == 0
    assert placed(tmp_path / "elsewhere" / "kmnist") == CONTENTS
    assert capsys.readouterr().out.endswith("next: mlptrain train configs/mnist.yaml dataset=kmnist\n")


def test_json(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "mnist" / IMAGES).write_bytes(CONTENTS[IMAGES])
    assert main(["download", "--json"]) == 0
    output, errors = capsys.readouterr()
    found = json.loads(output)
    assert found["data_dir"] == "data"
    assert [(file["file"], file["status"], file["mirror"]) for file in found["files"]] == [
        (name, *(("verified", None) if name == IMAGES else ("fetched", server.url))) for name in CONTENTS
    ]
    assert found["files"][1] == {
        "dataset": "mnist",
        "file": LABELS,
        "status": "fetched",
        "bytes": 3000,
        "path": str(Path("data/mnist") / LABELS),
        "mirror": server.url,
    }
    assert "4 files verified" in errors


def test_quiet(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_check(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    main(["download", "-q"])
    server.asked.clear()
    assert main(["download", "--check"]) == 0
    assert f"mnist/{IMAGES}: 60.0 kB, there and verified\n" in capsys.readouterr().out

    (tmp_path / "data" / "mnist" / IMAGES).write_bytes(bytes(60_000))
    (tmp_path / "data" / "mnist" / LABELS).unlink()
    assert main(["download", "--check"]) == 3
    output, errors = capsys.readouterr()
    lines = output.splitlines()
    assert lines[0].startswith(f"mnist/{IMAGES}: damaged (wrong SHA-256 ")
    assert lines[1] == f"mnist/{LABELS}: missing"
    assert lines[2].endswith("20.0 kB, there and verified")
    assert errors == "mlptrain: data/mnist: 2 of 4 files missing or damaged\nrun `mlptrain download mnist`\n"

    assert main(["download", "--check", "--json", "-q"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert [file["status"] for file in found["files"]] == ["damaged", "missing", "verified", "verified"]
    assert [file["bytes"] for file in found["files"]] == [60_000, None, 20_000, 500]
    assert main(["download", "--check", "kmnist"]) == 3
    assert not server.asked
    assert not (tmp_path / "data" / "kmnist").exists()


def test_nothing_on_stdout_where_it_fails(
    tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.always(IMAGES, html)
    assert main(["download", "--json", "-q"]) == 3
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines()[:2] == [
        f"mlptrain: data/mnist/{IMAGES}: could not be downloaded",
        f"  {server.url}: sends an HTML page instead of the file",
    ]
    assert not list(tmp_path.iterdir())


def test_of_all_one_fails(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.plan(IMAGES, status(404))
    assert main(["download", "all"]) == 3
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["fashion-mnist", "kmnist"]
    assert "404 Not Found" in capsys.readouterr().err


def test_failed_tries_are_told(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.plan(IMAGES, truncated(1000))
    assert main(["download"]) == 0
    (host, told), *_ = [line.strip().split(": ", 1) for line in capsys.readouterr().out.splitlines()]
    assert host in server.url
    assert told.startswith("connection lost after 1,000 bytes: ") and told.endswith("; trying again in 0.5 s")


def test_mirror(server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    with fault_server() as mine:
        assert main(["download", "--mirror", mine.url.rstrip("/"), "--json", "-q"]) == 0
        assert {file["mirror"] for file in json.loads(capsys.readouterr().out)["files"]} == {mine.url}
        assert not server.asked


def test_from(tmp_path: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert f"  {IMAGES}: not there\n" in capsys.readouterr().err
    assert not server.asked


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["fashon-mnist"], "no dataset 'fashon-mnist'; did you mean 'fashion-mnist'?"),
        (["cifar10"], "no dataset 'cifar10'\nexpected mnist, fashion-mnist, kmnist or all"),
        (["sample"], "the sample ships with the package"),
        (["--mirror", "127.0.0.1:8000"], "--mirror 127.0.0.1:8000: expected the address of a folder"),
        (["--mirror", "ftp://127.0.0.1/"], "--mirror ftp://127.0.0.1/: expected the address of a folder"),
        (["--check", "--force"], "--check and --force contradict each other"),
        (["--check", "--from", "x"], "--check and --from contradict each other"),
        (["--from", "x", "--mirror", "http://x/"], "--from and --mirror contradict each other"),
    ],
)
def test_usage(
    tmp_path: Path,
    server: FaultServer,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    assert main(["download", *arguments]) == 2
    output, errors = capsys.readouterr()
    assert told in errors and not output
    assert not server.asked and not list(tmp_path.iterdir())


def test_train_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(ROOT / "configs" / "mnist.yaml")]) == 3
    assert "run `mlptrain download mnist`, or set `dataset: sample`" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


COMMAND = """
import sys
from mlptrain.cli import main
from mlptrain.datasets import registry
from tests.datasets.fault_server import dataset
registry.DATASETS = {"mnist": dataset(sys.argv[1], name="mnist")}
sys.exit(main(sys.argv[2:]))
"""


def test_ctrl_c(tmp_path: Path, server: FaultServer) -> None:
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


def test_a_closed_pipe(tmp_path: Path, server: FaultServer) -> None:
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
    assert entry.stat().st_size == 4096 + 70_000 * 785
