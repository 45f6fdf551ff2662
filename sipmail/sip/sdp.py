"""Session descriptions: SDP (RFC 4566 and RFC 8866) as offer and answer use it.

Rules: lines that sipmail has no use for are kept and written back in their place, unknown letters
are ignored (section 5); what phones in the field leave out (`s=`, `t=`, `o=`) may be missing; lines
may end with a bare line feed. Text is UTF-8 with surrogate escapes. Writing follows the order of
RFC 8866 section 5.

Attributes: rtpmap and fmtp (8866 section 6), ptime, maxptime, direction, rtcp (RFC 3605),
rtcp-mux (RFC 5761), crypto (RFC 4568).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from sipmail.errors import ProtocolError
from sipmail.sip.lazy import lazy

MAX_SIZE = 16384
MAX_MEDIA = 32

_LINE_BREAK = re.compile(r"\r?\n")
_MEDIA = re.compile(
    r"([^ /]+)[ ]+([0-9]{1,5})(?:/([0-9]{1,5}))?[ ]+([^ ]+)((?:[ ]+[^ ]+)*)[ ]*", re.DOTALL
)
_RTPMAP = re.compile(r"([0-9]{1,3})[ ]+([^ /]+)/([0-9]{1,9})(?:/([0-9]{1,3}))?[ ]*")
_FMTP = re.compile(r"([0-9]{1,3})[ ]+(.*)", re.DOTALL)
_RTCP = re.compile(r"([0-9]{1,5})(?:[ ]+([^ ]+)[ ]+(IP[46])[ ]+([^ ]+))?[ ]*", re.IGNORECASE)
_MILLISECONDS = re.compile(r"([0-9]{1,5})(?:\.[0-9]{1,9})?")
_SECONDS = re.compile(r"[0-9]{1,20}")

_INFORMATION = "iuepbrzk"

Attribute = tuple[str, str | None]


class Direction(Enum):
    """Which way media flows, as the one who writes it sees it (RFC 3264 section 5.1)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Whether the writer sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """Whether the writer receives."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)


_DIRECTIONS = {direction.value: direction for direction in Direction}


@dataclass(frozen=True)
class Origin:
    """`o=`: who describes, which session and which version of it (numbers kept as text)."""

    username: str
    session_id: str
    version: str
    address_type: str
    address: str

    @classmethod
    def parse(cls, text: str) -> Origin:
        """Raises ProtocolError(400)."""
        parts = text.split()
        if len(parts) != 6 or parts[3].upper() != "IN":
            raise ProtocolError(400, "Malformed SDP origin")
        return cls(parts[0], parts[1], parts[2], parts[4].upper(), parts[5])

    def __str__(self) -> str:
        return (
            f"{self.username} {self.session_id} {self.version} IN "
            f"{self.address_type} {self.address}"
        )


@dataclass(frozen=True)
class Connection:
    """`c=`: where media goes. `suffix` is the TTL or count after a multicast address."""

    address_type: str
    address: str
    suffix: str = ""

    @classmethod
    def parse(cls, text: str) -> Connection:
        """Raises ProtocolError(400)."""
        parts = text.split()
        if len(parts) != 3 or parts[0].upper() != "IN":
            raise ProtocolError(400, "Malformed SDP connection")
        address, slash, suffix = parts[2].partition("/")
        if not address:
            raise ProtocolError(400, "Malformed SDP connection")
        return cls(parts[1].upper(), address, slash + suffix)

    def __str__(self) -> str:
        return f"IN {self.address_type} {self.address}{self.suffix}"

    @property
    def on_hold(self) -> bool:
        """Whether this is the null address that meant hold in RFC 2543 (RFC 3264 section 8.4)."""
        return self.address in ("0.0.0.0", "::")  # noqa: S104 - an address on the wire


@dataclass(frozen=True)
class RtpMap:
    """What a payload type stands for; `name` as written, `rate` in Hz."""

    name: str
    rate: int
    channels: int = 1


@dataclass(frozen=True)
class MediaDescription:
    """One `m=` section. `formats` are payload types as text for RTP; port 0 means refused."""

    kind: str
    port: int
    proto: str
    formats: tuple[str, ...]
    count: int = 1
    connection: Connection | None = None
    attributes: tuple[Attribute, ...] = ()
    information: tuple[tuple[str, str], ...] = ()

    def attribute(self, name: str) -> str | None:
        """The value of the first attribute called `name`; empty for one without a value."""
        return _attribute(self.attributes, name)

    def attribute_values(self, name: str) -> tuple[str, ...]:
        """The values of all attributes called `name`."""
        return tuple(value or "" for key, value in self.attributes if key == name)

    @lazy
    def payload_types(self) -> tuple[int, ...]:
        """The formats that are RTP payload types, in order of preference."""
        return tuple(
            int(name)
            for name in self.formats
            if name.isascii() and name.isdigit() and len(name) <= 3 and int(name) < 128
        )

    @lazy
    def rtpmap(self) -> dict[int, RtpMap]:
        """The dynamic (or repeated static) payload types; malformed lines are left out."""
        found: dict[int, RtpMap] = {}
        for value in self.attribute_values("rtpmap"):
            match = _RTPMAP.fullmatch(value)
            if match is not None:
                channels = int(match[4]) if match[4] else 1
                found.setdefault(int(match[1]), RtpMap(match[2], int(match[3]), channels))
        return found

    def fmtp(self, payload_type: int) -> str | None:
        """The format parameters of a payload type."""
        for value in self.attribute_values("fmtp"):
            match = _FMTP.fullmatch(value)
            if match is not None and int(match[1]) == payload_type:
                return match[2]
        return None

    @property
    def ptime(self) -> int | None:
        """The wished length of packets in milliseconds."""
        return _milliseconds(self.attribute("ptime"))

    @property
    def maxptime(self) -> int | None:
        """The greatest length of packets in milliseconds."""
        return _milliseconds(self.attribute("maxptime"))

    @property
    def direction(self) -> Direction | None:
        """The direction written here; see `SessionDescription.direction` for the one that holds."""
        return _direction(self.attributes)

    @property
    def rtcp(self) -> tuple[int, str | None] | None:
        """Port and, where given, address for RTCP (RFC 3605); None where there is none."""
        match = _RTCP.fullmatch(self.attribute("rtcp") or "")
        if match is None or not 0 < int(match[1]) < 65536:
            return None
        return int(match[1]), match[4]

    @property
    def rtcp_mux(self) -> bool:
        """Whether RTCP may use the port of RTP (RFC 5761)."""
        return self.attribute("rtcp-mux") is not None

    @property
    def crypto(self) -> tuple[str, ...]:
        """The values of the crypto attributes (RFC 4568)."""
        return self.attribute_values("crypto")

    @property
    def secure(self) -> bool:
        """Whether the transport is one of the SRTP profiles."""
        return "SAVP" in self.proto.upper()


@dataclass(frozen=True)
class SessionDescription:
    """A whole SDP body. `information` holds i, u, e, p, b, k, r and z lines as (letter, value)."""

    origin: Origin | None
    name: str = "-"
    connection: Connection | None = None
    times: tuple[str, ...] = ("0 0",)
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = ()
    information: tuple[tuple[str, str], ...] = field(default=())

    @classmethod
    def parse(cls, body: bytes) -> SessionDescription:
        """Raises ProtocolError(400) for what is no SDP, 413 for what is too large to be one."""
        if len(body) > MAX_SIZE:
            raise ProtocolError(413, "SDP too large")
        return _parse(body.decode("utf-8", "surrogateescape"))

    def __bytes__(self) -> bytes:
        lines = ["v=0"]
        if self.origin is not None:
            lines.append(f"o={self.origin}")
        lines.append(f"s={self.name}")
        lines += _written(self.information, "iuep")
        if self.connection is not None:
            lines.append(f"c={self.connection}")
        lines += _written(self.information, "b")
        lines += [f"t={time}" for time in self.times]
        lines += _written(self.information, "rzk")
        lines += _written_attributes(self.attributes)
        for media in self.media:
            port = str(media.port) if media.count == 1 else f"{media.port}/{media.count}"
            lines.append(" ".join((f"m={media.kind}", port, media.proto, *media.formats)))
            lines += _written(media.information, "i")
            if media.connection is not None:
                lines.append(f"c={media.connection}")
            lines += _written(media.information, "bk")
            lines += _written_attributes(media.attributes)
        lines.append("")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")

    def attribute(self, name: str) -> str | None:
        """The value of the first session attribute called `name`; empty for one without a value."""
        return _attribute(self.attributes, name)

    def direction(self, media: MediaDescription) -> Direction:
        """The direction that holds for `media`: its own, the session's, or both ways."""
        return media.direction or _direction(self.attributes) or Direction.SENDRECV

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """The connection that holds for `media`: its own or the session's."""
        return media.connection or self.connection

    def ptime_of(self, media: MediaDescription) -> int | None:
        """The wished packet length in milliseconds: of `media` or of the session."""
        return media.ptime or _milliseconds(self.attribute("ptime"))


