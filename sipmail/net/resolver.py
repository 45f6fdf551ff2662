"""From a SIP URI to the places to try, in order: RFC 3263 without NAPTR.

Rules kept (RFC 3263, section 4): a numeric host or an explicit port means A/AAAA only (4.2); a name
without a port is looked up as SRV first (`_sip._udp`, `_sip._tcp`, `_sips._tcp`), the records by
priority and weight (RFC 2782), and as A/AAAA when there is none; `transport=` and `sips:` choose
the transport (4.1), UDP is the default. NAPTR is left out: PBXs and carriers that sipmail
registers with name their transport.
A and AAAA go through the system's resolver, so that /etc/hosts counts.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Callable
from itertools import accumulate

import dns.asyncresolver
import dns.exception
import dns.resolver

from sipmail.net.address import is_numeric
from sipmail.sip.actions import Hop
from sipmail.sip.uri import SipUri

log = logging.getLogger(__name__)

_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_SRV_SERVICES = {"udp": "_sip._udp.", "tcp": "_sip._tcp.", "tls": "_sips._tcp."}
_LIFETIME = 5.0


def transport_of(uri: SipUri) -> str:
    """The transport that a URI asks for: `udp`, `tcp` or `tls`."""
    named = (uri.params.get("transport") or "").lower()
    if uri.scheme.lower() == "sips" or named == "tls":
        return "tls"
    return named if named in _DEFAULT_PORTS else "udp"


async def resolve(uri: SipUri) -> list[Hop]:
    """The hops to try for `uri`, best first; empty when the name does not resolve."""
    transport = transport_of(uri)
    host = uri.host.strip("[]")
    if is_numeric(host):
        return [Hop(transport, host, uri.port or _DEFAULT_PORTS[transport])]
    if uri.port is not None:
        return await _addresses(transport, host, uri.port)
    targets = await _services(transport, host) or [(host, _DEFAULT_PORTS[transport])]
    hops: list[Hop] = []
    for target, port in targets:
        hops += await _addresses(transport, target, port)
    return list(dict.fromkeys(hops))


async def _addresses(transport: str, host: str, port: int) -> list[Hop]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        log.info("looking up %s: %s", host, error)
        return []
    return list(dict.fromkeys(Hop(transport, str(entry[4][0]), port) for entry in found))


async def _services(transport: str, host: str) -> list[tuple[str, int]]:
    try:
        answer = await dns.asyncresolver.resolve(
            _SRV_SERVICES[transport] + host, "SRV", lifetime=_LIFETIME
        )
    except (dns.exception.DNSException, OSError) as error:
        log.debug("no SRV record of %s over %s: %s", host, transport, error)
        return []
    records = [
        (r.priority, r.weight, r.target.to_text(omit_final_dot=True), r.port) for r in answer
    ]
    return order_services(records, random.random)


def order_services(
    records: list[tuple[int, int, str, int]], draw: Callable[[], float]
) -> list[tuple[str, int]]:
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
