"""The raw messages of the tests, by the names of their files."""

from __future__ import annotations

from pathlib import Path

from sipmail.sip.message import Request, Response, parse

DATA = Path(__file__).parent / "data"


def load(folder: str) -> dict[str, bytes]:
    """The messages of one folder: `torture` (RFC 4475), `ipv6` (RFC 5118), `normal`."""
    return {path.stem: path.read_bytes() for path in sorted((DATA / folder).glob("*.dat"))}


TORTURE = load("torture")
IPV6 = load("ipv6")
NORMAL = load("normal")

OPTIONS = (
    b"OPTIONS sip:100@192.0.2.5 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK1\r\n"
    b"Max-Forwards: 70\r\n"
    b"From: <sip:a@192.0.2.1>;tag=1\r\n"
    b"To: <sip:100@192.0.2.5>\r\n"
    b"Call-ID: 1@192.0.2.1\r\n"
    b"CSeq: 7 OPTIONS\r\n"
    b"Content-Length: 0\r\n"
    b"\r\n"
)


def request(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def response(data: bytes) -> Response:
    message = parse(data)
    assert isinstance(message, Response)
    return message


def changed(old: str, new: str) -> bytes:
    data = OPTIONS.replace(old.encode(), new.encode())
    assert data != OPTIONS
    return data
