from __future__ import annotations

import os

import pytest

from mlptrain.errors import DataError
from mlptrain.sweeps.journal import Journal, read_journal, recall
from tests.sweeps.made import spec


def test_events_are_read_as_they_were_appended_and_a_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    assert read_journal(path) == []
    journal = Journal(path)
    journal.append({"event": "a"}, {"event": "b", "x": 0.1})
    journal.close()
    with path.open("ab") as stream:
        stream.write(b'{"event": "c"')
    assert [event["event"] for event in read_journal(path)] == ["a", "b"]
    journal = Journal(path)
    journal.append({"event": "d"})
    journal.close()
    assert path.read_text() == '{"event": "a"}\n{"event": "b", "x": 0.1}\n{"event": "d"}\n'


@pytest.mark.parametrize("line", [b"nothing", b"[1]", b'{"event": 1}', b"\xff", b"[" * 100_000])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "a"}\n' + line + b"\n")
    with pytest.raises(DataError, match=r"journal.jsonl:2: is no event of a sweep.*\nrestore it"):
        read_journal(path)


def test_what_cannot_be_read_or_written(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="cannot be read"):
        read_journal(tmp_path)
    with pytest.raises(DataError, match="cannot be written"):
        Journal(tmp_path)
    journal = Journal(tmp_path / "journal.jsonl")
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)  # as a full disk does
    with pytest.raises(DataError, match=r"no space left.*free space, then go on with --resume"):
        journal.append({"event": "a"})
    journal.close()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"event": "plan", "version": 9}, "version 9; expected 1"),
        (
            {"event": "plan", "version": 1, "sweep": "s", "workers": 1},
            r":1: the event lacks what it should hold.*stacks",
        ),
        ({"event": "start", "stack": "x"}, ":1: the event lacks"),
        ({"event": "trial", "status": "finished"}, ":1: the event lacks"),
    ],
)
def test_an_event_without_what_it_should_hold(tmp_path, event, words):
    with pytest.raises(DataError, match=words):
        recall(tmp_path / "journal.jsonl", [event], spec(tmp_path, "parameters:\n  seed: {values: [0, 1]}\n"))
