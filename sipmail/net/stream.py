"""SIP over TCP and TLS: connections that are kept, reused, and told apart by their far end.

Rules kept (RFC 3261, section 18; RFC 5923): a response goes back over the connection that its
request came on, a request of ours takes an open connection to its hop or opens one; framing by
Content-Length, and a stream that can't be framed is answered where that is possible, then closed;
a double CRLF is answered with one (RFC 5626, section 3.5.1). A connection that the far end closes,
be it only its half, is closed as a whole. One that breaks is reported by its hop, so that the
machines can try the next one; the kernel tells of a peer that has vanished, since our keep-alives
have to be acknowledged. What waits while a connection opens is bounded, and so are a peer that
does not read and the connections that are open. Strangers, from whose address no trunk calls, may
have few, so that they never keep a trunk out, and each for half a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from sipmail.errors import ProtocolError
from sipmail.net.tls import TlsPeer, client_context, words
from sipmail.sip.actions import Hop
from sipmail.sip.stream import StreamFramer

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 5.0
_FIRST_MESSAGE_SECONDS = 30.0
_UNACKNOWLEDGED_MILLISECONDS = 20_000
_IDLE_SECONDS = 60
_PROBE_SECONDS = 10
_PROBES = 3
_WAITING_LIMIT = 64
_UNREAD_LIMIT = 1024 * 1024
_CONNECTIONS_LIMIT = 2048
_STRANGERS_LIMIT = 256
_TELL_SECONDS = 60.0

Received = Callable[[bytes, Hop, str, int], None]
"""`received(message, source, local host, local port)` gets every whole message."""
Broken = Callable[[ProtocolError, Hop], None]
"""`broken(error, source)` is told of a stream that can't be read on, just before it is closed."""


