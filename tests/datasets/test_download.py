from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlptrain.datasets.download import (
    AttemptFailed,
    Event,
    FileProgress,
    checked_mirror,
    copy_from,
    fetch,
    mirrors_of,
)
from mlptrain.datasets.transfer import Limits
from mlptrain.datasets.verify import FileState, check_dataset
from mlptrain.errors import DataError, UsageError
from mlptrain.system.files import temporary_beside
from tests.datasets.fault_server import (
    CONTENTS,
    IMAGES,
    LABELS,
    Answer,
    FaultServer,
    content_range,
    dataset,
    dripping,
    endless,
    fault_server,
    html,
    ignoring_range,
    lingering,
    other,
    placed,
    redirect,
    reset,
    serve,
    silent,
    slow,
    stalled,
    status,
    tagged,
    truncated,
    until_closed,
    whole,
)

ROOT = Path(__file__).parents[2]
QUICK = Limits(backoff=0.001, connect_seconds=10, read_seconds=10)
IMPATIENT = Limits(backoff=0.001, connect_seconds=10, read_seconds=0.3)  # for servers that are silent
WRONG = bytes(len(CONTENTS[IMAGES]))
BOMB = gzip.compress(bytes(30_000_000))


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
def second() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


def get(data_dir: Path, *mirrors: str, sizes: bool = True, limits: Limits = QUICK, force: bool = False) -> list[Event]:
    """Fetch the small dataset, check that its folder contains nothing else, and return the events."""
    events: list[Event] = []
    info = dataset(*mirrors, sizes=sizes)
    fetch(info, data_dir, mirrors_of(info), force=force, limits=limits, on_event=events.append)
    assert placed(data_dir / "tiny") == CONTENTS
    return events


def error_of(data_dir: Path, *mirrors: str, limits: Limits = QUICK, sizes: bool = True) -> list[str]:
    """Return the lines of the error, after checking that only verified files were added."""
    before = placed(data_dir / "tiny") if (data_dir / "tiny").exists() else None
    info = dataset(*mirrors, sizes=sizes)
    with pytest.raises(DataError) as caught:
        fetch(info, data_dir, mirrors_of(info), limits=limits)
    assert caught.value.exit_code == 3 and "\nhint: " in str(caught.value)
    if before is None:
        assert not (data_dir / "tiny").exists() or placed(data_dir / "tiny").items() <= CONTENTS.items()
    else:
        assert placed(data_dir / "tiny") == before
    return str(caught.value).split("\n")


def failures(events: list[Event]) -> list[str]:
    return [event.why for event in events if isinstance(event, AttemptFailed)]


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_files_are_fetched(tmp_path: Path, server: FaultServer) -> None:
    events = get(tmp_path / "data", server.url)
    states = [event for event in events if isinstance(event, FileState)]
    assert [(state.file.name, state.status, state.bytes, state.source) for state in states] == [
        (name, "fetched", len(content), server.url) for name, content in CONTENTS.items()
    ]
    assert [state.path for state in states] == [tmp_path / "data" / "tiny" / name for name in CONTENTS]
    assert server.encodings == {"identity"}
    assert all(agent.startswith("mlptrain/") for agent in server.agents)
    arriving = [event for event in events if isinstance(event, FileProgress) and event.file.name == IMAGES]
    received = [event.received for event in arriving]
    assert received == sorted(set(received)) and (received[0], received[-1]) == (0, 60_000)
    assert {event.size for event in arriving} == {60_000}


def test_the_second_run_requests_nothing(tmp_path: Path, server: FaultServer) -> None:
    get(tmp_path, server.url)
    server.asked.clear()
    states = get(tmp_path, server.url)
    assert [state.status for state in states if isinstance(state, FileState)] == ["verified"] * 4
    assert len(states) == 4 and not server.asked


def test_only_missing_and_damaged_files_are_fetched(tmp_path: Path, server: FaultServer) -> None:
    get(tmp_path, server.url)
    server.asked.clear()
    (tmp_path / "tiny" / LABELS).unlink()
    damaged = bytearray(CONTENTS[IMAGES])
    damaged[-1] ^= 1
    (tmp_path / "tiny" / IMAGES).write_bytes(damaged)
    assert [state.status for state in check_dataset(dataset(), tmp_path)] == [
        "damaged",
        "missing",
        "verified",
        "verified",
    ]
    get(tmp_path, server.url)
    assert [name for name, _ in server.asked] == [IMAGES, LABELS]


