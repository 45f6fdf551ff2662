"""The RTP packet (RFC 3550 section 5.1, extension 5.3.1, padding 5.1).

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---+-+-+-------+-+-------------+-------------------------------+
    |V=2|P|X|  CC   |M|     PT      |       sequence number         |
    +---+-+-+-------+-+-------------+-------------------------------+
    |                           timestamp                           |
    +---------------------------------------------------------------+
    |           synchronization source (SSRC) identifier            |
    +---------------------------------------------------------------+
    |            contributing source (CSRC) identifiers …           |
    +---------------------------------------------------------------+

Rules: every length is checked before it is used, and `ValueError` is all that `parse` raises.
The hot paths (`sipmail.media`, `sipmail.rtp.journal`) read the same fields with numpy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct(">BBHII")
"""The fixed header: V/P/X/CC, M/PT, sequence number, timestamp, SSRC."""

VERSION = 2
CLOCK_RATE = 8000
"""Timestamp units in a second, for every payload type that sipmail speaks."""

COMFORT_NOISE = 13
"""The static payload type of comfort noise (RFC 3389)."""


def is_rtcp(data: bytes) -> bool:
    """Whether a datagram on a port that RTP and RTCP share is RTCP (RFC 5761 section 4)."""
    return len(data) >= 2 and data[0] >> 6 == VERSION and 192 <= data[1] <= 223


def is_rtp(data: bytes) -> bool:
    """Whether a datagram has an RTP header: neither RTCP nor STUN, DTLS or anything else."""
    return len(data) >= HEADER.size and data[0] >> 6 == VERSION and not 192 <= data[1] <= 223


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet; `extension` is (profile, words as bytes), `padding` counts its bytes."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes = b""
    marker: bool = False
    csrc: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None
    padding: int = 0

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Reads one datagram; raises ValueError when it is not a whole RTP packet."""
        if len(data) < HEADER.size:
            raise ValueError(f"RTP packet of {len(data)} bytes is shorter than its header")
        flags, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        if flags >> 6 != VERSION:
            raise ValueError(f"RTP version {flags >> 6} is not {VERSION}")
        position = HEADER.size + 4 * (flags & 0x0F)
        if len(data) < position:
            raise ValueError("RTP packet ends within its CSRC list")
        csrc = struct.unpack_from(f">{flags & 0x0F}I", data, HEADER.size)
        extension = None
        if flags & 0x10:
            if len(data) < position + 4:
                raise ValueError("RTP packet ends within its extension header")
            profile, words = struct.unpack_from(">HH", data, position)
            position += 4 + 4 * words
            if len(data) < position:
                raise ValueError("RTP packet ends within its extension")
            extension = (profile, data[position - 4 * words : position])
        padding = 0
        if flags & 0x20:
            padding = data[-1]
            if not 0 < padding <= len(data) - position:
                raise ValueError(f"RTP padding of {padding} bytes does not fit in the packet")
        return cls(
            payload_type=second & 0x7F,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=ssrc,
            payload=data[position : len(data) - padding],
            marker=bool(second & 0x80),
            csrc=csrc,
            extension=extension,
            padding=padding,
        )

    def __bytes__(self) -> bytes:
        flags = VERSION << 6 | len(self.csrc)
        parts = [b""]
        if self.csrc:
            parts.append(struct.pack(f">{len(self.csrc)}I", *self.csrc))
        if self.extension is not None:
            profile, words = self.extension
            flags |= 0x10
            parts.append(struct.pack(">HH", profile, len(words) // 4) + words)
        parts.append(self.payload)
        if self.padding:
            flags |= 0x20
            parts.append(bytes(self.padding - 1) + bytes([self.padding]))
        parts[0] = HEADER.pack(
            flags, self.marker << 7 | self.payload_type, self.sequence, self.timestamp, self.ssrc
        )
        return b"".join(parts)
