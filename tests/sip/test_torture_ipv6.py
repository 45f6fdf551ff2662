"""The messages of RFC 5118, read closely: IPv6 in URIs, Via and SDP."""

from __future__ import annotations

import pytest

from sipmail.sip.sdp import SessionDescription
from sipmail.sip.uri import SipUri
from tests.sip.messages import IPV6, request


def test_ipv6_references() -> None:
    message = request(IPV6["ipv6-good"])
    assert isinstance(message.parsed_uri, SipUri)
    assert (message.parsed_uri.host, message.parsed_uri.port) == ("2001:db8::10", None)
    assert message.via.host == "2001:db8::9:1"
    assert message.contact is not None
    assert message.contact.parsed_uri == SipUri("sip", "caller", "2001:db8::1")


def test_ipv6_ports() -> None:
    ambiguous = request(IPV6["port-ambiguous"]).parsed_uri
    assert isinstance(ambiguous, SipUri)
    assert (ambiguous.host, ambiguous.port) == ("2001:db8::10:5070", None)
    clear = request(IPV6["port-unambiguous"]).parsed_uri
    assert isinstance(clear, SipUri)
    assert (clear.host, clear.port) == ("2001:db8::10", 5070)


@pytest.mark.parametrize("name", ["with", "no"])
def test_ipv6_received(name: str) -> None:
    via = request(IPV6[f"via-received-param-{name}-delim"]).via
    assert via.received == "2001:db8::9:255"


def test_ipv6_in_sdp() -> None:
    message = request(IPV6["ipv6-in-sdp"])
    description = SessionDescription.parse(message.body)
    assert description.connection is not None
    assert description.connection.address == "2001:db8::20"
    assert bytes(description) == message.body
    message = request(IPV6["mult-ip-in-sdp"])
    description = SessionDescription.parse(message.body)
    assert [str(media.connection) for media in description.media] == [
        "IN IP4 192.0.2.1",
        "IN IP6 2001:db8::1",
    ]
    assert bytes(description) == message.body


def test_ipv4_and_ipv6_mixed() -> None:
    assert [(via.host, via.port) for via in request(IPV6["mult-ip-in-header"]).vias] == [
        ("2001:db8::9:1", 6050),
        ("192.0.2.1", None),
        ("2001:db8::9:255", None),
    ]
    message = request(IPV6["ipv4-mapped-ipv6"])
    assert [(via.host, via.port) for via in message.vias] == [
        ("::ffff:192.0.2.10", 19823),
        ("::ffff:192.0.2.2", None),
    ]


def test_three_colons_are_read_as_two() -> None:
    bug = request(IPV6["ipv6-bug-abnf-3-colons"])
    right = request(IPV6["ipv6-correct-abnf-2-colons"])
    assert bug.parsed_uri == right.parsed_uri
    assert str(bug.parsed_uri) == right.uri
