"""The session description in a message's body, alone or in a multipart (RFC 5621, RFC 2046).

Rules: of multipart/alternative the last part that is understood counts (RFC 2046 section 5.1.4),
of other multiparts the first session description. A part that isn't understood is refused with
415 when it says `handling=required`, or when there is no session description beside it; phones
attach locations and ISUP without saying anything, and RFC 5621's strict reading (required by
default) would lose their calls. Bodies that are encoded (Content-Encoding,
Content-Transfer-Encoding other than the plain ones) are refused with 415.
"""

from __future__ import annotations

import re

from sipmail.errors import ProtocolError
from sipmail.sip.grammar import TOKEN, unfold
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, Response
from sipmail.sip.parameters import Parameters

SDP = "application/sdp"
MAX_DEPTH = 4
MAX_PARTS = 32

_TYPE = re.compile(rf"[ \t]*({TOKEN})[ \t]*/[ \t]*({TOKEN})[ \t]*")
_DISPOSITION = re.compile(rf"[ \t]*({TOKEN})[ \t]*")
_BOUNDARY = re.compile(r"[^\x00-\x1f\x7f]{0,69}[^\x00-\x20\x7f]")
_HEADER = re.compile(r"\r\n([!-9;-~]+)[ \t]*:[ \t]*([^\r\n]*)")
_PLAIN = ("7bit", "8bit", "binary")


def sdp_body(message: Request | Response) -> bytes | None:
    """The session description, None where there is no body or only optional other content.

    Raises ProtocolError, with `request` set, of status 415 for content types and encodings that
    are not understood and must be, 400 for malformed ones.
    """
    if not message.body:
        return None
    try:
        return _find(message.headers, message.body, MAX_DEPTH)
    except ProtocolError as error:
        if isinstance(message, Request):
            error.request = message
        raise


def media_type(text: str) -> tuple[str, Parameters]:
    """A Content-Type as lower case `type/subtype` and its parameters; ProtocolError(400)."""
    found = _TYPE.match(text)
    if found is None:
        raise ProtocolError(400, "Malformed Content-Type")
    return f"{found[1]}/{found[2]}".lower(), Parameters.parse(text, found.end())


def _find(headers: Headers, body: bytes, depth: int) -> bytes | None:
    """The session description in one body or part."""
    content_type = headers.get("Content-Type")
    if content_type is None:
        raise ProtocolError(415, "Body without Content-Type")
    name, params = media_type(content_type)
    optional = _handling(headers) == "optional"
    encodings = {
        value.lower()
        for value in headers.values("Content-Encoding")
        + headers.values("Content-Transfer-Encoding")
    }
    if encodings - {"identity", *_PLAIN}:
        if optional:
            return None
        raise ProtocolError(415, "Unsupported content encoding")
    if name == SDP:
        return body
    if name.startswith("multipart/"):
        if depth == 0:
            raise ProtocolError(415, "Multipart bodies nested too deep")
        return _find_in_parts(name, _parts(body, params), depth - 1)
    if optional:
        return None
    raise ProtocolError(415, f"Unsupported content type {name}")


def _find_in_parts(name: str, parts: list[tuple[Headers, bytes]], depth: int) -> bytes | None:
    alternative = name == "multipart/alternative"
    refused: ProtocolError | None = None
    description: bytes | None = None
    for headers, body in parts:
        try:
            found = _find(headers, body, depth)
        except ProtocolError as error:
            if error.status != 415 or (_handling(headers) == "required" and not alternative):
                raise
            refused = error
            continue
        if found is not None and (description is None or alternative):
            description = found
    if description is None and refused is not None:
        raise refused
    return description


def _handling(headers: Headers) -> str | None:
    """What Content-Disposition says about a body that isn't understood; None if it is silent."""
    text = headers.get("Content-Disposition")
    if text is None:
        return None
    found = _DISPOSITION.match(text)
    if found is None:
        raise ProtocolError(400, "Malformed Content-Disposition")
    handling = Parameters.parse(text, found.end()).get("handling")
    return handling.lower() if handling else None


def _parts(body: bytes, params: Parameters) -> list[tuple[Headers, bytes]]:
    """The parts of a multipart body (RFC 2046 section 5.1.1)."""
    boundary = params.get("boundary") or ""
    if _BOUNDARY.fullmatch(boundary) is None:
        raise ProtocolError(400, "Multipart without a boundary")
    delimiter = b"\r\n--" + boundary.encode("utf-8", "surrogateescape")
    chunks = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    if len(chunks) > MAX_PARTS + 1:
        raise ProtocolError(400, "Too many parts")
    parts: list[tuple[Headers, bytes]] = []
    for chunk in chunks[1:]:
        if chunk.startswith(b"--"):
            return parts
        padding, line_break, rest = chunk.partition(b"\r\n")
        if not line_break or padding.strip(b" \t"):
            raise ProtocolError(400, "Malformed multipart delimiter")
        head, empty_line, content = (b"\r\n" + rest).partition(b"\r\n\r\n")
        if not empty_line:
            raise ProtocolError(400, "Part without an empty line after its headers")
        text = unfold(head.decode("utf-8", "surrogateescape"))
        parts.append((Headers(_HEADER.findall(text)), content))
    raise ProtocolError(400, "Multipart without its end")
