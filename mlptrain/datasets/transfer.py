"""Transfer of one file over HTTP: the requests to a mirror, and the incoming file, which is digested as it arrives."""

from __future__ import annotations

import errno
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
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
from mlptrain.system.files import WINDOWS, lock_temporary, reason, sync_folder, temporary_beside, when_closed
from mlptrain.system.text import without_credentials

_PIECE_BYTES = 2**16

_MAX_REDIRECTS = 10

_HEADERS = {
    "User-Agent": f"mlptrain/{__version__}",
    "Accept-Encoding": "identity",  # keeps the gzip of the file itself, and nothing is inflated on arrival
    "Connection": "close",  # a kept connection may be dead at the next request
}

_TEMPORARY_STATUSES = {408, 425, 429}  # 4xx statuses after which a retry may succeed

_MAX_OPEN_TRIES = 5  # other processes may remove the empty folder at the same time


@dataclass(frozen=True)
class Limits:
    """Limits of a transfer.

    There are ``tries`` attempts without progress per file over all mirrors. The first wait ``backoff``, which doubles
    each time, and the timeouts are in seconds. ``min_speed`` is in bytes per second, measured over ``read_seconds``. A
    file of unknown size has at most ``max_bytes``.
    """

    tries: int = 5
    backoff: float = 0.5
    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    min_speed: float = 1000.0
    max_bytes: int = 2**26


class Mirror(NamedTuple):
    """A server that may have a file, at the first of the ``addresses`` or, if that answers 404, at the next."""

    addresses: tuple[str, ...]

    def __str__(self) -> str:
        """Return the first address without user name and password."""
        parts = urlsplit(self.addresses[0])
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


Action = Literal["retry", "defer", "drop"]


class Failure(Exception):
    """A failed attempt to get a file.

    ``action`` is the treatment of the mirror: ``retry`` if it answers and may succeed next time, ``defer`` if it cannot
    be reached or is too slow and the others come first, ``drop`` if it would fail again. ``discard`` is true if the
    bytes received so far are useless.
    """

    def __init__(self, message: str, action: Action, *, discard: bool = False) -> None:
        super().__init__(message)
        self.action = action
        self.discard = discard


def transfer(
    mirror: Mirror,
    file: RemoteFile,
    incoming: IncomingFile,
    limits: Limits,
    on_bytes: Callable[[int, int | None], object],
) -> None:
    """Complete ``incoming`` with the bytes of ``file``, requesting only those that earlier attempts did not receive.

    ``on_bytes`` is called with the number of bytes received and the total, if it is known. If the server ignores the
    range, or its file has changed, the file starts again.

    Raises
    ------
    Failure
        The bytes did not arrive or are wrong; useful ones stay in ``incoming``.
    DataError
        They cannot be written.
    """
    try:
        for first in (incoming.received, 0):
            with closing(_request(mirror, file.name, first, limits)) as response:
                if first and not _continues(response, incoming):
                    continue
                start, total = _accept(response, file, first, limits)
                if start == 0:
                    incoming.restart()
                    incoming.version = _version(response, total)
                limit = limits.max_bytes if total is None else total
                incoming.responses += 1
                for piece in _pieces(response, limits):
                    if incoming.received + len(piece) > limit:
                        raise Failure(f"sends more than the {limit:,} bytes expected", "retry", discard=True)
                    incoming.write(piece)
                    on_bytes(incoming.received, total)
                    if incoming.received == total:
                        break
                break
        if total is not None and incoming.received < total:
            raise Failure(f"incomplete: {incoming.received:,} of {total:,} bytes", "retry")
        if fault := incoming.fault(file):
            # Bytes of several responses may not fit together if the file was changed: request it once more.
            raise Failure(fault, "drop" if incoming.responses == 1 else "retry", discard=True)
    except (requests.RequestException, urllib3_errors.HTTPError) as error:
        raise _network_failure(error, incoming.received, limits) from error
    except Failure as failure:
        if failure.discard:
            incoming.restart()
        raise


class _Session(requests.Session):
    """A session for a single request that leaves redirects to `_follow`; requests would read their bodies.

    Sessions are not shared: requests keeps a connection that the server closes without announcing it, and the next
    request on it would be lost.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None for every response."""
        return


def _request(mirror: Mirror, name: str, start: int, limits: Limits) -> requests.Response:
    """Request the file ``name`` from byte ``start`` on and follow redirects."""
    headers = _HEADERS | ({"Range": f"bytes={start}-"} if start else {})
    *others, last = mirror.addresses
    for address in others:
        response = _follow(address + name, headers, limits)
        if response.status_code != HTTPStatus.NOT_FOUND:
            return response
        response.close()
    return _follow(last + name, headers, limits)


