"""A file on its way into a data folder: digested while it comes, and seen under its name only when it is right."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from urllib3 import exceptions as urllib3_errors

from mlptrain import __version__
from mlptrain.config.registry import RemoteFile
from mlptrain.datasets.verify import Digests
from mlptrain.errors import DataError
from mlptrain.system.files import hold, reason, sync_folder, temporary_beside

TRIES = 5  # at making a temporary file, against others that remove things at that moment


class Incoming:
    """Bytes for ``target``, kept in a temporary file beside it until `place` renames that.

    A context: leaving it removes the temporary file, and the folders that were made for it where they are
    empty. File and folders are made with the first bytes. ``parts`` counts the answers that the bytes are of.

    Raises
    ------
    DataError
        By all methods: the folder or the file cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.parts = 0
        self._digests = Digests()
        self._temporary: Path | None = None
        self._stream: BinaryIO | None = None
        self._made: list[Path] = []

    @property
    def received(self) -> int:
        """Bytes so far."""
        return self._digests.count

    def write(self, piece: bytes) -> None:
        """Append the next bytes."""
        try:
            stream = self._stream or self._open()
            stream.write(piece)
        except OSError as error:
            raise self._unwritable(error) from error
        self._digests.update(piece)

    def restart(self) -> None:
        """Forget what has come."""
        self.parts = 0
        self._digests = Digests()
        if self._stream is not None:
            try:
                self._stream.seek(0)
                self._stream.truncate()
            except OSError as error:
                raise self._unwritable(error) from error

    def fault(self, file: RemoteFile) -> str:
        """In what the bytes differ from those of ``file``, in words; empty where in nothing."""
        return self._digests.fault(file)

    def place(self) -> None:
        """Make the bytes durable and give them their name; only to be called where `fault` finds none."""
        try:
            stream = self._stream or self._open()
            stream.flush()
            os.fsync(stream.fileno())
            if sys.platform == "win32":
                stream.close()  # nothing open can be renamed there; elsewhere it stays locked until it is
            assert self._temporary is not None
            self._temporary.replace(self.target)
        except OSError as error:
            raise self._unwritable(error) from error
        sync_folder(self.target.parent)

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk shows again when the rest of the buffer is written
            if self._stream is not None:
                self._stream.close()
        with suppress(OSError):
            if self._temporary is not None:
                self._temporary.unlink()
        for folder in self._made:
            with suppress(OSError):  # not empty: somebody uses it
                folder.rmdir()

    def _open(self) -> BinaryIO:
        folder = self.target.parent
        for _ in range(TRIES):
            self._made += [path for path in (folder, *folder.parents) if not path.exists() and path not in self._made]
            folder.mkdir(parents=True, exist_ok=True)
            self._temporary = temporary_beside(self.target)  # known before it is there, for Ctrl-C may come between
            with suppress(FileNotFoundError):  # another process, which failed, has just removed the empty folder
                self._stream = self._temporary.open("xb")
                if hold(self._stream):
                    return self._stream
                self._stream.close()
                self._stream = None
        raise FileNotFoundError(errno.ENOENT, "its folder is removed again and again")

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self.target}: cannot be written: {reason(error)}\nfree space, or choose another folder with --data-dir"
        )


PIECE = 2**13  # small, because of a piece that is cut off nothing is kept

REDIRECTS = 10

HEADERS = {
    "User-Agent": f"mlptrain/{__version__}",
    "Accept-Encoding": "identity",  # a file's own gzip stays as it is, and nothing is inflated on the way
    "Connection": "close",  # one that is kept may be dead when it is used again, and four files need no saving
}

_PASSING = {408, 425, 429}  # of the 4xx, those that say "later" and not "no"


@dataclass(frozen=True)
class Limits:
    """How long and how often: ``tries`` a file over all mirrors, the first wait (doubled each time) and the
    timeouts in seconds, and the most bytes taken of a file whose size is not known.
    """

    tries: int = 5
    backoff: float = 0.5
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    most_bytes: int = 2**26


