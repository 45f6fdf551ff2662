"""Drives the SIP machines: bytes in, actions out, and the next deadline kept.

The `Endpoint` decides; the driver gives it what arrives and the time, carries out `Send` and
`Resolve`, passes every other action to the application, and wakes the endpoint at its deadline.
All of it runs in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sipmail.errors import ProtocolError
from sipmail.net.address import LocalAddresses, is_ipv6, is_numeric
from sipmail.net.resolver import resolve
from sipmail.net.stream import Streams
from sipmail.net.udp import UdpSocket
from sipmail.sip.actions import Action, Hop, Resolve, Send
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.uri import SipUri, parse_uri

log = logging.getLogger(__name__)

_ANY = ("0.0.0.0", "::", "")  # noqa: S104
_PEERS_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on; `tls` is the server's context for the transport `tls`."""

    transport: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Driver:
    """The asyncio shell of one `Endpoint`.

    `on_action` gets what only the application can do; it may call `perform` from inside.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        addresses: LocalAddresses,
        on_action: Callable[[Action], None],
        client_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._addresses = addresses
        self._on_action = on_action
        self._loop = asyncio.get_running_loop()
        self._udp: list[UdpSocket] = []
        self._streams = Streams(
            self._stream_message,
            self._transport_failed,
            client_tls or ssl.create_default_context(),
        )
        self._stream_ports: dict[str, int] = {}
        self._came_by: dict[tuple[str, int], UdpSocket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._resolving: set[asyncio.Task[None]] = set()
        self.received = 0
        self.sent = 0

    async def listen(self, listeners: Iterable[Listener]) -> list[str]:
        """Opens the listening sockets; returns their addresses as URLs (port 0 resolved).

        Raises OSError when one cannot be opened.
        """
        opened: list[str] = []
        for listener in listeners:
            if listener.transport == "udp":
                udp = UdpSocket(listener.host, listener.port, self._udp_message)
                self._udp.append(udp)
                port = udp.port
            else:
                port = await self._streams.listen(listener.host, listener.port, listener.tls)
                self._stream_ports.setdefault(listener.transport, port)
            host = f"[{listener.host}]" if is_ipv6(listener.host) else listener.host
            opened.append(f"{listener.transport}://{host}:{port}")
        return opened

    @property
    def now(self) -> float:
        """The endpoint's clock: seconds, monotonic."""
        return self._loop.time()

    def perform(self, actions: Iterable[Action]) -> None:
        """Carries out the actions of the endpoint, in order."""
        for action in actions:
            if isinstance(action, Send):
                self._send(action.data, action.to)
            elif isinstance(action, Resolve):
                task = self._loop.create_task(self._resolve(action))
                self._resolving.add(task)
                task.add_done_callback(self._resolving.discard)
            else:
                self._on_action(action)
        self._reschedule()

    async def close(self) -> None:
        """Stops listening and forgets what was under way."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._resolving:
            task.cancel()
        for udp in self._udp:
            udp.close()
        self._udp.clear()
        await self._streams.close()

    # --- in -------------------------------------------------------------------------------------

    def _udp_message(self, data: bytes, host: str, port: int, udp: UdpSocket) -> None:
        self.received += 1
        if len(self._udp) > 1:
            if len(self._came_by) >= _PEERS_REMEMBERED:
                self._came_by.clear()
            self._came_by[host, port] = udp
        now = self.now
        address = udp.host if udp.host not in _ANY else self._addresses.towards(host, now)
        if address is None:
            log.warning("no route back to %s, its message is dropped", host)
            return
        self._receive(data, Hop("udp", host, port), Hop("udp", address, udp.port), now)

    def _stream_message(self, data: bytes, source: Hop, host: str, port: int) -> None:
        self.received += 1
        now = self.now
        address = self._addresses.towards(source.host, now) or host
        listening = self._stream_ports.get(source.transport, port)
        self._receive(data, source, Hop(source.transport, address, listening), now)

    def _receive(self, data: bytes, source: Hop, local: Hop, now: float) -> None:
        self.perform(self.endpoint.receive(data, source, local, now))

    # --- out ------------------------------------------------------------------------------------

    def _send(self, data: bytes, hop: Hop) -> None:
        self.sent += 1
        if hop.transport != "udp":
            self._streams.send(data, hop)
            return
        if not is_numeric(hop.host):
            # A Via or Contact with a host name: rare, and its answer may wait for the look-up.
            task = self._loop.create_task(self._send_by_name(data, hop))
            self._resolving.add(task)
            task.add_done_callback(self._resolving.discard)
            return
        udp = self._udp_towards(hop)
        if udp is None:
            log.warning("nothing listens on %s for udp", "IPv6" if is_ipv6(hop.host) else "IPv4")
            return
        try:
            udp.send(data, hop.host, hop.port)
        except OSError as error:
            self._loop.call_soon(self._transport_failed, hop, str(error))

    async def _send_by_name(self, data: bytes, hop: Hop) -> None:
        uri = SipUri("sip", None, hop.host, hop.port)
        hops = await resolve(uri)
        if hops:
            self._send(data, Hop(hop.transport, hops[0].host, hop.port))
        else:
            self._transport_failed(hop, "the name does not resolve")

    def _udp_towards(self, hop: Hop) -> UdpSocket | None:
        came_by = self._came_by.get((hop.host, hop.port))
        if came_by is not None:
            return came_by
        ipv6 = is_ipv6(hop.host)
        fitting = [udp for udp in self._udp if udp.ipv6 == ipv6]
        if len(fitting) > 1:
            routed = self._addresses.towards(hop.host, self.now)
            return next((u for u in fitting if u.host == routed), fitting[0])
        return fitting[0] if fitting else None

    def _transport_failed(self, hop: Hop, why: str) -> None:
        log.info("sending to %s:%d over %s failed: %s", hop.host, hop.port, hop.transport, why)
        self.perform(self.endpoint.transport_failed(hop, self.now))

    async def _resolve(self, action: Resolve) -> None:
        try:
            uri = parse_uri(action.uri)
        except ProtocolError as error:
            log.error("trunk %s: %s cannot be read: %s", action.trunk, action.uri, error)
            return
        assert isinstance(uri, SipUri)  # the configuration takes no other for a registrar
        hops = [hop for hop in await resolve(uri) if self._can_reach(hop)]
        for hop in hops:
            if hop.transport == "tls":
                self._streams.names[hop.host, hop.port] = uri.host
        now = self.now
        local = Hop("udp", "0.0.0.0", 0)  # noqa: S104
        if hops:
            local = self.local_towards(hops[0])
        self.perform(self.endpoint.resolved(action.trunk, hops, local, now))

    def _can_reach(self, hop: Hop) -> bool:
        return hop.transport != "udp" or any(u.ipv6 == is_ipv6(hop.host) for u in self._udp)

    def local_towards(self, hop: Hop) -> Hop:
        """The address of ours that `hop` sees: for Via, Contact and SDP."""
        address = self._addresses.towards(hop.host, self.now) or "127.0.0.1"
        if hop.transport == "udp":
            udp = self._udp_towards(hop)
            assert udp is not None  # `_can_reach` was asked before
            if udp.host not in _ANY:
                address = udp.host
            return Hop("udp", address, udp.port)
        return Hop(hop.transport, address, self._stream_ports.get(hop.transport, 5060))

    # --- time -----------------------------------------------------------------------------------

    def _reschedule(self) -> None:
        deadline = self.endpoint.deadline
        timer = self._timer
        if timer is not None:
            if deadline is not None and timer.when() <= deadline:
                return  # it wakes early enough, and then looks again
            timer.cancel()
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self.perform(self.endpoint.timer(self.now))