def test_force_fetches_every_file(tmp_path: Path, server: FaultServer) -> None:
    get(tmp_path, server.url)
    get(tmp_path, server.url, force=True)
    assert [name for name, _ in server.asked] == [*CONTENTS, *CONTENTS]


def test_a_damaged_file_is_only_replaced_by_a_verified_one(tmp_path: Path, server: FaultServer) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / IMAGES).write_bytes(b"damaged")
    server.always(IMAGES, other(WRONG))
    error_of(tmp_path, server.url)
    assert placed(tmp_path / "tiny") == {IMAGES: b"damaged"}


# Faults after which the same mirror is tried again: the responses, the expected Range headers and the reason.
TEMPORARY: dict[str, tuple[list[Answer], list[str], str]] = {
    "truncated": ([truncated(20_000)], ["", "bytes=20000-"], "connection lost after 20,000 bytes"),
    "truncated at once": ([truncated(0)], ["", ""], "connection lost after 0 bytes"),
    "truncated twice": ([truncated(20_000), truncated(20_000)], ["", "bytes=20000-", "bytes=40000-"], "lost after"),
    "200 for a Range": ([truncated(20_000), whole], ["", "bytes=20000-"], "connection lost"),
    "wrong length, shorter": ([other(WRONG[:59_999])], ["", ""], "has 59,999 bytes, expected 60,000"),
    "wrong length, longer": ([other(WRONG + b"!")], ["", ""], "has 60,001 bytes, expected 60,000"),
    "wrong length of the rest": (
        [truncated(20_000), other(b"!" * 39_999)],
        ["", "bytes=20000-", ""],
        "has 39,999 bytes, expected 60,000",
    ),
    "more than announced": ([endless], ["", ""], "sends more than the 60,000 bytes expected"),
    "503": ([status(503)], ["", ""], "answers 503 Service Unavailable"),
    "500, 502, 504, 429": ([status(500), status(502), status(504), status(429)], [""] * 5, "429 Too Many Requests"),
    "stalled": ([stalled(20_000)], ["", "bytes=20000-"], "no data for 0.3 s"),
    "silent": ([silent], ["", ""], "no data for 0.3 s"),
    "reset": ([reset(16_384)], ["", "bytes=16384-"], "connection reset by peer"),
    "reset at once": ([reset(0)], ["", ""], "connection reset by peer"),
    "503 for the rest": ([truncated(20_000), status(503)], ["", "bytes=20000-", "bytes=20000-"], "503"),
}


@pytest.mark.parametrize("name", TEMPORARY)
def test_temporary_faults(tmp_path: Path, server: FaultServer, name: str) -> None:
    script, ranges, why = TEMPORARY[name]
    server.plan(IMAGES, *script)
    events = get(tmp_path, server.url, limits=IMPATIENT if "no data" in why else QUICK)
    assert server.ranges(IMAGES) == ranges
    assert len(failures(events)) == len([answer for answer in script if answer is not whole])
    assert why in failures(events)[-1]


def test_a_connection_is_not_reused(tmp_path: Path, server: FaultServer) -> None:
    """The server closes it after its response, as requested, shortly after the request for the next file."""
    for name in CONTENTS:
        server.plan(name, lingering(redirect(f"{server.url}again/{{file}}", b"")), lingering(whole))
    assert failures(get(tmp_path, server.url)) == []
    assert [file for file, _ in server.asked] == [name for name in CONTENTS for _ in range(2)]


PROGRESS = {"truncated", "stalled", "reset"}


@pytest.mark.parametrize(
    "name", [name for name, case in TEMPORARY.items() if len(case[0]) == 1 and name not in PROGRESS]
)
def test_temporary_faults_that_persist(tmp_path: Path, server: FaultServer, name: str) -> None:
    (answer,), _, why = TEMPORARY[name]
    server.always(IMAGES, answer)
    limits = replace(IMPATIENT if "no data" in why else QUICK, tries=2)
    found, reason, hint = error_of(tmp_path / "data", server.url, limits=limits)
    assert found.startswith(f"{tmp_path / 'data' / 'tiny' / IMAGES}: ")
    assert reason.startswith(f"  {server.url}: ") and why in reason
    assert "--mirror URL" in hint and "--from DIR" in hint
    assert not (tmp_path / "data").exists()


