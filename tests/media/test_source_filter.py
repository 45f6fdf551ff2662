"""The kernel's filter: which datagrams it lets in, and what it is for."""

from __future__ import annotations

import contextlib
import socket

import pytest

from sipmail.media.source_filter import let_all_in, let_in
from tests.media.one_call import Call, recorded


def heard(sock: socket.socket) -> list[bytes]:
    came = []
    with contextlib.suppress(BlockingIOError):
        while True:
            came.append(sock.recv(100))
    return came


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_is_let_in(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        ours, *others = (
            stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(4)
        )
        for one in (ours, *others):
            one.bind((host, 0))
        ours.setblocking(False)
        names = [other.getsockname()[:2] for other in others]

        def all_say(text: bytes) -> None:
            for other in others:
                other.sendto(text, ours.getsockname())

        assert let_in(ours, names[:2])
        all_say(b"filtered")
        assert heard(ours) == [b"filtered"] * 2
        assert let_in(ours, [names[2], ("192.0.2.1" if "." in host else "2001:db8::1", 9)])
        all_say(b"changed")
        assert heard(ours) == [b"changed"]
        let_all_in(ours)
        all_say(b"open")
        assert heard(ours) == [b"open"] * 3


def test_a_flood_crowds_nobody_out(call: Call) -> None:
    """Behind NAT another source than the negotiated is latched, so the socket is not connected."""
    call.session.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
    call.connect()
    real, stranger = call.another(), call.another(ssrc=9)
    sent = []
    path = call.record()
    for _ in range(25):
        sent += real.say()
        call.pass_(0.02)
    stranger.say(70)  # noticed in the next drain
    call.pass_(0.4)
    assert call.session.receiver.flooded
    for _ in range(50):
        stranger.say(60)
        sent += real.say()
        call.pass_(0.02)
    # The negotiated address still wins,
    sent += call.talk(0.5)
    real.say(10)
    call.pass_(0.4)
    # and a far side that moves goes on after two seconds.
    call.pass_(2.5)
    moved = call.another()
    moved.sequence = call.phone.sequence
    for _ in range(25):
        sent += moved.say()
        call.pass_(0.02)
    statistics = call.session.close()
    call.open = False
    assert recorded(path) == sent
    assert statistics.overrun == 0
