"""What a receiver counts about a source (RFC 3550 appendix A.1, A.3 and A.8).

A source that begins anew (another SSRC, or two packets in sequence far away from the old numbers)
is counted afresh; what was received and lost before stays in the totals.
"""

from __future__ import annotations

from sipmail.rtp.packet import CLOCK_RATE
from sipmail.rtp.rtcp import ReportBlock

_MAX_DROPOUT = 3000
_MAX_MISORDER = 100
_CYCLE = 1 << 16


class Reception:
    """Counts the packets of the source that is heard now, and of those before it."""

    __slots__ = (
        "_bad",
        "_base",
        "_cycles",
        "_earlier_lost",
        "_earlier_received",
        "_expected_before",
        "_received",
        "_received_before",
        "_transit",
        "jitter",
        "sequence",
        "ssrc",
    )

    def __init__(self) -> None:
        self.ssrc: int | None = None
        """The source that is heard now."""
        self.sequence = 0
        """The highest sequence number, 16 bits."""
        self.jitter = 0.0
        """Timestamp units."""
        self._earlier_received = 0
        self._earlier_lost = 0
        self._base = 0
        self._cycles = 0
        self._bad = -1
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._transit: int | None = None

    @property
    def received(self) -> int:
        """Packets of all sources, repeats included."""
        return self._earlier_received + self._received

    @property
    def lost(self) -> int:
        """Packets expected less packets received, of all sources."""
        return self._earlier_lost + self._lost()

    @property
    def jitter_seconds(self) -> float:
        """The jitter in seconds."""
        return self.jitter / CLOCK_RATE

    def packet(self, ssrc: int, sequence: int) -> None:
        """Counts one packet (appendix A.1)."""
        if ssrc != self.ssrc:
            self._end()
            self.ssrc = ssrc
            self._begin(sequence)
        ahead = (sequence - self.sequence) & 0xFFFF
        if ahead < _MAX_DROPOUT:
            if sequence < self.sequence:
                self._cycles += _CYCLE
            self.sequence = sequence
        elif ahead <= _CYCLE - _MAX_MISORDER:
            if sequence != self._bad:
                self._bad = (sequence + 1) & 0xFFFF
                return
            self._end()
            self._begin(sequence)
        self._received += 1

    def run(self, count: int) -> None:
        """Counts `count` packets that follow the highest one without a gap."""
        sequence = self.sequence + count
        if sequence >= _CYCLE:
            self._cycles += _CYCLE
            sequence -= _CYCLE
        self.sequence = sequence
        self._received += count

    def arrival(self, seconds: float, timestamp: int) -> None:
        """Moves the jitter on (appendix A.8) by one packet whose arrival is known exactly."""
        transit = round(seconds * CLOCK_RATE) - timestamp
        if self._transit is not None:
            change = abs((transit - self._transit + 0x80000000 & 0xFFFFFFFF) - 0x80000000)
            if change < CLOCK_RATE * 10:  # a jump of the timestamps is no jitter
                self.jitter += (change - self.jitter) / 16
        self._transit = transit

    def block(self, last_report: int = 0, delay: int = 0) -> ReportBlock | None:
        """The block for the next report; None while no source was heard."""
        if self.ssrc is None:
            return None
        expected = self._expected()
        due = expected - self._expected_before
        lost = due - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(255, (lost << 8) // due) if due > 0 and lost > 0 else 0,
            lost=self._lost(),
            highest=(self._cycles + self.sequence) & 0xFFFFFFFF,
            jitter=int(self.jitter),
            last_report=last_report,
            delay=delay,
        )

    def _begin(self, sequence: int) -> None:
        self.sequence = sequence
        self._base = sequence
        self._cycles = 0
        self._bad = -1
        self._received = 0
        self._expected_before = 0
        self._received_before = 0
        self._transit = None

    def _end(self) -> None:
        if self.ssrc is not None:
            self._earlier_received += self._received
            self._earlier_lost += self._lost()

    def _expected(self) -> int:
        return self._cycles + self.sequence - self._base + 1

    def _lost(self) -> int:
        return self._expected() - self._received if self.ssrc is not None else 0
