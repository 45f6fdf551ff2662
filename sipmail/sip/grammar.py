"""The basic rules of the SIP grammar that every header shares (RFC 3261 section 25.1).

Header values arrive here unfolded: linear white space is spaces and tabs only. Every pattern runs
in time linear to its input, because what it reads was written by a stranger.
"""

from __future__ import annotations

import ipaddress
import re

from sipmail.errors import ProtocolError

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"  # noqa: S105 - a pattern, not a password
QUOTED = r'"(?:[^"\\]+|\\.)*+"'
HOST = r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+"

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_TO_ESCAPE = re.compile(r'(["\\])')
_ELEMENT = re.compile(rf'(?:[^,"<]+|{QUOTED}|<[^<>]*>|["<].*)+', re.DOTALL)
_FOLD = re.compile(r"(?<![ \t])[ \t]*+\r\n[ \t]++")
_MANY_COLONS = re.compile(r":{3,}")


def unfold(text: str) -> str:
    """A header block with its continued lines joined by one space (section 7.3.1)."""
    return _FOLD.sub(" ", text) if "\r\n " in text or "\r\n\t" in text else text


def unquote(text: str) -> str:
    """The content of a quoted-string with its quoted-pairs resolved; other text as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    content = text[1:-1]
    return _QUOTED_PAIR.sub(r"\1", content) if "\\" in content else content


def quote(text: str) -> str:
    """`text` as a quoted-string."""
    if '"' in text or "\\" in text:
        text = _TO_ESCAPE.sub(r"\\\1", text)
    return f'"{text}"'


def split_commas(text: str) -> tuple[str, ...]:
    """The elements of a comma separated header value; commas in quotes and `<>` don't count.

    Empty elements are left out. After a quote or bracket that is never closed, the rest belongs
    to the same element.
    """
    if "," not in text:
        text = text.strip(" \t")
        return (text,) if text else ()
    parts = _ELEMENT.findall(text) if '"' in text or "<" in text else text.split(",")
    return tuple(stripped for part in parts if (stripped := part.strip(" \t")))


def readable(text: str) -> str:
    """Header text for people: bytes that were not UTF-8 are read as ISO-8859-1.

    Messages keep such bytes as surrogate escapes, which can't be printed or stored.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return (
            "".join(
                chr(ord(char) - 0xDC00) if "\udc80" <= char <= "\udcff" else char for char in text
            )
            .encode("utf-8", "replace")
            .decode()
        )
    return text


def parse_host(text: str) -> str:
    """A host as written in a URI or Via, IPv6 references without their brackets.

    Three colons in a row, which the grammar of RFC 3261 allowed, are read as two (RFC 5118
    section 4.10). Raises ProtocolError(400) for an impossible IPv6 address.
    """
    if not text.startswith("["):
        return text
    address = _MANY_COLONS.sub("::", text[1:-1])
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ProtocolError(400, f"Malformed IPv6 reference {text}") from None
    return address


def format_host(host: str) -> str:
    """A host as it is written in a URI or Via: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_port(text: str | None) -> int | None:
    """A port after a colon, None where there is none. Raises ProtocolError(400)."""
    if text is None:
        return None
    port = int(text)
    if not 0 < port < 65536:
        raise ProtocolError(400, f"Port {text} out of range")
    return port
