"""Reading in batches over loopback, by recvmmsg and by the loop that replaces it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from sipmail.media.batch import SLOTS, Batch, arrival, disconnect
from sipmail.rtp import journal
from sipmail.rtp.packet import RtpPacket
from tests.media.loopback import free_ports

BOTH = pytest.mark.parametrize("multiple", [True, False] if sys.platform == "linux" else [False])


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        ours.bind(("127.0.0.1", 0))
        ours.setblocking(False)
        theirs.bind(("127.0.0.1", 0))
        theirs.connect(ours.getsockname())
        yield ours, theirs


def stream(count: int, first: int = 65530, size: int = 160) -> list[bytes]:
    return [
        bytes(RtpPacket(8, n & 0xFFFF, 160 * n, 0x11223344, bytes([n & 0xFF]) * size))
        for n in range(first, first + count)
    ]


@BOTH
@pytest.mark.parametrize("addressed", [True, False])
def test_every_size_comes_whole(
    pair: tuple[socket.socket, socket.socket], multiple: bool, addressed: bool
) -> None:
    ours, theirs = pair
    layout = Batch(multiple).layout(172, addressed=addressed)
    sizes = [172, 12, 1, 171, 173, 1500, 2200, 172]
    sent = [bytes([n]) * size for n, size in enumerate(sizes)]
    for _ in range(2):
        for data in sent:
            theirs.send(data)
        assert layout.receive(ours) == len(sent)
        assert [layout.packet(n) for n in range(len(sent))] == sent
        assert not layout.follows(len(sent), b"\0\0", 0, bytes(4))
        if addressed:
            assert {layout.source(n) for n in range(len(sent))} == {theirs.getsockname()}
            assert layout.only_from(len(sent), theirs.getsockname())
            assert not layout.only_from(len(sent), ("127.0.0.1", 9))
    assert layout.receive(ours) == 0


@BOTH
def test_a_run_is_the_next_bytes_of_the_journal(
    pair: tuple[socket.socket, socket.socket], multiple: bool
) -> None:
    ours, theirs = pair
    layout = Batch(multiple).layout(172, addressed=False)
    packets = stream(10)
    for data in packets:
        theirs.send(data)
    assert layout.receive(ours) == 10
    assert layout.follows(10, b"\x80\x08", 65530, b"\x11\x22\x33\x44")
    assert not layout.follows(10, b"\x80\x00", 65530, b"\x11\x22\x33\x44")
    assert not layout.follows(10, b"\x80\x08", 65529, b"\x11\x22\x33\x44")
    assert not layout.follows(10, b"\x80\x08", 65530, b"\x11\x22\x33\x45")
    assert bytes(layout.records(10, 4242)) == journal.frame(packets, 4242)
    assert layout.timestamp(9) == 160 * 65539
    assert layout.payloads(10).shape == (10, 160)
    assert layout.payloads(10)[:, 0].tolist() == [n & 0xFF for n in range(65530, 65540)]


@BOTH
def test_a_gap_is_no_run(pair: tuple[socket.socket, socket.socket], multiple: bool) -> None:
    ours, theirs = pair
    layout = Batch(multiple).layout(172, addressed=False)
    packets = stream(6, 1)
    for data in (*packets[:2], *packets[3:]):
        theirs.send(data)
    assert not layout.follows(layout.receive(ours), b"\x80\x08", 1, b"\x11\x22\x33\x44")


@BOTH
def test_a_full_batch_leaves_the_rest(
    pair: tuple[socket.socket, socket.socket], multiple: bool
) -> None:
    ours, theirs = pair
    layout = Batch(multiple).layout(172, addressed=True)
    packets = stream(SLOTS + 3)
    for data in packets:
        theirs.send(data)
    assert layout.receive(ours) == SLOTS
    assert layout.packet(SLOTS - 1) == packets[SLOTS - 1]
    assert layout.receive(ours) == 3
    assert layout.packet(2) == packets[-1]


@BOTH
def test_longer_than_any_buffer_is_nothing(
    pair: tuple[socket.socket, socket.socket], multiple: bool
) -> None:
    ours, theirs = pair
    layout = Batch(multiple).layout(172, addressed=False)
    theirs.send(bytes(9000))
    theirs.send(b"after")
    assert layout.receive(ours) == 2
    assert [layout.packet(0), layout.packet(1)] == [b"", b"after"]


@BOTH
def test_a_refusal_is_not_the_end(multiple: bool) -> None:
    layout = Batch(multiple).layout(172, addressed=False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.setblocking(False)
        ours.connect(address)
        ours.send(b"nobody there: an ICMP message comes back")
        assert layout.receive(ours) == 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(address)
            back.sendto(bytes(172), ours.getsockname())
            assert layout.receive(ours) == 1


@BOTH
def test_ipv6_sources(multiple: bool) -> None:
    layout = Batch(multiple).layout(172, addressed=True)
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as theirs,
    ):
        try:
            ours.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        ours.setblocking(False)
        theirs.bind(("::1", 0))
        theirs.sendto(bytes(172), ours.getsockname())
        assert layout.receive(ours) == 1
        assert layout.source(0) == theirs.getsockname()[:2]
        assert layout.only_from(1, theirs.getsockname()[:2])


@BOTH
def test_layouts_are_shared_and_bounded(multiple: bool) -> None:
    batch = Batch(multiple)
    assert batch.layout(252, addressed=False) is batch.layout(252, addressed=False)
    assert len({id(batch.layout(size, addressed=True)) for size in range(13, 2000)}) <= 16
    assert batch.layout(1999, addressed=True).size == 172
    assert batch.layout(5, addressed=True).size == 172


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_disconnecting_opens_the_socket_and_keeps_the_port(host: str) -> None:
    port = free_ports(1)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        ours.bind((host, port))
        ours.setblocking(False)
        ours.connect(("127.0.0.1", 9))
        disconnect(ours)
        assert ours.getsockname()[1] == port
        other.sendto(b"hello", ("127.0.0.1", port))
        assert ours.recv(100) == b"hello"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's timestamp is Linux's")
def test_the_kernel_remembers_the_arrival(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    arrival(ours)  # the first question turns it on
    theirs.send(b"x")
    ours.recv(10)
    first = arrival(ours)
    theirs.send(b"x")
    ours.recv(10)
    second = arrival(ours)
    assert first is not None
    assert second is not None
    assert first < second
