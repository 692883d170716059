"""An HTTP server on loopback with scripted faults, and the small dataset that it serves."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mlptrain.config.registry import STEMS, DatasetInfo, RemoteFile

SIZES = (60_000, 3_000, 20_000, 500)
CONTENTS = {f"{stem}.gz": random.Random(size).randbytes(size) for stem, size in zip(STEMS, SIZES, strict=True)}
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = CONTENTS

Answer = Callable[["Handler", bytes], None]


def dataset(*mirrors: str, name: str = "tiny", sizes: bool = True) -> DatasetInfo:
    """Return a registry entry with the digests of `CONTENTS`."""
    files = tuple(
        RemoteFile(
            file,
            hashlib.md5(content).hexdigest(),
            hashlib.sha256(content).hexdigest(),
            len(content) if sizes else None,
        )
        for file, content in CONTENTS.items()
    )
    return DatasetInfo(name, name.title(), files, tuple("0123456789"), "a licence", "Somebody", mirrors)


class Handler(BaseHTTPRequestHandler):
    """A handler that follows the script for the requested file, the last part of the path, or else serves the file."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    server: FaultServer

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.log(name, self.path, self.headers)
        answer = self.server.next_answer(name)
        body = self.server.files.get(self.path[1:] if self.server.strict_paths else name)
        try:
            if answer is not None:
                answer(self, body or b"")
            elif body is None:
                status(404)(self, b"")
            else:
                serve(self, body)
        except OSError:
            self.close_connection = True

    def start(self) -> int:
        """Return the first byte of the requested range; 0 without a Range."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) if match else 0

    def head(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class FaultServer(ThreadingHTTPServer):
    """A server of ``files`` by path; ``asked`` lists the requests as (file, Range or "")."""

    daemon_threads = False

    def __init__(self, files: dict[str, bytes], context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.strict_paths = False
        self.closing = threading.Event()
        self.asked: list[tuple[str, str]] = []
        self.paths: list[str] = []
        self.agents: set[str] = set()
        self.encodings: set[str] = set()
        self.sent = 0
        self._script: dict[str, list[Answer]] = {}
        self._always: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self._context = context
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.server_port}/"

    def plan(self, name: str, *answers: Answer) -> None:
        """Set the answers to the next requests for a file, which is served after them."""
        self._script[name] = list(answers)

    def always(self, name: str, answer: Answer) -> None:
        """Set the answer to every request for a file."""
        self._always[name] = answer

    def ranges(self, name: str) -> list[str]:
        """Return the Range headers of the requests for a file."""
        return [asked for file, asked in self.asked if file == name]

    def next_answer(self, name: str) -> Answer | None:
        with self._lock:
            script = self._script.get(name)
            return script.pop(0) if script else self._always.get(name)

    def log(self, name: str, path: str, headers: object) -> None:
        with self._lock:
            self.asked.append((name, headers.get("Range", "")))  # type: ignore[attr-defined]
            self.agents.add(headers.get("User-Agent", ""))  # type: ignore[attr-defined]
            self.encodings.add(headers.get("Accept-Encoding", ""))  # type: ignore[attr-defined]
            self.paths.append(path)

    def finish_request(self, request: object, client_address: object) -> None:
        if self._context is not None:
            try:
                request = self._context.wrap_socket(request, server_side=True)  # type: ignore[arg-type]
            except OSError:
                return
        try:
            super().finish_request(request, client_address)  # type: ignore[arg-type]
        except OSError:  # a client that was killed
            pass
        finally:
            request.close()  # type: ignore[attr-defined]

    def shutdown_request(self, request: object) -> None:
        request.close()  # type: ignore[attr-defined]  # without a FIN before a reset


@contextmanager
def fault_server(files: dict[str, bytes] | None = None, context: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """Run a server; afterwards all its threads have ended."""
    server = FaultServer(CONTENTS if files is None else files, context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def serve(handler: Handler, body: bytes) -> None:
    """Serve the file correctly, with ranges."""
    start = handler.start()
    if start >= len(body) > 0:
        handler.head(416, Content_Range=f"bytes */{len(body)}", Content_Length=0)
    elif start:
        content_range = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206, Content_Length=len(body) - start, Content_Range=content_range)
        handler.wfile.write(body[start:])
    else:
        handler.head(200, Content_Length=len(body), Content_Type="application/x-gzip")
        handler.wfile.write(body)


def truncated(at: int) -> Answer:
    """Close the connection properly but too early, after ``at`` bytes."""

    def answer(handler: Handler, body: bytes) -> None:
        _begin(handler, body, at)

    return answer


def reset(at: int) -> Answer:
    """Reset the connection after ``at`` bytes."""

    def answer(handler: Handler, body: bytes) -> None:
        _begin(handler, body, at)
        time.sleep(0.05)  # the client must have read the bytes, because a reset discards the others
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return answer


def stalled(at: int) -> Answer:
    """Send nothing more after ``at`` bytes and keep the connection open."""

    def answer(handler: Handler, body: bytes) -> None:
        _begin(handler, body, at)
        handler.server.closing.wait(10)

    return answer


def silent(handler: Handler, body: bytes) -> None:
    """Send nothing at all."""
    handler.server.closing.wait(10)
    handler.close_connection = True


def tagged(etag: str, at: int) -> Answer:
    """Send an ETag, and close the connection after ``at`` bytes."""

    def answer(handler: Handler, body: bytes) -> None:
        _begin(handler, body, at, ETag=etag)

    return answer


def dripping(seconds: float, *, headers: bool = False) -> Answer:
    """Send a byte of the file, or of the headers, every ``seconds``."""

    def answer(handler: Handler, body: bytes) -> None:
        if not headers:
            _begin(handler, body, 0)
        for byte in b"HTTP/1.1 200 OK\r\nX-Drip: " + bytes(b"x" * 1000) if headers else body:
            handler.wfile.write(bytes([byte]))
            if handler.server.closing.wait(seconds):
                break
        handler.close_connection = True

    return answer


def _begin(handler: Handler, body: bytes, at: int, **headers: object) -> None:
    start = handler.start()
    if start:
        content_range = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206, Content_Length=len(body) - start, Content_Range=content_range, **headers)
    else:
        handler.head(200, Content_Length=len(body), **headers)
    handler.wfile.write(body[start : start + at])
    handler.close_connection = True


def whole(handler: Handler, body: bytes) -> None:
    """Send the complete file with status 200, even for a Range."""
    handler.head(200, Content_Length=len(body))
    handler.wfile.write(body)


def ignoring_range(at: int) -> Answer:
    """Send the first ``at`` bytes of the file with status 200, even for a Range."""

    def answer(handler: Handler, body: bytes) -> None:
        handler.head(200, Content_Length=len(body))
        handler.wfile.write(body[:at])
        handler.close_connection = True

    return answer


def content_range(text: str) -> Answer:
    """Send status 206 with this Content-Range and the requested bytes."""

    def answer(handler: Handler, body: bytes) -> None:
        part = body[handler.start() :]
        handler.head(206, Content_Length=len(part), **({"Content_Range": text} if text else {}))
        handler.wfile.write(part)

    return answer


def other(body: bytes, **headers: object) -> Answer:
    """Send another body, complete, with status 200."""

    def answer(handler: Handler, _: bytes) -> None:
        handler.head(200, Content_Length=len(body), **headers)
        handler.wfile.write(body)

    return answer


def endless(handler: Handler, body: bytes) -> None:
    """Send wrong bytes endlessly, in chunks without a length."""
    handler.head(200, Transfer_Encoding="chunked")
    handler.close_connection = True
    piece = bytes(2**16 + 1)
    for _ in range(2**12):
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.server.sent += len(piece)


def until_closed(handler: Handler, body: bytes) -> None:
    """Send the file without a length and close the connection."""
    handler.head(200, Connection="close")
    handler.wfile.write(body)


def lingering(answered: Answer) -> Answer:
    """Keep the connection for a moment after the answer, then close it without reading another request."""

    def answer(handler: Handler, body: bytes) -> None:
        answered(handler, body)
        time.sleep(0.2)

    return answer


def status(code: int) -> Answer:
    """Send this status without a body."""

    def answer(handler: Handler, _: bytes) -> None:
        handler.head(code, Content_Length=0)

    return answer


def html(handler: Handler, _: bytes) -> None:
    """Send the page of a captive portal."""
    page = b"<html><body>Please sign in to the school's network</body></html>"
    handler.head(200, Content_Length=len(page), Content_Type="text/html; charset=utf-8")
    handler.wfile.write(page)


def redirect(to: str, body: bytes = b"moved") -> Answer:
    """Send a redirect, in which ``{file}`` is replaced by the name of the file."""

    def answer(handler: Handler, _: bytes) -> None:
        name = handler.path.rpartition("/")[2]
        handler.head(302, Location=to.format(file=name), Content_Length=len(body))
        handler.wfile.write(body)

    return answer


def slow(seconds: float, pieces: int = 50) -> Answer:
    """Send the file within ``seconds``."""

    def answer(handler: Handler, body: bytes) -> None:
        start = handler.start()
        _begin(handler, body, 0)
        rest, size = body[start:], -(-len(body[start:]) // pieces)
        for at in range(0, len(rest), size):
            handler.wfile.write(rest[at : at + size])
            time.sleep(seconds / pieces)

    return answer


def placed(folder: Path) -> dict[str, bytes]:
    """Return the contents of the files in a folder by name, including hidden ones."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
