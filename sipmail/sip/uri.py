"""URIs: sip and sips (RFC 3261 section 19.1), tel (RFC 3966), and others kept unread.

Rules: everything is held as it is written, so writing gives back what was read; escapes are
resolved for comparing (`equivalent`, section 19.1.4) and for people (`user_text`). IPv6
references are held without their brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import unquote as _unescape

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import HOST, format_host, parse_host, parse_port
from sipmail.sip.lazy import remembered
from sipmail.sip.parameters import EMPTY, Parameters

_SIP = re.compile(
    rf"""(sips?):
    (?:([^\x00-\x20\x7f@:<>"]+)(?::([^\x00-\x20\x7f@:<>"]*))?@)?
    ({HOST})(?::([0-9]{{1,5}}))?
    (;[^\x00-\x20\x7f<>"?]*)?
    (?:\?([^\x00-\x20\x7f<>"?]*))?""",
    re.VERBOSE | re.IGNORECASE,
)
_TEL = re.compile(r"tel:(\+?[0-9A-F*#().\-]+)(;[^\x00-\x20\x7f<>\"]*)?", re.IGNORECASE)
_OTHER = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):([^\x00-\x20\x7f<>\"]+)")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_MUST_MATCH = ("user", "ttl", "method", "maddr", "transport")


def unescape(text: str) -> str:
    """`%HH` escapes resolved; bytes that are not UTF-8 become surrogate escapes."""
    return _unescape(text, errors="surrogateescape") if "%" in text else text


@dataclass(frozen=True)
class SipUri:
    """A sip or sips URI, with `scheme` in lower case. `headers` is the text after `?`."""

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: Parameters = field(default=EMPTY)
    headers: str | None = None
    password: str | None = None

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Raises ProtocolError(400) for anything that is not a sip or sips URI."""
        found = _SIP.fullmatch(text)
        if found is None:
            raise ProtocolError(400, "Malformed SIP URI")
        if "%" in text and _BAD_ESCAPE.search(text):
            raise ProtocolError(400, "Malformed escape in SIP URI")
        scheme, user, password, host, port, params, headers = found.groups()
        return cls(
            scheme.lower(),
            user,
            parse_host(host),
            parse_port(port),
            _parse_params(params),
            headers,
            password,
        )

    def __str__(self) -> str:
        text = f"{self.scheme}:"
        if self.user is not None:
            text += self.user if self.password is None else f"{self.user}:{self.password}"
            text += "@"
        text += format_host(self.host)
        if self.port is not None:
            text += f":{self.port}"
        text += _format_params(self.params)
        return text if self.headers is None else f"{text}?{self.headers}"

    @property
    def user_text(self) -> str:
        """The user with its escapes resolved; empty where there is none."""
        return unescape(self.user) if self.user else ""

    def equivalent(self, other: object) -> bool:
        """Whether both name the same resource by the rules of RFC 3261 section 19.1.4."""
        if not isinstance(other, SipUri):
            return False
        if (
            self.scheme != other.scheme
            or self.port != other.port
            or self.host.lower() != other.host.lower()
            or (self.user is None) != (other.user is None)
            or self.user_text != other.user_text
            or unescape(self.password or "") != unescape(other.password or "")
            or (self.password is None) != (other.password is None)
        ):
            return False
        mine, theirs = _comparable(self.params), _comparable(other.params)
        if any((name in mine) != (name in theirs) for name in _MUST_MATCH):
            return False
        if any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys()):
            return False
        return _comparable_headers(self.headers) == _comparable_headers(other.headers)


@dataclass(frozen=True)
class TelUri:
    """A tel URI (RFC 3966); `number` as written, a global one with its plus."""

    number: str
    params: Parameters = field(default=EMPTY)

    @classmethod
    def parse(cls, text: str) -> TelUri:
        """Raises ProtocolError(400) for anything that is not a tel URI."""
        found = _TEL.fullmatch(text)
        if found is None:
            raise ProtocolError(400, "Malformed tel URI")
        return cls(found[1], _parse_params(found[2]))

    def __str__(self) -> str:
        return f"tel:{self.number}{_format_params(self.params)}"

    @property
    def digits(self) -> str:
        """The number without visual separators."""
        return re.sub(r"[().\-]", "", self.number)

    @property
    def user_text(self) -> str:
        """What stands for the user of a sip URI: the number without visual separators."""
        return self.digits

    def equivalent(self, other: object) -> bool:
        """Whether both name the same number (RFC 3966 section 4)."""
        return (
            isinstance(other, TelUri)
            and self.digits.lower() == other.digits.lower()
            and _comparable(self.params) == _comparable(other.params)
        )


@dataclass(frozen=True)
class OtherUri:
    """A URI of any other scheme, unread."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"

    @property
    def user_text(self) -> str:
        """Nothing stands for a user here."""
        return ""

    def equivalent(self, other: object) -> bool:
        """Whether both are written alike."""
        return self == other


@remembered
def parse_uri(text: str) -> SipUri | TelUri | OtherUri:
    """Any absolute URI. Raises ProtocolError(400) when it is none."""
    scheme = text[:5].lower()
    if scheme.startswith(("sip:", "sips:")):
        return SipUri.parse(text)
    if scheme.startswith("tel:"):
        return TelUri.parse(text)
    found = _OTHER.fullmatch(text)
    if found is None:
        raise ProtocolError(400, "Malformed URI")
    return OtherUri(found[1], found[2])


def _parse_params(text: str | None) -> Parameters:
    if not text:
        return EMPTY
    pairs: list[tuple[str, str | None]] = []
    for part in text[1:].split(";"):
        name, equals, value = part.partition("=")
        if not name:
            raise ProtocolError(400, "Empty URI parameter")
        pairs.append((name, value if equals else None))
    return Parameters(pairs)


def _format_params(params: Parameters) -> str:
    return "".join(
        f";{name}" if value is None else f";{name}={value}" for name, value in params.items()
    )


def _comparable(params: Parameters) -> dict[str, str | None]:
    return {
        unescape(name).lower(): None if value is None else unescape(value).lower()
        for name, value in params.items()
    }


def _comparable_headers(text: str | None) -> list[tuple[str, str]]:
    pairs = (part.partition("=") for part in (text or "").split("&") if part)
    return sorted((unescape(name).lower(), unescape(value)) for name, _, value in pairs)
