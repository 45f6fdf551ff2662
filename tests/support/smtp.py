"""A mail server in a thread: keeps what it takes, answers as the test says, goes and returns.

It is aiosmtpd, so an independent reader of what sipmail says. The test scripts its answers with two
functions and can take it off the network and bring it back on the same port.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import cached_property
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.patience import PATIENCE

OK = "250 OK"


@dataclass(frozen=True)
class Delivered:
    """One accepted message; `at` is `time.monotonic()` of the moment the server answered 250."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    at: float = field(default_factory=time.monotonic)

    @cached_property
    def message(self) -> EmailMessage:
        parsed = email.message_from_bytes(self.data, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def attachment(self) -> tuple[str, bytes]:
        """File name and bytes of the recording; LookupError without one."""
        for part in self.message.walk():
            if part.get_content_maintype() == "audio":
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                return part.get_filename() or "", content
        raise LookupError("no audio in the message")


class SmtpServer:
    """`host:port` once started. Set `on_recipient` and `on_data` at any time.

    `on_recipient(address)` and `on_data(recipients)` return the whole answer, such as
    `"451 later"`; an answer that starts with 2 accepts. Every accepted message is in `delivered`.
    """

    def __init__(
        self,
        *,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.on_recipient: Callable[[str], str] = lambda address: OK
        self.on_data: Callable[[tuple[str, ...]], str] = lambda recipients: OK
        self.delivered: list[Delivered] = []
        self.attempts = 0
        self._login = (username, password) if username is not None else None
        self._tls = tls
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.BaseTransport] = set()

    # --- what a test does -------------------------------------------------------------------

    def start(self) -> SmtpServer:
        self._thread.start()
        self.come()
        return self

    def come(self) -> None:
        """Listens, on the port it had before if it was there already."""
        self._do(self._listen())

    def go(self) -> None:
        """Away: connections are refused, those that exist are cut."""
        self._do(self._unlisten())

    def stop(self) -> None:
        self.go()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def to(self, address: str) -> list[Delivered]:
        """What this recipient was sent, in order."""
        with self._changed:
            return [message for message in self.delivered if address in message.recipients]

    def wait(self, count: int, timeout: float = PATIENCE) -> list[Delivered]:
        """The messages, as soon as there are `count`; AssertionError after `timeout` seconds."""
        return self.wait_until(lambda: len(self.delivered) >= count, timeout, f"{count} e-mails")

    def wait_until(
        self, condition: Callable[[], bool], timeout: float = PATIENCE, what: str = "the condition"
    ) -> list[Delivered]:
        """The messages, as soon as `condition()` holds; looked at after every transaction."""
        with self._changed:
            if not self._changed.wait_for(condition, timeout):
                raise AssertionError(
                    f"waited {timeout} s for {what}; {len(self.delivered)} e-mails came"
                )
            return list(self.delivered)

    # --- the loop's thread ------------------------------------------------------------------

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await self._loop.create_server(
                self._protocol, self.host, self.port, family=socket.AF_INET
            )
            self.port = self._server.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._server is not None:
            self._server.close()
            for transport in list(self._transports):
                if isinstance(transport, asyncio.Transport) and not transport.is_closing():
                    transport.abort()
            self._server = None
            await asyncio.sleep(0)

    def _protocol(self) -> SMTP:
        options: dict[str, Any] = {"loop": self._loop, "hostname": "mail.test", "timeout": 60}
        if self._tls is not None:
            options |= {"tls_context": self._tls, "require_starttls": True}
        if self._login is not None:
            options |= {
                "authenticator": self._authenticate,
                "auth_required": True,
                "auth_require_tls": self._tls is not None,
            }
        return _Connection(self._transports, self, **options)

    def _authenticate(self, *arguments: Any) -> AuthResult:
        data = arguments[-1]
        known = isinstance(data, LoginPassword) and self._login is not None
        given = (data.login.decode(), data.password.decode()) if known else None
        return AuthResult(success=given == self._login, handled=False)

    # aiosmtpd calls these hooks by name.

    async def handle_RCPT(
        self,
        server: SMTP,
        session: Session,
        envelope: Envelope,
        address: str,
        rcpt_options: list[str],
    ) -> str:
        answer = self.on_recipient(address)
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        recipients = tuple(envelope.rcpt_tos)
        answer = self.on_data(recipients)
        with self._changed:
            self.attempts += 1
            if answer.startswith("2"):
                content = envelope.original_content or b""
                self.delivered.append(Delivered(envelope.mail_from or "", recipients, content))
            self._changed.notify_all()
        return answer


class _Connection(SMTP):
    """One SMTP session, which `go` can cut."""

    def __init__(
        self, transports: set[asyncio.BaseTransport], handler: SmtpServer, **options: Any
    ) -> None:
        super().__init__(handler, **options)
        self._all = transports
        self._mine: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._mine = transport
        self._all.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.discard(self._mine)
        super().connection_lost(error)
