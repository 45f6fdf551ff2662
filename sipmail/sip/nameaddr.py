"""NameAddr: a URI with a display name and header parameters (RFC 3261 section 20.10).

From, To, Contact, Route, P-Asserted-Identity, Diversion and others are made of it. Without
angle brackets, what follows a semicolon belongs to the header and not to the URI; a comma,
semicolon or question mark in such a URI is an error. An unquoted display name may hold what
phones in the field put there (UTF-8, brackets, dots), but no comma.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import QUOTED, quote, readable, unquote
from sipmail.sip.lazy import lazy, remembered
from sipmail.sip.parameters import EMPTY, Parameters
from sipmail.sip.uri import OtherUri, SipUri, TelUri, parse_uri

_NAME_ADDR = re.compile(rf'[ \t]*+({QUOTED}|[^<>",;]*+)[ \t]*+<([^<>" \t]*+)>[ \t]*+', re.DOTALL)
_ADDR_SPEC = re.compile(r'[ \t]*([^<>",;? \t]+)[ \t]*')


@dataclass(frozen=True)
class NameAddr:
    """`display` without quotes, `uri` as written, `params` of the header."""

    display: str
    uri: str
    params: Parameters = field(default=EMPTY)

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        """One address; raises ProtocolError(400). The URI itself is read by `parsed_uri`."""
        return _parse(text)

    def __str__(self) -> str:
        name = f"{quote(self.display)} " if self.display else ""
        return f"{name}<{self.uri}>{self.params}"

    @property
    def tag(self) -> str | None:
        """The dialog's tag, None where there is none."""
        return self.params.get("tag") or None

    @property
    def display_text(self) -> str:
        """The display name for people, never with surrogate escapes."""
        return readable(self.display)

    @lazy
    def parsed_uri(self) -> SipUri | TelUri | OtherUri:
        """The URI, read when it is asked for; raises ProtocolError(400)."""
        return parse_uri(self.uri)

    def with_tag(self, tag: str) -> NameAddr:
        """A copy with this tag."""
        return NameAddr(self.display, self.uri, self.params.with_("tag", tag))


@remembered
def _parse(text: str) -> NameAddr:
    found = _NAME_ADDR.match(text)
    if found is not None:
        display, uri = found.groups()
        display = unquote(display) if display[:1] == '"' else display.rstrip(" \t")
    else:
        found = _ADDR_SPEC.match(text)
        if found is None:
            raise ProtocolError(400, "Malformed address")
        display, uri = "", found[1]
    if not uri:
        raise ProtocolError(400, "Empty address")
    return NameAddr(display, uri, Parameters.parse(text, found.end()))
