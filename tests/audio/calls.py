"""Calls to decode: packets built one by one, changed as a network would, written as a journal."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sipmail.codecs import g711
from sipmail.rtp import journal
from sipmail.rtp.packet import RtpPacket

RATE = 8000
PAYLOADS = {0: "PCMU", 8: "PCMA", 13: "CN", 101: "telephone-event"}

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Timed:
    """A packet and when it arrived, seconds."""

    packet: RtpPacket
    arrival: float


@dataclass
class Sender:
    """Speaks RTP: each method adds packets and moves the clocks on, as a telephone does."""

    sequence: int = 65_500
    timestamp: int = 0xFFFF_F000
    ssrc: int = 0x1234_5678
    payload_type: int = 8
    ptime: int = 20
    clock: float = 0.0
    sent: list[Timed] = field(default_factory=list)

    def speak(self, samples: Samples, marker: bool = False) -> Sender:
        """Sends `samples` in packets of `ptime`; what does not fill the last one is not sent."""
        size = self.ptime * RATE // 1000
        encode = g711.encode_ulaw if self.payload_type == 0 else g711.encode_alaw
        codes = encode(samples)
        for at in range(0, len(codes) - size + 1, size):
            self.clock += size / RATE
            self._send(self.payload_type, codes[at : at + size].tobytes(), marker and at == 0)
            self.timestamp += size
        return self

    def be_silent(self, seconds: float) -> Sender:
        """Sends nothing while the timestamp goes on."""
        self.timestamp += round(seconds * RATE)
        self.clock += seconds
        return self

    def comfort_noise(self, payload: bytes) -> Sender:
        self._send(13, payload, False)
        return self

    def press(self, event: int, seconds: float = 0.1) -> Sender:
        """A digit as telephone-event: an update each 20 ms, then the end three times."""
        steps = round(seconds * 50)
        for step in range(1, steps + 3):
            last = step >= steps
            duration = min(step, steps) * 160
            body = bytes((event, 0x80 * last | 10)) + duration.to_bytes(2, "big")
            if step <= steps:
                self.clock += 0.02
            self._send(101, body, step == 1)
        self.timestamp += steps * 160
        return self

    def _send(self, payload_type: int, payload: bytes, marker: bool) -> None:
        packet = RtpPacket(
            payload_type=payload_type,
            sequence=self.sequence & 0xFFFF,
            timestamp=self.timestamp & 0xFFFF_FFFF,
            ssrc=self.ssrc,
            payload=payload,
            marker=marker,
        )
        self.sent.append(Timed(packet, self.clock))
        self.sequence += 1


def drained(packets: Iterable[Timed], every: float = 0.2) -> list[Timed]:
    """The packets with the arrival that a reader notes who looks each `every` seconds."""
    return [replace(one, arrival=(one.arrival // every + 1) * every) for one in packets]


def written(packets: Sequence[Timed]) -> journal.Journal:
    """The journal of these packets, written and read again."""
    records = (
        journal.frame([bytes(one.packet)], max(0, round(one.arrival * 1000))) for one in packets
    )
    return journal.read(journal.header(1_700_000_000.0) + b"".join(records))


def lossy(
    packets: Sequence[Timed], seed: int, *, drop: float = 0, repeat: float = 0, reorder: float = 0
) -> list[Timed]:
    """Drops, repeats and swaps packets with these probabilities; first and last stay in place."""
    chance = random.Random(seed)
    kept: list[Timed] = []
    for number, one in enumerate(packets):
        inner = 0 < number < len(packets) - 1
        if inner and chance.random() < drop:
            continue
        kept.append(one)
        if chance.random() < repeat:
            kept.append(one)
    for at in range(1, len(kept) - 2):
        if chance.random() < reorder:
            kept[at], kept[at + 1] = kept[at + 1], kept[at]
    return kept


def voice(seconds: float, seed: int = 1) -> Samples:
    """Something with pitch, pauses and noise, every sample of which differs from its neighbours."""
    count = round(seconds * RATE)
    time = np.arange(count) / RATE
    chance = np.random.default_rng(seed)
    pitch = 2 * np.pi * np.cumsum(110 + 25 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 20))
    syllables = np.clip(np.sin(2 * np.pi * 2.3 * time), 0, 1)
    wave = 5000 * buzz * syllables + chance.standard_normal(count) * 60
    return np.rint(np.clip(wave, -32000, 32000)).astype(np.int16)


def decoded(samples: Samples, payload_type: int = 8) -> Samples:
    """What a receiver without loss hears of `samples`."""
    if payload_type == 0:
        return g711.decode_ulaw(g711.encode_ulaw(samples))
    return g711.decode_alaw(g711.encode_alaw(samples))