class Connection(asyncio.Protocol):
    """One open connection; `hop` is where we connected to, None for one that was accepted."""

    def __init__(self, streams: Streams, hop: Hop | None) -> None:
        self._streams = streams
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._hop = hop
        self.accepted = hop is None
        self._patience: asyncio.TimerHandle | None = None
        self.local: tuple[str, int] = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # what TCP servers and clients hand out
        self._transport = transport
        sock: socket.socket | None = transport.get_extra_info("socket")
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not peer or not local:  # it was gone before it was taken
            transport.abort()
            return
        if sock is not None:
            _notice_vanished_peers(sock)
        self.local = local[0].partition("%")[0], local[1]
        secured = transport.get_extra_info("ssl_object") is not None
        if self._hop is None:
            self._hop = Hop("tls" if secured else "tcp", peer[0].partition("%")[0], peer[1])
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(_FIRST_MESSAGE_SECONDS, self._silent)
        if not self._streams.opened(self._hop, self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self._hop is not None  # set when it was made
        framer, pings = self._framer, self._framer.pings
        messages = framer.feed(data)
        for _ in range(framer.pings - pings):
            self.send(b"\r\n")
        if messages and self._patience is not None and self._streams.trusted(self._hop.host):
            self._patience.cancel()
            self._patience = None
        for message in messages:
            self._streams.received(message, self._hop, *self.local)
        if framer.error is not None:
            self._streams.broken(framer.error, self._hop)
            self.leave(f"what came is no SIP: {framer.error}")

    def eof_received(self) -> bool:
        """The far end will send nothing more: over a half-closed stream no dialog can go on."""
        self.leave("the peer closed the connection")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        if self._hop is not None:
            why = words(error) if error is not None else "the peer closed the connection"
            self._streams.closed(self._hop, self, why)

    def send(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > _UNREAD_LIMIT:
            log.warning("%s does not read what is sent: closing the connection", _words(self._hop))
            transport.abort()
            return
        transport.write(data)

    def leave(self, why: str) -> None:
        """Closes the connection once what was sent is through, and takes no more."""
        if self._hop is not None:
            self._streams.closed(self._hop, self, why)
        self.close()

    def close(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        # A TLS transport of Python 3.11.2 that is closed twice cannot be aborted any more.
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """Closes at once: the far end cannot be reached any more."""
        if self._transport is not None:
            self._transport.abort()

    def _silent(self) -> None:
        self._patience = None
        log.debug("%s sent nothing for us: closing the connection", _words(self._hop))
        self.abort()


class Streams:
    """All connections of the agent, and the listening sockets that accept more.

    `failed(hop, why)` is told when a connection to `hop` could not be opened or broke;
    `client_tls` checks the servers for whom nothing else is said: by default the system's CAs do,
    which are read when the first such connection is opened. `trusted(host)` says whether a trunk
    may call from that address.
    """

    def __init__(
        self,
        received: Received,
        failed: Callable[[Hop, str], None],
        broken: Broken,
        client_tls: ssl.SSLContext | None = None,
        trusted: Callable[[str], object] = lambda host: True,
    ) -> None:
        self.received = received
        self.trusted = trusted
        self.broken = broken
        self.peers: dict[tuple[str, int], TlsPeer] = {}
        """By address: whose certificate is expected there. Without an entry: the address's own,
        by `client_tls`."""
        self._failed = failed
        self._client_tls = client_tls
        self._system_tls: ssl.SSLContext | None = None
        self._open: dict[Hop, Connection] = {}
        self._strangers: set[Connection] = set()
        self._told: float | None = None
        self._waiting: dict[Hop, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Accepts connections; returns the port. Raises OSError where it cannot."""
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self, None),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=_CONNECT_SECONDS if tls else None,
            start_serving=True,
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
        peer = self._peer(hop) if hop.transport == "tls" else None
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                tls = (peer.context or await self._default_tls()) if peer else None
                await asyncio.get_running_loop().create_connection(
                    lambda: Connection(self, hop),
                    hop.host,
                    hop.port,
                    ssl=tls,
                    server_hostname=peer.name if peer else None,
                )
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            self._waiting.pop(hop, None)
            self._failed(hop, words(error))

    async def _default_tls(self) -> ssl.SSLContext:
        if self._client_tls is not None:
            return self._client_tls
        if self._system_tls is None:
            self._system_tls = await asyncio.to_thread(client_context)
        return self._system_tls

    def trust_anew(self) -> None:
        """The next connection reads the system's CAs again, which may have changed."""
        self._system_tls = None

    def _peer(self, hop: Hop) -> TlsPeer:
        exact = self.peers.get((hop.host, hop.port))
        if exact is not None:
            return exact
        # A Contact of a server that we know may name another port of it.
        known = (peer for (host, _), peer in self.peers.items() if host == hop.host)
        return next(known, TlsPeer(hop.host, self._client_tls))

    def opened(self, hop: Hop, connection: Connection) -> bool:
        """Takes a new connection; False where there are too many."""
        if connection.accepted:
            stranger = not self.trusted(hop.host)
            known = len(self._open) - len(self._strangers)
            if known >= _CONNECTIONS_LIMIT or (
                stranger and len(self._strangers) >= _STRANGERS_LIMIT
            ):
                self._tell_of_refusal(hop)
                return False
            if stranger:
                self._strangers.add(connection)
        self._open[hop] = connection
        for data in self._waiting.pop(hop, []):
            connection.send(data)
        return True

    def closed(self, hop: Hop, connection: Connection, why: str) -> None:
        """The connection takes no more; told once."""
        self._strangers.discard(connection)
        if self._open.get(hop) is connection:
            del self._open[hop]
            self._failed(hop, why)

    def _tell_of_refusal(self, hop: Hop) -> None:
        """Logs it, but not for each of a flood."""
        now = asyncio.get_running_loop().time()
        if self._told is None or now - self._told >= _TELL_SECONDS:
            self._told = now
            log.warning("too many connections, the one with %s is refused", _words(hop))

    def drop(self, hop: Hop) -> None:
        """Ends the connection with `hop`, if there is one, without telling."""
        connection = self._open.pop(hop, None)
        if connection is not None:
            connection.abort()

    async def close(self) -> None:
        """Closes all once what was sent is through."""
        for server in self._servers:
            server.close()
        connections = list(self._open.values())
        self._open.clear()
        for connection in connections:
            connection.close()
        for task in self._tasks:
            task.cancel()


def _words(hop: Hop | None) -> str:
    return f"{hop.host}:{hop.port} over {hop.transport}" if hop else "a connection"


def _notice_vanished_peers(sock: socket.socket) -> None:
    """Has the kernel break a connection whose far end acknowledges nothing any more."""
    options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (
        ("TCP_USER_TIMEOUT", _UNACKNOWLEDGED_MILLISECONDS),
        ("TCP_KEEPIDLE", _IDLE_SECONDS),
        ("TCP_KEEPINTVL", _PROBE_SECONDS),
        ("TCP_KEEPCNT", _PROBES),
    ):
        if (option := getattr(socket, name, None)) is not None:
            options.append((socket.IPPROTO_TCP, option, value))
    with contextlib.suppress(OSError):  # the connection may be gone already
        for level, option, value in options:
            sock.setsockopt(level, option, value)
