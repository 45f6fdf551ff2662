"""From a URI to the hops: RFC 3263 and 2782, with name servers that change and fail."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

import pytest

from sipmail.net.resolver import LookupFailed, Resolver, Service, order_services, transport_of
from sipmail.sip.actions import Hop
from sipmail.sip.uri import SipUri, parse_uri

_Record = TypeVar("_Record")


def sip(text: str) -> SipUri:
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


class Dns:
    """A name server that says what it is told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.services: dict[str, list[Service]] = {}
        self.addresses: dict[str, list[str]] = {}
        self.silent = False
        self.asked: list[str] = []

    async def find_services(self, name: str) -> list[Service]:
        return self._answer(name, self.services.get(name, []))

    async def find_addresses(self, host: str) -> list[str]:
        return self._answer(host, self.addresses.get(host, []))

    def _answer(self, name: str, found: list[_Record]) -> list[_Record]:
        self.asked.append(name)
        if self.silent:
            raise LookupFailed("timed out")
        return list(found)

    def resolver(self, seed: float = 0.5) -> Resolver:
        return Resolver(self.find_services, self.find_addresses, seed)


def hops(resolver: Resolver, uri: str) -> list[Hop]:
    return asyncio.run(resolver.resolve(sip(uri)))


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
    dns = Dns()
    assert hops(dns.resolver(), uri) == [hop]
    assert dns.asked == []


def test_the_system_resolves_localhost() -> None:
    assert Hop("udp", "127.0.0.1", 5070) in hops(Resolver(), "sip:localhost:5070")


def test_a_name_with_a_port_is_not_looked_up_as_a_service() -> None:
    dns = Dns()
    dns.addresses["pbx.example.com"] = ["192.0.2.7"]
    found = hops(dns.resolver(), "sip:pbx.example.com:5070;transport=tcp")
    assert found == [Hop("tcp", "192.0.2.7", 5070)]
    assert dns.asked == ["pbx.example.com"]


def test_services_come_by_priority_and_replace_the_host() -> None:
    dns = Dns()
    dns.services["_sips._tcp.example.com"] = [
        (20, 0, "backup.example.net", 5062),
        (10, 0, "main.example.net", 5061),
    ]
    dns.addresses = {
        "main.example.net": ["192.0.2.1"],
        "backup.example.net": ["192.0.2.2"],
        "example.com": ["192.0.2.80"],
    }
    assert hops(dns.resolver(), "sip:example.com;transport=tls") == [
        Hop("tls", "192.0.2.1", 5061),
        Hop("tls", "192.0.2.2", 5062),
    ]


def test_a_host_without_services_is_looked_up_itself() -> None:
    dns = Dns()
    dns.addresses["example.com"] = ["192.0.2.80"]
    assert hops(dns.resolver(), "sip:example.com") == [Hop("udp", "192.0.2.80", 5060)]


def test_the_family_that_the_system_prefers_stays_first() -> None:
    dns = Dns()
    dns.addresses["example.com"] = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]
    families = [":" in hop.host for hop in hops(dns.resolver(), "sip:example.com")]
    assert families == [True, True, False, False]


@pytest.mark.parametrize("seed", [0.1, 0.5, 0.9])
def test_the_order_among_equals_stays_however_dns_rotates_them(seed: float) -> None:
    dns = Dns()
    resolver = dns.resolver(seed)
    name = "_sip._udp.example.com"
    dns.services[name] = [(10, 50, f"{letter}.example.net", 5060) for letter in "abcd"]
    dns.addresses = {
        f"{letter}.example.net": [f"192.0.2.{n}", f"192.0.2.{n + 100}"]
        for n, letter in enumerate("abcd")
    }
    first = hops(resolver, "sip:example.com")
    assert len(set(first)) == 8
    for _ in range(5):
        dns.services[name].append(dns.services[name].pop(0))
        for addresses in dns.addresses.values():
            addresses.reverse()
        assert hops(resolver, "sip:example.com") == first


def test_processes_draw_different_orders() -> None:
    dns = Dns()
    dns.addresses["example.com"] = [f"192.0.2.{n}" for n in range(10)]
    orders = {tuple(hops(dns.resolver(seed), "sip:example.com")) for seed in range(10)}
    assert len(orders) > 5


def test_while_dns_is_silent_the_last_answer_holds(caplog: pytest.LogCaptureFixture) -> None:
    dns = Dns()
    resolver = dns.resolver()
    dns.services["_sip._udp.example.com"] = [(0, 0, "main.example.net", 5062)]
    dns.addresses["main.example.net"] = ["192.0.2.1"]
    before = hops(resolver, "sip:example.com")
    dns.silent = True
    with caplog.at_level(logging.WARNING, "sipmail"):
        assert hops(resolver, "sip:example.com") == before == [Hop("udp", "192.0.2.1", 5062)]
    assert "the last one is used" in caplog.text
    dns.silent = False
    dns.addresses["main.example.net"] = ["192.0.2.2"]
    assert hops(resolver, "sip:example.com") == [Hop("udp", "192.0.2.2", 5062)]


def test_dns_that_is_silent_from_the_start_gives_nothing_and_later_something() -> None:
    dns = Dns()
    resolver = dns.resolver()
    dns.addresses["example.com"] = ["192.0.2.1"]
    dns.silent = True
    assert hops(resolver, "sip:example.com") == []
    dns.silent = False
    assert hops(resolver, "sip:example.com") == [Hop("udp", "192.0.2.1", 5060)]


def test_a_name_that_is_gone_is_gone() -> None:
    dns = Dns()
    resolver = dns.resolver()
    dns.addresses["example.com"] = ["192.0.2.1"]
    assert hops(resolver, "sip:example.com")
    del dns.addresses["example.com"]
    assert hops(resolver, "sip:example.com") == []


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
