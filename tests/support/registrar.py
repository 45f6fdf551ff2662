"""A registrar for tests: asks for digest authentication, keeps what it was told, goes and returns.

Digest as RFC 7616 has it, MD5 and SHA-256 with qop=auth, computed here with hashlib alone.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.patience import PATIENCE
from tests.support.siptext import Message, parse, response

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass(frozen=True)
class Registration:
    """One REGISTER that was accepted; `expires` in seconds, 0 for an un-REGISTER."""

    contact: str
    expires: int
    at: float
    message: Message


class Registrar:
    """Takes `username`/`password` in `realm`; `intercept(request)` may return a status instead."""

    def __init__(
        self,
        username: str = "200",
        password: str = "secret",
        *,
        realm: str = "sipmail.test",
        algorithm: str = "MD5",
        expires: int = 60,
    ) -> None:
        self.username, self.password, self.realm = username, password, realm
        self.algorithm = algorithm
        self.expires = expires
        self.host, self.port = "127.0.0.1", 0
        self.registrations: list[Registration] = []
        self.requests: list[Message] = []
        self.refused = 0
        self.intercept: Callable[[Message], int | None] = lambda request: None
        self._nonces: dict[str, int] = {}
        self._changed = threading.Condition()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Registrar:
        """Listens, on the port it had before if it had one."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((self.host, self.port))
        sock.settimeout(0.1)
        self.port = sock.getsockname()[1]
        self._socket = sock
        self._thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Away: nothing listens, senders get ECONNREFUSED."""
        sock, self._socket = self._socket, None
        if sock is not None and self._thread is not None:
            self._thread.join(5)
            sock.close()

    def wait(
        self, condition: Callable[[list[Registration]], bool], timeout: float = PATIENCE
    ) -> None:
        """Until `condition(registrations)` holds; AssertionError after `timeout` seconds."""
        with self._changed:
            held = self._changed.wait_for(lambda: condition(self.registrations), timeout)
        assert held, f"waited {timeout} s; {len(self.registrations)} registrations"

    @property
    def contact(self) -> str:
        """The URI to which calls for the registered user go; AssertionError before there is one."""
        assert self.registrations, "nobody registered"
        return self.registrations[-1].contact

    def _serve(self, sock: socket.socket) -> None:
        while self._socket is sock:
            try:
                data, source = sock.recvfrom(65535)
            except OSError:
                continue
            if data.strip():
                request = parse(data.decode("utf-8", "surrogateescape"), source)
                if request.status is None and request.method != "ACK":
                    self._answer(sock, request)

    def _answer(self, sock: socket.socket, request: Message) -> None:
        with self._changed:
            self.requests.append(request)
            status, extra = self._decide(request)
            self._changed.notify_all()
        answer = response(request, status, extra, to_tag="registrar")
        try:
            sock.sendto(answer.encode("utf-8", "surrogateescape"), request.source)
        except OSError:
            if self._socket is sock:  # else it has gone away meanwhile
                raise

    def _decide(self, request: Message) -> tuple[int, list[tuple[str, str]]]:
        if (status := self.intercept(request)) is not None:
            return status, []
        if request.method != "REGISTER":
            return 200, []
        if not self._authenticated(request):
            self.refused += 1
            nonce = secrets.token_hex(8)
            self._nonces[nonce] = 0
            challenge = (
                f'Digest realm="{self.realm}", nonce="{nonce}", '
                f'algorithm={self.algorithm}, qop="auth"'
            )
            return 401, [("WWW-Authenticate", challenge)]
        contact = request.get("Contact")
        asked = re.search(r";\s*expires=(\d+)", contact) or re.search(
            r"(\d+)", request.get("Expires")
        )
        expires = min(int(asked[1]) if asked else self.expires, self.expires)
        uri = contact.partition("<")[2].partition(">")[0] or contact
        self.registrations.append(Registration(uri, expires, time.monotonic(), request))
        return 200, [("Contact", f"<{uri}>;expires={expires}")] if expires else []

    def _authenticated(self, request: Message) -> bool:
        fields = {
            name.lower(): quoted or plain
            for name, quoted, plain in re.findall(
                r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))', request.get("Authorization")
            )
        }
        nonce, count = fields.get("nonce", ""), int(fields.get("nc", "1"), 16)
        if nonce not in self._nonces or count <= self._nonces[nonce]:
            return False
        digest = _HASHES[self.algorithm]

        def h(*parts: str) -> str:
            return digest(":".join(parts).encode()).hexdigest()

        first = h(self.username, self.realm, self.password)
        second = h(request.method, fields.get("uri", ""))
        middle = [fields[key] for key in ("nc", "cnonce", "qop") if key in fields]
        wanted = h(first, nonce, *middle, second)
        if fields.get("username") != self.username or fields.get("response") != wanted:
            return False
        self._nonces[nonce] = count
        return True
