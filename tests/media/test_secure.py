"""SRTP beside the clear path: a gateway between a far side that encrypts and a plain session.

The far side is pylibsrtp itself with its own keys, and no wheel turns: the test says when.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pylibsrtp
import pytest
from pylibsrtp import Policy

from sipmail.errors import MediaError
from sipmail.media.protocol import Keys, Leg, Secure, decode, encode
from sipmail.media.secure import Gateway
from sipmail.media.wheel import Wheel

OURS, THEIRS = bytes(range(30)), bytes(range(100, 130))
KEYS = Keys("AES_CM_128_HMAC_SHA1_80", OURS, THEIRS)


def packet(sequence: int, payload: bytes = b"\x55" * 160) -> bytes:
    return struct.pack("!BBHII", 0x80, 8, sequence & 0xFFFF, sequence * 160, 77) + payload


class Phone:
    """The far side: a socket, and libsrtp with the keys the other way round."""

    def __init__(self, host: str, keys: Keys = KEYS) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(2)
        out = Policy(key=keys.theirs, ssrc_type=Policy.SSRC_ANY_OUTBOUND)
        into = Policy(key=keys.ours, ssrc_type=Policy.SSRC_ANY_INBOUND)
        self.sender, self.receiver = pylibsrtp.Session(out), pylibsrtp.Session(into)

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])


def bound(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    return sock


class Scene:
    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.rtp, self.rtcp = bound(host), bound(host)
        self.public = self.rtp.getsockname()
        self.public_rtcp = self.rtcp.getsockname()
        self.wheel = Wheel(0.0, lambda culprit, error: None)
        self.gateway = Gateway(self.rtp, self.rtcp, self.wheel)
        self.phone = Phone(host)

    def leg(self, *, mux: bool = False) -> Leg:
        port = self.phone.port
        return Leg(self.host, port, self.host, port, mux, "PCMA", 8, None, None, 20, True, True)

    def close(self) -> None:
        self.gateway.close()
        for one in (self.rtp, self.rtcp, self.phone.socket):
            one.close()


@pytest.fixture(params=["127.0.0.1", "::1"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(request.param)
    yield made
    made.close()


def test_what_comes_encrypted_is_plain_inside(scene: Scene) -> None:
    leg = scene.gateway.connect(scene.leg(), KEYS)
    for sequence in (65534, 65535, 65536, 65537):
        scene.phone.socket.sendto(scene.phone.sender.protect(packet(sequence)), scene.public)
        scene.gateway.pump()
        data, source = scene.rtp.recvfrom(2048)
        assert data == packet(sequence)
        assert source[:2] == (leg.remote_host, leg.remote_port)


def test_what_goes_is_encrypted_outside(scene: Scene) -> None:
    leg = scene.gateway.connect(scene.leg(), KEYS)
    scene.rtp.sendto(packet(7), (leg.remote_host, leg.remote_port))
    scene.gateway.pump()
    data, source = scene.phone.socket.recvfrom(2048)
    assert source[:2] == scene.public[:2]
    assert packet(7)[12:] not in data
    assert scene.phone.receiver.unprotect(data) == packet(7)


def test_forged_repeated_and_clear_packets_are_dropped(scene: Scene) -> None:
    scene.gateway.connect(scene.leg(), KEYS)
    good = scene.phone.sender.protect(packet(1))
    forged = good[:-1] + bytes([good[-1] ^ 1])
    for data in (forged, packet(2), b"", b"x" * 1600, good, good):
        scene.phone.socket.sendto(data, scene.public)
    scene.gateway.pump()
    assert scene.rtp.recv(2048) == packet(1)
    with pytest.raises(BlockingIOError):
        scene.rtp.recv(2048)
    assert scene.gateway.rejected == 5


def test_packets_go_to_where_those_that_authenticate_come_from(scene: Scene) -> None:
    leg = scene.gateway.connect(scene.leg(), KEYS)
    stranger, moved = Phone(scene.host), Phone(scene.host)
    stranger.socket.sendto(b"\x80\x08" + bytes(170), scene.public)
    moved.socket.sendto(scene.phone.sender.protect(packet(1)), scene.public)
    scene.gateway.pump()
    scene.rtp.sendto(packet(1), (leg.remote_host, leg.remote_port))
    scene.gateway.pump()
    assert moved.receiver.unprotect(moved.socket.recv(2048)) == packet(1)
    for one in (stranger, moved):
        one.socket.close()


@pytest.mark.parametrize("mux", [False, True])
def test_rtcp(scene: Scene, mux: bool) -> None:
    leg = scene.gateway.connect(scene.leg(mux=mux), KEYS)
    report = struct.pack("!BBHI", 0x80, 201, 1, 77)
    inside, outside = (scene.rtp, scene.public) if mux else (scene.rtcp, scene.public_rtcp)
    scene.phone.socket.sendto(scene.phone.sender.protect_rtcp(report), outside)
    scene.gateway.pump()
    assert inside.recv(2048) == report
    inside.sendto(report, (leg.rtcp_host, leg.rtcp_port))
    scene.gateway.pump()
    assert scene.phone.receiver.unprotect_rtcp(scene.phone.socket.recv(2048)) == report


def test_an_answer_with_the_same_keys_goes_on_counting(scene: Scene) -> None:
    scene.gateway.connect(scene.leg(), KEYS)
    scene.phone.socket.sendto(scene.phone.sender.protect(packet(65535)), scene.public)
    scene.gateway.pump()
    scene.gateway.connect(scene.leg(), Keys(KEYS.suite, OURS, THEIRS))
    scene.phone.socket.sendto(scene.phone.sender.protect(packet(65536)), scene.public)
    scene.gateway.pump()
    assert [scene.rtp.recv(2048) for _ in range(2)] == [packet(65535), packet(65536)]


def test_an_answer_without_keys_leaves_packets_as_they_are(scene: Scene) -> None:
    scene.gateway.connect(scene.leg(), KEYS)
    leg = scene.gateway.connect(scene.leg(), None)
    scene.phone.socket.sendto(packet(1), scene.public)
    scene.rtp.sendto(packet(2), (leg.remote_host, leg.remote_port))
    scene.gateway.pump()
    assert scene.rtp.recv(2048) == packet(1)
    assert scene.phone.socket.recv(2048) == packet(2)


@pytest.mark.parametrize("keys", [Keys("NO_SUCH", OURS, THEIRS), Keys(KEYS.suite, b"", b"")])
def test_keys_that_cannot_be_used_are_not_shown(scene: Scene, keys: Keys) -> None:
    with pytest.raises(MediaError, match="is not possible"):
        scene.gateway.connect(scene.leg(), keys)


def test_the_command_carries_keys_and_shows_none() -> None:
    command = Secure.with_keys("call", KEYS)
    assert decode(encode(command)) == command
    assert command.keys == KEYS
    assert Secure.with_keys("call", None).keys is None
    assert command.ours not in repr(command)
    assert repr(OURS) not in repr(KEYS)
