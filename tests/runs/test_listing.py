"""Rows of runs and sweeps from folders in every state, and their selection and order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from socket import gethostname

import pytest

import mlptrain
from mlptrain.config.config import dump_yaml
from mlptrain.errors import DataError, UsageError
from mlptrain.reporting.listing import listing_lines
from mlptrain.runs.history import HEADING
from mlptrain.runs.listing import list_runs
from mlptrain.runs.selection import differing_keys, order, select
from mlptrain.system.lock import LOCK
from tests.reporting.made_runs import sweep
from tests.runs.made import begun, quick, small

SMOKE = Path(__file__).parents[2] / "configs/smoke.yaml"

STATES = ("complete", "interrupted", "stale lock", "diverged", "damaged", None)

METRICS = {"epochs": 2, "val_accuracy": 0.5, "test_accuracy": 0.25, "test_loss": 1.5, "seconds": 3.5}


def many(folder: Path, count: int) -> None:
    """Make folders in each of the states in turn, each a minute younger and with a higher accuracy."""
    text = dump_yaml(quick())
    for number in range(count):
        path, state = folder / f"run-{number:04d}", STATES[number % len(STATES)]
        path.mkdir(parents=True)
        if state is None:
            (path / "notes.txt").touch()
            continue
        rate = (0.1, 0.3, 1.0)[number % 7 % 3]
        (path / "config.yaml").write_text(text.replace("learning_rate: 0.5", f"learning_rate: {rate}"))
        os.utime(path / "config.yaml", (1.7e9 + 60 * number,) * 2)
        rows = f"1,0.5,0.8,0.6,{number / count},0.1,0.5\n"
        (path / "history.csv").write_text(HEADING + rows + "2,,,,,,\n" * (state == "diverged"))
        if state in ("complete", "damaged"):
            metrics = {**METRICS, "val_accuracy": number / count}
            (path / "metrics.json").write_text(json.dumps(metrics)[: 20 if state == "damaged" else None])
            (path / "model.npz").touch()
        elif state == "stale lock":
            (path / LOCK).write_text(f"process {2**22 + 1} on {gethostname()}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs wait4")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_a_thousand_runs_in_a_second(tmp_path: Path) -> None:
    """Processor time and memory of the whole process, and the same answers as the functions give."""
    many(tmp_path / "runs", 1000)
    # The peak that wait4 reports contains the memory of this process, of which the other one is a copy at first.
    program = (
        "import sys; from mlptrain.cli import main; code = main(sys.argv[1:]); "
        "print(*(line for line in open('/proc/self/status') if 'VmHWM' in line), file=sys.stderr); sys.exit(code)"
    )
    arguments = ["runs", "--json", "--where", "state=complete", "--sort", "val_accuracy"]
    command = [sys.executable, "-c", program, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for _ in range(5):  # other processes can double the time
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=-1, stderr=-1, text=True) as process:
            assert process.stdout is not None and process.stderr is not None
            listed, peak = json.loads(process.stdout.read())["runs"], process.stderr.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        if used.ru_utime + used.ru_stime < 1:
            break
    assert used.ru_utime + used.ru_stime < 3
    assert int(peak.split()[1]) * 1024 < 150e6
    assert [row["name"] for row in listed] == [f"run-{number:04d}" for number in range(999, -1, -1) if number % 6 == 0]
    rows = list_runs(tmp_path / "runs")
    assert [row.name for row in rows[:2]] == ["run-0999", "run-0998"], "the newest first"
    counts = Counter(row.state for row in rows)
    assert {counts[state] for state in STATES} == {166, 167} and sum(counts.values()) == 1000
    assert differing_keys(rows) == ["learning_rate"]
    bounded = select(rows, ["learning_rate=0.3..1", "val_accuracy=..0.5", "kind=run"])
    assert {row.config["learning_rate"] for row in bounded} == {0.3, 1.0}
    assert 0.49 < max(row.metrics["val_accuracy"] for row in bounded) <= 0.5
    assert [row.name for row in order(bounded, "learning_rate", reverse=True)[:1]] != [row.name for row in bounded[:1]]


def test_rows_of_real_runs(tmp_path: Path) -> None:
    result = mlptrain.train(quick("schedule=cosine", "batch_norm=true"), run="a", runs_dir=tmp_path)
    mlptrain.train(quick("seed=1"), run="group/b", runs_dir=tmp_path)
    with closing(mlptrain.run(small(), run="c", runs_dir=tmp_path)) as reports:
        next(reports)
        rows = {row.name: row for row in list_runs(tmp_path)}
    assert rows.keys() == {"a", "group/b", "c"} and rows["c"].state == "running" and rows["c"].progress == (0, 3)
    plain = rows["a"].plain()
    known = {key: result.metrics[key] for key in ("epochs", "val_accuracy", "test_accuracy", "seconds")}
    identity = {"name": "a", "path": str(tmp_path / "a"), "kind": "run", "state": "complete", "problem": None}
    described = {"started": plain["started"], "dataset": "sample", "layers": [784, 5, 10]}
    assert plain == {**identity, **described, **known}
    assert plain["started"].startswith("20") and plain["started"][10] == "T"
    runs = [*rows.values()]
    for condition in (
        "schedule=cosine",
        "schedule.name=cosine",
        "batch_norm=true",
        "name=a",
        "seed=0..0.5",
        "hidden=5",
    ):
        assert "a" in {row.name for row in select(runs, [condition])}, condition
    assert [row.name for row in select(runs, ["schedule=constant", "seed=1"])] == ["group/b"]
    assert select(runs, ["batch_norm=1"]) == [], "1 is not true"


def test_sweeps_and_their_trials(tmp_path: Path) -> None:
    mlptrain.sweep(SMOKE, ["seed=1,2"], run="s", runs_dir=tmp_path, keep="all", workers=1)
    (sweep(tmp_path) / "base.yaml").touch()
    (row,) = list_runs(tmp_path / "runs")
    assert (row.state, row.metrics["val_accuracy"], row.metrics["epochs"]) == ("complete", 0.95, 8)
    (row,) = [row for row in list_runs(tmp_path) if row.name == "s"]
    assert (row.kind, row.state, row.progress, row.varied) == ("sweep", "complete", (2, 2), ("seed",))
    assert row.config["dataset"] == "sample" and "seed" not in row.config
    trials = list_runs(tmp_path / "s")
    assert {trial.name for trial in trials} == {"0000", "0001"} and differing_keys(trials) == ["seed"]
    best = row.metrics["val_accuracy"]
    assert best == max(trial.metrics["val_accuracy"] for trial in trials)
    (tmp_path / "s/leaderboard.csv").unlink()
    (again,) = [each for each in list_runs(tmp_path) if each.name == "s"]
    assert again.metrics["val_accuracy"] == best, "from the journal, as during the sweep"
    (tmp_path / "s/sweep.yaml").unlink()
    (tmp_path / "s/journal.jsonl").unlink()
    (array,) = [each for each in list_runs(tmp_path) if each.name == "s"]
    assert (array.kind, array.varied, array.metrics["val_accuracy"]) == ("sweep", ("seed",), best)


def test_fixed_parameters_of_a_sweep_replace_those_of_its_config(tmp_path: Path) -> None:
    parameters = {"hidden": {"value": 3}, "epochs": {"value": 0}, "seed": {"values": [1, 2]}}
    metric = {"name": "val_accuracy", "goal": "maximize"}
    given = {"base": str(SMOKE), "method": "grid", "metric": metric, "parameters": parameters}
    (tmp_path / "sweep.yaml").write_text(json.dumps(given))
    mlptrain.sweep(tmp_path / "sweep.yaml", run="s", runs_dir=tmp_path, workers=1)
    (row,) = list_runs(tmp_path)
    assert (row.layers, row.config["epochs"], row.varied) == ([784, 3, 10], 0, ("seed",))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("metrics.json", "{", "metrics.json: damaged"),
        ("metrics.json", json.dumps({**METRICS, "val_accuracy": "x"}), "metrics.json: val_accuracy is no number"),
        ("config.yaml", "a: [1\n", "config.yaml:"),
        ("model.npz", None, "model.npz: no such file"),
        ("config.yaml", None, "config.yaml: no such file"),
    ],
)
def test_a_damaged_run_is_a_row_with_the_reason(tmp_path: Path, name: str, content: str | None, problem: str) -> None:
    mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    (tmp_path / "a" / name).unlink()
    if content is not None:
        (tmp_path / "a" / name).write_text(content)
    (row,) = list_runs(tmp_path)
    assert row.state == "damaged" and row.problem is not None and row.problem.startswith(problem)


FILES = ("config.yaml", "history.csv", "metrics.json", "sweep.yaml", "leaderboard.csv", "journal.jsonl")

CONTENTS = (
    b"\xff\xfe",
    b"[]",
    b"hidden: {a: 1}\nparameters: 3\nepochs: x",
    b"[" * 5000,
    b'{"event": "trial"}\n{"event": "trial", "trial": 1, "metrics": {"val_accuracy": NaN, "seconds": ""}}\n',
    b"rank,trial,run,status,val_accuracy,seconds\n1,0,,finished,nan,1\n",
    b'{"test_loss": 1, "test_accuracy": 1e999, "val_accuracy": true}',
    b"epoch,loss,accuracy,learning_rate,seconds\n1,1,1,1,nan\n",
    b"dataset: .nan\nhidden: [.inf]\n",
)


@pytest.mark.parametrize("name", FILES)
def test_no_content_of_a_file_raises(tmp_path: Path, name: str) -> None:
    for number, content in enumerate(CONTENTS):
        path = tmp_path / str(number)
        if name in FILES[:3]:
            begun(path)
        path.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
    rows = list_runs(tmp_path)
    os.utime(rows[0].path, (1e15, 1e15))
    assert len(json.dumps([row.plain() for row in list_runs(tmp_path)], allow_nan=False)) > 0
    assert len(listing_lines(rows, 80)) >= len(rows) == len(CONTENTS)
    assert {row.name for row in order(rows, "started")} == {row.name for row in rows}


def test_conditions_and_orders_that_are_refused(tmp_path: Path) -> None:
    mlptrain.train(quick(), run="a", runs_dir=tmp_path)
    rows = list_runs(tmp_path)
    for condition in ("seed", "=1", "seed=", "lerning_rate=1", "seed=a..b"):
        with pytest.raises(UsageError, match="--where"):
            select(rows, [condition])
    with pytest.raises(UsageError, match="did you mean 'val_accuracy'"):
        order(rows, "val_acuracy")
    with pytest.raises(DataError, match="hint"):
        list_runs(tmp_path / "missing")
