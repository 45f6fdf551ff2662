"""Requests and responses: reading, writing, checking."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.cseq import CSeq
from sipmail.sip.headers import Headers
from sipmail.sip.message import (
    MAX_HEADERS,
    MAX_LINE,
    Request,
    Response,
    check,
    parse,
    response_to,
)
from sipmail.sip.uri import TelUri
from tests.sip.messages import NORMAL, OPTIONS, changed, request


def refusal(data: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as error:
        check(request(data))
    return error.value


# Reading


def test_a_request_is_read() -> None:
    message = request(OPTIONS)
    assert (message.method, message.uri, message.body) == ("OPTIONS", "sip:100@192.0.2.5", b"")
    assert message.call_id == "1@192.0.2.1"
    assert message.cseq == CSeq(7, "OPTIONS")
    assert message.from_.tag == "1"
    assert message.to.tag is None
    assert message.via.port == 5070
    assert message.contact is None
    check(message)


@pytest.mark.parametrize("name", sorted(NORMAL))
def test_messages_are_written_as_they_were_read(name: str) -> None:
    assert bytes(parse(NORMAL[name])) == NORMAL[name]


@pytest.mark.parametrize("name", sorted(NORMAL))
def test_rewritten_messages_mean_the_same(name: str) -> None:
    message = parse(NORMAL[name])
    rewritten = parse(bytes(replace(message, headers=message.headers.add("X-New", "1"))))
    assert rewritten.headers.without("X-New") == message.headers
    assert rewritten.body == message.body
    assert rewritten.vias == message.vias
    assert bytes(rewritten).count(b"Content-Length") + bytes(rewritten).count(b"\r\nl:") == 1


def test_equal_messages_are_equal_however_they_were_written() -> None:
    spaced = OPTIONS.replace(b"CSeq: ", b"CSeq:   ")
    assert parse(spaced) == parse(OPTIONS)
    assert hash(parse(spaced)) == hash(parse(OPTIONS))
    assert bytes(parse(spaced)) == spaced


def test_line_breaks_before_a_message_are_skipped() -> None:
    assert bytes(request(b"\r\n\r\n" + OPTIONS)) == OPTIONS


def test_bytes_beyond_content_length_are_cut_off() -> None:
    message = request(OPTIONS + b"trailing")
    assert (message.body, bytes(message)) == (b"", OPTIONS)


def test_without_content_length_the_body_is_the_rest() -> None:
    data = OPTIONS.replace(b"Content-Length: 0\r\n", b"") + b"body\r\n"
    assert request(data).body == b"body\r\n"
    assert bytes(request(data)) == data


def test_every_byte_survives() -> None:
    name = bytes(range(32, 256)).replace(b'"', b"").replace(b"\\", b"")
    data = OPTIONS.replace(b"From: ", b'From: "' + name + b'" ')
    message = request(data)
    assert bytes(message) == data
    assert bytes(replace(message, method="OPTIONS")) == data
    assert message.from_.display.encode("utf-8", "surrogateescape") == name
    assert bytes(response_to(message, 200)).count(name) == 1


def test_latin_1_display_names_survive_and_can_be_read() -> None:
    data = OPTIONS.replace(b"From: ", b'From: "J\xfcrgen \\"J\\" M\xf6ller" ')
    message = request(data)
    assert message.from_.display_text == 'Jürgen "J" Möller'
    assert b'"J\xfcrgen \\"J\\" M\xf6ller"' in bytes(response_to(message, 200))
    written = str(message.from_).encode("utf-8", "surrogateescape")
    assert written == b'"J\xfcrgen \\"J\\" M\xf6ller" <sip:a@192.0.2.1>;tag=1'


def test_lines_that_are_no_headers_are_ignored() -> None:
    message = request(changed("Max-Forwards: 70", "Max-Forwards: 70\r\nno colon\r\nX Y: 1\r\n: 2"))
    assert len(message.headers) == 7
    check(message)


@pytest.mark.parametrize("size", range(len(OPTIONS)))
def test_truncated_requests_are_refused(size: int) -> None:
    with pytest.raises(ProtocolError) as error:
        parse(OPTIONS[:size])
    assert error.value.status in (400, 505)
    refused = error.value.request
    assert refused is None or isinstance(refused, Request)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("OPTIONS sip:100@192.0.2.5 SIP/2.1", 505),
        ("OPTIONS sip:100@192.0.2.5 SIP/10.0", 505),
        ("OPTIONS sip:100@192.0.2.5 HTTP/1.1", 400),
        ("OPTIONS sip:100@192.0.2.5", 400),
        ("OPTIONS", 400),
        ("OPTIONS  sip:100@192.0.2.5 SIP/2.0", 400),
        ("OPTIONS sip:100@192.0.2.5 SIP/2.0 ", 400),
        ("OPTIONS sip:1 00@192.0.2.5 SIP/2.0", 400),
        (" OPTIONS sip:100@192.0.2.5 SIP/2.0", 400),
    ],
)
def test_start_lines(line: str, status: int) -> None:
    with pytest.raises(ProtocolError) as error:
        parse(changed("OPTIONS sip:100@192.0.2.5 SIP/2.0", line))
    assert error.value.status == status


def test_the_version_may_be_written_small() -> None:
    check(request(changed("SIP/2.0\r\nVia", "sip/2.0\r\nVia")))


@pytest.mark.parametrize(
    "line", ["SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 2000 x", "SIP/3.0 200 OK", "SIP/2.0", "SIP/"]
)
def test_malformed_status_lines_get_no_answer(line: str) -> None:
    data = OPTIONS.replace(b"OPTIONS sip:100@192.0.2.5 SIP/2.0", line.encode(), 1)
    with pytest.raises(ProtocolError) as error:
        parse(data)
    assert error.value.request is None


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\x00" * 40, b"\xff\xff", b"GET / HTTP/1.1\r\n\r\n", b" \r\n\r\n"]
)
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(data)


# Limits


def test_a_message_above_the_limit_is_refused_with_513() -> None:
    data = OPTIONS.replace(b"Content-Length: 0", b"Content-Length: 2000") + b"x" * 2000
    assert len(request(data).body) == 2000
    with pytest.raises(ProtocolError) as error:
        parse(data, limit=1000)
    assert error.value.status == 513
    assert isinstance(error.value.request, Request)
    with pytest.raises(ProtocolError) as error:
        parse(data, limit=100)
    assert (error.value.status, error.value.request) == (513, None)


def test_too_many_headers_are_refused_with_513() -> None:
    extra = "X: 1\r\n" * (MAX_HEADERS - 7)
    check(request(changed("CSeq", f"{extra}CSeq")))
    with pytest.raises(ProtocolError) as error:
        parse(changed("Content-Length", f"{extra}X: 1\r\nContent-Length"))
    assert error.value.status == 513
    assert isinstance(error.value.request, Request)


def test_too_long_lines_are_refused_with_513() -> None:
    check(request(changed("Max", f"X: {'x' * (MAX_LINE - 3)}\r\nMax")))
    with pytest.raises(ProtocolError) as error:
        parse(changed("Max", f"X: {'x' * (MAX_LINE - 2)}\r\nMax"))
    assert error.value.status == 513
    assert isinstance(error.value.request, Request)
    assert "X" not in error.value.request.headers


@pytest.mark.parametrize("length", ["-1", "1", "x", "", "1 0", "99999999999", "0x0", "٠", "+0"])
def test_content_lengths_that_are_not_the_bodys(length: str) -> None:
    with pytest.raises(ProtocolError) as error:
        parse(changed("Content-Length: 0", f"Content-Length: {length}"))
    assert error.value.status == 400
    assert isinstance(error.value.request, Request)


# Checking


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("Call-ID: 1@192.0.2.1\r\n", "", 400),
        ("Call-ID: 1@192.0.2.1", "Call-ID: 1 2", 400),
        ("Call-ID: 1@192.0.2.1", "Call-ID:", 400),
        ("From: <sip:a@192.0.2.1>;tag=1\r\n", "", 400),
        ("From: <sip:a@192.0.2.1>", "From: <sip:a@192.0.2.1", 400),
        ("From: <sip:a@192.0.2.1>", "From: <sip:@192.0.2.1>", 400),
        ("To: <sip:100@192.0.2.5>\r\n", "", 400),
        ("To: <sip:100@192.0.2.5>", "To: <>", 400),
        ("CSeq: 7 OPTIONS\r\n", "", 400),
        ("CSeq: 7 OPTIONS", "CSeq: 7", 400),
        ("CSeq: 7 OPTIONS", "CSeq: 7 options", 400),
        ("CSeq: 7 OPTIONS", "CSeq: 2147483648 OPTIONS", 400),
        ("CSeq: 7 OPTIONS", "CSeq: 7 OPTIONS\r\nCSeq: 7 OPTIONS", 400),
        ("Via: SIP/2.0/UDP 192.0.2.1:5070;rport;branch=z9hG4bK1\r\n", "", 400),
        ("Via: SIP/2.0/UDP 192.0.2.1:5070", "Via: SIP/2.0/UDP 192.0.2.1:70000", 400),
        ("Via: SIP/2.0/UDP 192.0.2.1:5070", "Via: SIP/2.0/UDP", 400),
        ("Max-Forwards: 70", "Max-Forwards: 256", 400),
        ("Max-Forwards: 70", "Max-Forwards: -1", 400),
        ("Max-Forwards: 70", "Max-Forwards: 7\r\nMax-Forwards: 7", 400),
        ("Max-Forwards: 70", "Max-Forwards: 7\r\nContact: <sip:a@b", 400),
        ("Max-Forwards: 70", "Max-Forwards: 7\r\nRecord-Route: <sip:>", 400),
        ("OPTIONS sip:100@192.0.2.5", "OPTIONS sip:100@192.0.2.5:0", 400),
        ("OPTIONS sip:100@192.0.2.5", "OPTIONS sip:%zz@192.0.2.5", 400),
        ("OPTIONS sip:100@192.0.2.5", "OPTIONS 100", 400),
        ("OPTIONS sip:100@192.0.2.5", "OPTIONS http://192.0.2.5/", 416),
        ("OPTIONS sip:100@192.0.2.5", "OPTIONS mailto:a@example.com", 416),
    ],
)
def test_requests_that_are_refused(old: str, new: str, status: int) -> None:
    error = refusal(changed(old, new))
    assert error.status == status
    assert isinstance(error.request, Request)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Max-Forwards: 70\r\n", ""),
        ("Max-Forwards: 70", "Max-Forwards: 0"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nContact: *"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nDate: yesterday"),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nDiversion: <<<"),
        ("OPTIONS sip:100@192.0.2.5", "OPTIONS sips:100@192.0.2.5"),
        ("OPTIONS sip:100@192.0.2.5", "OPTIONS sip:192.0.2.5"),
        ("CSeq: 7 OPTIONS", "CSeq: 2147483647 OPTIONS"),
        ("CSeq: 7 OPTIONS", "CSeq: 0 OPTIONS"),
    ],
)
def test_requests_that_are_accepted(old: str, new: str) -> None:
    check(request(changed(old, new)))


def test_a_tel_uri_may_be_called() -> None:
    message = request(changed("sip:100@192.0.2.5 SIP", "tel:+48-22-1234567 SIP"))
    check(message)
    assert message.parsed_uri == TelUri("+48-22-1234567")


def test_a_missing_header_is_an_error_each_time_it_is_read() -> None:
    message = Request("OPTIONS", "sip:a", Headers())
    for _ in range(2):
        with pytest.raises(ProtocolError, match="Missing Via"):
            _ = message.via
        with pytest.raises(ProtocolError, match="Missing Via"):
            _ = message.vias
        with pytest.raises(ProtocolError, match="Missing Call-ID"):
            _ = message.call_id


# Writing and answering


def test_a_request_is_written() -> None:
    message = Request(
        "OPTIONS", "sip:b", Headers([("Via", "SIP/2.0/UDP a"), ("Content-Length", "99")]), b"body"
    )
    assert bytes(message) == (
        b"OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nContent-Length: 4\r\n\r\nbody"
    )


def test_several_content_lengths_are_written_once() -> None:
    headers = Headers([("l", "1"), ("Content-Length", "2")])
    assert bytes(Response(200, "OK", headers)) == b"SIP/2.0 200 OK\r\nl: 0\r\n\r\n"


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nb", "a\rb", "a\r\n"])
def test_line_breaks_cannot_be_smuggled_into_headers(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        bytes(Request("OPTIONS", "sip:b", Headers([("Subject", value)])))
    with pytest.raises(ValueError, match="line break"):
        bytes(Response(200, value, Headers()))