def _follow(url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    for _ in range(_MAX_REDIRECTS + 1):
        with _Session() as session:
            response = _get(session, url, headers, limits)
            target = requests.Session.get_redirect_target(session, response)
        if target is None:
            return response
        response.close()
        before = urlsplit(url).scheme
        try:
            url = urljoin(url, target)
        except ValueError as error:
            raise Failure("redirects to an invalid address", "drop") from error
        after = urlsplit(url).scheme
        if after not in ({"https"} if before == "https" else {"http", "https"}):
            raise Failure(f"redirects from {before} to {after or 'nowhere'}, which is refused", "drop")
    raise Failure(f"redirects more than {_MAX_REDIRECTS} times", "drop")


def _get(session: _Session, url: str, headers: dict[str, str], limits: Limits) -> requests.Response:
    """Return the response when its headers have arrived.

    The timeouts of a socket begin again with every byte, so that slow headers could take hours. A thread requests them,
    and is left behind if they take too long.
    """
    timeout = (limits.connect_seconds, limits.read_seconds)
    results: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()

    def request() -> None:
        try:
            results.put(session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False))
        except Exception as error:
            results.put(error)

    threading.Thread(target=request, daemon=True).start()
    try:
        result = results.get(timeout=sum(timeout))
    except queue.Empty:
        raise Failure(f"no response within {sum(timeout):g} s", "defer") from None
    if isinstance(result, Exception):
        raise result
    return result


def _pieces(response: requests.Response, limits: Limits) -> Iterator[bytes]:
    """Yield the bytes of a response as they arrive; raise a Failure if they arrive below the minimum speed."""
    began, received = time.monotonic(), 0
    while piece := response.raw.read1(_PIECE_BYTES, decode_content=False):
        yield piece
        received += len(piece)
        seconds = time.monotonic() - began
        if seconds >= limits.read_seconds:
            if received < limits.min_speed * seconds:
                raise Failure(f"too slow: {received:,} bytes in {seconds:.3g} s", "defer")
            began, received = time.monotonic(), 0


def _continues(response: requests.Response, incoming: IncomingFile) -> bool:
    """Return False if the response to a Range does not fit the bytes received, as after a change of the file."""
    if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return False
    if response.status_code != HTTPStatus.PARTIAL_CONTENT:
        return True
    total = _range_total(response, incoming.received)
    versions = zip(_version(response, total), incoming.version, strict=True)
    return total is not None and all(new == old for new, old in versions if new and old)


def _version(response: requests.Response, total: int | None) -> tuple[str, int | None]:
    """Return the ETag of the complete file, empty if unknown, and its size, None if unknown."""
    return response.headers.get("ETag", ""), total


def _accept(response: requests.Response, file: RemoteFile, received: int, limits: Limits) -> tuple[int, int | None]:
    """Decide by status and headers whether a response is acceptable.

    Return the position of its first byte, 0 or ``received``, and the size of the complete file, if it is known.
    """
    status = response.status_code
    if status != HTTPStatus.OK and not (status == HTTPStatus.PARTIAL_CONTENT and received):
        temporary = status >= 500 or status in _TEMPORARY_STATUSES
        raise Failure(f"answers {_status_text(status)}", "retry" if temporary else "drop")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise Failure("sends an HTML page instead of the file", "drop")
    start = 0 if status == HTTPStatus.OK else received
    total = _range_total(response, received) if start else _length(response)
    if total is not None and file.size is not None and total != file.size:
        raise Failure(f"has {total:,} bytes, expected {file.size:,}", "retry", discard=True)
    if total is not None and file.size is None and total > limits.max_bytes:
        raise Failure(f"has {total:,} bytes, expected at most {limits.max_bytes:,}", "retry", discard=True)
    return start, total if file.size is None else file.size


def _length(response: requests.Response) -> int | None:
    """Return the number of bytes in a response, None if unknown."""
    header = response.headers.get("Content-Length", "")
    return int(header) if re.fullmatch("[0-9]{1,18}", header) else None


def _range_total(response: requests.Response, received: int) -> int | None:
    """Return the size of the complete file, None if the response does not extend from ``received`` to its end."""
    header = response.headers.get("Content-Range", "").strip()
    match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)", header)
    if match:
        start, total = int(match[1]), int(match[2]) + 1
        if start == received < total and match[3] in ("*", str(total)) and _length(response) in (None, total - start):
            return total
    return None


