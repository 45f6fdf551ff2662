"""Whose packets a call takes: address latching (symmetric RTP, RFC 4961, RFC 7362 section 4).

Rules:
- the address that was negotiated is always right: one RTP packet of a negotiated payload type from
  it is enough, whoever was latched before;
- another source (the far side is behind NAT) is latched after four packets in sequence, of one
  SSRC and of negotiated payload types; those four are all taken, none is lost;
- a latched source stays: another one is latched only after a new answer (`negotiate`), or after
  two seconds without packets, and then only if it carries on the same SSRC.
"""

from __future__ import annotations

from collections.abc import Collection

from sipmail.rtp.packet import HEADER, is_rtp

Address = tuple[str, int]

IN_SEQUENCE = 4
"""Packets in sequence after which a source is believed."""

RELATCH_SECONDS = 2.0
"""Silence of the latched source after which another may carry on its SSRC."""

_MOST_CANDIDATES = 4


class _Candidate:
    """A source that is not believed yet, with the packets that speak for it."""

    __slots__ = ("packets", "sequence", "ssrc")

    def __init__(self, ssrc: int, sequence: int, packet: bytes) -> None:
        self.ssrc = ssrc
        self.sequence = sequence
        self.packets = [packet]


class Latch:
    """The address latching of one call; `now` is any clock's seconds."""

    __slots__ = ("_candidates", "_last", "_payload_types", "_ssrc", "negotiated", "source")

    def __init__(self) -> None:
        self.negotiated: Address | None = None
        """Where the far side said it sends from and receives, as (IP address, port)."""
        self.source: Address | None = None
        """The latched source, None while there is none."""
        self._payload_types: frozenset[int] = frozenset()
        self._ssrc: int | None = None
        self._last = 0.0
        self._candidates: dict[Address, _Candidate] = {}

    def negotiate(self, address: Address | None, payload_types: Collection[int]) -> None:
        """A new answer: where it names another address, any source may be latched again.

        `address` is None while the far side has none (an old-style hold, 0.0.0.0).
        """
        self._payload_types = frozenset(payload_types)
        self._candidates.clear()
        if address != self.negotiated or self.source != address:
            self.negotiated = address
            self.source = None
            self._ssrc = None

    def quiet(self, now: float) -> bool:
        """Whether the latched source has been silent so long that another may carry on."""
        return self.source is not None and now - self._last >= RELATCH_SECONDS

    def heard(self, now: float) -> None:
        """Packets that carry on the stream of the latched source were taken without `feed`."""
        self._last = now

    def feed(self, source: Address, packet: bytes, now: float) -> list[bytes]:
        """Offers one datagram; returns the packets to take, in order: none, it, or it and those
        that were held back until its source was believed.
        """
        if not is_rtp(packet):
            return []
        _, second, sequence, _, ssrc = HEADER.unpack_from(packet)
        agreed = second & 0x7F in self._payload_types
        if source == self.source or (source == self.negotiated and agreed):
            self._take(source, ssrc, now)
            return [packet]
        if not agreed or not self._may_latch(ssrc, now):
            self._candidates.pop(source, None)
            return []
        return self._hold(source, ssrc, sequence, packet, now)

    def _may_latch(self, ssrc: int, now: float) -> bool:
        return self.source is None or (self.quiet(now) and ssrc == self._ssrc)

    def _hold(
        self, source: Address, ssrc: int, sequence: int, packet: bytes, now: float
    ) -> list[bytes]:
        candidate = self._candidates.get(source)
        if candidate is not None and candidate.ssrc == ssrc:
            if sequence == candidate.sequence:
                return []
            if sequence == (candidate.sequence + 1) & 0xFFFF:
                candidate.sequence = sequence
                candidate.packets.append(packet)
                if len(candidate.packets) < IN_SEQUENCE:
                    return []
                self._take(source, ssrc, now)
                return candidate.packets
        if candidate is None and len(self._candidates) == _MOST_CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        self._candidates[source] = _Candidate(ssrc, sequence, packet)
        return []

    def _take(self, source: Address, ssrc: int, now: float) -> None:
        if source != self.source:
            self.source = source
            self._candidates.clear()
        self._ssrc = ssrc
        self._last = now
