"""The bytes of an e-mail: headers, text parts and attachments (RFC 5322, 2045, 2047, 2183, 2392).

Rules: every line ends in CRLF and no line is longer than 998 octets; a header holds no control
characters, whatever it is made of; text is quoted-printable, everything else base64; boundaries
cannot occur in either.

By hand, since it is done for every message: the standard library takes ten times as long for an
attachment as base64 itself, and longer for a Polish subject than all the rest. The tests read the
results with the standard library and others.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain

import numpy as np

from sipmail.config.values import Address

CRLF = b"\r\n"
_COLUMNS = 76
_LONGEST_WORD = 200
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SPACES = re.compile(r"[ \t\r\n]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]*")
_TO_ESCAPE = re.compile(r'(["\\])')
_ENCODED_BYTES = 45
"""Octets in one encoded word: its base64 and frame then fit into 75 columns (RFC 2047)."""

_WIRE_LINE = np.dtype([("text", f"V{_COLUMNS}"), ("end", "V2")])

Buffer = bytes | memoryview
Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Part:
    """A MIME entity: its headers and its content, in pieces that are joined once at the end."""

    headers: tuple[tuple[str, str], ...]
    pieces: tuple[Buffer, ...] = field(repr=False)

    def written(self) -> tuple[Buffer, ...]:
        """Headers, the empty line and the content."""
        return (*map(_line, self.headers), CRLF, *self.pieces)


def text(content: str, subtype: str) -> Part:
    """A text part in UTF-8."""
    lines = "\r\n".join(content.splitlines()) + "\r\n"
    body = binascii.b2a_qp(lines.encode("utf-8", "replace"), istext=True)
    return Part(
        (
            ("Content-Type", f"text/{subtype}; charset=utf-8"),
            ("Content-Transfer-Encoding", "quoted-printable"),
        ),
        (body,),
    )


def binary(content: bytes, headers: Headers) -> Part:
    """Any other part; `headers` name its type and disposition."""
    return Part((*headers, ("Content-Transfer-Encoding", "base64")), base64_lines(content))


def multipart(subtype: str, boundary: str, parts: Sequence[Part], start: str = "") -> Part:
    """Parts together; `start` is the type of the first one, which `related` must name.

    `boundary` begins with `=_`: that can occur neither in quoted-printable nor in base64.
    """
    kind = f';\r\n type="{start}"' if start else ""
    mark = b"--" + boundary.encode()
    pieces = chain.from_iterable((mark, CRLF, *part.written(), CRLF) for part in parts)
    return Part(
        (("Content-Type", f'multipart/{subtype}{kind};\r\n boundary="{boundary}"'),),
        (*pieces, mark, b"--\r\n"),
    )


def message(headers: Headers, content: Part) -> bytes:
    """A whole e-mail; the values of `headers` are encoded and folded already."""
    whole = Part((*headers, ("MIME-Version", "1.0"), *content.headers), content.pieces)
    return b"".join(whole.written())


def header(name: str, value: str) -> tuple[str, str]:
    """A header of free text, encoded (RFC 2047) where it must be, and folded."""
    value = _one_line(value)
    if _is_plain(value):
        return name, _fold(value, len(name) + 2)
    return name, "\r\n ".join(_words(value, len(name) + 2))


def addresses(name: str, values: Iterable[Address]) -> tuple[str, str]:
    """A header of addresses, one a line where they need the room."""
    lines: list[str] = []
    column = len(name) + 2
    for value in values:
        one = address(value.name, value.email)
        if not lines:
            lines.append(one)
        elif column + len(one) + 2 > _COLUMNS:
            lines[-1] += ","
            lines.append(one)
            column = 1
        else:
            lines[-1] += f", {one}"
        column += len(one) + 2
    return name, "\r\n ".join(lines)


@lru_cache(maxsize=1024)
def address(display: str, email: str) -> str:
    """One address with its display name, as a header holds it."""
    email = _CONTROLS.sub("", email)
    name = _one_line(display)
    if not name:
        return email
    if not _is_plain(name) or len(name) > _COLUMNS:
        words = _words(name, len("Reply-To: "))
        last = len(words[-1]) + len(email) + 3
        return "\r\n ".join(words) + (" " if last <= _COLUMNS else "\r\n ") + f"<{email}>"
    if not _PLAIN_NAME.fullmatch(name):
        name = '"' + _TO_ESCAPE.sub(r"\\\1", name) + '"'
    return f"{name} <{email}>"


def base64_lines(content: bytes) -> tuple[Buffer, ...]:
    """Base64 in lines of 76 characters: encoded at once, and cut by numpy."""
    encoded = binascii.b2a_base64(content, newline=False)
    full = len(encoded) // _COLUMNS
    lines = np.empty(full, _WIRE_LINE)
    lines["text"] = np.frombuffer(encoded, f"V{_COLUMNS}", full)
    lines["end"] = CRLF
    rest = encoded[full * _COLUMNS :]
    return (lines.view(np.uint8).data, rest + CRLF if rest else b"")


def _one_line(value: str) -> str:
    return _SPACES.sub(" ", _CONTROLS.sub(" ", value)).strip(" ")


def _is_plain(value: str) -> bool:
    """Whether `value` can stand in a header as it is: what looks like an encoded word must not be
    taken for one, and what cannot be folded must not be long."""
    return (
        value.isascii()
        and "=?" not in value
        and all(len(word) <= _LONGEST_WORD for word in value.split(" "))
    )


def _fold(value: str, column: int) -> str:
    """Plain text with line breaks before some of its spaces."""
    if column + len(value) <= _COLUMNS:
        return value
    lines = [""]
    for word in value.split(" "):
        if lines[-1] and column + 1 + len(word) > _COLUMNS:
            lines.append(word)
            column = 1 + len(word)
        else:
            lines[-1] += f" {word}" if lines[-1] else word
            column += 1 + len(word)
    return "\r\n ".join(lines)


def _words(value: str, column: int) -> list[str]:
    """The encoded words of a text, each of whole characters and at most 75 columns."""
    data = value.encode()
    words = []
    start = 0
    room = (_COLUMNS - column - len("=?utf-8?b??=")) // 4 * 3
    while start < len(data):
        end = min(start + max(room, 6), len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        encoded = binascii.b2a_base64(data[start:end], newline=False).decode()
        words.append(f"=?utf-8?b?{encoded}?=")
        start, room = end, _ENCODED_BYTES
    return words


def _line(pair: tuple[str, str]) -> bytes:
    return f"{pair[0]}: {pair[1]}\r\n".encode("utf-8", "replace")
