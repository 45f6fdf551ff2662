"""Which of our addresses a peer sees: what Via, Contact and SDP have to say to be reached.

The kernel knows: connecting a UDP socket sends nothing and chooses the route. Behind NAT the
configured `public_address` stands in for it, except towards peers in a private network, who
reach us directly.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from sipmail.sip.lazy import remembered

_KEEP_SECONDS = 30.0
_KEEP_ENTRIES = 4096


def is_ipv6(host: str) -> bool:
    """Whether a numeric address is of IPv6."""
    return ":" in host


@remembered
def is_numeric(host: str) -> bool:
    """Whether `host` is an IP address rather than a name (brackets of IPv6 allowed)."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def routed_address(peer: str) -> str | None:
    """The local IP address from which packets to the numeric address `peer` leave.

    None without a route.
    """
    family = socket.AF_INET6 if is_ipv6(peer) else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return None
        host: str = probe.getsockname()[0]
        return host.partition("%")[0]


class LocalAddresses:
    """Remembers the answer for each peer for a while: the machine's addresses may change."""

    def __init__(
        self,
        public_address: str | None = None,
        *,
        route: Callable[[str], str | None] = routed_address,
    ) -> None:
        self._public = public_address
        self._route = route
        self._known: dict[str, tuple[float, str]] = {}

    def routed(self, peer: str, now: float) -> str | None:
        """The address from which packets to `peer` (a numeric address) leave; None: no route."""
        known = self._known.get(peer)
        if known is not None and now - known[0] < _KEEP_SECONDS:
            return known[1]
        address = self._route(peer)
        if address is None:
            return None
        if len(self._known) >= _KEEP_ENTRIES:
            self._known.clear()
        self._known[peer] = (now, address)
        return address

    def towards(self, peer: str, now: float, bound: str | None = None) -> str | None:
        """Our address as `peer` (a numeric address) sees it; None when no route leads there.

        `bound` is the address of the socket, where it is bound to one.
        """
        address = bound or self.routed(peer, now)
        public = self._public
        if address is None or public is None or is_ipv6(public) != is_ipv6(peer):
            return address
        reached_directly = ipaddress.ip_address(public).is_global and (
            ipaddress.ip_address(peer).is_private
        )
        return address if reached_directly else public

    def forget(self) -> None:
        """Asks the kernel anew from now on."""
        self._known.clear()
