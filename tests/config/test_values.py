"""Durations, sizes, ports, addresses: what is read, and what is refused with a hint."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest

from sipmail.config.values import (
    Address,
    HostPort,
    PortRange,
    format_duration,
    format_size,
    parse_address,
    parse_duration,
    parse_email,
    parse_host,
    parse_host_port,
    parse_listen,
    parse_network,
    parse_port_range,
    parse_size,
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30), ("5m", 300), ("2h", 7200), ("30d", 2_592_000), (45, 45), (1.5, 1.5),
        ("90", 90), ("500ms", 0.5), ("1h30m", 5400), ("1h 30m", 5400), ("0s", 0), (0, 0),
        ("1.5h", 5400),
    ],
)  # fmt: skip
def test_durations(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "30 days",
        "m5",
        "-5s",
        -1,
        True,
        None,
        float("nan"),
        float("inf"),
        "5m;",
        "9" * 400 + "s",
        [],
    ],
)
def test_no_durations(written: object) -> None:
    with pytest.raises(ValueError, match="no duration: write"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0s"), (90, "90s"), (300, "5m"), (7200, "2h"), (604800, "7d")]
)
def test_durations_are_written_as_they_are_read(seconds: float, written: str) -> None:
    assert format_duration(seconds) == written
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [("500M", 524_288_000), ("2G", 2_147_483_648), ("1k", 1024), (10, 10), ("1GiB", 1 << 30)],
)
def test_sizes(written: object, size: int) -> None:
    assert parse_size(written) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("written", ["", "lots", -1, True, None, "5X", 1.5])
def test_no_sizes(written: object) -> None:
    with pytest.raises(ValueError, match="no size: write it like 500M"):
        parse_size(written)


def test_a_port_range_knows_its_pairs() -> None:
    ports = parse_port_range("20000-20999")
    assert (ports.first, ports.last, len(ports), str(ports)) == (20000, 20999, 1000, "20000-20999")
    assert 20000 in ports
    assert 21000 not in ports
    # An odd first port and an even last one have no partner.
    assert list(PortRange(20001, 20006).pairs) == [20002, 20004]
    assert list(PortRange(20000, 20003).pairs) == [20000, 20002]
    assert list(PortRange(20000, 20000).pairs) == []
    assert list(PortRange(3, 5)) == [3, 4, 5]


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("20999-20000", "write 20000-20999"),
        ("0-100", "1-65535"),
        ("20000-70000", "1-65535"),
        ("20000", "write it like"),
        (20000, "write it like"),
        (None, "an empty value is no range"),
    ],
)
def test_no_port_ranges(written: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_port_range(written)


def test_hosts_and_ports() -> None:
    assert parse_host_port("127.0.0.1:8080") == HostPort("127.0.0.1", 8080)
    assert parse_host_port("[::1]:0") == HostPort("::1", 0)
    assert str(HostPort("::1", 80)) == "[::1]:80"
    assert parse_host("pbx.example.com") == "pbx.example.com"
    assert parse_host("[2001:db8::1]") == "2001:db8::1"


@pytest.mark.parametrize("written", ["a b", "", "http://x", "x:25", "300.1.2.3", "-a", 5, None])
def test_no_hosts(written: object) -> None:
    with pytest.raises(ValueError, match="no host: write a name"):
        parse_host(written)


@pytest.mark.parametrize(
    ("written", "hint"),
    [(8080, "write 127.0.0.1:8080"), ("8080", "write it like"), ("x:99999", "ports end at 65535")],
)
def test_no_host_and_port(written: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_host_port(written)


def test_listening_addresses() -> None:
    assert parse_listen("udp://0.0.0.0:5060") == ("udp", "0.0.0.0", 5060)
    assert parse_listen("tls://[::]") == ("tls", "::", 5061)
    assert parse_listen("tcp://localhost:0") == ("tcp", "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("0.0.0.0:5060", "write it like udp://0.0.0.0:5060"),
        ("sctp://0.0.0.0", "write udp://, tcp:// or tls://"),
        ("udp://pbx.example.com:5060", "write its IP address"),
        ("udp://0.0.0.0:70000", "ports end at 65535"),
    ],
)
def test_no_listening_addresses(written: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_listen(written)


def test_networks() -> None:
    assert parse_network("198.51.100.0/24") == IPv4Network("198.51.100.0/24")
    assert parse_network("198.51.100.7") == IPv4Network("198.51.100.7/32")
    assert parse_network("2001:db8::/32") == IPv6Network("2001:db8::/32")


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("203.0.113.5/28", "write 203.0.113.0/28, or 203.0.113.5"),
        ("pbx.example.com", "names of hosts are not looked up"),
        (5, "no network"),
    ],
)
def test_no_networks(written: object, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_network(written)


@pytest.mark.parametrize(
    ("written", "name", "email"),
    [
        ("anna@example.com", "", "anna@example.com"),
        ("Anna Kowalska <anna@example.com>", "Anna Kowalska", "anna@example.com"),
        ("Poczta głosowa <v+x@sub.example.com>", "Poczta głosowa", "v+x@sub.example.com"),
        ('"Kowalska, \\"Ania\\"" <anna@example.com>', 'Kowalska, "Ania"', "anna@example.com"),
        ("<root@localhost>", "", "root@localhost"),
        ("a@bücher.example", "", "a@xn--bcher-kva.example"),
        ("Łukasz <łukasz@żółć.example>", "Łukasz", "łukasz@xn--kda4b0koi.example"),
        ("z\u0307@example.com", "", "ż@example.com"),
        ('"odd name"@example.com', "", '"odd name"@example.com'),
    ],
)
def test_addresses(written: str, name: str, email: str) -> None:
    address = parse_address(written)
    assert address == Address(name, email)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "written",
    [
        "", "anna", "@example.com", "anna@", "a@@b", "a b@example.com", "Anna anna@example.com",
        "anna@exa mple.com", "anna@-x.pl", "a..b@example.com", ".a@example.com", "anna@1.2.3.4",
        "Anna <anna@example.com", "a@example.com, b@example.com", "A, B <a@example.com>",
        "a@b, B <c@example.com>",
        "ż ś@example.com", "ż\u200b@example.com", "ż" * 33 + "@example.com",
        "A <a@x.pl>\r\nBcc: <b@x.pl>", "a@x.pl\n",
        "A\0 <a@x.pl>", 5, None, ["a@x.pl"], "A <<a@x.pl>>", "a@x.pl.", "x" * 65 + "@x.pl",
    ],
)  # fmt: skip
def test_no_addresses(written: object) -> None:
    with pytest.raises(ValueError, match=r": (write|remove)|in double quotes"):
        parse_address(written)


def test_an_email_has_no_name() -> None:
    with pytest.raises(ValueError, match="write only the address"):
        parse_email("Anna <anna@example.com>")
