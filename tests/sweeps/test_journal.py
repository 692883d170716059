from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from mlptrain.errors import DataError, MlptrainError
from mlptrain.sweeps.journal import Journal, read_events, read_record
from tests.stress.fuzzing.mutate import raw
from tests.sweeps.made import Inline, drive, spec

GRID = "repeat: 2\nparameters:\n  learning_rate: {values: [0.1, 0.3]}\n"
HALVING = """method: halving
early_terminate: {min_iter: 1, eta: 2}
parameters:
  learning_rate: {values: [0.1, 0.3]}
"""
PLAN = {"event": "plan", "version": 1, "sweep": "d", "wave": 0, "workers": 1, "stacks": []}
TRIAL = {"event": "trial", "trial": 0, "point": 0, "key": "k", "status": "finished", "message": None}
TRIAL["values"] = {"learning_rate": 0.1}
TRIAL["metrics"] = {"val_accuracy": 0.5, "seconds": 1}
START = {"event": "start", "stack": 0, "attempt": 1}


def record_of(tmp_path: Path, *events: Any, **options: Any) -> Any:
    """Return the record of a journal with these events."""
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return read_record(path, spec(tmp_path, GRID), **options)


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    assert read_events(tmp_path / "journal.jsonl") == []


def test_files_that_cannot_be_read_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_events(tmp_path)
    with pytest.raises(DataError, match="cannot be written"):
        Journal(tmp_path)
    journal = Journal(tmp_path / "journal.jsonl")
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)  # as on a full disk
    with pytest.raises(DataError, match=r"no space left[^$]*--resume"):
        journal.append({"event": "a"})
    journal.close()


@pytest.mark.parametrize("torn", [b'{"event": "st', b"{", b"\xff\xfe", bytes(512), b'{"event": "start", "stack": 1}'])
def test_an_incomplete_last_line_is_ignored_and_then_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    whole = json.dumps(START).encode() + b"\n"
    path.write_bytes(whole + torn)
    assert read_events(path) == [START]
    assert path.read_bytes() == whole + torn, "reading changes nothing"
    journal = Journal(path)
    assert path.read_bytes() == whole
    journal.append(PLAN, TRIAL)
    journal.close()
    assert read_events(path) == [START, PLAN, TRIAL]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'{"stack": 0}',
        b'{"event": 3}',
        b"\xff\xff",
        bytes(300),
        b"[" * 100_000,
        b'{"event": "start", "stack": NaN}',
        b'{"event": "start", "stack": -Infinity}',
        b'{"event": "start", "stack": 1e999}',
        b'{"event": "start", "stack": ' + b"9" * 400 + b"}",
        b'{"event": "start", "stack": "\\ud800"}',
    ],
    ids=lambda line: line[:30],
)
def test_errors_name_the_line_of_damage(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(json.dumps(START).encode() + b"\n" + line + b"\n" + json.dumps(START).encode() + b"\n")
    with pytest.raises(DataError, match=r"journal\.jsonl:2: "):
        read_events(path)


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({**TRIAL, "trial": -1}, "trial is -1"),
        ({**TRIAL, "trial": "0"}, "trial is '0'"),
        ({**TRIAL, "trial": True}, "trial is true"),
        ({**TRIAL, "point": 0.5}, "point is 0.5"),
        ({**TRIAL, "key": None}, "key is null"),
        ({**TRIAL, "values": [["learning_rate", 1]]}, "values is "),
        ({**TRIAL, "values": {}}, "the sweep varies learning_rate, and the values are {}"),
        ({**TRIAL, "trial": 1, "point": 1}, "trial 1 is of point 0, not 1"),
        ({**TRIAL, "status": "won"}, "status is 'won'"),
        ({**TRIAL, "status": []}, r"status is \[\]"),
        ({**TRIAL, "message": 3}, "message is 3"),
        ({**TRIAL, "metrics": None}, "metrics is null"),
        ({**TRIAL, "metrics": {"val_accuracy": "0.9"}}, "val_accuracy is '0.9'"),
        ({**TRIAL, "metrics": {"seconds": [1]}}, r"seconds is \[1\]"),
        ({**TRIAL, "metrics": {"epochs": "2"}}, "epochs is '2'"),
        ({**TRIAL, "event": "rung"}, "wave is missing"),
        ({key: TRIAL[key] for key in TRIAL if key != "key"}, "key is missing"),
        ({**START, "stack": None}, "stack is null"),
        ({**PLAN, "sweep": 3}, "sweep is 3"),
        ({**PLAN, "workers": 0}, "workers is 0"),
        ({**PLAN, "stacks": {}}, "stacks is {}"),
        ({**PLAN, "stacks": [3]}, "an item of stacks is 3"),
        ({**PLAN, "stacks": [{"stack": 0, "threads": 1, "trials": ["0"]}]}, "an item of trials is '0'"),
    ],
)
def test_errors_name_the_line_and_the_invalid_value_of_an_event(
    tmp_path: Path, event: dict[str, Any], words: str
) -> None:
    with pytest.raises(DataError, match=rf"journal.jsonl:2: .*{words}"):
        record_of(tmp_path, PLAN, event)


