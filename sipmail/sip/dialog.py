"""The dialog: what two user agents must remember to talk to each other (RFC 3261 section 12).

Ours all begin with an INVITE that we answer, so the peer is the one who called.

Rules:
- The route set is the Record-Route of the INVITE in its order, for good; the remote target is the
  peer's Contact, which re-INVITE and UPDATE renew (12.1.1, 12.2.1.2, RFC 3311 section 5.1).
- An INVITE without a Contact, which RFC 2543 allowed (section 6.13) and simple devices still send,
  has its caller where it came from: the source, or behind proxies what the first Via says.
- A request of the peer must not go back in CSeq: 500 (12.2.2).
- Requests of ours go to the remote target with the route set, or, where its first router is a
  strict one (no `lr`), to that router with the remote target as the last route (12.2.1.1).
- Where they are sent: to the first route or else the remote target. Liberal, since phones and PBXs
  behind NAT can't be reached otherwise: over the connection that the INVITE came on where the
  next hop has its address, and to the INVITE's source where there is no route and the Contact
  is a private address while the INVITE came from a public one.
- An ACK whose To tag is wrong is taken when Call-ID, From tag, CSeq and the source's address fit.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from sipmail.errors import ProtocolError
from sipmail.sip.actions import Hop
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, Response
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.parameters import EMPTY, Parameters
from sipmail.sip.uri import SipUri, parse_uri

_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


class Dialog:
    """One dialog from its INVITE on, early or confirmed.

    Raises ProtocolError(400) when the INVITE has a Contact or Record-Route that no request could be
    sent to.
    """

    def __init__(self, invite: Request, local_tag: str, source: Hop, local: Hop) -> None:
        self.call_id = invite.call_id
        self.local_tag = local_tag
        self.remote_tag = invite.from_.tag or ""
        self.source = source
        self.local = local
        contact = invite.contact
        self.remote_target = _caller(invite, source) if contact is None else _target(contact)
        self.routes = invite.headers.values("Record-Route")
        self.remote_number = invite.cseq.number
        self._local_number = 0
        headers = invite.headers
        self._from = f"{_without_tag(headers.get('To') or '')};tag={local_tag}"
        self._to = headers.get("From") or ""
        self.hops()

    @property
    def local_uri(self) -> str:
        """Who we are in this dialog, as a URI: what was called."""
        return NameAddr.parse(self._from).uri

    def check_order(self, request: Request) -> None:
        """Takes the CSeq of a request; raises ProtocolError(500) where it is out of order."""
        number = request.cseq.number
        if number < self.remote_number:
            raise ProtocolError(500, "CSeq out of order")
        self.remote_number = number

    def target_of(self, message: Request | Response) -> str:
        """The remote target once this re-INVITE, UPDATE or 2xx is taken: its Contact, if any.

        Raises ProtocolError(400).
        """
        return self.remote_target if message.contact is None else _target(message.contact)

    def request(
        self,
        method: str,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        number: int | None = None,
    ) -> Request:
        """A request within the dialog, without its Via; `number` is the CSeq of an ACK."""
        if number is None:
            self._local_number += 1
            number = self._local_number
        uri = self.remote_target
        routes = self.routes
        if routes and not _is_loose(routes[0]):
            uri = _request_uri(routes[0])
            routes = (*routes[1:], f"<{self.remote_target}>")
        return Request(
            method,
            uri,
            Headers(
                (
                    ("Max-Forwards", "70"),
                    *(("Route", route) for route in routes),
                    ("From", self._from),
                    ("To", self._to),
                    ("Call-ID", self.call_id),
                    ("CSeq", f"{number} {method}"),
                    *headers,
                )
            ),
            body,
        )

    def hops(self) -> tuple[Hop, ...]:
        """Where requests of ours are sent, the next only when the one before failed."""
        route = self.routes[0] if self.routes else None
        hop = _hop(_request_uri(route) if route else self.remote_target)
        source = self.source
        if source.transport != "udp" and hop.host == source.host:
            return (source, hop) if hop != source else (hop,)
        if route is None and _is_private(hop.host) and not _is_private(source.host):
            return (source,)
        return (hop,)


def uri_at(user: str | None, source: Hop) -> str:
    """The URI of a user at the address that something came from."""
    if source.transport == "udp":
        port = None if source.port == _DEFAULT_PORTS["udp"] else source.port
        return str(SipUri("sip", user, source.host, port))
    # The port of a connection is not one to connect to.
    params = Parameters((("transport", "tcp"),)) if source.transport == "tcp" else EMPTY
    scheme = "sips" if source.transport == "tls" else "sip"
    return str(SipUri(scheme, user, source.host, None, params))


def _target(contact: NameAddr) -> str:
    if not isinstance(contact.parsed_uri, SipUri):
        raise ProtocolError(400, "Contact is no SIP URI")
    return contact.uri


def _caller(invite: Request, source: Hop) -> str:
    """Who calls, where the INVITE came from."""
    uri = invite.from_.parsed_uri
    user = uri.user if isinstance(uri, SipUri) else None
    first = invite.vias[-1]
    if len(invite.vias) > 1:
        transport = first.transport.lower()
        port = first.rport or first.port or _DEFAULT_PORTS.get(transport, _DEFAULT_PORTS["udp"])
        source = Hop(transport, first.received or first.host, port)
    return uri_at(user, source)


def _without_tag(value: str) -> str:
    address = NameAddr.parse(value)
    return str(NameAddr(address.display, address.uri, address.params.without("tag")))


def _is_loose(route: str) -> bool:
    uri = NameAddr.parse(route).parsed_uri
    return isinstance(uri, SipUri) and "lr" in uri.params


def _request_uri(route: str) -> str:
    return NameAddr.parse(route).uri


def _hop(text: str) -> Hop:
    """The hop that a URI names; a host name stays one."""
    uri = parse_uri(text)
    if not isinstance(uri, SipUri):
        raise ProtocolError(400, "Route is no SIP URI")
    transport = (uri.params.get("transport") or "udp").lower()
    if uri.scheme == "sips":
        transport = "tls"
    if transport not in _DEFAULT_PORTS:
        transport = "udp"
    host = (uri.params.get("maddr") or uri.host).strip("[]")
    return Hop(transport, host, uri.port or _DEFAULT_PORTS[transport])


@lru_cache(maxsize=1024)
def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False  # a name
