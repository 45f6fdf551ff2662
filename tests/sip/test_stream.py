"""Messages on TCP and TLS: framing, keep-alives, limits."""

from __future__ import annotations

import pytest

from sipmail.sip.message import Request, parse
from sipmail.sip.stream import StreamFramer
from tests.sip.messages import NORMAL

MESSAGES = list(NORMAL.values())
HEAD = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP b;branch=z9hG4bK1\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 100000])
def test_messages_come_out_whole_however_they_come_in(size: int) -> None:
    stream = b"".join(MESSAGES)
    framer = StreamFramer()
    out = [
        message
        for start in range(0, len(stream), size)
        for message in framer.feed(stream[start : start + size])
    ]
    assert out == MESSAGES
    assert framer.error is None
    assert framer.pings == 0


@pytest.mark.parametrize("size", [1, 3, 100000])
def test_keep_alives_are_skipped_and_counted(size: int) -> None:
    stream = b"\r\n\r\n" + MESSAGES[0] + b"\r\n\r\n\r\n\r\n" + MESSAGES[1] + b"\r\n\r\n"
    framer = StreamFramer()
    out = [
        message
        for start in range(0, len(stream), size)
        for message in framer.feed(stream[start : start + size])
    ]
    assert out == MESSAGES[:2]
    assert framer.pings == 4


def test_a_single_line_break_is_no_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n" + MESSAGES[0] + b"\r\n" + MESSAGES[1]) == MESSAGES[:2]
    assert framer.pings == 0


def test_the_tail_of_a_message_waits_for_more() -> None:
    framer = StreamFramer()
    assert framer.feed(MESSAGES[0] + MESSAGES[1][:50]) == [MESSAGES[0]]
    assert framer.feed(MESSAGES[1][50:]) == [MESSAGES[1]]


@pytest.mark.parametrize(
    "length", [b"l: 4", b"L :  4 ", b"CONTENT-LENGTH:\r\n 4", b"Content-Length:4"]
)
def test_content_length_in_any_form(length: bytes) -> None:
    message = HEAD + length + b"\r\n\r\nbody"
    framer = StreamFramer()
    assert framer.feed(message + MESSAGES[0]) == [message, MESSAGES[0]]
    assert parse(message).body == b"body"


def test_without_length_and_type_there_is_no_body() -> None:
    message = HEAD + b"\r\n"
    assert StreamFramer().feed(message + MESSAGES[0]) == [message, MESSAGES[0]]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Type: application/sdp\r\n", 400),
        (b"l: -1\r\n", 400),
        (b"l: x\r\n", 400),
        (b"l: 1\r\nContent-Length: 2\r\n", 400),
        (b"l: 65536\r\n", 513),
        (b"l: 999999999\r\n", 513),
        (b"l: 9999999999\r\n", 400),
    ],
)
def test_what_cannot_be_framed_ends_the_stream(lines: bytes, status: int) -> None:
    framer = StreamFramer()
    assert framer.feed(MESSAGES[0] + HEAD + lines + b"\r\n" + MESSAGES[1]) == [MESSAGES[0]]
    assert framer.error is not None
    assert framer.error.status == status
    assert isinstance(framer.error.request, Request)
    assert framer.error.request.via.branch == "z9hG4bK1"
    assert framer.feed(MESSAGES[1]) == []


def test_headers_without_end_are_bounded() -> None:
    framer = StreamFramer(limit=1000)
    for _ in range(10):
        assert framer.feed(b"x" * 100) == []
        assert framer.error is None
    assert framer.feed(b"x") == []
    assert framer.error is not None
    assert framer.error.status == 513
    assert framer.error.request is None
