"""SRTP for the calls that have it (RFC 3711), beside the path that all others take.

A secured call keeps its session as it is, in the clear, on sockets of loopback; a `Gateway` owns
the sockets that the far side knows, and carries every packet over, encrypted outside and plain
inside. So the fast path knows nothing of it, and the journal holds plain RTP.

Rules:
- what does not authenticate, and what was there before (replay), is dropped, RTCP too;
- packets go to where those that authenticate come from, since nobody else can have sent them; until
  one has come, to the address of the answer;
- a new answer with the keys of before keeps the streams and their packet counts (RFC 4568 7.1.4);
- one without keys, where that may be, leaves the packets as they are.
"""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import replace

import pylibsrtp
from pylibsrtp import Policy

from sipmail.errors import MediaError
from sipmail.media.protocol import Keys, Leg
from sipmail.media.wheel import Wheel
from sipmail.rtp.packet import is_rtcp

_PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
_PERIOD_TICKS = 10
_MOST_PACKETS = 256
_DATAGRAM = 2048
_LARGEST = 1400  # what pylibsrtp's buffer has room for, trailer included
_BUFFER = 256 * 1024


class _Side:
    """The socket of RTP or RTCP: outside to the far side, inside to the session."""

    def __init__(self, sock: socket.socket) -> None:
        """Takes the place of `sock`, which is from now on one end of a pair on loopback."""
        self.outside = sock.dup()
        self.outside.setblocking(False)
        host = "::1" if sock.family == socket.AF_INET6 else "127.0.0.1"
        with socket.socket(sock.family, socket.SOCK_DGRAM) as theirs:
            theirs.bind((host, 0))
            self.inside = socket.socket(sock.family, socket.SOCK_DGRAM)
            self.inside.bind((host, 0))
            theirs.connect(self.inside.getsockname())
            self.inside.connect(theirs.getsockname())
            for one in (theirs, self.inside):
                one.setblocking(False)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            os.dup2(theirs.fileno(), sock.fileno(), inheritable=False)
        self.address: tuple[str, int] = self.inside.getsockname()[:2]
        self.target: tuple[str, int] | None = None

    def close(self) -> None:
        self.outside.close()
        self.inside.close()


class Gateway:
    """The secured side of one call; a `Duty` of the wheel."""

    def __init__(self, rtp: socket.socket, rtcp: socket.socket, wheel: Wheel) -> None:
        """`rtp` and `rtcp` are the session's, bound to what the far side was told."""
        self.due: int | None = None
        self.accepted = 0
        """Packets that came and authenticated."""
        self.rejected = 0
        """Packets that did not: forged or repeated ones, and what some phones send in the clear."""
        self._rtp = _Side(rtp)
        self._rtcp = _Side(rtcp)
        self._wheel = wheel
        self._keys: Keys | None = None
        self._sender: pylibsrtp.Session | None = None
        self._receiver: pylibsrtp.Session | None = None

    def connect(self, leg: Leg, keys: Keys | None) -> Leg:
        """Takes an answer; returns it as the session is to see it.

        Raises MediaError for a suite or key that can't be used.
        """
        if keys != self._keys:
            self._sender = _session(keys, ours=True)
            self._receiver = _session(keys, ours=False)
            self._keys = keys
        self._rtp.target = (leg.remote_host, leg.remote_port)
        self._rtcp.target = (leg.rtcp_host, leg.rtcp_port) if leg.rtcp_port else None
        if self.due is None:
            self._wheel.schedule(self, _PERIOD_TICKS)
        rtcp = self._rtp if leg.rtcp_mux else self._rtcp
        return replace(
            leg,
            remote_host=self._rtp.address[0],
            remote_port=self._rtp.address[1],
            rtcp_host=rtcp.address[0],
            rtcp_port=rtcp.address[1],
        )

    def run(self, tick: int) -> int | None:
        """The duty: carries over what has come."""
        self.pump()
        return _PERIOD_TICKS

    def pump(self) -> None:
        """Carries over all that has come on both sides."""
        for side in (self._rtp, self._rtcp):
            for _ in range(_MOST_PACKETS):
                try:
                    packet, source = side.outside.recvfrom(_DATAGRAM)
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP message for an earlier packet
                plain = self._opened(packet)
                if plain is None:
                    self.rejected += 1
                    continue
                self.accepted += 1
                if self._keys is not None:
                    side.target = source[:2]
                with contextlib.suppress(OSError):
                    side.inside.send(plain)
            for _ in range(_MOST_PACKETS):
                try:
                    packet = side.inside.recv(_DATAGRAM)
                except BlockingIOError:
                    break
                except OSError:
                    continue
                if side.target is not None:
                    with contextlib.suppress(OSError):
                        side.outside.sendto(self._sealed(packet), side.target)

    def close(self) -> None:
        """Sends what the session said last, and gives the sockets back."""
        self.pump()
        self._wheel.cancel(self)
        self._rtp.close()
        self._rtcp.close()

    def _opened(self, packet: bytes) -> bytes | None:
        receiver = self._receiver
        if receiver is None:
            return packet
        if len(packet) > _LARGEST:
            return None
        try:
            plain = receiver.unprotect_rtcp if is_rtcp(packet) else receiver.unprotect
            return bytes(plain(packet))
        except pylibsrtp.Error:
            return None

    def _sealed(self, packet: bytes) -> bytes:
        sender = self._sender
        if sender is None:
            return packet
        return bytes(sender.protect_rtcp(packet) if is_rtcp(packet) else sender.protect(packet))


def _session(keys: Keys | None, *, ours: bool) -> pylibsrtp.Session | None:
    if keys is None:
        return None
    try:
        policy = Policy(
            key=keys.ours if ours else keys.theirs,
            ssrc_type=Policy.SSRC_ANY_OUTBOUND if ours else Policy.SSRC_ANY_INBOUND,
            srtp_profile=_PROFILES[keys.suite],
        )
        policy.allow_repeat_tx = False
        policy.window_size = 1024
        return pylibsrtp.Session(policy)
    except (KeyError, TypeError, ValueError, pylibsrtp.Error) as error:
        # Never the error's own text: it may hold the key.
        raise MediaError(f"SRTP with {keys.suite} is not possible") from error