class Mirror(NamedTuple):
    """A server that may have a file, at the first of the ``addresses``, or where that answers 404 at the next."""

    addresses: tuple[str, ...]

    def __str__(self) -> str:
        """The address as given, without a password in it."""
        parts = urlsplit(self.addresses[0])
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


Then = Literal["stay", "move", "drop"]


class Failure(Exception):
    """A try that failed, and what to do then.

    ``stay``: the mirror answers, and may do better. ``move``: it cannot be reached, later perhaps. ``drop``:
    it would do the same again.
    """

    def __init__(self, why: str, then: Then) -> None:
        super().__init__(why)
        self.then = then


class _Session(requests.Session):
    """A session of one request, which leaves redirects to `_followed`; requests would read their bodies, however long.

    Of one, because a server that closes the connection as it was asked to, but does not say so in its answer, has
    requests keep it for the next request, which is lost where that comes before the end of the connection.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None, whatever the answer."""
        return


def transfer(
    mirror: Mirror,
    file: RemoteFile,
    incoming: Incoming,
    limits: Limits,
    on_bytes: Callable[[int, int | None], object],
) -> None:
    """Add to ``incoming`` what it lacks of ``file``, asking for the rest of what an earlier try left there.

    ``on_bytes`` is called with the bytes so far and, where it is known, their number in the end. A server that
    answers the question for the rest with the whole file is taken at its word: the file starts again.

    Raises
    ------
    Failure
        The bytes did not come or are wrong; right ones stay in ``incoming``, wrong ones do not.
    DataError
        They cannot be written.
    """
    try:
        with closing(_answer(mirror, file.name, incoming.received, limits)) as response:
            total = _accepted(response, file, incoming, limits)
            most = limits.most_bytes if total is None else total
            incoming.parts += 1
            for piece in response.raw.stream(PIECE, decode_content=False):
                if incoming.received + len(piece) > most:
                    incoming.restart()
                    raise Failure(f"sends more than the {most:,} bytes expected", "stay")
                incoming.write(piece)
                on_bytes(incoming.received, total)
                if incoming.received == total:
                    break
    except (requests.RequestException, urllib3_errors.HTTPError) as error:
        raise _network_failure(error, incoming.received, limits) from error
    if total is not None and incoming.received < total:
        raise Failure(f"cut short: {incoming.received:,} of {total:,} bytes", "stay")
    if fault := incoming.fault(file):
        # Several answers may not belong together, after a change of the file: the whole once more, in one.
        then: Then = "drop" if incoming.parts == 1 else "stay"
        incoming.restart()
        raise Failure(fault, then)


def _answer(mirror: Mirror, name: str, start: int, limits: Limits) -> requests.Response:
    """The answer to the question for ``name`` from byte ``start`` on, after redirects."""
    headers = HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    *others, last = mirror.addresses
    for address in others:
        response = _followed(address + name, headers, limits)
        if response.status_code != HTTPStatus.NOT_FOUND:
            return response
        response.close()
    return _followed(last + name, headers, limits)