def _status_text(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _network_failure(error: Exception, received: int, limits: Limits) -> Failure:
    """Translate an exception of requests or urllib3."""
    cause = _root_cause(error)
    if isinstance(error, requests.exceptions.SSLError):
        return Failure(f"TLS failure: {cause}", "drop")
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return Failure(f"no connection within {limits.connect_seconds:g} s", "defer")
    if isinstance(error, requests.exceptions.Timeout | urllib3_errors.TimeoutError):
        return Failure(f"no data for {limits.read_seconds:g} s", "retry")
    if isinstance(error, requests.exceptions.ProxyError):
        return Failure(f"the proxy does not connect: {cause}", "defer")
    if isinstance(error, requests.exceptions.ConnectionError):
        if any(isinstance(part, urllib3_errors.ProtocolError) for part in error.args):
            return Failure(f"connection lost: {cause}", "retry")
        return Failure(f"no connection: {cause}", "defer")
    if isinstance(error, urllib3_errors.HTTPError) and not isinstance(error, urllib3_errors.LocationValueError):
        return Failure(f"connection lost after {received:,} bytes: {cause}", "retry")
    return Failure(cause, "drop")


def _root_cause(error: BaseException) -> str:
    """Return the text of the innermost error of a chain, without memory addresses and source files."""
    seen: list[BaseException] = []
    inner: object = error
    while isinstance(inner, BaseException) and inner not in seen:
        seen.append(inner)
        nested = [part for part in (getattr(inner, "reason", None), *inner.args) if isinstance(part, BaseException)]
        inner = nested[-1] if nested else inner.__cause__ or inner.__context__
    text = next((part.strerror for part in reversed(seen) if isinstance(part, OSError) and part.strerror), "")
    text = text or str(seen[-1]) or type(seen[-1]).__name__
    text = without_credentials(re.sub(r"^\[[^\]]*\] ?| ?\(_ssl\.c:\d+\)", "", text).strip())
    return text[:1].lower() + text[1:]


class IncomingFile:
    """A file that is being received: a temporary file beside ``target`` until `finish` renames it.

    As a context manager it removes the temporary file and those folders that it created, if they are empty. File and
    folders are created with the first bytes. ``responses`` counts the responses that the bytes come from, and
    ``version`` is the ETag and the size of the file in the first of them, if they are known.

    Raises
    ------
    DataError
        From all methods: the folder or the file cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.responses = 0
        self.version: tuple[str, int | None] = ("", None)
        self._digests = Digests()
        self._temporary: Path | None = None
        self._stream: BinaryIO | None = None
        self._created: list[Path] = []

    @property
    def received(self) -> int:
        """Number of bytes received so far."""
        return self._digests.size

    def write(self, piece: bytes) -> None:
        """Append the next bytes."""
        try:
            stream = self._stream or self._open()
            stream.write(piece)
        except OSError as error:
            raise self._unwritable(error) from error
        self._digests.update(piece)

    def restart(self) -> None:
        """Discard the bytes received so far."""
        self.responses = 0
        self._digests = Digests()
        if self._stream is not None:
            try:
                self._stream.seek(0)
                self._stream.truncate()
            except OSError as error:
                raise self._unwritable(error) from error

    def fault(self, file: RemoteFile) -> str:
        """Describe how the bytes differ from the published file; empty if they do not."""
        return self._digests.fault(file)

    def finish(self) -> None:
        """Make the bytes durable and rename the file to ``target``; call it only if there is no `fault`."""
        assert self._stream is not None and self._temporary is not None
        try:
            self._stream.flush()
            os.fsync(self._stream.fileno())
            if WINDOWS:
                self._stream.close()  # Windows cannot rename an open file; elsewhere it stays locked until then
            when_closed(partial(self._temporary.replace, self.target))
        except OSError as error:
            raise self._unwritable(error) from error
        sync_folder(self.target.parent)

    def __enter__(self) -> IncomingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk fails again when the rest of the buffer is written
            if self._stream is not None:
                self._stream.close()
        with suppress(OSError):
            if self._temporary is not None:
                self._temporary.unlink()
        for folder in self._created:
            with suppress(OSError):  # it is not empty, because another process uses it
                folder.rmdir()

    def _open(self) -> BinaryIO:
        folder = self.target.parent
        for _ in range(_MAX_OPEN_TRIES):
            self._created += [
                path for path in (folder, *folder.parents) if not path.exists() and path not in self._created
            ]
            folder.mkdir(parents=True, exist_ok=True)
            self._temporary = temporary_beside(self.target)  # set before the file exists, in case of Ctrl-C in between
            with suppress(FileNotFoundError):  # another process that failed has just removed the empty folder
                self._stream = self._temporary.open("xb")
                if lock_temporary(self._stream):
                    return self._stream
                self._stream.close()
                self._stream = None
        raise FileNotFoundError(errno.ENOENT, "other processes keep removing its folder")

    def _unwritable(self, error: OSError) -> DataError:
        return DataError(
            f"{self.target}: cannot be written: {reason(error)}\n"
            "hint: free some space, or set another folder with `--data-dir DIR`"
        )
