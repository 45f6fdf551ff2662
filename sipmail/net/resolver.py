"""From a SIP URI to the places to try, in order: RFC 3263 without NAPTR.

Rules kept (RFC 3263, section 4): a numeric host or an explicit port means A/AAAA only (4.2); a name
without a port is looked up as SRV first (`_sip._udp`, `_sip._tcp`, `_sips._tcp`), the records by
priority and weight (RFC 2782), and as A/AAAA when there is none; `transport=` and `sips:` choose
the transport (4.1), UDP is the default. NAPTR is left out: PBXs and carriers that sipmail
registers with name their transport.

The order among equals is drawn once a process and then stays, so that a registration moves only
when DNS, or the state of a server, has changed. A look-up that fails for the moment (no server
answers) gives what the last good one gave; a name that is gone is gone.
A and AAAA go through the system's resolver, so that /etc/hosts counts. /etc/resolv.conf is read
anew each time: the machine may have moved to another network.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from itertools import accumulate
from typing import TypeVar

import dns.asyncresolver
import dns.exception
import dns.resolver

from sipmail.net.address import is_ipv6, is_numeric
from sipmail.sip.actions import Hop
from sipmail.sip.uri import SipUri

log = logging.getLogger(__name__)

_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_SRV_SERVICES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
_LIFETIME = 5.0
_REMEMBERED = 256

Service = tuple[int, int, str, int]
"""One SRV record: priority, weight, target, port."""

_Record = TypeVar("_Record")


class LookupFailed(Exception):
    """No name server gave an answer, not even that there is none."""


def transport_of(uri: SipUri) -> str:
    """The transport that a URI asks for: `udp`, `tcp` or `tls`."""
    named = (uri.params.get("transport") or "").lower()
    if uri.scheme.lower() == "sips" or named == "tls":
        return "tls"
    return named if named in _DEFAULT_PORTS else "udp"


async def query_services(name: str) -> list[Service]:
    """The SRV records of `name`, none where there are none. Raises LookupFailed."""
    try:
        resolver = dns.asyncresolver.Resolver()
        answer = await resolver.resolve(name, "SRV", lifetime=_LIFETIME)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.NoResolverConfiguration):
        return []
    except (dns.exception.DNSException, OSError) as error:
        raise LookupFailed(str(error)) from error
    return [(r.priority, r.weight, r.target.to_text(omit_final_dot=True), r.port) for r in answer]


async def query_addresses(host: str) -> list[str]:
    """The addresses of `host`, none where it has none. Raises LookupFailed."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise LookupFailed(str(error)) from error
        log.info("looking up %s: %s", host, error)
        return []
    except (OSError, UnicodeError) as error:
        raise LookupFailed(str(error)) from error
    return [str(entry[4][0]) for entry in found]


class Resolver:
    """Looks names up, and remembers the last good answers."""

    def __init__(
        self,
        services: Callable[[str], Awaitable[list[Service]]] = query_services,
        addresses: Callable[[str], Awaitable[list[str]]] = query_addresses,
        seed: float | None = None,
    ) -> None:
        """`seed` decides the order among equals; by default it is drawn."""
        self._services = services
        self._addresses = addresses
        self._seed = random.random() if seed is None else seed
        self._good_services: dict[str, list[Service]] = {}
        self._good_addresses: dict[str, list[str]] = {}

    async def resolve(self, uri: SipUri) -> list[Hop]:
        """The hops to try for `uri`, best first; empty when the name does not resolve."""
        transport = transport_of(uri)
        host = uri.host.strip("[]")
        if is_numeric(host):
            return [Hop(transport, host, uri.port or _DEFAULT_PORTS[transport])]
        if uri.port is not None:
            return await self._hops(transport, host, uri.port)
        records = await self._look_up(
            _SRV_SERVICES[transport] + host, self._services, self._good_services
        )
        if not records:
            return await self._hops(transport, host, _DEFAULT_PORTS[transport])
        hops: list[Hop] = []
        for target, port in order_services(sorted(records), random.Random(self._seed).random):
            hops += await self._hops(transport, target, port)
        return list(dict.fromkeys(hops))

    async def _hops(self, transport: str, host: str, port: int) -> list[Hop]:
        if is_numeric(host):
            return [Hop(transport, host, port)]
        found = await self._look_up(host, self._addresses, self._good_addresses)
        families = list(dict.fromkeys(map(is_ipv6, found)))  # the system's preference
        found.sort(key=lambda one: (families.index(is_ipv6(one)), self._rank(one)))
        return list(dict.fromkeys(Hop(transport, one, port) for one in found))

    def _rank(self, address: str) -> float:
        return random.Random(f"{self._seed} {address}").random()

    async def _look_up(
        self,
        name: str,
        query: Callable[[str], Awaitable[list[_Record]]],
        good: dict[str, list[_Record]],
    ) -> list[_Record]:
        try:
            found = await query(name)
        except LookupFailed as error:
            last = good.get(name, [])
            log.warning(
                "DNS gives no answer about %s%s: %s",
                name,
                ", so the last one is used" if last else "",
                error,
            )
            return list(last)
        if len(good) >= _REMEMBERED:
            good.clear()
        good[name] = list(found)
        return found


def order_services(records: list[Service], draw: Callable[[], float]) -> list[tuple[str, int]]:
    """RFC 2782's order of `(priority, weight, target, port)`: by priority, weights drawn.

    `draw` gives floats in [0, 1). A target of `.` says that the service is not offered.
    """
    ordered: list[tuple[str, int]] = []
    for priority in sorted({record[0] for record in records}):
        rest = sorted((r for r in records if r[0] == priority), key=lambda r: r[1])
        while rest:
            pick = draw() * sum(record[1] for record in rest)
            sums = accumulate(record[1] for record in rest)
            chosen = rest.pop(next(index for index, upto in enumerate(sums) if pick <= upto))
            if chosen[2] not in ("", "."):
                ordered.append((chosen[2], chosen[3]))
    return ordered
