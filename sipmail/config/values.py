"""The values that a configuration is made of: durations, sizes, ports, addresses, networks.

Each `parse_…` takes what YAML gave (or a value that is already of the wanted type, which it returns
as it is) and raises ValueError with a sentence that says what is wrong and what to write instead.
Durations are seconds as floats, sizes are bytes.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
Transport = Literal["udp", "tcp", "tls"]

DEFAULT_PORTS: Final[dict[str, int]] = {"udp": 5060, "tcp": 5060, "tls": 5061}

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,12})?(?:ms|s|m|h|d)\s*)+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,12})?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?")
_PORT_RANGE = re.compile(r"([0-9]{1,5})\s*-\s*([0-9]{1,5})")
_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE)
_HOST_PORT = re.compile(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\[\]:/@\s]+)):([0-9]{1,5})")
_LISTEN = re.compile(r"([a-z]+)://(?:\[([0-9a-fA-F:.]+)\]|([^\[\]:/@\s]+))(?::([0-9]{1,5}))?/?")
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LOCAL_PART = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*"')
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_AND_TIME = re.compile(rf"{_DATE.pattern}[ T][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}})?")
_MAILBOX = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<>"]*?))\s*<([^<>]*)>\s*', re.DOTALL)


@dataclass(frozen=True, slots=True)
class PortRange:
    """UDP ports from `first` to `last`, both included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last + 1))

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and self.first <= port <= self.last

    @property
    def pairs(self) -> range:
        """The even ports whose odd neighbour is in the range too: RTP, with RTCP one above."""
        return range(self.first + self.first % 2, self.last, 2)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address of a host (IP address or name, IPv6 without brackets) and a port of it."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """An e-mail address: `name` is the display name ("" for none), `email` the addr-spec."""

    name: str
    email: str

    def __str__(self) -> str:
        if not self.name:
            return self.email
        if re.fullmatch(r"[\w .'–-]+", self.name):
            return f"{self.name} <{self.email}>"
        escaped = re.sub(r'(["\\])', r"\\\1", self.name)
        return f'"{escaped}" <{self.email}>'


def parse_duration(value: object) -> float:
    """`30s`, `5m`, `2h`, `30d`, `500ms`, `1h 30m`, or a number of seconds → seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"{value} is no duration: write seconds, or 30s, 5m, 2h, 30d")
        return seconds
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            return float(text)
        if _DURATION.fullmatch(text):
            parts = _DURATION_PART.findall(text)
            return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    raise ValueError(f"{_shown(value)} is no duration: write it like 30s, 5m, 2h or 30d")


def parse_size(value: object) -> int:
    """`500M`, `2G` (powers of 1024) or a number of bytes → bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _BYTES[match[2].lower()])
    raise ValueError(f"{_shown(value)} is no size: write it like 500M or 2G")


def parse_until(value: object) -> datetime:
    """`2026-12-27` (to the end of that day) or `2026-12-27 08:00` → a local time without zone."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str):
        text = value.strip()
        with suppress(ValueError):
            if _DATE.fullmatch(text):
                return datetime.fromisoformat(text) + timedelta(days=1)
            if _DATE_AND_TIME.fullmatch(text):
                return datetime.fromisoformat(text)
    raise ValueError(
        f'{_shown(value)} is no date: write it like "2026-12-27" or "2026-12-27 08:00"'
    )