# Faults after which the mirror is not tried again, and the next one is tried at once: response and reason.
PERMANENT: dict[str, tuple[Answer, str]] = {
    "wrong bytes of the right length": (other(WRONG), "wrong SHA-256 "),
    "HTML with 200": (html, "an HTML page instead of the file"),
    "404": (status(404), "404 Not Found"),
    "403": (status(403), "403 Forbidden"),
    "206 without a Range": (content_range("bytes 0-59999/60000"), "206 Partial Content"),
    "redirect loop": (redirect("/{file}"), "redirects more than 10 times"),
    "redirect to another scheme": (redirect("ftp://127.0.0.1/{file}"), "redirects from http to ftp"),
    "redirect to an invalid address": (redirect("http://[::1/{file}"), "redirects to an invalid address"),
}


@pytest.mark.parametrize("name", PERMANENT)
def test_permanent_fault_of_the_first_mirror(
    tmp_path: Path, server: FaultServer, second: FaultServer, name: str
) -> None:
    answer, why = PERMANENT[name]
    for file in CONTENTS:
        server.always(file, answer if file == IMAGES else serve)
    events = get(tmp_path, server.url, second.url)
    assert len(server.ranges(IMAGES)) == (11 if name == "redirect loop" else 1)
    assert second.ranges(IMAGES) == [""]
    assert [name for name, _ in second.asked] == [IMAGES], "the first mirror is tried for each file"
    (failure,) = [event for event in events if isinstance(event, AttemptFailed)]
    assert why in failure.why
    assert (failure.mirror, failure.next_mirror, failure.wait) == (server.url, second.url, 0)


