"""A line: a trunk at run time, with its Contact, its registration or its challenges."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

from sipmail.sip.actions import Hop
from sipmail.sip.context import Context
from sipmail.sip.digest import DigestClient
from sipmail.sip.digest_server import DigestServer
from sipmail.sip.register import contact_uri
from sipmail.sip.registration import Registration, credentials
from sipmail.sip.transactions import TransactionLayer
from sipmail.sip.trunk import Trunk
from sipmail.sip.uri import SipUri

Address = IPv4Address | IPv6Address

_REALM = "sipmail"


class Line:
    """One trunk. `over` is called when its registration was given up."""

    def __init__(
        self,
        context: Context,
        layer: TransactionLayer,
        trunk: Trunk,
        over: Callable[[Line, float], None],
    ) -> None:
        self.trunk = trunk
        self.contact_user = trunk.contact_user or context.tokens()
        self.registration: Registration | None = None
        self.challenger: DigestServer | None = None
        self._context = context
        self._fixed_hosts = frozenset(_numeric_hosts(trunk))
        if trunk.registrar is not None:
            self.registration = Registration(
                context, layer, trunk, self.contact_user, lambda now: over(self, now)
            )
        elif trunk.password is not None:
            self.challenger = DigestServer(
                trunk.realm or _REALM, context.tokens().encode(), algorithms=trunk.digest
            )

    def accepts(self, host: str, address: Address | None) -> bool:
        """Whether requests from this address belong to the trunk."""
        if self.registration is not None and (
            host in self.registration.hosts or host in self._fixed_hosts
        ):
            return True
        return address is not None and any(
            address.version == network.version and address in network
            for network in self.trunk.accept_from
        )

    def contact(self, local: Hop, source: Hop, *, secure: bool) -> str:
        """Our Contact header for a peer at `source` that sees us at `local`.

        The registrar gets the address that it was seen to reach us at.
        """
        address = local
        registration = self.registration
        if (
            registration is not None
            and registration.address is not None
            and registration.address.transport == local.transport
            and source.host in registration.hosts
        ):
            address = registration.address
        return f"<{contact_uri(self.contact_user, address, secure=secure)}>"

    def credentials(self) -> DigestClient | None:
        """What answers a challenge to a request within a call of this trunk."""
        return None if self.registration is None else credentials(self.trunk, self._context)

    def replace_trunk(self, trunk: Trunk, now: float) -> None:
        """Takes changes that leave the registration as it is."""
        self.trunk = trunk
        if self.registration is not None:
            self.registration.replace_trunk(trunk, now)


def parse_address(host: str) -> Address | None:
    """An address as networks compare it: IPv4 in IPv6 is IPv4. None for a host name."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _numeric_hosts(trunk: Trunk) -> list[str]:
    """The addresses that the configuration itself names, good before any look-up."""
    hosts = []
    for text in (trunk.registrar, trunk.outbound_proxy):
        if text is not None:
            address = parse_address(SipUri.parse(text).host)
            if address is not None:
                hosts.append(str(address))
    return hosts
