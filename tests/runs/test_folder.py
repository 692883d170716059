from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import numpy as np
import pytest

from mlptrain.config.config import load_config
from mlptrain.errors import DataError, UsageError
from mlptrain.runs import folder
from mlptrain.runs.folder import check_claimable, claim, claim_next, load_run_config, load_run_model, run_path
from mlptrain.runs.history import COLUMNS
from mlptrain.runs.locate import find_run
from mlptrain.training.reports import EpochReport
from tests.made import config, random_model
from tests.runs.made import begun

LINUX = sys.platform.startswith("linux")


def report(epoch: int = 1, **figures: object) -> EpochReport:
    values = {"loss": 0.5, "accuracy": 0.25, "val_loss": 0.75, "val_accuracy": 0.125, "learning_rate": 0.5}
    return EpochReport(epoch=epoch, epochs=9, steps=6, seconds=1.23456789, **{**values, **figures})  # type: ignore[arg-type]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- claiming ----------------------------------------------------------------------------------------


def test_numbers_follow_the_highest(tmp_path: Path) -> None:
    runs = tmp_path / "deep" / "runs"
    assert [claim_next(runs, "quick").path.name for _ in range(3)] == ["quick-001", "quick-002", "quick-003"]
    assert claim_next(runs, "quick-001").path.name == "quick-001-001"
    (runs / "quick-002").rmdir()
    assert claim_next(runs, "quick").path.name == "quick-004", "a number is not used twice"
    (runs / "quick-0xyz").mkdir()
    (runs / "quicker-900").mkdir()
    (runs / "quick-7").mkdir()
    assert claim_next(runs, "quick").path.name == "quick-005"
    (runs / "quick-999").write_text("")
    assert [claim_next(runs, "quick").path.name for _ in range(2)] == ["quick-1000", "quick-1001"]


def test_a_stem_is_not_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "aab-007").mkdir()
    assert claim_next(tmp_path, "a.b").path.name == "a.b-001"
    assert claim_next(tmp_path, "a+(").path.name == "a+(-001"


@pytest.mark.parametrize("stem", ["../up", "/away", "a/../../up"])
def test_a_stem_that_leads_out_is_refused(tmp_path: Path, stem: str) -> None:
    runs = tmp_path / "runs"
    (runs / "a").mkdir(parents=True)
    with pytest.raises(UsageError):
        claim_next(runs, stem)
    assert names(tmp_path) == ["runs"]


def test_a_number_that_another_process_has_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x-001").mkdir()
    (tmp_path / "x-002").mkdir()
    monkeypatch.setattr(Path, "iterdir", lambda self: iter(()))  # as before the other process
    assert claim_next(tmp_path, "x").path.name == "x-003"


CLAIM = """
import sys, time
from pathlib import Path
from mlptrain.runs.folder import claim_next, claim
from mlptrain.errors import UsageError
runs, start = Path(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
while not start.exists():
    time.sleep(0.001)
won = []
for number in range(20):
    print(claim_next(runs, "x").path.name)
    try:
        won.append(claim(runs, f"named-{number}").path.name)
    except UsageError:
        pass
print(*won)
"""