@pytest.mark.parametrize("name", PERMANENT)
def test_permanent_fault_of_both_mirrors(tmp_path: Path, server: FaultServer, second: FaultServer, name: str) -> None:
    answer, why = PERMANENT[name]
    server.always(IMAGES, answer)
    second.always(IMAGES, answer)
    _, one, two, _ = error_of(tmp_path / "data", server.url, second.url)
    assert one.startswith(f"  {server.url}: ") and why in one
    assert two.startswith(f"  {second.url}: ") and why in two
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("sizes", [True, False])
@pytest.mark.parametrize("headers", [{}, {"Content_Encoding": "gzip"}])
def test_gzip_bomb(
    tmp_path: Path, server: FaultServer, second: FaultServer, sizes: bool, headers: dict[str, str]
) -> None:
    server.always(IMAGES, other(BOMB, **headers))
    tracemalloc.start()
    events = get(tmp_path, server.url, second.url, sizes=sizes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
    wrong = f"has {len(BOMB):,} bytes, expected 60,000" if sizes else "wrong SHA-256"
    assert wrong in failures(events)[0]


def test_content_encoding_is_ignored(tmp_path: Path, server: FaultServer) -> None:
    server.plan(IMAGES, other(CONTENTS[IMAGES], Content_Encoding="gzip"))
    assert not failures(get(tmp_path, server.url))


def test_an_endless_body_is_cut_off(tmp_path: Path, server: FaultServer) -> None:
    server.always(IMAGES, endless)
    limits = Limits(tries=1, max_bytes=100_000)
    assert "sends more than the 100,000 bytes expected" in error_of(tmp_path, server.url, limits=limits, sizes=False)[1]
    server.closing.wait(0.05)
    assert server.sent < 30_000_000, "of 268 MB; the sockets buffer the rest"


def test_a_content_length_above_the_limit_is_refused(tmp_path: Path, server: FaultServer) -> None:
    limits = Limits(tries=1, max_bytes=50_000)
    lines = error_of(tmp_path, server.url, limits=limits, sizes=False)
    assert "has 60,000 bytes, expected at most 50,000" in lines[1]


def test_a_redirect_body_is_not_read(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    def endless_redirect(handler: object, body: bytes) -> None:
        handler.head(302, Location=f"{second.url}{IMAGES}", Transfer_Encoding="chunked")  # type: ignore[attr-defined]
        with contextlib.suppress(OSError):
            handler.server.closing.wait(5)  # type: ignore[attr-defined]
        handler.close_connection = True  # type: ignore[attr-defined]

    server.plan(IMAGES, endless_redirect)
    events = get(tmp_path, server.url)
    assert not failures(events) and second.ranges(IMAGES) == [""]


@pytest.mark.parametrize("sizes", [True, False])
def test_without_known_sizes_and_lengths(tmp_path: Path, server: FaultServer, sizes: bool) -> None:
    server.plan(IMAGES, until_closed)
    server.plan(LABELS, truncated(1000))
    get(tmp_path, server.url, sizes=sizes)
    assert server.ranges(LABELS) == ["", "bytes=1000-"]


def test_waits_double_and_there_are_five_tries(tmp_path: Path, server: FaultServer) -> None:
    server.always(IMAGES, status(503))
    waits: list[float] = []
    info = dataset(server.url)
    with pytest.raises(DataError):
        fetch(info, tmp_path, mirrors_of(info), sleep=waits.append)
    assert waits == [0.5, 1.0, 2.0, 4.0]
    assert len(server.asked) == 5


def test_every_mirror_gets_a_try(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    with fault_server() as third:
        server.always(IMAGES, status(503))
        second.always(IMAGES, reset(0))
        waits: list[float] = []
        info = dataset(server.url, second.url, third.url)
        fetch(info, tmp_path, mirrors_of(info), limits=QUICK, sleep=waits.append)
        asked = [len(s.ranges(IMAGES)) for s in (server, second, third)]
        assert asked == [3, 1, 1]
        assert waits == [0.001, 0.002]
    assert placed(tmp_path / "tiny") == CONTENTS


def test_a_mirror_that_cannot_be_reached_is_tried_last(tmp_path: Path, server: FaultServer) -> None:
    closed = closed_port()
    server.plan(IMAGES, status(503))
    events = get(tmp_path, closed, server.url)
    tried = [(event.mirror, event.next_mirror) for event in events if isinstance(event, AttemptFailed)]
    assert tried[:2] == [(closed, server.url), (server.url, server.url)]
    assert failures(events)[0] == "no connection: connection refused"


def test_a_mirror_that_does_not_exist(tmp_path: Path) -> None:
    lines = error_of(tmp_path / "data", "http://no-such-host.invalid/", closed_port())
    assert "no connection: " in lines[1] and "no connection: connection refused" in lines[2]


def test_bytes_of_different_mirrors_are_not_combined(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    server.plan(IMAGES, truncated(20_000), status(403))
    get(tmp_path, server.url, second.url)
    assert server.ranges(IMAGES) == ["", "bytes=20000-"] and second.ranges(IMAGES) == [""]


@pytest.mark.parametrize("answer", [truncated(15_000), reset(15_000)])
def test_attempts_that_make_progress_are_not_counted(
    tmp_path: Path, server: FaultServer, second: FaultServer, answer: Answer
) -> None:
    server.always(IMAGES, answer)
    waits: list[float] = []
    info = dataset(server.url, second.url)
    fetch(info, tmp_path, mirrors_of(info), limits=replace(QUICK, tries=2), sleep=waits.append)
    assert placed(tmp_path / "tiny") == CONTENTS
    assert server.ranges(IMAGES) == ["", "bytes=15000-", "bytes=30000-", "bytes=45000-"] and not second.asked
    assert waits == [0.001] * 3


def test_a_mirror_with_other_bytes_is_left_although_it_makes_progress(
    tmp_path: Path, server: FaultServer, second: FaultServer
) -> None:
    server.files = {**CONTENTS, IMAGES: WRONG}
    server.always(IMAGES, truncated(30_000))
    get(tmp_path, server.url, second.url)
    assert server.ranges(IMAGES) == ["", "bytes=30000-"] * 4 and second.ranges(IMAGES) == [""]


def test_a_byte_per_connection_is_no_progress(tmp_path: Path, server: FaultServer) -> None:
    server.always(IMAGES, truncated(1))
    error_of(tmp_path, server.url, limits=replace(QUICK, tries=3))
    assert server.ranges(IMAGES) == ["", "bytes=1-", "bytes=2-"]


def test_a_mirror_that_ignores_ranges(tmp_path: Path, server: FaultServer) -> None:
    server.plan(IMAGES, truncated(20_000), ignoring_range(10_000), ignoring_range(50_000), ignoring_range(60_000))
    events = get(tmp_path / "a", server.url)
    assert server.ranges(IMAGES) == ["", "bytes=20000-", "bytes=10000-", "bytes=50000-"]
    assert len(failures(events)) == 3
    server.asked.clear()
    server.always(IMAGES, ignoring_range(20_000))
    error_of(tmp_path / "b", server.url, limits=replace(QUICK, tries=3))
    assert len(server.ranges(IMAGES)) == 4, "one with progress and three without"


SLOW = Limits(backoff=0.001, connect_seconds=0.1, read_seconds=0.2)


def test_a_mirror_below_the_minimum_speed_is_left(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    server.always(IMAGES, dripping(0.03))
    events = get(tmp_path, server.url, second.url, limits=replace(SLOW, connect_seconds=2))
    (why,) = failures(events)
    assert why.startswith("too slow: ") and second.ranges(IMAGES) == [""]
    assert "too slow: " in error_of(tmp_path / "data", server.url, limits=replace(SLOW, tries=1))[1]


def test_a_mirror_with_slow_headers_is_left(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    server.always(IMAGES, dripping(0.03, headers=True))
    events = get(tmp_path, server.url, second.url, limits=SLOW)
    assert failures(events)[0] == "no response within 0.3 s" and second.ranges(IMAGES) == [""]


def test_a_mirror_above_the_minimum_speed_may_be_slow(tmp_path: Path, server: FaultServer) -> None:
    server.plan(IMAGES, slow(0.6, pieces=20))
    assert not failures(get(tmp_path, server.url, limits=replace(SLOW, connect_seconds=2, read_seconds=0.3)))


# Answers to the request for the rest of a file, after which the whole file is requested again at once.
CHANGED: dict[str, Answer] = {
    "416": status(416),
    "other ETag": tagged('"2"', 60_000),
    "other start": content_range("bytes 20007-59999/60000"),
    "other length": content_range("bytes 20000-59998/59999"),
    "empty Content-Range": content_range(""),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_file_that_cannot_be_continued_is_requested_again(
    tmp_path: Path, server: FaultServer, second: FaultServer, name: str
) -> None:
    server.plan(IMAGES, tagged('"1"', 20_000), CHANGED[name])
    events = get(tmp_path, server.url, second.url)
    assert server.ranges(IMAGES) == ["", "bytes=20000-", ""] and not second.asked
    assert len(failures(events)) == 1


def test_a_file_of_another_length_is_requested_again(tmp_path: Path, server: FaultServer) -> None:
    server.plan(IMAGES, lambda handler, _: truncated(20_000)(handler, WRONG[:-1]))
    assert len(failures(get(tmp_path, server.url, sizes=False))) == 1
    assert server.ranges(IMAGES) == ["", "bytes=20000-", ""]


def test_a_file_that_changes_unnoticed_is_requested_again(tmp_path: Path, server: FaultServer) -> None:
    server.plan(IMAGES, lambda handler, _: truncated(1000)(handler, WRONG))
    events = get(tmp_path, server.url)
    assert server.ranges(IMAGES) == ["", "bytes=1000-", ""]
    assert "wrong SHA-256" in failures(events)[1]


def test_the_error_names_the_reason_for_each_mirror(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    server.always(IMAGES, html)
    second.always(IMAGES, status(404))
    closed = closed_port()
    lines = error_of(tmp_path, server.url, second.url, closed)
    assert lines[1].startswith(f"  {server.url}: ") and "HTML" in lines[1]
    assert lines[2].startswith(f"  {second.url}: ") and "404" in lines[2]
    assert lines[3].startswith(f"  {closed}: ") and "connection refused" in lines[3]


def test_a_password_is_not_shown(tmp_path: Path, server: FaultServer) -> None:
    server.always(IMAGES, status(403))
    lines = error_of(tmp_path, server.url.replace("//", "//teacher:secret@"))
    assert server.url in lines[1] and "secret" not in "".join(lines)


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Create a self-signed certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    return paths


@pytest.fixture
def secure(certificate: tuple[Path, Path]) -> Iterator[FaultServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with fault_server(context=context) as running:
        yield running


def test_tls_with_a_self_signed_certificate(tmp_path: Path, secure: FaultServer, server: FaultServer) -> None:
    lines = error_of(tmp_path / "data", secure.url)
    assert lines[1].startswith(f"  {secure.url}: TLS failure: certificate verify failed")
    assert not secure.asked
    events = get(tmp_path, secure.url, server.url)
    assert all(event.next_mirror == server.url for event in events if isinstance(event, AttemptFailed))


def test_tls_to_a_server_without_tls(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    https = server.url.replace("http:", "https:")
    events = get(tmp_path, https, second.url)
    assert all(why.startswith("TLS failure: ") for why in failures(events))
    assert len(failures(events)) == 4, "one request per file"
    assert not server.asked, "https is not downgraded to http"


def test_a_certificate_from_the_environment(
    tmp_path: Path,
    secure: FaultServer,
    server: FaultServer,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    assert not failures(get(tmp_path / "a", secure.url))
    secure.always(IMAGES, redirect(f"{server.url}{{file}}"))
    lines = error_of(tmp_path / "b", secure.url)
    assert lines[1].startswith(f"  {secure.url}: ") and "from https to http" in lines[1]
    assert not server.asked
    server.always(IMAGES, redirect(f"{secure.url}{{file}}"))
    secure.always(IMAGES, serve)
    assert not failures(get(tmp_path / "c", server.url)), "a redirect from http to https is allowed"


def test_a_proxy_from_the_environment(tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    get(tmp_path, "http://mirror.invalid/files/")
    assert server.paths[0] == f"http://mirror.invalid/files/{IMAGES}"


def test_a_proxy_that_does_not_answer(tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", closed_port())
    assert "the proxy does not connect: connection refused" in error_of(tmp_path, "http://mirror.invalid/")[1]


# --- mirrors given by the user


def test_the_given_mirror_is_tried_first(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    info = dataset(second.url)
    states = fetch(info, tmp_path, mirrors_of(info, server.url.rstrip("/")), limits=QUICK)
    assert {state.source for state in states} == {server.url} and not second.asked


def test_a_mirror_may_have_a_folder_for_each_dataset(tmp_path: Path, server: FaultServer) -> None:
    server.files = {f"tiny/{name}": content for name, content in CONTENTS.items()}
    server.strict_paths = True
    info = dataset("http://never.invalid/")
    events: list[Event] = []
    fetch(info, tmp_path, mirrors_of(info, server.url), limits=QUICK, on_event=events.append)
    assert server.paths[:2] == [f"/{IMAGES}", f"/tiny/{IMAGES}"]
    assert placed(tmp_path / "tiny") == CONTENTS and not failures(events)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/"),
        ("https://example.org/mnist/", "https://example.org/mnist/"),
        ("http://[::1]:8000/x", "http://[::1]:8000/x/"),
    ],
)
def test_valid_mirror_addresses(url: str, checked: str) -> None:
    assert checked_mirror(url) == checked


@pytest.mark.parametrize(
    "url",
    [
        *("", "ftp://example.org/", "example.org", "http://", "http://x:port/", "http://x/?a=b", "http://x/#y"),
        *("file:///data", "http://[::1/", "http://x y/", "http://x/\n", "http://x:0/"),
    ],
)
def test_invalid_mirror_addresses(url: str) -> None:
    with pytest.raises(UsageError, match=r"^--mirror "):
        checked_mirror(url)


@pytest.mark.parametrize("url", ["http://me:secret@x/?a", "http://me:se cret@x/", "me:se/cret@x", "ftp://secret@x/"])
def test_an_invalid_mirror_address_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(UsageError, match=r"^--mirror x") as caught:
        checked_mirror(url)
    assert "cret" not in str(caught.value)


# --- copies from a folder


def provide(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or CONTENTS:
        (folder / name).write_bytes(CONTENTS[name])
    return folder


def copy_error(folder: Path, data_dir: Path) -> list[str]:
    with pytest.raises(DataError) as caught:
        copy_from(dataset(), data_dir, folder)
    return str(caught.value).split("\n")


@pytest.mark.parametrize("subfolder", ["", "tiny"])
def test_from_a_folder(tmp_path: Path, subfolder: str) -> None:
    provide(tmp_path / "mine" / subfolder)
    states = copy_from(dataset(), tmp_path / "data", tmp_path / "mine")
    assert [state.status for state in states] == ["fetched"] * 4
    assert {state.source for state in states} == {str(tmp_path / "mine")}
    assert placed(tmp_path / "data" / "tiny") == placed(tmp_path / "mine" / subfolder) == CONTENTS
    states = copy_from(dataset(), tmp_path / "data", tmp_path / "mine")
    assert [state.status for state in states] == ["verified"] * 4


def test_from_a_folder_with_some_of_the_files(tmp_path: Path) -> None:
    provide(tmp_path / "mine")
    (tmp_path / "mine" / IMAGES).write_bytes(WRONG)
    (tmp_path / "mine" / LABELS).unlink()
    found, one, two, hint = copy_error(tmp_path / "mine", tmp_path / "data")
    assert found.startswith(f"--from {tmp_path / 'mine'}: 2 of the 4 files ")
    assert one.startswith(f"  {tmp_path / 'mine' / IMAGES}: wrong SHA-256 ")
    assert two == f"  {LABELS}: missing"
    assert "`mlptrain download tiny`" in hint
    assert placed(tmp_path / "data" / "tiny").keys() == CONTENTS.keys() - {IMAGES, LABELS}


def test_from_a_folder_of_unpacked_files(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in CONTENTS:
        (folder / name.removesuffix(".gz")).write_bytes(b"unpacked")
    lines = copy_error(folder, tmp_path / "data")
    assert lines[1].startswith(f"  {IMAGES}: missing") and f"`dataset={folder}`" in lines[1]
    assert not (tmp_path / "data").exists()


def test_from_a_missing_folder(tmp_path: Path) -> None:
    assert copy_error(tmp_path / "mine", tmp_path / "data")[0] == f"--from {tmp_path / 'mine'}: no such folder"


def test_from_a_pipe_and_a_file_that_is_too_long(tmp_path: Path) -> None:
    folder = provide(tmp_path / "mine", LABELS)
    os.mkfifo(folder / IMAGES)
    with (folder / LABELS).open("ab") as stream:
        stream.write(b"!")
    lines = copy_error(folder, tmp_path / "data")
    assert lines[1] == f"  {folder / IMAGES}: not a regular file"
    assert lines[2] == f"  {folder / LABELS}: 3,001 bytes, expected 3,000"


# --- folders, disks, processes


def test_checking_changes_nothing(tmp_path: Path) -> None:
    assert [state.status for state in check_dataset(dataset(), tmp_path)] == ["missing"] * 4
    (tmp_path / "tiny" / IMAGES).mkdir(parents=True)
    (tmp_path / "tiny" / LABELS).write_bytes(b"")
    leftover = temporary_beside(tmp_path / "tiny" / IMAGES)
    leftover.write_bytes(b"")
    images, labels, *_ = check_dataset(dataset(), tmp_path)
    assert (images.status, images.fault) == ("damaged", "not a regular file")
    assert (labels.status, labels.fault) == ("damaged", "0 bytes, expected 3,000")
    assert leftover.exists()


def test_a_folder_that_cannot_be_created(tmp_path: Path, server: FaultServer) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    info = dataset(server.url)
    with pytest.raises(DataError, match=r"cannot be written: .*\nhint: .*--data-dir"):
        fetch(info, tmp_path / "data", mirrors_of(info), limits=QUICK)
    assert (tmp_path / "data").read_bytes() == b"a file"


def test_a_full_disk(tmp_path: Path, server: FaultServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        info = dataset(server.url)
        with pytest.raises(DataError, match="cannot be written: file too large"):
            fetch(info, tmp_path / "data", mirrors_of(info), limits=QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "data").exists()
    assert len(server.asked) == 1, "a full disk is no reason to try again"


def test_leftovers_of_dead_processes_are_removed(tmp_path: Path, server: FaultServer) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    gone = [folder / f".{IMAGES}.{dead.pid}.0123abcd.tmp", folder / f".{IMAGES}.{os.getppid()}.0123abcd.tmp"]
    kept = [folder / f".{LABELS}.{os.getppid()}.0123abcd.tmp", folder / ".notes.tmp", folder / "my.txt"]
    for path in (*gone, *kept):
        path.write_bytes(b"")
    os.utime(gone[1], (0, 0))
    info = dataset(server.url)
    fetch(info, tmp_path, mirrors_of(info), limits=QUICK)
    assert placed(folder).keys() == CONTENTS.keys() | {path.name for path in kept}


def test_a_temporary_file_in_use_is_not_a_leftover(tmp_path: Path, server: FaultServer) -> None:
    """Not even if no process has its number here, because the process is in another container."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    server.plan(IMAGES, slow(0.5))
    info = dataset(server.url)
    thread = threading.Thread(target=fetch, args=(info, tmp_path, mirrors_of(info)))
    thread.start()
    folder = tmp_path / "tiny"
    while not (folder.exists() and list(folder.iterdir())):
        server.closing.wait(0.01)
    (temporary,) = folder.iterdir()
    foreign = temporary.with_name(temporary.name.replace(f".{os.getpid()}.", f".{dead.pid}."))
    foreign.hardlink_to(temporary)
    fetch(info, tmp_path, mirrors_of(info), limits=QUICK)
    assert foreign.exists()
    thread.join()
    foreign.unlink()
    assert placed(folder) == CONTENTS


DRIVER = """
import json, os, random, signal, sys, time
from pathlib import Path
from mlptrain.datasets.download import fetch, mirrors_of
from mlptrain.datasets.verify import check_dataset
from tests.datasets.fault_server import dataset
def run(data_dir, url):
    info = dataset(url)
    fetch(info, Path(data_dir), mirrors_of(info))
"""


def driver(body: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER + body, *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_two_processes_at_once(tmp_path: Path, server: FaultServer) -> None:
    for name in CONTENTS:
        server.always(name, slow(0.1))
    body = "print('ready', flush=True); input(); run(*sys.argv[1:])"
    both = [driver(body, str(tmp_path), server.url) for _ in range(2)]
    for process in both:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=20)
    assert [process.returncode for process in both] == [0, 0]
    assert placed(tmp_path / "tiny") == CONTENTS
    assert len(server.ranges(IMAGES)) == 2, "both processes fetched it"


def test_a_process_that_fails_does_not_disturb_another(
    tmp_path: Path, server: FaultServer, second: FaultServer
) -> None:
    """It removes the empty folders while the other process creates them."""
    server.always(IMAGES, stalled(1))
    stop = threading.Event()

    def fail_repeatedly() -> None:
        info = dataset(server.url)
        while not stop.is_set():
            with contextlib.suppress(DataError):
                fetch(info, tmp_path / "data", mirrors_of(info), limits=Limits(tries=1, read_seconds=0.005))

    thread = threading.Thread(target=fail_repeatedly)
    thread.start()
    try:
        for _ in range(20):
            shutil.rmtree(tmp_path / "data" / "tiny", ignore_errors=True)
            info = dataset(second.url)
            fetch(info, tmp_path / "data", mirrors_of(info), limits=QUICK)
    finally:
        stop.set()
        thread.join()
    assert placed(tmp_path / "data" / "tiny") == CONTENTS


# Forks a download for each moment, in a process of one thread that has imported everything, and kills it then.
KILLER = """
slow, fast, data_dir = sys.argv[1:]
found = []
for number, moment in enumerate(json.loads(input())):
    folder = Path(data_dir, str(number))
    child = os.fork()
    if not child:
        run(folder, slow)
        os._exit(0)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    code = os.waitpid(child, 0)[1]
    left = sorted(os.listdir(folder / "tiny")) if (folder / "tiny").exists() else []
    good = {state.file.name for state in check_dataset(dataset(), folder) if state.good}
    broken = [name for name in left if not name.endswith(".tmp") and name not in good]
    run(folder, fast)
    found.append([code, left, broken])
print(json.dumps(found))
"""


def test_sigkill_at_twenty_random_moments(tmp_path: Path, server: FaultServer, second: FaultServer) -> None:
    for name, seconds in zip(CONTENTS, (0.15, 0.05, 0.1, 0.05), strict=True):
        server.always(name, slow(seconds, 10))
    generator = random.Random(7)
    moments = [generator.uniform(0.0, 0.4) for _ in range(20)]
    process = driver(KILLER, server.url, second.url, str(tmp_path))
    output, _ = process.communicate(json.dumps(moments) + "\n", timeout=60)
    assert process.returncode == 0
    found = json.loads(output)
    assert len(found) == 20
    for number, (_, left, broken) in enumerate(found):
        assert not broken
        for name in left:
            assert name in CONTENTS or (name.startswith(".") and name.endswith(".tmp"))
        assert placed(tmp_path / str(number) / "tiny") == CONTENTS, "the next run cleans up"
    assert sum(code == signal.SIGKILL for code, _, _ in found) >= 10
    assert sum(any(name.endswith(".tmp") for name in left) for _, left, _ in found) >= 3


def test_ctrl_c_leaves_nothing(tmp_path: Path, server: FaultServer) -> None:
    server.always(IMAGES, stalled(20_000))
    process = driver("run(*sys.argv[1:])", str(tmp_path / "data"), server.url)
    while not (tmp_path / "data" / "tiny").exists() or not list((tmp_path / "data" / "tiny").iterdir()):
        assert process.poll() is None
        server.closing.wait(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode in (-signal.SIGINT, 130)
    assert not (tmp_path / "data").exists()