def format_duration(seconds: float) -> str:
    """Seconds as `parse_duration` reads them: `90s`, `5m`, `7d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def format_size(size: int) -> str:
    """Bytes as `parse_size` reads them: `500M`."""
    for unit in "tgmk":
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit.upper()}"
    return str(size)


def parse_port_range(value: object) -> PortRange:
    """`20000-20999` → PortRange."""
    if isinstance(value, PortRange):
        return value
    match = _PORT_RANGE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{_shown(value)} is no range of ports: write it like 20000-20999")
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= 65535 or not 1 <= last <= 65535:
        raise ValueError(f"{value} leaves the ports 1-65535: write it like 20000-20999")
    if first > last:
        raise ValueError(f"{value} runs backwards: write {last}-{first}")
    return PortRange(first, last)


def parse_host(value: object) -> str:
    """A host name or an IP address (IPv6 with or without brackets) → the host without brackets."""
    if isinstance(value, str):
        text = value.strip()
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        if _is_address(bare) or (bare == text and _is_host_name(text)):
            return bare
    raise ValueError(
        f"{_shown(value)} is no host: write a name like pbx.example.com or an IP address"
    )


def parse_ip_address(value: object) -> str:
    """An IPv4 or IPv6 address → its text without brackets."""
    if isinstance(value, str):
        text = value.strip().removeprefix("[").removesuffix("]")
        if _is_address(text):
            return text
    raise ValueError(f"{_shown(value)} is no IP address: write it like 203.0.113.7")


def parse_host_port(value: object) -> HostPort:
    """`127.0.0.1:8080`, `[::1]:8080` → HostPort; port 0 is any free one."""
    if isinstance(value, HostPort):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"{value} has no host: write 127.0.0.1:{value} (or 0.0.0.0:{value})")
    match = _HOST_PORT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{_shown(value)} is no host:port: write it like 127.0.0.1:8080")
    return HostPort(parse_host(match[1] or match[2]), _port(match[3]))


def parse_listen(text: str) -> tuple[Transport, str, int]:
    """`udp://0.0.0.0:5060` → transport, IP address, port (the transport's own where none is given).

    Port 0 is any free one.
    """
    match = _LISTEN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no address to listen at: write it like udp://0.0.0.0:5060")
    transport: Transport
    match match[1]:
        case "udp" | "tcp" | "tls" as transport:
            pass
        case other:
            raise ValueError(f"the transport {other} is unknown: write udp://, tcp:// or tls://")
    host = match[2] or match[3]
    if host == "localhost":
        host = "127.0.0.1"
    if not _is_address(host):
        raise ValueError(
            f"{host} is no address of this machine: write its IP address, or 0.0.0.0 for all"
        )
    return transport, host, _port(match[4]) if match[4] else DEFAULT_PORTS[transport]


def parse_network(value: object) -> Network:
    """`198.51.100.0/24`, or one address → IPv4Network or IPv6Network."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no network: write it like 198.51.100.0/24")
    text = value.strip()
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        try:
            inside = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(
                f"{value!r} is no network: write an address or a network like 198.51.100.0/24"
                " (names of hosts are not looked up here)"
            ) from None
    address = text.partition("/")[0]
    raise ValueError(
        f"{text} is an address inside a network: write {inside}, or {address} for that host alone"
    )


def parse_address(value: object) -> Address:
    """`Anna Kowalska <anna@example.com>` or the address alone → Address (RFC 5322 mailbox)."""
    if isinstance(value, Address):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no e-mail address: write name@example.com")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("an e-mail address has no line breaks or control characters: remove them")
    match = _MAILBOX.fullmatch(value)
    if match is None:
        return Address("", parse_email(value))
    quoted, plain, email = match.groups()
    if quoted is not None:
        return Address(re.sub(r"\\(.)", r"\1", quoted).strip(), parse_email(email))
    if re.search(r"[,;@]", plain):
        raise ValueError(
            f"{value!r} looks like several addresses: write one here;"
            " a name with such a character goes in double quotes"
        )
    return Address(plain.strip(), parse_email(email))


def parse_email(value: object) -> str:
    """`name@example.com` (RFC 5322 addr-spec without comments, RFC 6532) → the address, domain in
    ASCII; letters beyond that before the @ need a mail server with SMTPUTF8."""
    if not isinstance(value, str):
        raise ValueError(f"{_shown(value)} is no e-mail address: write name@example.com")
    text = unicodedata.normalize("NFC", value.strip())
    local, at, domain = text.rpartition("@")
    if "<" in text:
        raise ValueError(f"{value!r} has a name: write only the address, like name@example.com")
    if not at or not local or not domain:
        raise ValueError(f"{value!r} is no e-mail address: write it like name@example.com")
    if re.search(r"\s", text) and not text.startswith('"'):
        raise ValueError(f"{value!r} has a blank: write it like Name <name@example.com>")
    if len(local.encode()) > 64 or not _LOCAL_PART.fullmatch(local):
        raise ValueError(f"{local!r} cannot stand before the @: write it like name@example.com")
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        ascii_domain = ""
    if not _is_host_name(ascii_domain) or ascii_domain.endswith("."):
        raise ValueError(f"{domain!r} is no domain: write it like name@example.com")
    return f"{local}@{ascii_domain}"


def parse_url(value: object) -> str:
    """`https://example.com/path`; http only for what is asked of this machine itself."""
    if isinstance(value, str):
        text = value.strip()
        try:
            parts = urlsplit(text)
            known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            known = False
        if known and text.isascii() and not re.search(r"[\s\x00-\x1f]", text):
            return text
    raise ValueError(f"{_shown(value)} is no address: write it like https://example.com/path")


def _port(text: str) -> int:
    port = int(text)
    if port > 65535:
        raise ValueError(f"{text} is no port: ports end at 65535")
    return port


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_host_name(text: str) -> bool:
    if len(text) > 253 or not _HOST_NAME.fullmatch(text):
        return False
    return not re.fullmatch(r"[0-9.]+", text)


def _shown(value: object) -> str:
    """`value` as it is named in a sentence."""
    match value:
        case None:
            return "an empty value"
        case bool():
            return "true" if value else "false"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return repr(value)
    return str(value)
