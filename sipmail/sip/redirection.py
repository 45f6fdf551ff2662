"""Redirection: where else a REGISTER may be sent, as 3xx responses name it (RFC 3261 8.1.3.4).

Rules:
- The Contacts are tried one after the other, the highest q first (20.10; without one it is 1),
  those of the latest response before those that are left of earlier ones.
- None is tried twice, so there are no circles, and there is an end to the list.
- Only SIP URIs count. Where the first one asked for TLS, or our proxy, so must they: a redirection
  takes nobody into the clear.
- In the Request-URI of a REGISTER stands no user (10.2).
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import replace

from sipmail.errors import ProtocolError
from sipmail.sip.headers import Headers
from sipmail.sip.message import Response
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.uri import SipUri

_MOST = 10
_Q = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


class Redirection:
    """The targets of one REGISTER beside `first`, the URI that it was meant for; where that is
    asked by way of a proxy, the proxy may send us there directly."""

    def __init__(self, first: str, proxy: str | None = None) -> None:
        self._secret = any(_is_secret(SipUri.parse(uri)) for uri in (first, proxy) if uri)
        self._first = frozenset((first,)) if proxy is None else frozenset()
        self._known = set(self._first)
        self._left: deque[str] = deque()
        self.target: str | None = None
        """The URI that stands in place of `first`, None where it stands itself."""

    def follow(self, response: Response) -> bool:
        """Takes a 3xx; whether it leads to a target that was not tried."""
        self._left.extendleft(reversed(self._new(response.headers)))
        return self.turn()

    def turn(self) -> bool:
        """Goes on to the next target, if there is one."""
        if not self._left:
            return False
        self.target = self._left.popleft()
        return True

    def arrived(self) -> None:
        """The target was right: it stays, and all others may come again, the first one too."""
        self._left.clear()
        self._known = set(self._first) if self.target is None else {self.target}

    def forget(self) -> None:
        """Back to where it began."""
        self.target = None
        self.arrived()

    def _new(self, headers: Headers) -> list[str]:
        found: list[tuple[float, str]] = []
        for value in headers.values("Contact"):
            try:
                address = NameAddr.parse(value)
                uri = address.parsed_uri
            except ProtocolError:
                continue
            if not isinstance(uri, SipUri) or (self._secret and not _is_secret(uri)):
                continue
            text = str(replace(uri, user=None, password=None, headers=None))
            if text not in self._known and len(self._known) < _MOST:
                self._known.add(text)
                found.append((_q(address), text))
        return [text for _, text in sorted(found, key=lambda one: -one[0])]


def _q(address: NameAddr) -> float:
    text = address.params.get("q")
    return float(text) if text and _Q.fullmatch(text) else 1.0


def _is_secret(uri: SipUri) -> bool:
    return uri.scheme == "sips" or (uri.params.get("transport") or "").lower() == "tls"
