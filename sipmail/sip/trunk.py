"""A trunk: where calls come from, as the endpoint needs to know it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network


@dataclass(frozen=True)
class Trunk:
    """A PBX or carrier.

    With `registrar` (a SIP URI) we register there as `username`; calls come from it and from
    `accept_from`. Without, calls come from `accept_from`, and with a `password` they must prove
    that they know it. `expires` and `keepalive` are seconds; a keepalive of 0 sends none.
    `digest` names the algorithms of our challenges in their order (RFC 8760). MD5 is first unless
    told otherwise: gateways, and SIPp 3.6, read the first challenge only and know nothing else; who
    knows SHA-256 is let in with either.
    `srtp` is off, optional, required or auto: see `Encryption.of`.
    `display` is the name in the From of our REGISTER. `contact_user` is the user of our Contact,
    to be unguessable; without it a new one is made each time, and a registrar then keeps the
    binding of a sipmail that crashed until it expires.
    """

    name: str
    registrar: str | None = None
    username: str | None = None
    auth_username: str | None = None
    password: str | None = None
    digest: tuple[str, ...] = ("MD5", "SHA-256")
    realm: str | None = None
    outbound_proxy: str | None = None
    expires: float = 300.0
    keepalive: float = 25.0
    accept_from: tuple[IPv4Network | IPv6Network, ...] = ()
    display: str = ""
    srtp: str = "auto"
    contact_user: str | None = None
