"""One call over loopback sockets, on a moved clock: what its tests share."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sipmail.media.batch import Batch
from sipmail.media.ports import PortPool, bind_pair
from sipmail.media.prompts import Prompts
from sipmail.media.protocol import (
    Event,
)
from sipmail.media.session import Session, Studio
from sipmail.media.wheel import Wheel
from sipmail.rtp import journal
from sipmail.rtp.event import TelephoneEvent
from tests.media.loopback import Phone, free_ports

LOUD = bytes([0x2A, 0xAA]) * 80  # A-law: full scale, both signs
KEY = bytes(TelephoneEvent(11, False, 10, 160))


class Call:
    """A session with its worker's wheel, whose clock the test moves; and what it told."""

    def __init__(self, folder: Path, multiple: bool | None = None) -> None:
        self.events: list[Event] = []
        self.broken: list[Exception] = []
        self.folder = folder
        self.now = 0.0
        self.wheel = Wheel(0.0, lambda _, error: self.broken.append(error))
        numbers = itertools.count(1)
        studio = Studio(
            self.wheel,
            Batch(multiple),
            Prompts(),
            self.events.append,
            lambda: 1_700_000_000.0 + self.now,
            lambda _: next(numbers),
            30.0,
        )
        first = free_ports(2)
        port, rtp, rtcp_socket = bind_pair(PortPool(first, first + 1), "127.0.0.1", 0.0)
        self.session = Session("call", port, rtp, rtcp_socket, studio)
        self.phone = Phone(port)
        self.others: list[Phone] = []
        self.open = True

    def another(self, ssrc: int = 0x1234) -> Phone:
        phone = Phone(self.session.port, ssrc)
        self.others.append(phone)
        return phone

    def connect(self, **changes: Any) -> None:
        self.session.connect(self.phone.leg(**changes))

    def pass_(self, seconds: float) -> None:
        """Time goes by, in steps of the wheel that are no stall."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + 0.01)
            self.wheel.advance(self.now + 1e-4)

    def talk(self, seconds: float, payload: bytes = LOUD) -> list[bytes]:
        """The phone speaks for that long, a packet each 20 ms."""
        sent: list[bytes] = []
        for _ in range(round(seconds * 50)):
            sent += self.phone.say(1, payload)
            self.pass_(0.02)
        return sent

    def record(self, maximum: float = 100.0, silence: float = 0.0, keys: str = "#") -> Path:
        path = self.folder / "audio.rtp"
        self.session.record(str(path), maximum, silence, keys)
        return path

    def close(self) -> None:
        if self.open:
            self.open = False
            self.session.close()
        for phone in (self.phone, *self.others):
            phone.close()


Make = Callable[..., Call]


Make = Callable[..., Call]


def recorded(path: Path) -> list[bytes]:
    """The packets of a journal, whole."""
    data = path.read_bytes()
    position = data.index(b"\n") + 17
    packets = []
    while position < len(data):
        length, size, _ = journal.RECORD.unpack_from(data, position)
        packets.append(data[position + 8 : position + 8 + size])
        position += length
    return packets