def _followed(url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    timeout = (limits.connect_seconds, limits.read_seconds)
    for _ in range(REDIRECTS + 1):
        with _Session() as session:
            response = session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
            target = requests.Session.get_redirect_target(session, response)
        if target is None:
            return response
        response.close()
        before, url = urlsplit(url).scheme, _joined(url, target)
        if urlsplit(url).scheme not in ({"https"} if before == "https" else {"http", "https"}):
            raise Failure(f"redirects from {before} to {urlsplit(url).scheme or 'nowhere'}, which is refused", "drop")
    raise Failure(f"redirects more than {REDIRECTS} times", "drop")


def _joined(url: str, target: str) -> str:
    try:
        return urljoin(url, target)
    except ValueError as error:
        raise Failure("redirects to no valid address", "drop") from error


def _accepted(response: requests.Response, file: RemoteFile, incoming: Incoming, limits: Limits) -> int | None:
    """The length that the whole file will have, once the answer's head says that it goes on or starts again."""
    status = response.status_code
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        incoming.restart()
        raise Failure("416 for the rest of the file", "stay")
    if status != HTTPStatus.OK and not (status == HTTPStatus.PARTIAL_CONTENT and incoming.received):
        passing = status >= 500 or status in _PASSING
        raise Failure(f"answers {_status_words(status)}", "stay" if passing else "drop")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise Failure("sends an HTML page instead of the file", "drop")
    length = response.headers.get("Content-Length", "")
    rest = int(length) if re.fullmatch("[0-9]{1,18}", length) else None
    if status == HTTPStatus.OK:
        incoming.restart()
        total = rest
    else:
        total = _range_total(response.headers.get("Content-Range", ""), rest, incoming)
    if file.size is not None and total not in (None, file.size):
        incoming.restart()
        raise Failure(f"has {total:,} bytes, expected {file.size:,}", "stay")
    if total is not None and total > limits.most_bytes and file.size is None:
        incoming.restart()
        raise Failure(f"has {total:,} bytes, expected at most {limits.most_bytes:,}", "stay")
    return total if file.size is None else file.size


def _range_total(header: str, rest: int | None, incoming: Incoming) -> int | None:
    """The whole file's length by a Content-Range that begins where ``incoming`` ends and goes to the end."""
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", header.strip())
    start, end = (int(match[1]), int(match[2])) if match else (-1, -1)
    total = end + 1
    begins = start == incoming.received <= end
    ends = match is not None and match[3] in ("*", str(total)) and rest in (None, total - start)
    if not (begins and ends):
        received = incoming.received
        incoming.restart()
        raise Failure(f"wrong Content-Range {header[:60]!r}, expected bytes {received}-", "stay")
    return total


def _status_words(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _network_failure(error: Exception, received: int, limits: Limits) -> Failure:
    """A Failure out of what requests and urllib3 raise."""
    words = _innermost_words(error)
    if isinstance(error, requests.exceptions.SSLError):
        return Failure(f"TLS failure: {words}", "drop")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Failure(f"no connection within {limits.connect_seconds:g} s", "move")
    if isinstance(error, requests.exceptions.Timeout | urllib3_errors.TimeoutError):
        return Failure(f"no data for {limits.read_seconds:g} s", "stay")
    if isinstance(error, requests.exceptions.ProxyError):
        return Failure(f"the proxy does not connect: {words}", "move")
    if isinstance(error, requests.exceptions.ConnectionError):
        answered = any(isinstance(part, urllib3_errors.ProtocolError) for part in error.args)
        return Failure(f"{'connection lost' if answered else 'no connection'}: {words}", "stay" if answered else "move")
    if isinstance(error, urllib3_errors.HTTPError) and not isinstance(error, urllib3_errors.LocationValueError):
        return Failure(f"connection lost after {received:,} bytes: {words}", "stay")
    return Failure(words, "drop")


def _innermost_words(error: BaseException) -> str:
    """The words of the error at the bottom of a chain, without addresses in memory and in source files."""
    seen: list[BaseException] = []
    inner: object = error
    while isinstance(inner, BaseException) and inner not in seen:
        seen.append(inner)
        nested = [part for part in (getattr(inner, "reason", None), *inner.args) if isinstance(part, BaseException)]
        inner = nested[-1] if nested else inner.__cause__ or inner.__context__
    words = next((part.strerror for part in reversed(seen) if isinstance(part, OSError) and part.strerror), "")
    words = words or str(seen[-1]) or type(seen[-1]).__name__
    words = re.sub(r"^\[[^\]]*\] ?| ?\(_ssl\.c:\d+\)", "", words).strip()
    return words[:1].lower() + words[1:]