def test_processes_that_claim_at_once_each_get_their_own(tmp_path: Path) -> None:
    start = tmp_path / "start"
    command = [sys.executable, "-c", CLAIM, str(tmp_path / "runs"), str(start)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    start.touch()
    answers = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    numbered = [name for answer in answers for name in answer if name.startswith("x-")]
    assert sorted(numbered) == [f"x-{number:03d}" for number in range(1, 81)]
    won = [name for answer in answers for name in answer if name.startswith("named-")]
    assert sorted(won) == sorted(f"named-{number}" for number in range(20)), "each name goes to one of them"


def test_names_with_folders(tmp_path: Path) -> None:
    assert claim(tmp_path / "runs", "sweep/trials/0001").path == tmp_path / "runs" / "sweep" / "trials" / "0001"
    assert (tmp_path / "runs" / "sweep" / "trials" / "0001").is_dir()


@pytest.mark.parametrize("name", ["", ".", "./", "..", "../x", "a/../../x", "a/..", "/x", "/"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(UsageError, match="--run"):
        claim(runs, name)
    with pytest.raises(UsageError, match="--run"):
        check_claimable(runs, name, overwrite=True)
    assert names(tmp_path) == []


def test_a_dotted_name_is_a_name(tmp_path: Path) -> None:
    assert run_path(tmp_path, "..x") == tmp_path / "..x"
    assert run_path(tmp_path, "v1..v2/a") == tmp_path / "v1..v2" / "a"


@pytest.mark.parametrize("runs_dir", ["runs", "./runs", "/elsewhere/runs"])
def test_a_leading_folder_of_runs_is_dropped_from_a_name(runs_dir: str) -> None:
    runs = Path(runs_dir)
    assert run_path(runs, f"{runs_dir}/a") == run_path(runs, f"{runs_dir}//a/") == run_path(runs, "a") == runs / "a"
    assert run_path(runs, "runs") == runs / "runs"
    assert run_path(runs, "runs-2/a") == runs / "runs-2/a"
    with pytest.raises(UsageError, match="--run"):
        run_path(runs, f"{runs_dir}/../a")


def test_an_existing_run_is_refused(tmp_path: Path) -> None:
    begun(tmp_path / "a").append(report())
    for attempt in (lambda: claim(tmp_path, "a"), lambda: check_claimable(tmp_path, "a", overwrite=False)):
        with pytest.raises(UsageError, match=r"exists\nhint: .*--resume.*--overwrite"):
            attempt()
    assert (tmp_path / "a" / "history.csv").read_text().count("\n") == 2
    check_claimable(tmp_path, "b", overwrite=False)
    assert names(tmp_path) == ["a"], "checking makes nothing"


def test_overwrite_deletes_the_files_of_the_run_and_no_others(tmp_path: Path) -> None:
    folder = begun(tmp_path / "a")
    folder.finish(random_model(4, 2), {"run": "a"})
    (tmp_path / "a" / "notes.txt").write_text("mine")
    check_claimable(tmp_path, "a", overwrite=True)
    assert len(names(tmp_path / "a")) == 6
    assert claim(tmp_path, "a", overwrite=True) == folder
    assert names(tmp_path / "a") == ["notes.txt"]


def test_overwrite_of_nothing_and_of_an_empty_folder(tmp_path: Path) -> None:
    assert claim(tmp_path, "new", overwrite=True).path.is_dir()
    assert claim(tmp_path, "new", overwrite=True).path.is_dir()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_overwrite_refuses_a_folder_that_is_no_run(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "thesis"
    if kind == "folder":
        folder.mkdir()
        (folder / "chapter1.tex").write_text("years of work")
        (folder / "metrics.json").write_text("{}")
    else:
        folder.write_text("years of work")
    for attempt in (
        lambda: claim(tmp_path, "thesis", overwrite=True),
        lambda: check_claimable(tmp_path, "thesis", overwrite=True),
    ):
        with pytest.raises(UsageError, match="not a run folder"):
            attempt()
    assert kind == "file" or names(folder) == ["chapter1.tex", "metrics.json"]


def test_folders_that_cannot_be_made(tmp_path: Path) -> None:
    """Below a regular file nobody can write, not even root."""
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "runs"):
        for attempt in (
            lambda runs=runs: claim(runs, "a"),
            lambda runs=runs: claim_next(runs, "a"),
            lambda runs=runs: claim(runs, "a/b", overwrite=True),
        ):
            with pytest.raises(DataError, match=r"cannot be written: .*\n.*--runs-dir"):
                attempt()
    with pytest.raises(DataError, match="cannot be written"):
        claim(tmp_path, "file/a")
    assert names(tmp_path) == ["file"] and (tmp_path / "file").read_text() == ""


@pytest.mark.skipif(not LINUX, reason="/proc")
def test_a_file_system_that_refuses_folders() -> None:
    for attempt in (lambda: claim(Path("/proc"), "a"), lambda: claim_next(Path("/proc"), "a")):
        with pytest.raises(DataError, match="cannot be written"):
            attempt()


def test_names_too_long_for_the_file_system(tmp_path: Path) -> None:
    for attempt in (
        lambda: claim(tmp_path, "x" * 300),
        lambda: check_claimable(tmp_path, "x" * 300, overwrite=False),
        lambda: claim_next(tmp_path, "x" * 300),
        lambda: find_run("x" * 300, tmp_path),
    ):
        with pytest.raises((DataError, UsageError)) as caught:
            attempt()
        assert str(caught.value).count("\n") < 3


# ---- reading ----------------------------------------------------------------------------------------


def test_missing_files_of_a_run(tmp_path: Path) -> None:
    begun(tmp_path / "a")
    with pytest.raises(DataError, match=r"model.npz: no such file"):
        load_run_model(tmp_path / "a")
    (tmp_path / "a" / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"config.yaml: no such file"):
        load_run_config(tmp_path / "a")


def test_a_damaged_config_is_reported_with_its_line(tmp_path: Path) -> None:
    begun(tmp_path / "a")
    path = tmp_path / "a" / "config.yaml"
    path.write_text(path.read_text().replace("dataset: sample", "dataset: sample\nepochz: 3"))
    with pytest.raises(Exception, match=r"config.yaml:\d+: .*epochz"):
        load_run_config(tmp_path / "a")


def test_a_config_is_read_as_it_was_written(tmp_path: Path) -> None:
    settings = load_config(None, ["hidden=[]", "batch_size=full", "split=official-60k", "learning_rate=1e-3"]).resolve()
    folder = claim_next(tmp_path, "a")
    folder.begin(settings)
    assert load_run_config(folder.path) == settings


# ---- files -------------------------------------------------------------------------------------------


def test_begin(tmp_path: Path) -> None:
    settings = config(hidden=[7], learning_rate=0.1 + 0.2, seed=5)
    folder = claim_next(tmp_path, "a")
    folder.begin(settings)
    assert names(folder.path) == ["config.yaml", "history.csv", "layers.csv"]
    assert load_run_config(folder.path) == settings
    assert COLUMNS[:7] == ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")
    assert (folder.path / "history.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_rows_of_the_history(tmp_path: Path) -> None:
    folder = begun(tmp_path / "a")
    folder.append(report(1, loss=0.1 + 0.2, accuracy=1 / 3))
    folder.append(report(2, val_loss=None, val_accuracy=None))
    folder.append(report(3, val_loss=math.inf, loss=math.nan, learning_rate=1e-05, accuracy=1.0))
    rows = (tmp_path / "a" / "history.csv").read_text().splitlines()[1:]
    assert [",".join(row.split(",")[:7]) for row in rows] == [
        "1,0.30000000000000004,0.3333333333333333,0.75,0.125,0.5,1.2346",
        "2,0.5,0.25,,,0.5,1.2346",
        "3,,1.0,,0.125,1e-05,1.2346",
    ]


def test_a_row_that_cannot_be_written(tmp_path: Path) -> None:
    folder = begun(tmp_path / "a")
    (tmp_path / "a" / "history.csv").unlink()
    with pytest.raises(DataError, match=r"history\.csv: cannot be written: no such file or directory"):
        folder.append(report())
    assert names(tmp_path / "a") == ["config.yaml", "layers.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
@pytest.mark.parametrize("room", [0, 7])
def test_a_row_on_a_disk_that_is_full(tmp_path: Path, room: int) -> None:
    """With room for some bytes of the row the system writes those and reports no error."""
    import resource

    folder = begun(tmp_path / "a")
    size = (tmp_path / "a" / "history.csv").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, limits[1]))
    try:
        with pytest.raises(DataError, match=r"history.csv: cannot be written: .*\nhint: .*--resume"):
            folder.append(report())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_finish(tmp_path: Path) -> None:
    folder, made = begun(tmp_path / "a"), random_model(4, 3, 2)
    folder.finish(made, {"run": "a", "val_loss": None, "test_loss": 0.1, "versions": {"numpy": "2"}})
    assert names(tmp_path / "a") == ["config.yaml", "history.csv", "layers.csv", "metrics.json", "model.npz"]
    text = (tmp_path / "a" / "metrics.json").read_text()
    assert json.loads(text) == {"run": "a", "val_loss": None, "test_loss": 0.1, "versions": {"numpy": "2"}}
    assert text.endswith("}\n")
    np.testing.assert_array_equal(load_run_model(tmp_path / "a").weights[0], made.weights[0])


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_json_has_no_nan(tmp_path: Path, number: float) -> None:
    folder = begun(tmp_path / "a")
    with pytest.raises(ValueError, match="JSON compliant"):
        folder.finish(random_model(4, 2), {"loss": number})
    assert "metrics.json" not in names(tmp_path / "a"), "a run without metrics is not complete"


def test_names_of_runs_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "WINDOWS", True)
    monkeypatch.setattr(folder, "PurePath", PureWindowsPath)
    for name in (
        "con",
        "a/nul.txt",
        "a/b.",
        "C:b",
        "C:/b",
        "//server/share/b",
        "/b",
        "a\\..\\..\\b",
        "a|b",
        "best:loss",
    ):
        with pytest.raises(UsageError, match="--run"):
            folder.run_path(Path("runs"), name)
    assert folder.run_path(Path("runs"), "sweep\\trials/0001").parts[-3:] == ("sweep", "trials", "0001")
