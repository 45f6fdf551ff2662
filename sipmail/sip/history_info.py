"""History-Info: the targets that a request had on its way here (RFC 7044, earlier RFC 4244).

The reason of a change is in the entry of the target that was left: as a Reason header inside its
URI (`?Reason=SIP%3Bcause%3D486`), or as a `cause` parameter (RFC 4458, RFC 7544) of the URI that
was turned to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sipmail.errors import ProtocolError
from sipmail.sip.headers import Headers
from sipmail.sip.lazy import lazy
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.privacy import parse_privacy
from sipmail.sip.reason import Reason, parse_reasons
from sipmail.sip.uri import OtherUri, SipUri, TelUri, unescape

_INDEX = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,63}")
_CAUSE = re.compile(r"[1-6][0-9]{2}")


@dataclass(frozen=True)
class HistoryEntry:
    """One target. `address.uri` is as written, `uri` is read and without the embedded headers."""

    address: NameAddr
    index: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> HistoryEntry:
        """One value of a History-Info header; raises ProtocolError(400)."""
        address = NameAddr.parse(text)
        index = address.params.get("index")
        if index is None or _INDEX.fullmatch(index) is None:
            raise ProtocolError(400, "Missing or malformed index in History-Info")
        _ = address.parsed_uri
        return cls(address, tuple(map(int, index.split("."))))

    @lazy
    def uri(self) -> SipUri | TelUri | OtherUri:
        """The target itself."""
        uri = self.address.parsed_uri
        return replace(uri, headers=None) if isinstance(uri, SipUri) else uri

    @lazy
    def reasons(self) -> tuple[Reason, ...]:
        """Why this target was left, from the Reason embedded in the URI."""
        return parse_reasons(self._embedded("reason"))

    @property
    def privacy(self) -> frozenset[str]:
        """The privacy that was asked for this entry, from the Privacy embedded in the URI."""
        return parse_privacy(self._embedded("privacy"))

    @property
    def cause(self) -> int | None:
        """The `cause` parameter: the status code of the forwarding that led to this target."""
        uri = self.address.parsed_uri
        if isinstance(uri, OtherUri):
            return None
        cause = uri.params.get("cause") or ""
        return int(cause) if _CAUSE.fullmatch(cause) else None

    @property
    def mapped_from(self) -> str | None:
        """The index of the entry that was mapped to this one, with another user (`mp`)."""
        return self.address.params.get("mp")

    @property
    def contact_of(self) -> str | None:
        """The index of the entry whose registered contact this is (`rc`)."""
        return self.address.params.get("rc")

    @property
    def unchanged_from(self) -> str | None:
        """The index of the entry that was retargeted without a change of user (`np`)."""
        return self.address.params.get("np")

    def _embedded(self, name: str) -> list[str]:
        uri = self.address.parsed_uri
        if not isinstance(uri, SipUri) or not uri.headers:
            return []
        pairs = (part.partition("=") for part in uri.headers.split("&"))
        return [unescape(value) for key, _, value in pairs if unescape(key).lower() == name]


def history(headers: Headers) -> tuple[HistoryEntry, ...]:
    """The entries in the order of their index, the first target first; malformed ones left out."""
    found: list[HistoryEntry] = []
    for value in headers.values("History-Info"):
        try:
            found.append(HistoryEntry.parse(value))
        except ProtocolError:
            continue
    return tuple(sorted(found, key=lambda entry: entry.index))
