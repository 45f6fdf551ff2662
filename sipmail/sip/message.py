"""Requests and responses, between bytes and objects (RFC 3261 section 7).

Rules:
- Text is UTF-8 with surrogate escapes, so no byte is lost; a message that was parsed and not
  changed is written as the same bytes.
- The header block is split in one pass; a value is parsed when somebody reads it, once.
- Everything is bounded (`limit`, MAX_HEADERS, MAX_LINE) and raises only ProtocolError, whose
  status is what RFC 3261 and RFC 4475 name.
- Header lines that are no header fields are ignored (sections 7.3.1, 8.2).

Sections: 7.1 to 7.5 (syntax, framing of datagrams 18.3), 8.1.1 (mandatory headers), 8.2.2.1
(scheme), 8.2.6 (responses), 20 (headers that occur once).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from sipmail.errors import ProtocolError
from sipmail.sip.cseq import CSeq
from sipmail.sip.grammar import TOKEN, split_commas, unfold
from sipmail.sip.headers import Headers
from sipmail.sip.lazy import lazy
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.status import REASONS as REASONS
from sipmail.sip.uri import OtherUri, SipUri, TelUri, parse_uri
from sipmail.sip.via import Via

MAX_MESSAGE = 65535
MAX_HEADERS = 256
MAX_LINE = 8192

_LINE = re.compile(r"\r\n([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*:[ \t]*([^\r\n]*)")
_TRAILING_SPACE = re.compile(r"(?<![ \t])[ \t]++(?=\r\n)")
_METHOD = re.compile(TOKEN)
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"[0-9]{1,9}")
_TAG = re.compile(r";[ \t]*tag[ \t]*=", re.IGNORECASE)


class _Message:
    """What requests and responses have in common: the typed headers, each read at most once, and
    how they are written."""

    headers: Headers
    body: bytes

    @lazy
    def call_id(self) -> str:
        """Call-ID; raises ProtocolError(400)."""
        call_id = self._one("Call-ID")
        if not call_id or " " in call_id or "\t" in call_id:
            raise ProtocolError(400, "Malformed Call-ID")
        return call_id

    @lazy
    def cseq(self) -> CSeq:
        """CSeq; raises ProtocolError(400)."""
        return CSeq.parse(self._one("CSeq"))

    @lazy
    def from_(self) -> NameAddr:
        """From; raises ProtocolError(400)."""
        return NameAddr.parse(self._one("From"))

    @lazy
    def to(self) -> NameAddr:
        """To; raises ProtocolError(400)."""
        return NameAddr.parse(self._one("To"))

    @lazy
    def vias(self) -> tuple[Via, ...]:
        """All Vias, the topmost first; raises ProtocolError(400), also when there is none."""
        vias = tuple(Via.parse(value) for value in self.headers.values("Via"))
        if not vias:
            raise ProtocolError(400, "Missing Via")
        return vias

    @lazy
    def via(self) -> Via:
        """The topmost Via; raises ProtocolError(400)."""
        if (vias := self.__dict__.get("vias")) is not None:
            return cast(Via, vias[0])
        first = self.headers.get("Via")
        if first is None:
            raise ProtocolError(400, "Missing Via")
        values = split_commas(first)
        return Via.parse(values[0] if values else "")

    @lazy
    def contact(self) -> NameAddr | None:
        """The first Contact, None where there is none; raises ProtocolError(400)."""
        values = self.headers.values("Contact")
        return NameAddr.parse(values[0]) if values else None

    def __bytes__(self) -> bytes:
        """The message for the wire, with the right Content-Length.

        Raises ValueError when a header that was set by us holds a line break.
        """
        return self._wire

    @lazy
    def _wire(self) -> bytes:
        return _write(self._first_line, self.headers, self.body)

    @property
    def _first_line(self) -> str:
        raise NotImplementedError

    def _one(self, name: str) -> str:
        lines = self.headers.all(name)
        if len(lines) != 1:
            raise ProtocolError(400, f"{'Several' if lines else 'Missing'} {name}")
        return lines[0]


@dataclass(frozen=True)
class Request(_Message):
    """A request; `uri` is the Request-URI as written."""

    method: str
    uri: str
    headers: Headers
    body: bytes = b""

    @lazy
    def parsed_uri(self) -> SipUri | TelUri | OtherUri:
        """The Request-URI, read; raises ProtocolError(400)."""
        return parse_uri(self.uri)

    @property
    def _first_line(self) -> str:
        return f"{self.method} {self.uri} SIP/2.0"


@dataclass(frozen=True)
class Response(_Message):
    """A response with its status code and reason phrase."""

    status: int
    reason: str
    headers: Headers
    body: bytes = b""

    @property
    def _first_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"


def _write(start: str, headers: Headers, body: bytes) -> bytes:
    lines = [start]
    length = str(len(body))
    has_length = False
    for name, value in headers:
        if name in ("l", "L") or name.lower() == "content-length":
            if has_length:
                continue
            has_length = True
            value = length
        lines.append(f"{name}: {value}")
    if not has_length:
        lines.append(f"Content-Length: {length}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header value holds a line break")
    return b"%b\r\n\r\n%b" % (head.encode("utf-8", "surrogateescape"), body)


def parse(data: bytes, *, limit: int = MAX_MESSAGE) -> Request | Response:
    """The message in one datagram (or one message that a StreamFramer cut out).

    Line breaks before it are skipped, the body ends where Content-Length says, without one at the
    end of the datagram (section 18.3). Raises ProtocolError with the status to answer; where
    enough of a request could be read to answer it, `error.request` holds it.
    """
    if data[:1] in b"\r\n":
        data = data.lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n", 0, limit)
    if end < 0:
        raise _headless(data, limit)
    start, headers, problem = _split(data[:end])
    body = data[end + 4 :]
    whole = True
    lengths = headers.all("Content-Length")
    if lengths:
        if len(lengths) > 1:
            problem = problem or ProtocolError(400, "Several Content-Length")
        elif _NUMBER.fullmatch(lengths[0]) is None:
            problem = problem or ProtocolError(400, "Malformed Content-Length")
        elif (length := int(lengths[0])) > len(body):
            problem = problem or ProtocolError(400, "Body shorter than Content-Length")
        elif length < len(body):
            body = body[:length]
            whole = False
    if len(data) > limit:
        problem = ProtocolError(513, "Message too large")
    message = _start_line(start, headers, body, problem)
    wire = data if whole else data[: end + 4 + len(body)]
    object.__setattr__(message, "_wire", wire)
    return message


def _headless(data: bytes, limit: int) -> ProtocolError:
    """The error for a message without the empty line that ends its headers."""
    if len(data) > limit:
        return ProtocolError(513, "Message too large")
    start, headers, _ = _split(data.rstrip(b"\r\n"))
    error = ProtocolError(400, "No empty line after the headers")
    try:
        _start_line(start, headers, b"", error)
    except ProtocolError as found:
        return found
    return error


def _split(head: bytes) -> tuple[str, Headers, ProtocolError | None]:
    """The start line, the headers, and what is wrong with their size."""
    text = unfold(head.decode("utf-8", "surrogateescape"))
    problem = None
    start, separator, lines = text.partition("\r\n")
    if not separator:
        return start, Headers(), None
    lines = f"\r\n{lines}"
    if " \r\n" in lines or "\t\r\n" in lines or lines[-1] in " \t":
        lines = _TRAILING_SPACE.sub("", lines).rstrip(" \t")
    pairs = _LINE.findall(lines)
    if len(pairs) > MAX_HEADERS:
        problem = ProtocolError(513, "Too many headers")
        del pairs[MAX_HEADERS:]
    if len(text) > MAX_LINE and max(map(len, text.split("\r\n"))) > MAX_LINE:
        problem = ProtocolError(513, "Header line too long")
        pairs = [pair for pair in pairs if len(pair[0]) + len(pair[1]) + 2 <= MAX_LINE]
    return start, Headers(pairs), problem


def _start_line(
    start: str, headers: Headers, body: bytes, problem: ProtocolError | None
) -> Request | Response:
    """The message that begins with `start`; raises `problem` with its request, if there is one."""
    if start[:4].upper() == "SIP/":
        found = _STATUS_LINE.fullmatch(start)
        if problem is not None:
            raise problem
        if found is None:
            raise ProtocolError(400, "Malformed status line")
        return Response(int(found[1]), found[2] or "", headers, body)
    parts = start.split(" ")
    if len(parts) == 3:
        method, uri, version = parts
    else:
        method, version = parts[0], parts[-1] if len(parts) > 1 else ""
        uri = " ".join(parts[1:-1]).strip(" ")
        problem = problem or ProtocolError(400, "Malformed request line")
    if version != "SIP/2.0" and version.upper() != "SIP/2.0":
        if _VERSION.fullmatch(version):
            problem = ProtocolError(505, f"Version {version} not supported")
        elif problem is None:
            problem = ProtocolError(400, "Malformed request line")
    if _METHOD.fullmatch(method) is None or "\r" in start or "\n" in start:
        raise ProtocolError(400, "Neither a request nor a response")
    request = Request(method, uri, headers, body)
    if problem is not None:
        problem.request = request
        raise problem
    return request


METHODS = frozenset({
    "ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS", "PRACK", "PUBLISH",
    "REFER", "REGISTER", "SUBSCRIBE", "UPDATE",
})  # fmt: skip

# Those that the answer depends on; a second Subject or User-Agent costs nobody a call.
_ONCE = ("call-id", "content-length", "content-type", "cseq", "from", "max-forwards", "to")


def check(request: Request) -> None:
    """Whether a request is well formed, as far as every server needs it to be.

    Raises ProtocolError with `request` set: 400 for missing, repeated or malformed mandatory
    headers, Max-Forwards, Contact or Record-Route, a CSeq of another method (501 where the method
    is none that is known, RFC 4475 section 3.1.2.18) and a malformed Request-URI; 416 for a
    Request-URI of a scheme that a voicemail can't be. Max-Forwards may be absent (RFC 2543) and
    may be 0, since a user agent doesn't forward. Left to others: methods (405), Require (420,
    `sipmail.sip.extensions`) and bodies (415, `sipmail.sip.body`).
    """
    try:
        _check(request)
    except ProtocolError as error:
        if error.request is None:
            error.request = request
        raise


def _check(request: Request) -> None:
    headers = request.headers
    lines = headers._lines()
    for name in _ONCE:
        if name in lines and len(lines[name]) > 1:
            raise ProtocolError(400, f"Several {name}")
    _ = request.vias, request.call_id
    if request.cseq.method != request.method:
        raise ProtocolError(400 if request.method in METHODS else 501, "CSeq of another method")
    _ = request.from_.parsed_uri, request.to.parsed_uri
    hops = headers.get("Max-Forwards")
    if hops is not None and (_NUMBER.fullmatch(hops) is None or int(hops) > 255):
        raise ProtocolError(400, "Malformed Max-Forwards")
    uri = request.parsed_uri
    if isinstance(uri, OtherUri):
        raise ProtocolError(416, f"Unsupported URI scheme {uri.scheme}")
    if isinstance(uri, SipUri) and uri.headers is not None:
        raise ProtocolError(400, "Headers in the Request-URI")
    first = request.contact if "contact" in lines and lines["contact"][0] != "*" else None
    if first is not None:
        _ = first.parsed_uri
        for value in headers.values("Contact")[1:]:
            if value != "*":
                _ = NameAddr.parse(value).parsed_uri
    for value in headers.values("Record-Route"):
        _ = NameAddr.parse(value).parsed_uri


def _has_tag(value: str) -> bool:
    return _TAG.search(value.rpartition(">")[2]) is not None


_COPIED = {"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq"}


def response_to(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    to_tag: str | None = None,
) -> Response:
    """The response to a request: Via, From, To, Call-ID and CSeq as they came (section 8.2.6.2).

    A To without a tag gets `to_tag`; a 100 gets the request's Timestamp (section 8.2.6.1). Never
    raises for anything that a peer sent: what is missing or malformed is missing or copied.
    """
    pairs: list[tuple[str, str]] = []
    for pair in request.headers:
        lower = pair[0].lower()
        if lower in _COPIED:
            if to_tag is not None and lower in ("to", "t") and not _has_tag(pair[1]):
                pair = (pair[0], f"{pair[1]};tag={to_tag}")
            pairs.append(pair)
        elif status == 100 and lower == "timestamp":
            pairs.append(pair)
    pairs.extend(headers)
    return Response(
        status, REASONS.get(status, "") if reason is None else reason, Headers(pairs), body
    )


_UNTOUCHED_BY_VIA = ("call_id", "cseq", "from_", "to", "contact", "parsed_uri")


def received_from(request: Request, host: str, port: int) -> Request:
    """The request with its topmost Via marked with where it came from (section 18.2.1, RFC 3581).

    Raises ProtocolError(400) when the topmost Via can't be read.
    """
    via = request.via
    if not via.wants_rport and via.host == host:
        return request
    marked = via.received_from(host, port)
    first, *others = request.headers.all("Via")
    rest = split_commas(first)[1:]
    headers = request.headers.with_("Via", ", ".join((str(marked), *rest)), *others)
    copy = Request(request.method, request.uri, headers, request.body)
    known = request.__dict__
    # What was read already need not be read again.
    copy.__dict__.update((name, known[name]) for name in _UNTOUCHED_BY_VIA if name in known)
    copy.__dict__["via"] = marked
    if "vias" in known:
        copy.__dict__["vias"] = (marked, *request.vias[1:])
    return copy
