"""Which of our addresses a peer sees."""

from __future__ import annotations

from sipmail.net.address import LocalAddresses, is_ipv6, is_numeric, routed_address


def test_the_kernel_says_which_address_reaches_loopback() -> None:
    assert routed_address("127.0.0.1") == "127.0.0.1"


def test_an_answer_is_kept_for_a_while_and_then_asked_again() -> None:
    routes = iter(["10.0.0.1", "10.0.0.2"])
    addresses = LocalAddresses(route=lambda _: next(routes))
    assert addresses.towards("198.51.100.7", 0.0) == "10.0.0.1"
    assert addresses.towards("198.51.100.7", 29.0) == "10.0.0.1"
    assert addresses.towards("198.51.100.7", 31.0) == "10.0.0.2"


def test_a_public_address_stands_in_towards_the_internet_only() -> None:
    addresses = LocalAddresses("8.8.4.4", route=lambda _: "192.168.1.10")
    assert addresses.towards("1.1.1.1", 0.0) == "8.8.4.4"
    assert addresses.towards("192.168.1.20", 0.0) == "192.168.1.10"


def test_a_private_public_address_stands_in_everywhere() -> None:
    addresses = LocalAddresses("172.16.0.5", route=lambda _: "192.168.1.10")
    assert addresses.towards("192.168.1.20", 0.0) == "172.16.0.5"


def test_without_a_route_there_is_no_address() -> None:
    assert LocalAddresses(route=lambda _: None).towards("198.51.100.7", 0.0) is None


def test_kinds_of_hosts() -> None:
    assert is_ipv6("2001:db8::1")
    assert not is_ipv6("192.0.2.1")
    assert is_numeric("[2001:db8::1]")
    assert is_numeric("192.0.2.1")
    assert not is_numeric("pbx.example.com")
