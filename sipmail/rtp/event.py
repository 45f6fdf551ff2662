"""Telephone-events (RFC 4733 section 2.3): DTMF digits as RTP payload.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    +---------------+-+-+-----------+-------------------------------+
    |     event     |E|R|  volume   |           duration            |
    +---------------+-+-+-----------+-------------------------------+

All packets of one event have the timestamp of its beginning; the last is sent three times. So an
event is known by its timestamp, and the first packet of it that arrives reports the digit: losing
the marker, the start or the end changes nothing. An event longer than the duration field goes on
as a new segment without marker, its timestamp where the last segment ended (section 2.5.1.3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

DIGITS = "0123456789*#ABCD"
"""The digits of events 0 to 15 (section 3.2)."""

_PAYLOAD = struct.Struct(">BBH")
_LONGEST = 0xFFFF
_SEGMENT_SLACK = 800  # a sender may end a segment up to 100 ms before the field overflows


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """One payload; `duration` is in timestamp units, `volume` in -dBm0."""

    event: int
    end: bool
    volume: int
    duration: int

    @classmethod
    def parse(cls, payload: bytes) -> TelephoneEvent:
        """Reads the first four bytes; raises ValueError when there are fewer."""
        if len(payload) < _PAYLOAD.size:
            raise ValueError(f"telephone-event of {len(payload)} bytes is shorter than 4")
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        return cls(event, bool(flags & 0x80), flags & 0x3F, duration)

    def __bytes__(self) -> bytes:
        return _PAYLOAD.pack(self.event, self.end << 7 | self.volume, self.duration)


class DigitDetector:
    """Tells each pressed digit exactly once, whatever packets of it are lost, late or repeated."""

    __slots__ = ("_duration", "_ended", "_event", "_ssrc", "_timestamp")

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._timestamp = 0
        self._event = -1
        self._duration = 0
        self._ended = False

    def feed(self, ssrc: int, timestamp: int, payload: bytes) -> str | None:
        """Takes one event packet; returns the digit that begins with it, or None."""
        try:
            event = TelephoneEvent.parse(payload)
        except ValueError:
            return None
        if ssrc == self._ssrc:
            ahead = (timestamp - self._timestamp) & 0xFFFFFFFF
            if ahead == 0:
                self._duration = max(self._duration, event.duration)
                self._ended |= event.end
                return None
            if ahead >= 0x80000000:  # a late packet of an event that was told before
                return None
            segment = (
                event.event == self._event
                and not self._ended
                and self._duration > _LONGEST // 2
                and _LONGEST - _SEGMENT_SLACK <= ahead <= _LONGEST + 1
            )
        else:
            segment = False
        self._ssrc, self._timestamp = ssrc, timestamp
        self._event, self._duration, self._ended = event.event, event.duration, event.end
        if segment or event.event >= len(DIGITS):
            return None
        return DIGITS[event.event]
