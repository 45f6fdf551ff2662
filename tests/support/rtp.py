"""RTP as a test's caller sends it: a schedule of packets, and what a bad network does to one.

Written from RFC 3550 for the tests alone. A schedule is a list of packets with the second each is
due; the functions that drop, repeat and reorder take one and return another, decided by a seed, so
that a test knows what was lost.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

RATE = 8000
PCMU, PCMA, EVENT = 0, 8, 101
SILENCE = {PCMU: b"\xff", PCMA: b"\xd5"}
_HEADER = struct.Struct("!BBHII")


@dataclass(frozen=True)
class Packet:
    """One RTP packet, and when it leaves (`due`, seconds from the first one's)."""

    due: float
    sequence: int
    timestamp: int
    payload_type: int
    payload: bytes
    ssrc: int
    marker: bool = False

    def __bytes__(self) -> bytes:
        second = self.marker << 7 | self.payload_type
        sequence, timestamp = self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF
        return _HEADER.pack(0x80, second, sequence, timestamp, self.ssrc) + self.payload

    @classmethod
    def parse(cls, data: bytes, due: float = 0.0) -> Packet:
        """Reads a packet without extensions; ValueError where it is not one."""
        if len(data) < _HEADER.size or data[0] >> 6 != 2:
            raise ValueError("not RTP")
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        payload = data[_HEADER.size + 4 * (first & 0x0F) :]
        return cls(due, sequence, timestamp, second & 0x7F, payload, ssrc, bool(second >> 7))


def schedule(
    payload: bytes,
    payload_type: int = PCMU,
    *,
    ptime: int = 20,
    sequence: int = 65_500,
    timestamp: int = 2**32 - 4000,
    ssrc: int = 0x51700D00,
    start: float = 0.0,
) -> list[Packet]:
    """G.711 bytes as packets of `ptime` ms; the default counters wrap early in every call.

    The last packet is as short as what is left.
    """
    step = RATE * ptime // 1000
    return [
        Packet(
            start + offset / RATE,
            sequence + index,
            timestamp + offset,
            payload_type,
            payload[offset : offset + step],
            ssrc,
            marker=index == 0,
        )
        for index, offset in enumerate(range(0, len(payload), step))
    ]


def dropped(packets: Sequence[Packet], share: float, seed: int = 1) -> list[Packet]:
    """Without `share` (0…1) of the packets; the first and the last one always arrive."""
    chosen = _chosen(range(1, len(packets) - 1), share, seed)
    return [packet for index, packet in enumerate(packets) if index not in chosen]


def repeated(packets: Sequence[Packet], share: float, seed: int = 2) -> list[Packet]:
    """With `share` of the packets sent a second time, 5 ms later."""
    chosen = _chosen(range(len(packets)), share, seed)
    again = [
        replace(packet, due=packet.due + 0.005) for i, packet in enumerate(packets) if i in chosen
    ]
    return sorted([*packets, *again], key=lambda packet: packet.due)


def reordered(packets: Sequence[Packet], share: float, seed: int = 3) -> list[Packet]:
    """With `share` of the packets late by 50 ms, behind those that came after them."""
    chosen = _chosen(range(1, len(packets) - 3), share, seed)
    late = [
        replace(packet, due=packet.due + 0.05) if index in chosen else packet
        for index, packet in enumerate(packets)
    ]
    return sorted(late, key=lambda packet: packet.due)


def paused(packets: Sequence[Packet], at: float, seconds: float) -> list[Packet]:
    """With a pause of suppressed silence: timestamps and time go on, sequence numbers don't."""
    start = packets[0].due
    return [
        replace(packet, due=packet.due + seconds, timestamp=packet.timestamp + int(seconds * RATE))
        if packet.due - start >= at
        else packet
        for packet in packets
    ]


def digit(
    event: int, after: Packet, *, seconds: float = 0.1, ends: int = 3, payload_type: int = EVENT
) -> list[Packet]:
    """RFC 4733: a key pressed for `seconds` right after the packet `after`, its end sent `ends`
    times.
    """
    first = after.timestamp + len(after.payload)
    steps = max(1, round(seconds / 0.02))
    packets = []
    for index in range(steps + ends - 1):
        end = index >= steps - 1
        duration = min(index + 1, steps) * 160
        packets.append(
            Packet(
                after.due + 0.02 * (min(index, steps - 1) + 1),
                after.sequence + 1 + index,
                first,
                payload_type,
                struct.pack("!BBH", event, 0x80 * end | 10, duration),
                after.ssrc,
                marker=index == 0,
            )
        )
    return packets


def _chosen(indices: Iterable[int], share: float, seed: int) -> frozenset[int]:
    pool = list(indices)
    return frozenset(random.Random(seed).sample(pool, round(len(pool) * share)))
