"""From a URI to the hops: RFC 3263 and 2782, with name servers that change and fail."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar, cast

import dns.asyncresolver
import dns.message
import dns.rcode
import dns.zone
import pytest

from sipmail.net.resolver import (
    LookupFailed,
    Pointer,
    Resolver,
    Service,
    follow,
    order_services,
    query_pointers,
    query_services,
    transport_of,
)
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
        self.pointers: dict[str, list[Pointer]] = {}
        self.silent = False
        self.asked: list[str] = []

    async def find_services(self, name: str) -> list[Service]:
        return self._answer(name, self.services.get(name, []))

    async def find_addresses(self, host: str) -> list[str]:
        return self._answer(host, self.addresses.get(host, []))

    async def find_pointers(self, name: str) -> list[Pointer]:
        return self._answer(name, self.pointers.get(name, []))

    def _answer(self, name: str, found: list[_Record]) -> list[_Record]:
        self.asked.append(name)
        if self.silent:
            raise LookupFailed("timed out")
        return list(found)

    def resolver(self, seed: float = 0.5) -> Resolver:
        return Resolver(self.find_services, self.find_addresses, seed, self.find_pointers)


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


# --- NAPTR --------------------------------------------------------------------------------------

# The example of RFC 3263 section 4.1, with the SRV records of 4.2.
EXAMPLE: list[Pointer] = [
    (90, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
    (50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
    (90, 40, "s", "SIP+D2T", "_sip._tcp.example.com"),
]


def example() -> Dns:
    dns = Dns()
    dns.pointers["example.com"] = list(EXAMPLE)
    dns.services = {
        "_sips._tcp.example.com": [(0, 1, "secure.example.com", 5061)],
        "_sip._tcp.example.com": [
            (0, 1, "server1.example.com", 5060),
            (1, 2, "server2.example.com", 5070),
        ],
        "_sip._udp.example.com": [(0, 1, "server3.example.com", 5060)],
    }
    dns.addresses = {
        "secure.example.com": ["192.0.2.9"],
        "server1.example.com": ["192.0.2.1"],
        "server2.example.com": ["192.0.2.2"],
        "server3.example.com": ["192.0.2.3"],
    }
    return dns


TCP_THEN_UDP = [
    Hop("tcp", "192.0.2.1", 5060),
    Hop("tcp", "192.0.2.2", 5070),
    Hop("udp", "192.0.2.3", 5060),
]
UDP_THEN_TCP = [TCP_THEN_UDP[2], *TCP_THEN_UDP[:2]]


def test_naptr_chooses_the_transport_by_order_and_preference() -> None:
    assert follow(EXAMPLE) == [
        ("tls", "_sips._tcp.example.com"),
        ("tcp", "_sip._tcp.example.com"),
        ("udp", "_sip._udp.example.com"),
    ]
    dns = example()
    assert hops(dns.resolver(), "sip:example.com")[0] == Hop("tls", "192.0.2.9", 5061)
    assert dns.asked[:3] == ["example.com", "_sips._tcp.example.com", "secure.example.com"]


def test_a_transport_that_we_lack_is_not_chosen() -> None:
    found = asyncio.run(example().resolver().resolve(sip("sip:example.com"), ("tcp",)))
    assert found == TCP_THEN_UDP[:2]


def test_the_next_transport_follows_where_the_first_fails() -> None:
    found = asyncio.run(example().resolver().resolve(sip("sip:example.com"), ("udp", "tcp")))
    assert found == TCP_THEN_UDP


def test_nothing_in_the_clear_follows_tls() -> None:
    assert hops(example().resolver(), "sip:example.com") == [Hop("tls", "192.0.2.9", 5061)]
    dns = example()
    dns.pointers["example.com"][1] = (90, 45, "s", "SIPS+D2T", "_sips._tcp.example.com")
    transports = [hop.transport for hop in hops(dns.resolver(), "sip:example.com")]
    assert transports == ["tcp", "tcp", "tls"]


def test_a_service_that_leads_nowhere_gives_way_to_the_next() -> None:
    dns = example()
    del dns.services["_sips._tcp.example.com"], dns.addresses["server1.example.com"]
    assert hops(dns.resolver(), "sip:example.com") == TCP_THEN_UDP[1:]


def test_what_naptr_points_at_may_be_elsewhere() -> None:
    dns = example()
    dns.pointers["carrier.test"] = [(1, 1, "S", "sip+d2u", "_sip._udp.example.com")]
    assert hops(dns.resolver(), "sip:carrier.test") == [Hop("udp", "192.0.2.3", 5060)]


@pytest.mark.parametrize(
    "pointer",
    [
        (1, 1, "s", "SIP+D2S", "_sip._sctp.example.com"),
        (1, 1, "s", "E2U+sip", "_sip._tcp.example.com"),
        (1, 1, "a", "SIP+D2T", "server1.example.com"),
        (1, 1, "s", "SIP+D2T", "."),
    ],
    ids=["SCTP", "ENUM", "no SRV", "nothing"],
)
def test_naptr_of_other_kinds_is_as_none(pointer: Pointer) -> None:
    dns = example()
    dns.pointers["example.com"] = [pointer]
    assert hops(dns.resolver(), "sip:example.com") == UDP_THEN_TCP


def test_without_naptr_the_srv_records_say_which_transport() -> None:
    dns = example()
    dns.pointers.clear()
    assert hops(dns.resolver(), "sip:example.com") == UDP_THEN_TCP
    dns.asked.clear()
    del dns.services["_sip._udp.example.com"]
    assert [hop.transport for hop in hops(dns.resolver(), "sip:example.com")] == ["tcp", "tcp"]
    assert dns.asked[:3] == ["example.com", "_sip._udp.example.com", "_sip._tcp.example.com"]


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:example.com;transport=udp", Hop("udp", "192.0.2.3", 5060)),
        ("sip:example.com;transport=tls", Hop("tls", "192.0.2.9", 5061)),
        ("sips:example.com", Hop("tls", "192.0.2.9", 5061)),
        ("sip:server1.example.com:5080", Hop("udp", "192.0.2.1", 5080)),
    ],
)
def test_naptr_is_not_asked_where_the_transport_is_known(uri: str, hop: Hop) -> None:
    dns = example()
    assert hops(dns.resolver(), uri) == [hop]
    assert "example.com" not in dns.asked


def test_while_dns_is_silent_the_last_naptr_holds() -> None:
    dns = example()
    resolver = dns.resolver()
    before = hops(resolver, "sip:example.com")
    dns.silent = True
    assert hops(resolver, "sip:example.com") == before


# --- the records on the wire ----------------------------------------------------------------------

ZONE = """
example.com. 60 IN NAPTR 90 50 "s" "SIP+D2U" "" _sip._udp.example.com.
example.com. 60 IN NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.
example.com. 60 IN NAPTR 10 50 "u" "E2U+sip" "!^.*$!sip:info@example.com!" .
_sip._udp.example.com. 60 IN SRV 10 60 5070 main.example.com.
"""


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP from ZONE; NXDOMAIN for what is not in it, `broken.example.com` aside."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._zone = dns.zone.from_text(ZONE, "example.com.", check_origin=False, relativize=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        (question,) = query.question
        found = self._zone.get_rrset(question.name, question.rdtype)
        if question.name.to_text() == "broken.example.com.":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif found is not None:
            answer.answer.append(found)
        elif self._zone.get_node(question.name) is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), address)


def test_records_are_read_from_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(NameServer, ("127.0.0.1", 0))
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = transport.get_extra_info("sockname")[1]
        monkeypatch.setattr(dns.asyncresolver, "Resolver", lambda: resolver)
        assert sorted(await query_pointers("example.com")) == [
            (50, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
            (90, 50, "s", "SIP+D2U", "_sip._udp.example.com"),
        ]
        assert await query_services("_sip._udp.example.com") == [(10, 60, "main.example.com", 5070)]
        assert await query_services("example.com") == []
        assert await query_pointers("nobody.example.com") == []
        with pytest.raises(LookupFailed):
            await query_pointers("broken.example.com")
        transport.close()

    asyncio.run(main())
