"""Drives the SIP machines: bytes in, actions out, and the next deadline kept.

The `Endpoint` decides; the driver gives it what arrives and the time, carries out `Send` and
`Resolve`, passes every other action to the application, and wakes the endpoint at its deadline.
It also looks whether the machine's addresses are still those that the registrars know: one that has
changed counts as a broken way, so that the trunk registers again with the new one.
All of it runs in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import ssl
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass

from sipmail.errors import ProtocolError, SipmailError
from sipmail.net.address import LocalAddresses, is_ipv6, is_numeric
from sipmail.net.resolver import Resolver
from sipmail.net.stream import Streams
from sipmail.net.tls import TlsPeer
from sipmail.net.trace import Trace
from sipmail.net.udp import UdpSocket
from sipmail.sip.actions import Action, Hop, Registered, RegistrationFailed, Resolve, Send, Way
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.uri import SipUri, parse_uri

log = logging.getLogger(__name__)

_ANY = ("0.0.0.0", "::", "")  # noqa: S104
_PEERS_REMEMBERED = 4096
_ADDRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on; `tls` is the server's context for the transport `tls`."""

    transport: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None


class CannotListen(SipmailError):
    """A listening socket could not be opened; the text names its address, and what to look at."""

    def __init__(self, url: str, error: OSError) -> None:
        # asyncio's own text repeats the address.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else str(error)
        if number == errno.EADDRINUSE:
            sockets = "-lnup" if url.startswith("udp:") else "-lntp"
            why += f"; see with `ss {sockets}` which program has the port"
        super().__init__(f"cannot listen on {url}: {why}")


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
        resolver: Resolver | None = None,
    ) -> None:
        """`client_tls` checks the servers that we connect to, where `trust` says nothing else; by
        default those that the system trusts are right."""
        self.endpoint = endpoint
        self.trace = Trace(endpoint.trunks_at)
        self._addresses = addresses
        self._on_action = on_action
        self._loop = asyncio.get_running_loop()
        self._resolver = resolver or Resolver()
        self._udp: list[UdpSocket] = []
        self._client_tls = client_tls
        self._trust: dict[str, ssl.SSLContext] = {}
        self._streams = Streams(
            self._stream_message,
            self._transport_failed,
            self._stream_broken,
            self._client_tls,
            endpoint.trunks_at,
        )
        self._stream_listeners: list[tuple[str, str, int]] = []
        self._came_by: dict[tuple[str, int], UdpSocket] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._address_timer: asyncio.TimerHandle | None = None
        self._registered_from: dict[str, dict[Hop, Hop]] = {}
        self._broken: set[str] = set()
        self._cut_off: set[str] = set()
        self._led_to: dict[str, list[Hop]] = {}
        self._looking_up: set[asyncio.Task[None]] = set()
        self.received = 0
        self.sent = 0

    def trust(self, contexts: Mapping[str, ssl.SSLContext]) -> None:
        """How the certificates of these trunks' servers are checked, from the next look-up on; the
        others by the CAs that the system trusts now."""
        self._trust = dict(contexts)
        self._streams.trust_anew()

    async def listen(self, listeners: Iterable[Listener]) -> list[str]:
        """Opens the listening sockets; returns their addresses as URLs (port 0 resolved).

        Raises CannotListen, which names the address, when one cannot be opened.
        """
        opened: list[str] = []
        for listener in listeners:
            host = f"[{listener.host}]" if is_ipv6(listener.host) else listener.host
            place = f"{listener.transport}://{host}"
            try:
                port = await self._open(listener)
            except OSError as error:
                raise CannotListen(f"{place}:{listener.port}", error) from error
            opened.append(f"{place}:{port}")
        self._address_timer = self._loop.call_later(_ADDRESS_SECONDS, self._look_at_addresses)
        return opened

    async def _open(self, listener: Listener) -> int:
        """Opens one listening socket; returns its port."""
        if listener.transport == "udp":
            udp = UdpSocket(listener.host, listener.port, self._udp_message, self._udp_unreachable)
            self._udp.append(udp)
            return udp.port
        port = await self._streams.listen(listener.host, listener.port, listener.tls)
        self._stream_listeners.append((listener.transport, listener.host, port))
        return port

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
                self._look_up(self._resolve(action))
            else:
                if isinstance(action, Registered | RegistrationFailed):
                    self._note_repaired(action)
                self._on_action(action)
        self._reschedule()

    def _note_repaired(self, action: Registered | RegistrationFailed) -> None:
        """Tells that a trunk whose way broke is registered again; a failure is told by others."""
        if action.trunk in self._broken:
            self._broken.discard(action.trunk)
            if isinstance(action, Registered):
                log.info("trunk %s: registered again", action.trunk)

    async def close(self) -> None:
        """Stops listening and forgets what was under way."""
        for timer in (self._timer, self._address_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._address_timer = None
        for task in self._looking_up:
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
        address = self._addresses.towards(host, now, udp.host if udp.host not in _ANY else None)
        if address is None:
            log.warning("no route back to %s, its message is dropped", host)
            return
        self._receive(data, Hop("udp", host, port), Hop("udp", address, udp.port), now)

    def _stream_message(self, data: bytes, source: Hop, host: str, port: int) -> None:
        self.received += 1
        now = self.now
        self._receive(data, source, self._stream_local(source, host, port, now), now)

    def _stream_broken(self, error: ProtocolError, source: Hop) -> None:
        self.perform(self.endpoint.malformed(error, source, self.now))

    def _receive(self, data: bytes, source: Hop, local: Hop, now: float) -> None:
        if self.trace.on:
            self.trace.received(data, source)
        self.perform(self.endpoint.receive(data, source, local, now))

    # --- out ------------------------------------------------------------------------------------

    def _send(self, data: bytes, hop: Hop) -> None:
        self.sent += 1
        if self.trace.on:
            self.trace.sent(data, hop)
        if not is_numeric(hop.host):
            # A Via or Contact with a host name: rare, and its answer may wait for the look-up.
            self._look_up(self._send_by_name(data, hop))
            return
        if hop.transport != "udp":
            self._streams.send(data, hop)
            return
        udp = self._udp_towards(hop)
        if udp is None:
            log.warning("nothing listens on %s for udp", "IPv6" if is_ipv6(hop.host) else "IPv4")
            return
        try:
            udp.send(data, hop.host, hop.port)
        except OSError as error:
            # Told later: the machine that is sending has not finished yet.
            self._loop.call_soon(self._transport_failed, hop, error.strerror or str(error))

    async def _send_by_name(self, data: bytes, hop: Hop) -> None:
        found = await self._resolver.resolve(SipUri("sip", None, hop.host, hop.port))
        usable = [one for one in found if self._can_reach(Hop(hop.transport, one.host, hop.port))]
        if not usable:
            self._transport_failed(hop, "the name does not resolve")
            return
        address = Hop(hop.transport, usable[0].host, hop.port)
        if hop.transport == "tls":
            peer = TlsPeer(hop.host, self._client_tls)
            self._streams.peers.setdefault((address.host, address.port), peer)
        self._send(data, address)

    def _look_up(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._looking_up.add(task)
        task.add_done_callback(self._looking_up.discard)

    def _udp_towards(self, hop: Hop) -> UdpSocket | None:
        came_by = self._came_by.get((hop.host, hop.port))
        if came_by is not None:
            return came_by
        ipv6 = is_ipv6(hop.host)
        fitting = [udp for udp in self._udp if udp.ipv6 == ipv6]
        if len(fitting) > 1:
            routed = self._addresses.routed(hop.host, self.now)
            return next((u for u in fitting if u.host == routed), fitting[0])
        return fitting[0] if fitting else None

    def _udp_unreachable(self, host: str, port: int, why: str) -> None:
        self._transport_failed(Hop("udp", host, port), why)

    def _transport_failed(self, hop: Hop, why: str) -> None:
        registered = self.endpoint.registrations.items()
        names = [name for name, state in registered if state.hop == hop]
        self._broken.update(names)
        trunks = ", ".join(names)
        log.log(
            logging.WARNING if trunks else logging.DEBUG,
            "%s to %s:%d over %s: %s",
            f"trunk {trunks}: the way" if trunks else "the way",
            hop.host,
            hop.port,
            hop.transport,
            why,
        )
        self.perform(self.endpoint.transport_failed(hop, self.now))

    async def _resolve(self, action: Resolve) -> None:
        trunk = action.trunk
        try:
            uri = parse_uri(action.uri)
        except ProtocolError as error:
            log.error("trunk %s: %s cannot be read: %s", trunk, action.uri, error)
            return
        assert isinstance(uri, SipUri)  # the configuration takes no other for a registrar
        transports = ("udp", "tcp", "tls") if self._udp else ("tcp", "tls")
        found = await self._resolver.resolve(uri, transports)
        hops = [hop for hop in found if self._can_reach(hop)]
        if found and not hops:
            families = "IPv6" if is_ipv6(found[0].host) else "IPv4"
            log.error(
                "trunk %s: %s has %s addresses only, and sip.listen has no udp address of %s",
                trunk,
                uri.host,
                families,
                families,
            )
        self._note_where(trunk, uri, hops)
        context = self._trust.get(trunk, self._client_tls)
        for hop in hops:
            if hop.transport == "tls":
                self._streams.peers[hop.host, hop.port] = TlsPeer(uri.host.strip("[]"), context)
        ways = [Way(hop, self.local_towards(hop)) for hop in hops]
        if ways:
            self._registered_from[trunk] = {way.to: way.local for way in ways}
        self.perform(self.endpoint.resolved(trunk, ways, self.now))

    def _note_where(self, trunk: str, uri: SipUri, hops: list[Hop]) -> None:
        """Tells of a name that leads elsewhere than before."""
        before = self._led_to.get(trunk, [])
        if hops and before and hops != before:
            now, then = (", ".join(f"{h.host}:{h.port}" for h in which) for which in (hops, before))
            log.info("trunk %s: %s leads to %s now (before: %s)", trunk, uri.host, now, then)
        if hops:
            self._led_to[trunk] = hops

    def _can_reach(self, hop: Hop) -> bool:
        return hop.transport != "udp" or any(u.ipv6 == is_ipv6(hop.host) for u in self._udp)

    def local_towards(self, hop: Hop) -> Hop:
        """The address of ours that `hop` sees: for Via, Contact and SDP.

        The port is 0 where nothing listens for its transport: then only the connection that we
        open leads back to us.
        """
        if hop.transport != "udp":
            return self._stream_local(hop, "127.0.0.1", 0, self.now)
        udp = self._udp_towards(hop)
        assert udp is not None  # `_can_reach` was asked before
        bound = udp.host if udp.host not in _ANY else None
        address = self._addresses.towards(hop.host, self.now, bound) or "127.0.0.1"
        return Hop("udp", address, udp.port)

    def media_host(self, trunk: str, source: Hop) -> str:
        """Our address for the SDP of a call of `trunk` that came from `source`: as the registrar
        saw it, where it said so (a NAT is between), else as the kernel routes."""
        return self.endpoint.learned_host(trunk, source) or self.local_towards(source).host

    def _stream_local(self, peer: Hop, host: str, port: int, now: float) -> Hop:
        """Our address for a connection with `peer` that has `host` and `port` on our side."""
        ipv6 = is_ipv6(peer.host)
        fitting = [
            (listening, at)
            for transport, listening, at in self._stream_listeners
            if transport == peer.transport and is_ipv6(listening) == ipv6
        ]
        routed = self._addresses.routed(peer.host, now)
        known = (routed, *_ANY)
        bound, port = next((one for one in fitting if one[0] in known), (*fitting, ("", port))[0])
        address = self._addresses.towards(peer.host, now, bound if bound not in _ANY else None)
        return Hop(peer.transport, address or host, port)

    def _look_at_addresses(self) -> None:
        """Has a trunk register again whose registrar knows an address that we no longer have, or
        whose network was away."""
        self._address_timer = self._loop.call_later(_ADDRESS_SECONDS, self._look_at_addresses)
        self._addresses.forget()
        for trunk, ways in list(self._registered_from.items()):
            current = self.endpoint.registrations.get(trunk)
            used = None if current is None else current.hop
            hop = used if used in ways else next(iter(ways))
            if self._addresses.routed(hop.host, self.now) is None:
                if trunk not in self._cut_off:
                    self._cut_off.add(trunk)
                    log.warning("trunk %s: no network leads to %s any more", trunk, hop.host)
                continue
            local = self.local_towards(hop)
            before, ways[hop] = ways[hop], local
            if local.host != before.host:
                log.warning(
                    "trunk %s: our address is %s now (before: %s): registering again",
                    trunk,
                    local.host,
                    before.host,
                )
            elif trunk in self._cut_off:
                log.info("trunk %s: the network is back: registering again", trunk)
            else:
                continue
            self._cut_off.discard(trunk)
            way = used or hop
            self._streams.drop(way)
            self.perform(self.endpoint.transport_failed(way, self.now))
            self.perform(self.endpoint.reachable(trunk, self.now))

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
