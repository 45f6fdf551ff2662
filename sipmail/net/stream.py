"""SIP over TCP and TLS: connections that are kept, reused, and told apart by their far end.

Rules kept (RFC 3261, section 18; RFC 5923): a response goes back over the connection that its
request came on, a request of ours takes an open connection to its hop or opens one; framing by
Content-Length; a double CRLF is answered with one (RFC 5626, section 3.5.1). A connection that
breaks is reported by its hop, so that the machines can try the next one. What waits while a
connection opens is bounded, and so is a peer that does not read.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from sipmail.errors import ProtocolError
from sipmail.sip.actions import Hop
from sipmail.sip.stream import StreamFramer

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
_WAITING_LIMIT = 64
_UNREAD_LIMIT = 1024 * 1024

Received = Callable[[bytes, Hop, str, int], None]
"""`received(message, source, local host, local port)` gets every whole message."""


class Connection(asyncio.Protocol):
    """One open connection."""

    def __init__(self, streams: Streams, hop: Hop | None) -> None:
        self._streams = streams
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._hop = hop
        self.local: tuple[str, int] = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # what TCP servers and clients hand out
        self._transport = transport
        host, port = transport.get_extra_info("peername")[:2]
        self.local = transport.get_extra_info("sockname")[:2]
        secured = transport.get_extra_info("ssl_object") is not None
        if self._hop is None:
            self._hop = Hop("tls" if secured else "tcp", host, port)
        self._streams.opened(self._hop, self)

    def data_received(self, data: bytes) -> None:
        assert self._hop is not None
        pings = self._framer.pings
        try:
            messages = self._framer.feed(data)
        except ProtocolError as error:
            log.warning("%s: closing the connection: %s", self._hop, error)
            self.close()
            return
        for _ in range(self._framer.pings - pings):
            self.send(b"\r\n")
        for message in messages:
            self._streams.received(message, self._hop, *self.local)

    def connection_lost(self, error: Exception | None) -> None:
        if self._hop is not None:
            self._streams.closed(self._hop, self, error)

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        if self._transport.get_write_buffer_size() > _UNREAD_LIMIT:
            log.warning("%s does not read what is sent: closing the connection", self._hop)
            self._transport.abort()
            return
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Streams:
    """All connections of the agent, and the listening sockets that accept more.

    `failed(hop)` is told when a connection to `hop` could not be opened or broke.
    """

    def __init__(
        self,
        received: Received,
        failed: Callable[[Hop, str], None],
        client_tls: ssl.SSLContext,
    ) -> None:
        self.received = received
        self._failed = failed
        self._client_tls = client_tls
        self._open: dict[Hop, Connection] = {}
        self._waiting: dict[Hop, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self.names: dict[tuple[str, int], str] = {}
        """Host names by address, for checking a server's certificate."""

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Accepts connections; returns the port. Raises OSError where it cannot."""
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self, None), host, port, ssl=tls, start_serving=True
        )
        self._servers.append(server)
        listening: int = server.sockets[0].getsockname()[1]
        return listening

    def send(self, data: bytes, hop: Hop) -> None:
        """Sends over the open connection to `hop`, or opens one. Failures go to `failed`."""
        if (connection := self._open.get(hop)) is not None:
            connection.send(data)
            return
        waiting = self._waiting.setdefault(hop, [])
        if len(waiting) < _WAITING_LIMIT:
            waiting.append(data)
        if len(waiting) == 1:
            task = asyncio.get_running_loop().create_task(self._connect(hop))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, hop: Hop) -> None:
        secured = hop.transport == "tls"
        name = self.names.get((hop.host, hop.port), hop.host)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, hop),
                    hop.host,
                    hop.port,
                    ssl=self._client_tls if secured else None,
                    server_hostname=name if secured else None,
                )
        except (OSError, TimeoutError, ssl.SSLError) as error:
            self._waiting.pop(hop, None)
            self._failed(hop, str(error) or "no answer to the connection")

    def opened(self, hop: Hop, connection: Connection) -> None:
        self._open[hop] = connection
        for data in self._waiting.pop(hop, []):
            connection.send(data)

    def closed(self, hop: Hop, connection: Connection, error: Exception | None) -> None:
        if self._open.get(hop) is connection:
            del self._open[hop]
            self._failed(hop, str(error) if error else "the peer closed the connection")

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._open.values()):
            connection.close()
        for task in self._tasks:
            task.cancel()