def test_journals_of_another_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="version 2"):
        record_of(tmp_path, {**PLAN, "version": 2})


@pytest.mark.parametrize("text", [GRID, HALVING], ids=["grid", "halving"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"trials": [0, 1', b'"trials": [99, 1'),
        (b'"trials": [0, 1', b'"trials": [1'),
        (b'"trials": [0, 1', b'"trials": [0, 1, 1'),
        (b'"threads": 1, "trials": [0', b'"threads": 1, "trials": []}, {"stack": 0, "threads": 1, "trials": [0'),
    ],
    ids=["unknown", "missing", "twice", "one number for two stacks"],
)
def test_plans_with_other_trials_are_refused(tmp_path: Path, text: str, before: bytes, after: bytes) -> None:
    made = spec(tmp_path, text.replace("[0.1, 0.3]", "[0.1, 0.3, 1.0]"))
    drive(made, tmp_path / "s", keep="none")
    path = tmp_path / "s" / "journal.jsonl"
    whole = path.read_bytes()
    assert whole.count(before) == 1
    path.write_bytes(whole.replace(before, after))
    with pytest.raises(DataError, match="edited or damaged"):
        drive(made, tmp_path / "s", keep="none")


def test_valid_events_are_in_the_record(tmp_path: Path) -> None:
    paused = {**TRIAL, "event": "rung", "wave": 0, "trial": 2, "point": 1}
    record = record_of(tmp_path, PLAN, START, TRIAL, paused, {"event": "lost"})
    assert (record.digests, len(record.plans), record.started, list(record.results)) == ({"d"}, 1, {0}, [0])
    assert record.results[0].metrics == TRIAL["metrics"] and list(record.paused) == [(2, 0)]


def test_failed_trials_are_tried_again_unless_a_later_wave_depends_on_them(tmp_path: Path) -> None:
    failed = {**TRIAL, "status": "failed"}
    assert record_of(tmp_path, PLAN, failed).results == {}
    assert list(record_of(tmp_path, PLAN, failed, retry=False).results) == [0]
    assert list(record_of(tmp_path, PLAN, failed, PLAN).results) == [0]
    assert list(record_of(tmp_path, PLAN, {**TRIAL, "status": "diverged"}).results) == [0]


@pytest.mark.parametrize("text", [GRID, HALVING], ids=["grid", "halving"])
def test_a_damaged_journal_is_resumed_or_refused(tmp_path: Path, text: str) -> None:
    made = spec(tmp_path, text)
    drive(made, tmp_path / "s", keep="none")
    path = tmp_path / "s" / "journal.jsonl"
    whole, refused = path.read_bytes(), 0
    words = (b"null", b'"trial": 1', b'"point": 9', b'"wave": 3', b'"stack": 7', b"[5]", b"\n")
    for number in range(60):
        path.write_bytes(raw(random.Random(number), [whole], words))
        try:
            end, _ = drive(made, tmp_path / "s", Inline(), keep="none")
            assert end.board.rows
        except MlptrainError as error:
            refused += 1
            assert str(path) in str(error)
    assert 10 < refused < 60
