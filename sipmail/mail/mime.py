"""The bytes of an e-mail: headers, text parts and attachments (RFC 5322, 2045, 2047, 2183, 2392).

Rules: every line ends in CRLF and no line is longer than 998 octets; a header holds no control
characters, whatever it is made of; text is quoted-printable, everything else base64; boundaries
cannot occur in either. Headers are encoded by the standard library; the parts are put together
here, because its generator takes ten times as long for an attachment as base64 itself.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from email.header import Header

import numpy as np

from sipmail.config.values import Address

CRLF = b"\r\n"
_LINE = 76
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~ ]*")
_TO_ESCAPE = re.compile(r'(["\\])')


@dataclass(frozen=True, slots=True)
class Part:
    """A MIME entity: its headers, without those that say how it is encoded, and its content."""

    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def __bytes__(self) -> bytes:
        return b"".join((*map(_line, self.headers), CRLF, self.body))


def text(content: str, subtype: str) -> Part:
    """A text part in UTF-8."""
    lines = "\r\n".join(content.splitlines()) + "\r\n"
    body = binascii.b2a_qp(lines.encode("utf-8", "replace"), istext=True)
    return Part(
        (
            ("Content-Type", f"text/{subtype}; charset=utf-8"),
            ("Content-Transfer-Encoding", "quoted-printable"),
        ),
        body,
    )


def binary(content: bytes, headers: Iterable[tuple[str, str]]) -> Part:
    """Any other part; `headers` name its type and disposition."""
    return Part((*headers, ("Content-Transfer-Encoding", "base64")), base64_lines(content))


def multipart(subtype: str, boundary: str, parts: Sequence[Part], start: str = "") -> Part:
    """Parts together; `start` is the type of the first one, which `related` must name.

    `boundary` begins with `=_`: that can occur neither in quoted-printable nor in base64.
    """
    kind = f'; type="{start}"' if start else ""
    mark = boundary.encode()
    pieces: list[bytes] = []
    for part in parts:
        pieces += (b"--", mark, CRLF, bytes(part), CRLF)
    pieces += (b"--", mark, b"--", CRLF)
    return Part(
        (("Content-Type", f'multipart/{subtype}{kind}; boundary="{boundary}"'),), b"".join(pieces)
    )


def message(headers: Iterable[tuple[str, str]], content: Part) -> bytes:
    """A whole e-mail; the values of `headers` are encoded and folded already."""
    return bytes(Part((*headers, ("MIME-Version", "1.0"), *content.headers), content.body))


def header(name: str, value: str) -> tuple[str, str]:
    """A header of free text, encoded (RFC 2047) where it must be, and folded."""
    return name, encode(value, len(name) + 2)


def encode(value: str, taken: int = 0) -> str:
    """Free text for a header, `taken` columns of whose first line are in use."""
    value = " ".join(_CONTROLS.sub(" ", value).split())
    # What looks like an encoded word must not be taken for one.
    charset = "us-ascii" if value.isascii() and "=?" not in value else "utf-8"
    if charset == "us-ascii" and taken + len(value) <= _LINE:
        return value
    folded = Header(value, charset, maxlinelen=_LINE, header_name="x" * max(taken - 2, 0))
    return folded.encode(linesep="\r\n")


def addresses(name: str, values: Iterable[Address]) -> tuple[str, str]:
    """A header of addresses, folded between them."""
    lines: list[str] = []
    column = len(name) + 2
    for value in values:
        one = address(value)
        if lines and column + len(one) + 2 > _LINE:
            lines[-1] += ","
            lines.append(one)
            column = len(one) + 1
        else:
            if lines:
                lines[-1] += f", {one}"
            else:
                lines.append(one)
            column += len(one) + 2
    return name, "\r\n ".join(lines)


def address(value: Address) -> str:
    """One address with its display name, as a header holds it."""
    email = _CONTROLS.sub("", value.email)
    name = " ".join(_CONTROLS.sub(" ", value.name).split())
    if not name:
        return email
    if not name.isascii() or "=?" in name or len(name) > _LINE:
        folded = Header(name, "utf-8", maxlinelen=_LINE, header_name="Reply-To")
        return f"{folded.encode(linesep=chr(13) + chr(10))}\r\n <{email}>"
    if not _PLAIN_NAME.fullmatch(name):
        name = '"' + _TO_ESCAPE.sub(r"\\\1", name) + '"'
    return f"{name} <{email}>"


def base64_lines(content: bytes) -> bytes:
    """Base64 in lines of 76 characters: encoded at once and cut by numpy."""
    encoded = binascii.b2a_base64(content, newline=False)
    full = len(encoded) // _LINE
    lines = np.empty((full, _LINE + 2), np.uint8)
    lines[:, :_LINE] = np.frombuffer(encoded, np.uint8, full * _LINE).reshape(full, _LINE)
    lines[:, _LINE:] = (13, 10)
    rest = encoded[full * _LINE :]
    return lines.tobytes() + (rest + CRLF if rest else b"")


def _line(pair: tuple[str, str]) -> bytes:
    name, value = pair
    return f"{name}: {value}\r\n".encode("utf-8", "replace")
