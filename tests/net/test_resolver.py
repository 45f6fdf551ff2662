"""From a URI to the hops: RFC 3263 and 2782."""

from __future__ import annotations

import asyncio

import pytest

from sipmail.net import resolver
from sipmail.net.resolver import order_services, resolve, transport_of
from sipmail.sip.actions import Hop
from sipmail.sip.uri import SipUri, parse_uri


def sip(text: str) -> SipUri:
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


@pytest.mark.parametrize(
    ("uri", "transport"),
    [
        ("sip:pbx.example.com", "udp"),
        ("sip:pbx.example.com;transport=TCP", "tcp"),
        ("sip:pbx.example.com;transport=tls", "tls"),
        ("sips:pbx.example.com", "tls"),
        ("sip:pbx.example.com;transport=carrier-pigeon", "udp"),
    ],
)
def test_transport(uri: str, transport: str) -> None:
    assert transport_of(sip(uri)) == transport


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:192.0.2.7", Hop("udp", "192.0.2.7", 5060)),
        ("sip:192.0.2.7:5080;transport=tcp", Hop("tcp", "192.0.2.7", 5080)),
        ("sips:192.0.2.7", Hop("tls", "192.0.2.7", 5061)),
        ("sip:[2001:db8::7]", Hop("udp", "2001:db8::7", 5060)),
    ],
)
def test_a_numeric_host_is_not_looked_up(uri: str, hop: Hop) -> None:
    assert asyncio.run(resolve(sip(uri))) == [hop]


def test_a_name_with_a_port_is_not_looked_up_as_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> list[tuple[str, int]]:
        raise AssertionError("SRV was asked for")

    monkeypatch.setattr(resolver, "_services", refuse)
    assert Hop("udp", "127.0.0.1", 5070) in asyncio.run(resolve(sip("sip:localhost:5070")))


def test_services_come_before_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def services(transport: str, host: str) -> list[tuple[str, int]]:
        assert (transport, host) == ("udp", "example.com")
        return [("localhost", 5071), ("localhost", 5072)]

    monkeypatch.setattr(resolver, "_services", services)
    ports = [hop.port for hop in asyncio.run(resolve(sip("sip:example.com")))]
    assert list(dict.fromkeys(ports)) == [5071, 5072]


def test_priority_rules_and_weight_draws() -> None:
    records = [(20, 0, "backup", 5060), (10, 60, "big", 5060), (10, 20, "small", 5061)]
    assert order_services(records, lambda: 0.99) == [
        ("big", 5060),
        ("small", 5061),
        ("backup", 5060),
    ]
    assert order_services(records, lambda: 0.0)[0] == ("small", 5061)


def test_a_service_that_is_not_offered_gives_nothing() -> None:
    assert order_services([(0, 0, ".", 0)], lambda: 0.5) == []
