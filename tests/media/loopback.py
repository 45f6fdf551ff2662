"""A far side on loopback for the tests of the media room."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sipmail.media.protocol import Leg
from sipmail.rtp.packet import RtpPacket
from tests.support.ports import free_range


def free_ports(count: int) -> int:
    """The first, even, of `count` UDP ports in a row that were free just now."""
    return free_range(count)[0]


class Phone:
    """A UDP socket that speaks RTP to `port`, and gives what came back without waiting."""

    def __init__(self, port: int, ssrc: int = 0x1234) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        self.port = port
        self.ssrc = ssrc
        self.sequence = 65530
        self.sent: list[bytes] = []

    def leg(self, **changes: Any) -> Leg:
        values: dict[str, Any] = {
            "remote_host": self.address[0],
            "remote_port": self.address[1],
            "rtcp_host": self.address[0],
            "rtcp_port": self.address[1],
            "rtcp_mux": False,
            "codec": "PCMA",
            "payload_type": 8,
            "event_payload_type": 101,
            "cn_payload_type": 13,
            "ptime": 20,
            "send": True,
            "receive": True,
            "payloads": {8: "PCMA", 101: "telephone-event", 13: "CN"},
        }
        return Leg(**values | changes)

    def say(self, count: int = 1, payload: bytes = b"\xd5" * 160, kind: int = 8) -> list[bytes]:
        """Sends the next `count` packets; returns them."""
        packets = []
        for _ in range(count):
            timestamp = self.sequence * 160 & 0xFFFFFFFF
            packet = RtpPacket(kind, self.sequence & 0xFFFF, timestamp, self.ssrc, payload)
            packets.append(bytes(packet))
            self.sequence += 1
        for data in packets:
            self.send(data)
        return packets

    def send(self, data: bytes, port: int = 0) -> None:
        self.sent.append(data)
        self.socket.sendto(data, ("127.0.0.1", port or self.port))

    def heard(self) -> list[bytes]:
        """Every datagram that has come."""
        came = []
        with contextlib.suppress(BlockingIOError):
            while True:
                came.append(self.socket.recv(2048))
        return came

    def packets(self) -> list[RtpPacket]:
        """The sound that has come."""
        return [RtpPacket.parse(d) for d in self.heard() if d[1] & 0x7F in (0, 8)]

    def close(self) -> None:
        self.socket.close()


def prompt(folder: Path, name: str, words: bytes, codec: str = "alaw") -> str:
    """Writes a prompt file; returns its stem."""
    (folder / f"{name}.{codec}").write_bytes(words)
    return str(folder / name)


Maker = Callable[..., Phone]