def _parse(text: str) -> SessionDescription:
    lines = [line for line in _LINE_BREAK.split(text) if line.strip(" \t\x00")]
    if not lines or lines[0].rstrip(" \t") != "v=0":
        raise ProtocolError(400, "SDP doesn't begin with v=0")
    origin: Origin | None = None
    name = "-"
    times: list[str] = []
    session = _Section()
    sections: list[tuple[tuple[str, int, int, str, tuple[str, ...]], _Section]] = []
    section = session
    for line in lines[1:]:
        letter, value = line[0], line[2:]
        if line[1:2] != "=":
            raise ProtocolError(400, f"Malformed SDP line {line[:20]!r}")
        if letter == "m":
            if len(sections) == MAX_MEDIA:
                raise ProtocolError(400, "Too many SDP media")
            section = _Section()
            sections.append((_parse_media(value), section))
        elif letter == "o" and section is session:
            origin = Origin.parse(value)
        elif letter == "s" and section is session:
            name = value
        elif letter == "t" and section is session:
            if len(parts := value.split()) != 2 or not all(map(_SECONDS.fullmatch, parts)):
                raise ProtocolError(400, "Malformed SDP time")
            times.append(value)
        else:
            section.take(letter, value)
    return SessionDescription(
        origin,
        name,
        session.connection,
        tuple(times) or ("0 0",),
        tuple(session.attributes),
        tuple(
            MediaDescription(
                kind,
                port,
                proto,
                formats,
                count,
                section.connection,
                tuple(section.attributes),
                section.sorted_information(),
            )
            for (kind, port, count, proto, formats), section in sections
        ),
        session.sorted_information(),
    )


