"""RTCP of one call (RFC 3550 section 6): a report every 5 s, BYE at the end, and what comes back.

Reports leave on the odd port, or on the RTP port where the two are muxed (RFC 5761), and name what
was really sent, received and lost. What comes is a sign of life; it also says where the far side
wants its reports (RFC 4961), when it comes from the host that is latched. When an SR came is known
from the kernel on the odd port; where it is not known, LSR and DLSR are 0, as the RFC wants.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable

from sipmail.media.player import Player
from sipmail.media.protocol import Leg
from sipmail.rtp import rtcp
from sipmail.rtp.latch import Address
from sipmail.rtp.reception import Reception

REPORT_TICKS = 5000
READ_TICKS = 2500

_DATAGRAM = 2048
_MOST_DATAGRAMS = 8
_TIMESTAMP = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIMESPEC = struct.Struct("@ll")
_ANCILLARY = socket.CMSG_SPACE(_TIMESPEC.size)


class Control:
    """The RTCP side of one call; `tick` counts milliseconds."""

    __slots__ = (
        "_cname",
        "_leg",
        "_muxed",
        "_player",
        "_read_due",
        "_reception",
        "_report_due",
        "_sent_before",
        "_socket",
        "_sr_arrival",
        "_sr_ntp",
        "_target",
    )

    def __init__(
        self,
        sock: socket.socket,
        muxed: socket.socket,
        player: Player,
        reception: Reception,
        cname: int,
    ) -> None:
        """`sock` is bound to the odd port, `muxed` to the RTP port.

        `cname` is a random number: a name that lasts for the call and tells nothing (RFC 7022).
        """
        self._socket = sock
        self._muxed = muxed
        self._player = player
        self._reception = reception
        self._cname = f"{cname:016x}"
        self._leg: Leg | None = None
        self._target: Address | None = None
        self._report_due = 0
        self._read_due = 0
        self._sent_before = (0, 0)
        self._sr_ntp = 0
        self._sr_arrival = 0.0

    @property
    def socket(self) -> socket.socket:
        """The odd port's."""
        return self._socket

    def configure(self, leg: Leg, tick: int) -> None:
        """Reports go by this answer from now on."""
        if self._leg is None:
            self._report_due = tick + REPORT_TICKS
            self._read_due = tick + READ_TICKS
        self._leg = leg
        self._target = (leg.rtcp_host, leg.rtcp_port) if leg.rtcp_port else None

    def run(self, tick: int, wall: Callable[[], float], latched: Address | None) -> bool:
        """Reads and reports where it is time to; returns whether the far side was heard."""
        heard = False
        if tick >= self._read_due:
            self._read_due = tick + READ_TICKS
            heard = self._read(latched)
        if tick >= self._report_due:
            self._report_due = tick + REPORT_TICKS
            self._send(self._report(tick, wall()))
        return heard

    def take(
        self, packet: bytes, source: Address, latched: Address | None, arrival: float = 0.0
    ) -> bool:
        """Takes one RTCP datagram; False where it is broken or from a stranger.

        `arrival` is when it came (Unix time, seconds), 0 where that is not known.
        """
        leg = self._leg
        if leg is None:
            return False
        hosts = {leg.rtcp_host, leg.remote_host, latched[0] if latched else leg.remote_host}
        if source[0] not in hosts:
            return False
        try:
            packets = rtcp.parse(packet)
        except ValueError:
            return False
        for report in packets:
            if isinstance(report, rtcp.SenderReport):
                self._sr_ntp = report.ntp >> 16 & 0xFFFFFFFF if arrival else 0
                self._sr_arrival = arrival
        if not leg.rtcp_mux and latched is not None and source[0] == latched[0]:
            self._target = source
        return True

    def goodbye(self, tick: int, wall: float) -> None:
        """Says BYE, with the last report."""
        if self._leg is not None:
            self._send([*self._report(tick, wall), rtcp.Goodbye((self._player.ssrc,))])

    def close(self) -> None:
        """Closes the odd port's socket."""
        self._socket.close()

    def _report(self, tick: int, wall: float) -> list[rtcp.RtcpPacket]:
        player = self._player
        delay = 0
        if self._sr_ntp:
            delay = max(0, min(0xFFFFFFFF, round((wall - self._sr_arrival) * 65536)))
        block = self._reception.block(self._sr_ntp, delay)
        blocks = (block,) if block else ()
        report: rtcp.RtcpPacket
        if player.sent > self._sent_before[0]:
            report = rtcp.SenderReport(
                player.ssrc,
                rtcp.ntp_time(wall),
                player.timestamp(tick),
                player.sent,
                player.octets,
                blocks,
            )
        else:  # nothing was sent since the report before the last (section 6.4)
            report = rtcp.ReceiverReport(player.ssrc, blocks)
        self._sent_before = (self._sent_before[1], player.sent)
        return [report, rtcp.SourceDescription(player.ssrc, self._cname)]

    def _send(self, packets: list[rtcp.RtcpPacket]) -> None:
        data = rtcp.compound(packets)
        if self._leg is not None and self._leg.rtcp_mux:
            sock, target, connected = self._muxed, self._player.target, self._player.connected
        else:
            sock, target, connected = self._socket, self._target, False
        # A report that does not leave (the far side refuses RTCP) is no loss to anyone.
        with contextlib.suppress(OSError):
            if connected:
                sock.send(data)
            elif target is not None:
                sock.sendto(data, target)

    def _read(self, latched: Address | None) -> bool:
        heard = False
        for _ in range(_MOST_DATAGRAMS):
            try:
                data, ancillary, _, source = self._socket.recvmsg(_DATAGRAM, _ANCILLARY)
            except BlockingIOError:
                break
            except OSError:  # an ICMP message for an earlier report
                continue
            arrival = 0.0
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == _TIMESTAMP:
                    seconds, nanoseconds = _TIMESPEC.unpack_from(value)
                    arrival = seconds + nanoseconds / 1e9
            heard |= self.take(data, source[:2], latched, arrival)
        return heard
