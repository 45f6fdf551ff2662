"""Responses to requests, and the source in the topmost Via: RFC 3261 8.2.6 and 18.2.1, RFC 3581."""

from __future__ import annotations

import pytest

from sipmail.errors import ProtocolError
from sipmail.sip.message import (
    REASONS,
    Request,
    parse,
    received_from,
    response_to,
)
from tests.sip.messages import IPV6, NORMAL, OPTIONS, TORTURE, changed, request, response


def test_a_response_copies_what_rfc_3261_section_8_2_6_2_names() -> None:
    message = request(NORMAL["invite-proxied"])
    answer = response_to(message, 180, to_tag="ours")
    assert [name for name, _ in answer.headers] == ["Via", "v", "f", "t", "i", "CSeq"]
    assert answer.vias == message.vias
    assert answer.from_ == message.from_
    assert answer.to == message.to.with_tag("ours")
    assert (answer.status, answer.reason) == (180, "Ringing")
    assert answer.cseq == message.cseq


def test_a_tag_is_added_only_where_there_is_none() -> None:
    tagged = request(changed("To: <sip:100@192.0.2.5>", "To: <sip:100@192.0.2.5> ; TAG = x"))
    assert response_to(tagged, 200, to_tag="ours").to.tag == "x"
    inside = request(changed("To: <sip:100@192.0.2.5>", 'To: ";tag=x" <sip:100@h;tag=y>'))
    assert response_to(inside, 200, to_tag="ours").to.tag == "ours"
    bare = request(changed("To: <sip:100@192.0.2.5>", "To: sip:100@192.0.2.5"))
    assert response_to(bare, 200, to_tag="ours").to.tag == "ours"
    assert response_to(bare, 200).to.tag is None


def test_a_100_has_the_requests_timestamp() -> None:
    message = request(changed("Max-Forwards: 70", "Timestamp: 54.5"))
    assert response_to(message, 100).headers.get("Timestamp") == "54.5"
    assert "Timestamp" not in response_to(message, 200).headers


def test_a_response_has_its_own_reason_headers_and_body() -> None:
    answer = response_to(
        request(OPTIONS), 200, "Fine", headers=[("Content-Type", "text/plain")], body=b"hello"
    )
    assert bytes(answer).startswith(b"SIP/2.0 200 Fine\r\nVia: ")
    assert bytes(answer).endswith(b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
    assert response_to(request(OPTIONS), 299).reason == ""


def test_reason_phrases() -> None:
    assert REASONS[481] == "Call/Transaction Does Not Exist"
    assert all(100 <= status < 700 for status in REASONS)


@pytest.mark.parametrize("name", sorted({**TORTURE, **IPV6}))
def test_whatever_can_be_answered_is_answered_in_valid_sip(name: str) -> None:
    data = {**TORTURE, **IPV6}[name]
    try:
        message = parse(data)
    except ProtocolError as error:
        if not isinstance(error.request, Request):
            return
        message = error.request
    if isinstance(message, Request):
        assert response(bytes(response_to(message, 400, to_tag="t"))).status == 400


# Where a request came from


def test_the_source_is_noted_in_the_topmost_via() -> None:
    marked = received_from(request(OPTIONS), "203.0.113.9", 41000)
    assert str(marked.via) == (
        "SIP/2.0/UDP 192.0.2.1:5070;rport=41000;branch=z9hG4bK1;received=203.0.113.9"
    )
    assert (marked.via.received, marked.via.rport) == ("203.0.113.9", 41000)


def test_rport_always_brings_received() -> None:
    # RFC 3581 section 4: even where the source is the same as sent-by.
    marked = received_from(request(OPTIONS), "192.0.2.1", 5070)
    assert marked.via.received == "192.0.2.1"


def test_without_rport_received_is_only_for_another_host() -> None:
    plain = request(changed(";rport", ""))
    assert received_from(plain, "192.0.2.1", 9999) is plain
    marked = received_from(plain, "192.0.2.2", 9999)
    assert marked.via.received == "192.0.2.2"
    assert marked.via.rport is None
    named = request(changed("192.0.2.1:5070;rport", "pbx.example.com"))
    assert received_from(named, "192.0.2.1", 5060).via.received == "192.0.2.1"


def test_a_received_that_the_peer_wrote_is_replaced() -> None:
    forged = request(changed(";rport", ";received=198.51.100.1;rport=1"))
    marked = received_from(forged, "192.0.2.2", 5061)
    assert (marked.via.received, marked.via.rport) == ("192.0.2.2", 5061)


def test_other_vias_stay_as_they_are() -> None:
    message = request(NORMAL["invite-proxied"])
    marked = received_from(message, "203.0.113.200", 5060)
    assert marked.vias[1:] == message.vias[1:]
    assert marked.via.received == "203.0.113.200"
    assert len(marked.headers.all("Via")) == 2
