"""RTCP packets (RFC 3550 section 6): sender and receiver reports, SDES, BYE, and compounds.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---+-+---------+---------------+-------------------------------+
    |V=2|P|  count  |      PT       |  length in words, minus one   |
    +---+-+---------+---------------+-------------------------------+

A compound is several of these in one datagram, a report first (section 6.1). `parse` raises
`ValueError` and nothing else; packet types that are not understood are skipped, as the RFC wants.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

SR, RR, SDES, BYE = 200, 201, 202, 203

_CNAME = 1
_HEADER = struct.Struct(">BBH")
_BLOCK = struct.Struct(">IIIIII")
_SENDER = struct.Struct(">IIIIII")
_NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says about one source (section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of 256, since the last report."""
    lost: int
    """Since the beginning; negative where repeats outnumber losses. Clamped to 24 bits."""
    highest: int
    """The extended highest sequence number: cycles in the upper 16 bits."""
    jitter: int
    """Timestamp units."""
    last_report: int = 0
    """The middle 32 bits of the NTP time of the last SR; 0 where none came."""
    delay: int = 0
    """1/65536 seconds between that SR's arrival and this report."""

    def __bytes__(self) -> bytes:
        lost = max(-0x800000, min(0x7FFFFF, self.lost)) & 0xFFFFFF
        return _BLOCK.pack(
            self.ssrc,
            self.fraction_lost << 24 | lost,
            self.highest,
            self.jitter,
            self.last_report,
            self.delay,
        )

    @classmethod
    def parse(cls, data: bytes, position: int) -> ReportBlock:
        ssrc, losses, highest, jitter, last, delay = _BLOCK.unpack_from(data, position)
        lost = (losses & 0xFFFFFF ^ 0x800000) - 0x800000
        return cls(ssrc, losses >> 24, lost, highest, jitter, last, delay)


@dataclass(frozen=True, slots=True)
class SenderReport:
    """SR: what we sent until now, and what we heard (section 6.4.1)."""

    ssrc: int
    ntp: int
    """64-bit NTP time (see `ntp_time`)."""
    timestamp: int
    """The RTP timestamp of the same instant."""
    packets: int
    octets: int
    """Payload bytes, without headers and padding."""
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        sender = _SENDER.pack(
            self.ssrc,
            self.ntp >> 32,
            self.ntp & 0xFFFFFFFF,
            self.timestamp,
            self.packets & 0xFFFFFFFF,
            self.octets & 0xFFFFFFFF,
        )
        return _packet(SR, len(self.blocks), sender + b"".join(map(bytes, self.blocks)))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """RR: what we heard, from one that sent nothing lately (section 6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def __bytes__(self) -> bytes:
        body = self.ssrc.to_bytes(4, "big") + b"".join(map(bytes, self.blocks))
        return _packet(RR, len(self.blocks), body)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """SDES with the one item that is mandatory, CNAME (section 6.5)."""

    ssrc: int
    cname: str

    def __bytes__(self) -> bytes:
        text = self.cname.encode()[:255]
        item = self.ssrc.to_bytes(4, "big") + bytes([_CNAME, len(text)]) + text + b"\0"
        return _packet(SDES, 1, item + bytes(-len(item) % 4))


@dataclass(frozen=True, slots=True)
class Goodbye:
    """BYE: these sources are gone (section 6.6)."""

    sources: tuple[int, ...]
    reason: str = ""

    def __bytes__(self) -> bytes:
        body = struct.pack(f">{len(self.sources)}I", *self.sources)
        if self.reason:
            text = self.reason.encode()[:255]
            body += bytes([len(text)]) + text
            body += bytes(-len(body) % 4)
        return _packet(BYE, len(self.sources), body)


RtcpPacket = SenderReport | ReceiverReport | SourceDescription | Goodbye


def compound(packets: Iterable[RtcpPacket]) -> bytes:
    """One datagram of these packets; RFC 3550 section 6.1 wants a report first, SDES second."""
    return b"".join(map(bytes, packets))


def ntp_time(seconds: float) -> int:
    """Unix time in seconds as the 64-bit NTP time of an SR."""
    return int((seconds + _NTP_EPOCH) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def parse(data: bytes) -> tuple[RtcpPacket, ...]:
    """Reads a datagram; raises ValueError where a length, count or version is wrong."""
    packets: list[RtcpPacket] = []
    position = 0
    if len(data) < _HEADER.size:
        raise ValueError(f"RTCP packet of {len(data)} bytes is shorter than its header")
    while position < len(data):
        if len(data) - position < _HEADER.size:
            raise ValueError("RTCP compound ends within a header")
        flags, kind, words = _HEADER.unpack_from(data, position)
        end = position + 4 * (words + 1)
        if flags >> 6 != 2:
            raise ValueError(f"RTCP version {flags >> 6} is not 2")
        if end > len(data):
            raise ValueError("RTCP packet is longer than its datagram")
        body = data[position + _HEADER.size : end]
        if flags & 0x20:
            if not body or not 0 < body[-1] <= len(body):
                raise ValueError("RTCP padding does not fit in the packet")
            body = body[: -body[-1]]
        packet = _parse_body(kind, flags & 0x1F, body)
        if packet is not None:
            packets.append(packet)
        position = end
    return tuple(packets)


def _parse_body(kind: int, count: int, body: bytes) -> RtcpPacket | None:
    if kind == SR:
        _need(body, _SENDER.size + count * _BLOCK.size, "SR")
        ssrc, high, low, timestamp, packets, octets = _SENDER.unpack_from(body)
        blocks = _blocks(body, _SENDER.size, count)
        return SenderReport(ssrc, high << 32 | low, timestamp, packets, octets, blocks)
    if kind == RR:
        _need(body, 4 + count * _BLOCK.size, "RR")
        return ReceiverReport(int.from_bytes(body[:4], "big"), _blocks(body, 4, count))
    if kind == BYE:
        _need(body, 4 * count, "BYE")
        sources = struct.unpack_from(f">{count}I", body)
        reason = body[4 * count + 1 : 4 * count + 1 + body[4 * count]] if body[4 * count :] else b""
        return Goodbye(sources, reason.decode(errors="replace"))
    if kind == SDES and count:
        return _parse_sdes(body)
    return None


def _parse_sdes(body: bytes) -> SourceDescription:
    """The first chunk; items other than CNAME are passed over."""
    _need(body, 4, "SDES")
    cname, position = "", 4
    while position < len(body) and body[position]:
        _need(body, position + 2, "SDES item")
        end = position + 2 + body[position + 1]
        _need(body, end, "SDES item")
        if body[position] == _CNAME:
            cname = body[position + 2 : end].decode(errors="replace")
        position = end
    return SourceDescription(int.from_bytes(body[:4], "big"), cname)


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    return tuple(ReportBlock.parse(body, start + i * _BLOCK.size) for i in range(count))


def _need(body: bytes, size: int, what: str) -> None:
    if len(body) < size:
        raise ValueError(f"RTCP {what} of {len(body)} bytes is shorter than the {size} it needs")


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(2 << 6 | count, kind, len(body) // 4) + body
