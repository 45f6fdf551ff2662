"""HTTP POST with an end: for webhooks and for tokens.

urllib's time-out begins anew with every byte, so a server that dribbles its answer would hold a
thread for ever. Here the whole answer, headers and body, has one time-out, and each part of the
request another.

Redirections are answers like any other: what is posted, often with a secret, goes to the address
that is configured and to no other.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, of whatever status, and the beginning of its body."""

    status: int
    reason: str
    body: bytes


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout: float, *, most: int = 0
) -> Answer:
    """Sends `body` and waits for the answer: `timeout` seconds for the whole of it, and for each
    part of what is sent. Of the answer's body `most` bytes are read.

    Raises OSError, HTTPException or ValueError where there is none.
    """
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with _opener().open(request, timeout=timeout) as answer:
            return Answer(answer.status, answer.reason or "", answer.read(most))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, str(error.reason or ""), error.read(most))


class Timed(io.RawIOBase):
    """What comes on `sock`, all of it within its time-out from the first reading on."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        self._socket = sock
        self._file = cast("io.RawIOBase", sock.makefile("rb", buffering=0))
        self._clock = clock
        self._until: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Raises TimeoutError once the time is over."""
        if self._until is None:
            self._until = self._clock() + (self._socket.gettimeout() or 0.0)
        if (left := self._until - self._clock()) <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        """Closes its side of the socket."""
        self._file.close()
        super().close()


class _Line:
    """As much of a socket as http.client uses."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.close = sock.close

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            self._socket.sendall(view[start : start + _CHUNK])

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(Timed(self._socket))


class _Http(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _Line(self.sock)


class _Https(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.sock: Any = _Line(self.sock)


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Https, req, context=ssl.create_default_context())


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirects, _HttpHandler, _HttpsHandler)
