"""Messages made to be slow: every parser takes time linear in what it reads.

With one quadratic pattern a case here takes minutes instead of milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.body import sdp_body
from sipmail.sip.cseq import CSeq
from sipmail.sip.digest import challenges, parse_parameters
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, parse
from sipmail.sip.nameaddr import NameAddr
from sipmail.sip.parameters import Parameters
from sipmail.sip.sdp import SessionDescription
from sipmail.sip.stream import StreamFramer
from sipmail.sip.uri import parse_uri
from sipmail.sip.via import Via

SIZE = 60000
LIMIT = 5.0  # seconds of CPU for all cases of a parser, which take a tenth of one

PIECES = [
    '"', "\\", '"\\', '\\"', "<", ">", '"<', " ", "\t", " ;", ";a", ";a=", ";a=b ", ";;", ",", ", ",
    ",A b", ",A b=", 'a=",', '"a" ', "a", "a ", ":", "@", "%", "%41", "[", "[:", "?", "&a", "0",
    "1.", "\r\n", "\r\n ", " \r\n", "a \r\n", "\r\n:", "\r\na", "\r\na:", "\r\nl:", "\r\n\r\n",
    "\r\n--b", "--b", "\x00", "\x80", "ż", "/", "SIP/2.0 ",
]  # fmt: skip


def message(text: str) -> object:
    return parse(text.encode()[:65535])


PARSERS: dict[str, Callable[[str], object]] = {
    "address": NameAddr.parse,
    "via": Via.parse,
    "via host": lambda text: Via.parse(f"SIP/2.0/UDP {text}"),
    "uri": parse_uri,
    "sip uri": lambda text: parse_uri(f"sip:{text}"),
    "tel uri": lambda text: parse_uri(f"tel:{text}"),
    "parameters": Parameters.parse,
    "cseq": CSeq.parse,
    "list": lambda text: Headers([("Contact", text)]).values("Contact"),
    "challenges": lambda text: challenges([text, f"Digest {text}"]),
    "credentials": lambda text: parse_parameters(f"Digest {text}"),
    "message": message,
    "header": lambda text: message(f"INVITE sip:a SIP/2.0\r\nX: {text}\r\n\r\n"),
    "headers": lambda text: message(f"INVITE sip:a SIP/2.0\r\n{text}\r\n\r\n"),
    "status line": lambda text: message(f"SIP/2.0 200 {text}\r\n\r\n"),
    "stream": lambda text: StreamFramer().feed(text.encode()),
    "length": lambda text: StreamFramer().feed(f"INVITE a SIP/2.0\r\nl:{text}\r\n\r\n".encode()),
    "sdp": lambda text: SessionDescription.parse(f"v=0\r\n{text[:16000]}".encode()),
    "media": lambda text: SessionDescription.parse(f"v=0\r\nm=audio {text[:16000]}".encode()),
    "rtpmap": lambda text: (
        SessionDescription.parse(
            f"v=0\r\nm=audio 1 RTP/AVP 0\r\na=rtpmap:0 {text[:16000]}".encode()
        )
        .media[0]
        .rtpmap
    ),
    "type": lambda text: sdp_body(Request("INVITE", "a", Headers([("c", text)]), b"x")),
    "multipart": lambda text: sdp_body(
        Request(
            "INVITE",
            "a",
            Headers([("c", "multipart/mixed;boundary=b")]),
            f"--b\r\n{text}\r\n--b--".encode(),
        )
    ),
}


@pytest.mark.parametrize("name", PARSERS)
def test_hostile_text_takes_linear_time(name: str) -> None:
    parser = PARSERS[name]
    start = time.process_time()
    for piece in PIECES:
        for text in (piece * (SIZE // len(piece)), f"a{piece * (SIZE // len(piece))}!"):
            try:
                parser(text)
            except ProtocolError:
                continue
    assert time.process_time() - start < LIMIT
