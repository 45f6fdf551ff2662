"""From a SIP URI to the places to try, in order: RFC 3263.

Rules kept (RFC 3263, section 4):
- `transport=` and `sips:` choose the transport. A numeric host or an explicit port without them
  means UDP; any other name says by NAPTR which transport it wants, of those that we have, and
  without NAPTR by the SRV records that it has, UDP before TCP; with neither it is UDP (4.1).
- A numeric host or an explicit port means A/AAAA only; a name without a port is looked up as SRV
  first (what NAPTR names, or `_sip._udp`, `_sip._tcp`, `_sips._tcp`), the records by priority and
  weight (RFC 2782), and as A/AAAA when there is none (4.2).
- What all of these services lead to are hops to try one after the other, also from one transport
  to the next (4.3). But where TLS leads anywhere, nothing in the clear comes after it: whoever can
  break a connection must not be able to take the encryption away.

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
from collections.abc import Awaitable, Callable, Collection, Iterable
from itertools import accumulate
from typing import Any, TypeVar

from sipmail.net.address import is_ipv6, is_numeric
from sipmail.sip.actions import Hop
from sipmail.sip.uri import SipUri

log = logging.getLogger(__name__)

_DEFAULT = "udp"
_WITHOUT_NAPTR = (_DEFAULT, "tcp")
"""The transports whose SRV records are looked for where nothing names one, best first."""
_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_SRV_SERVICES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
_POINTED_AT = {"sip+d2u": "udp", "sip+d2t": "tcp", "sips+d2t": "tls"}
_REMEMBERED = 256

Service = tuple[int, int, str, int]
"""One SRV record: priority, weight, target, port."""

Pointer = tuple[int, int, str, str, str]
"""One NAPTR record: order, preference, flags, service, replacement."""

_Record = TypeVar("_Record")


class LookupFailed(Exception):
    """No name server gave an answer, not even that there is none."""


def transport_of(uri: SipUri) -> str:
    """The transport that a URI asks for, or what it means without: `udp`, `tcp` or `tls`."""
    return _asked_for(uri) or _DEFAULT


def _asked_for(uri: SipUri) -> str | None:
    named = (uri.params.get("transport") or "").lower()
    if uri.scheme.lower() == "sips" or named == "tls":
        return "tls"
    return named if named in _DEFAULT_PORTS else None


async def query_services(name: str) -> list[Service]:
    """The SRV records of `name`, none where there are none. Raises LookupFailed."""
    found = await _query(name, "SRV")
    return [(r.priority, r.weight, r.target.to_text(omit_final_dot=True), r.port) for r in found]


async def query_pointers(name: str) -> list[Pointer]:
    """The NAPTR records of `name` that end in a name, none where there are none. Raises
    LookupFailed."""
    return [
        (
            r.order,
            r.preference,
            r.flags.decode("latin-1"),
            r.service.decode("latin-1"),
            r.replacement.to_text(omit_final_dot=True),
        )
        for r in await _query(name, "NAPTR")
        if not r.regexp
    ]


async def _query(name: str, kind: str) -> Iterable[Any]:
    query = await asyncio.to_thread(_load_records)
    return await query(name, kind)


def _load_records() -> Callable[[str, str], Awaitable[Iterable[Any]]]:
    """dnspython is large, and most PBXs are named by an address or with a port."""
    from sipmail.net.records import query

    return query


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
        pointers: Callable[[str], Awaitable[list[Pointer]]] = query_pointers,
    ) -> None:
        """`seed` decides the order among equals; by default it is drawn."""
        self._services = services
        self._addresses = addresses
        self._pointers = pointers
        self._seed = random.random() if seed is None else seed
        self._good_services: dict[str, list[Service]] = {}
        self._good_addresses: dict[str, list[str]] = {}
        self._good_pointers: dict[str, list[Pointer]] = {}

    async def resolve(
        self, uri: SipUri, transports: Collection[str] = tuple(_DEFAULT_PORTS)
    ) -> list[Hop]:
        """The hops to try for `uri`, best first; empty when the name does not resolve.

        `transports` are those that may be chosen where `uri` names none.
        """
        transport = transport_of(uri)
        host = uri.host.strip("[]")
        if is_numeric(host):
            return [Hop(transport, host, uri.port or _DEFAULT_PORTS[transport])]
        if uri.port is not None:
            return await self._hops(transport, host, uri.port)
        hops: list[Hop] = []
        for one, name in await self._candidates(uri, host, transports):
            if one == "tls" or all(hop.transport != "tls" for hop in hops):
                hops += await self._served(one, name)
        if not hops:
            return await self._hops(transport, host, _DEFAULT_PORTS[transport])
        return list(dict.fromkeys(hops))

    async def _candidates(
        self, uri: SipUri, host: str, transports: Collection[str]
    ) -> list[tuple[str, str]]:
        """The transports that may lead to `host`, each with its SRV name, best first (4.1)."""
        asked = _asked_for(uri)
        if asked is not None:
            return [(asked, _SRV_SERVICES[asked] + host)]
        pointers = await self._look_up(host, self._pointers, self._good_pointers)
        pointed = [one for one in follow(pointers) if one[0] in transports]
        return pointed or [
            (one, _SRV_SERVICES[one] + host) for one in _WITHOUT_NAPTR if one in transports
        ]

    async def _served(self, transport: str, name: str) -> list[Hop]:
        """The hops behind the SRV records of `name`."""
        records = await self._look_up(name, self._services, self._good_services)
        hops: list[Hop] = []
        for target, port in order_services(sorted(records), random.Random(self._seed).random):
            hops += await self._hops(transport, target, port)
        return hops

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


def follow(pointers: Iterable[Pointer]) -> list[tuple[str, str]]:
    """The transports and SRV names that NAPTR records point at, by order and preference.

    Those for other services than SIP over UDP, TCP and TLS are left out, and those that lead to
    no SRV record (another flag than `s`), which SIP does not use.
    """
    return [
        (_POINTED_AT[service.lower()], replacement)
        for _, _, flags, service, replacement in sorted(pointers)
        if flags.lower() == "s" and service.lower() in _POINTED_AT and replacement not in ("", ".")
    ]


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