class _Section:
    """The lines of the session or of one media description while they are read."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.attributes: list[Attribute] = []
        self.information: list[tuple[str, str]] = []

    def take(self, letter: str, value: str) -> None:
        if letter == "a":
            name, colon, content = value.rstrip(" ").partition(":")
            self.attributes.append((name, content if colon else None))
        elif letter == "c":
            if self.connection is None:
                self.connection = Connection.parse(value)
        elif letter in _INFORMATION:
            self.information.append((letter, value))

    def sorted_information(self) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(self.information, key=lambda line: _INFORMATION.index(line[0])))


def _parse_media(text: str) -> tuple[str, int, int, str, tuple[str, ...]]:
    found = _MEDIA.fullmatch(text)
    if found is None:
        raise ProtocolError(400, "Malformed SDP media line")
    port, count = int(found[2]), int(found[3] or 1)
    if port > 65535 or count < 1:
        raise ProtocolError(400, "SDP media port out of range")
    return found[1], port, count, found[4], tuple(found[5].split())


def _attribute(attributes: Iterable[Attribute], name: str) -> str | None:
    for key, value in attributes:
        if key == name:
            return value or ""
    return None


def _direction(attributes: Iterable[Attribute]) -> Direction | None:
    for name, value in attributes:
        if value is None and name in _DIRECTIONS:
            return _DIRECTIONS[name]
    return None


def _milliseconds(text: str | None) -> int | None:
    found = _MILLISECONDS.fullmatch((text or "").strip())
    return int(found[1]) or None if found else None


def _written(information: Iterable[tuple[str, str]], letters: str) -> list[str]:
    return [
        f"{letter}={value}"
        for wanted in letters
        for letter, value in information
        if letter == wanted
    ]


def _written_attributes(attributes: Iterable[Attribute]) -> list[str]:
    return [f"a={name}" if value is None else f"a={name}:{value}" for name, value in attributes]
