"""Port pairs: even and odd, resting on a moved clock, and what other programs hold."""

from __future__ import annotations

import socket

import pytest

from sipmail.errors import MediaError
from sipmail.media.ports import PortPool, bind_pair
from tests.media.loopback import free_ports


@pytest.mark.parametrize(
    ("first", "last", "ports"),
    [(20000, 20005, [20000, 20002, 20004]), (20001, 20004, [20002]), (20000, 20000, [])],
)
def test_pairs_lie_within_the_range(first: int, last: int, ports: list[int]) -> None:
    pool = PortPool(first, last)
    assert [pool.take(0.0) for _ in ports] == ports
    assert pool.take(0.0) is None


def test_a_port_rests_and_the_one_that_rested_longest_is_next() -> None:
    pool = PortPool(20000, 20003, rest=60.0)
    assert [pool.take(0.0), pool.take(0.0), pool.take(0.0)] == [20000, 20002, None]
    pool.give_back(20002, 5.0)
    pool.give_back(20000, 6.0)
    assert pool.take(64.9) is None
    assert [pool.take(65.0), pool.take(65.0), pool.take(66.0)] == [20002, None, 20000]


def test_a_pool_may_begin_anywhere_and_still_gives_every_port_once() -> None:
    pool = PortPool(20000, 20007, begin=0.6)
    assert [pool.take(0.0) for _ in range(5)] == [20004, 20006, 20000, 20002, None]


def test_binding_passes_over_what_others_hold() -> None:
    first = free_ports(4)
    pool = PortPool(first, first + 3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first + 1))
        port, rtp, rtcp = bind_pair(pool, "127.0.0.1", 0.0)
        with rtp, rtcp:
            assert port == first + 2
            assert rtp.getsockname() == ("127.0.0.1", port)
            assert rtcp.getsockname() == ("127.0.0.1", port + 1)
            assert not rtp.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
            with pytest.raises(MediaError, match=f"no free RTP port in {first}-{first + 3}"):
                bind_pair(pool, "127.0.0.1", 0.0)


def test_an_address_that_is_not_ours_costs_no_port() -> None:
    first = free_ports(2)
    pool = PortPool(first, first + 1)
    with pytest.raises(OSError, match="assign"):
        bind_pair(pool, "192.0.2.1", 0.0)
    _, rtp, rtcp = bind_pair(pool, "127.0.0.1", 0.0)
    rtp.close()
    rtcp.close()
