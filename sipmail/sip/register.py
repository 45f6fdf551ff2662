"""REGISTER on the wire: the request, and what its responses grant (RFC 3261 10.2 and 10.3).

It says that Path is supported (RFC 3327), without which registrars behind proxies may refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote as escape

from sipmail.errors import ProtocolError
from sipmail.sip.actions import Hop
from sipmail.sip.capabilities import ALLOW, SUPPORTED_BY_BINDINGS
from sipmail.sip.digest import DigestClient
from sipmail.sip.grammar import format_host
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, Response
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.trunk import Trunk
from sipmail.sip.uri import SipUri

_USER_SAFE = "-_.!~*'()&=+$,;?/"
_LONGEST_WAIT = 3600.0
_SHORTEST = 10.0


@dataclass(frozen=True)
class Binding:
    """What stays the same in every REGISTER of a trunk.

    `registrar` is the Request-URI, `address` the address of record in From and To, `route` the
    outbound proxy as a Route, if there is one.
    """

    registrar: str
    address: NameAddr
    route: str | None
    contact_user: str
    call_id: str
    tag: str
    secure: bool

    @classmethod
    def of(cls, trunk: Trunk, contact_user: str, call_id: str, tag: str) -> Binding:
        """The binding of a trunk; raises ProtocolError where its URIs are none."""
        registrar = SipUri.parse(trunk.registrar or "")
        user = escape(trunk.username, safe=_USER_SAFE) if trunk.username else registrar.user
        address = SipUri(registrar.scheme, user, registrar.host)
        domain = SipUri(registrar.scheme, None, registrar.host, registrar.port, registrar.params)
        route = None
        if trunk.outbound_proxy is not None:
            proxy = SipUri.parse(trunk.outbound_proxy)
            if "lr" not in proxy.params:
                proxy = SipUri(
                    proxy.scheme,
                    proxy.user,
                    proxy.host,
                    proxy.port,
                    proxy.params.with_("lr", None),
                )
            route = f"<{proxy}>"
        return cls(
            str(domain),
            NameAddr(trunk.display, str(address)),
            route,
            contact_user,
            call_id,
            tag,
            registrar.scheme == "sips",
        )

    def contact(self, address: Hop) -> str:
        """Our Contact at an address of ours."""
        return contact_uri(self.contact_user, address, secure=self.secure)


def contact_uri(user: str, address: Hop, *, secure: bool) -> str:
    """A URI of ours: `sips` where the peer's is (RFC 3261 8.1.1.8), else with its transport."""
    port = f":{address.port}" if address.port else ""  # 0: nothing listens, only our connection
    place = f"{user}@{format_host(address.host)}{port}"
    if secure:
        return f"sips:{place}"
    return f"sip:{place}" + (
        "" if address.transport == "udp" else f";transport={address.transport}"
    )


def register(
    binding: Binding,
    contacts: Mapping[str, float],
    *,
    number: int,
    uri: str | None,
    authorize: DigestClient | None,
    user_agent: str,
) -> Request:
    """A REGISTER without its Via: binds each of `contacts` for so many seconds.

    `uri` replaces the Request-URI after a redirection.
    """
    uri = uri or binding.registrar
    address = str(binding.address)
    pairs = [("Max-Forwards", "70")]
    if binding.route is not None:
        pairs.append(("Route", binding.route))
    pairs += [
        ("From", f"{address};tag={binding.tag}"),
        ("To", address),
        ("Call-ID", binding.call_id),
        ("CSeq", f"{number} REGISTER"),
    ]
    pairs += [("Contact", f"<{one}>;expires={int(span)}") for one, span in contacts.items()]
    pairs.append(("Expires", str(int(max(contacts.values(), default=0)))))
    if authorize is not None:
        pairs += authorize.authorization("REGISTER", uri)
    pairs += [ALLOW, SUPPORTED_BY_BINDINGS, ("User-Agent", user_agent)]
    return Request("REGISTER", uri, Headers(pairs))


def granted(response: Response, contact: str, asked: float) -> float:
    """The seconds that a 2xx grants our Contact: its own, those for all, or what was asked, and
    never more than that: who was restarted meanwhile is to hear of us as soon as we meant.

    A registrar that grants next to nothing is still left in peace for some seconds.
    """
    ours = SipUri.parse(contact)
    span = seconds(response.headers.get("Expires"))
    for value in response.headers.values("Contact"):
        try:
            listed = NameAddr.parse(value)
            uri = listed.parsed_uri
        except ProtocolError:
            continue
        if isinstance(uri, SipUri) and (uri.user, uri.host, uri.port or 5060) == (
            ours.user,
            ours.host,
            ours.port or 5060,
        ):
            own = seconds(listed.params.get("expires"))
            span = span if own is None else own
            break
    return max(asked if span is None else min(span, asked), _SHORTEST)


def learned(response: Response) -> tuple[str, int] | None:
    """Host and port that the registrar saw our request come from, None where it doesn't say."""
    try:
        via = response.via
    except ProtocolError:
        return None
    port = via.rport
    if port is None:
        return None
    return via.received or via.host, port


def retry_after(response: Response) -> float | None:
    """The seconds of Retry-After, at most an hour; None where there are none."""
    text = (response.headers.get("Retry-After") or "").strip()
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    wait = seconds(digits)
    return None if wait is None else min(wait, _LONGEST_WAIT)


def seconds(text: str | None) -> float | None:
    """Delta-seconds; None where the text is none, or beyond all reason."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        return None
    return float(text)
