"""What a call hears: whose packets it takes, and the way of those packets into the journal.

Rules:
- once the negotiated address speaks, the socket is connected to it and the kernel does the
  filtering. A source that was latched in its place is only compared with, batch by batch, so that
  the negotiated address can win at any time; where strangers flood the socket, the kernel lets in
  those two alone;
- packets that were queued before the socket was connected may be anyone's, so reading goes on
  with addresses until the queue was empty once;
- in the common case a batch goes from the kernel to the journal without being looked at packet by
  packet: all have one size and carry on one stream. Anything else takes the slow path, which is
  right for every packet;
- after two seconds of silence the socket is opened again, for a far side that moved;
- where telephone-events were not agreed on, keys are heard in the sound.

The jitter is that of one packet a second, the last of a drain, whose arrival the kernel remembers;
the time of the drain itself would say nothing. Where the kernel does not tell, it is 0.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address
from itertools import groupby

import numpy as np
import numpy.typing as npt

from sipmail.errors import MediaError
from sipmail.media.batch import G711_20_MS, SLOTS, Batch, Layout, arrival, disconnect
from sipmail.media.control import Control
from sipmail.media.inband import InbandDetector
from sipmail.media.loudness import ENERGIES
from sipmail.media.prelude import Prelude
from sipmail.media.protocol import Leg
from sipmail.media.recorder import Recorder
from sipmail.media.source_filter import let_all_in, let_in
from sipmail.rtp import journal
from sipmail.rtp.event import DigitDetector
from sipmail.rtp.latch import Address, Latch
from sipmail.rtp.packet import HEADER, RtpPacket, is_rtcp
from sipmail.rtp.reception import Reception

_MOST_BATCHES = 8
_FLOOD = 64
"""Datagrams that nobody wanted, in one drain."""
_PLAIN = 0x80  # version 2, no padding, no extension, no CSRC
_TICKS = 1000
_STAMP_TICKS = 1000
_SAMPLES_A_TICK = 8


class Receiver:
    """The receiving side of one call; `tick` counts milliseconds."""

    __slots__ = (
        "_batch",
        "_codecs",
        "_control",
        "_digits",
        "_event",
        "_filtered",
        "_inband",
        "_latch",
        "_layout",
        "_prefix",
        "_reception",
        "_socket",
        "_source",
        "_stamp_due",
        "connected",
        "flooded",
        "heard",
        "rejected",
        "started",
    )

    def __init__(
        self, sock: socket.socket, batch: Batch, reception: Reception, control: Control, tick: int
    ) -> None:
        """`sock` is bound to the RTP port; RTCP that comes on it is for `control`."""
        self._socket = sock
        self._batch = batch
        self._reception = reception
        self._control = control
        self._latch = Latch()
        self._digits = DigitDetector()
        self._codecs: dict[int, str] = {}
        self._event: int | None = None
        self._inband: InbandDetector | None = None
        self._layout = batch.layout(G711_20_MS, addressed=True)
        self._prefix = b""
        self._source = b""
        self._stamp_due = tick
        self._filtered = False
        self.connected = False
        """Whether the kernel takes packets from the latched source only."""
        self.flooded = False
        """Whether strangers had to be kept out, whom the kernel counts as packets it dropped."""
        self.heard = tick
        """When the far side was last heard."""
        self.started = False
        """Whether a packet was taken yet."""
        self.rejected = 0
        """Datagrams that nobody wanted."""

    @property
    def codecs(self) -> Mapping[int, str]:
        """The payload types that are sound, and how it is encoded."""
        return self._codecs

    @property
    def latched(self) -> Address | None:
        """The source whose packets are taken."""
        return self._latch.source

    @property
    def target(self) -> Address | None:
        """Where the far side is to be reached; None where nothing is known of it."""
        return self._latch.source or self._latch.negotiated

    def configure(self, leg: Leg) -> None:
        """Takes packets by this answer from now on; raises MediaError for a host that is a name."""
        try:
            address = ip_address(leg.remote_host)
        except ValueError:
            raise MediaError(f"{leg.remote_host!r} is no IP address") from None
        payloads = {leg.payload_type: leg.codec, **leg.payloads}
        self._codecs = {
            kind: name.upper() for kind, name in payloads.items() if name.upper() in ENERGIES
        }
        self._event = leg.event_payload_type
        if self._event is not None:
            self._inband = None
        elif self._inband is None:
            self._inband = InbandDetector()
        kinds = {*payloads, leg.event_payload_type, leg.cn_payload_type}
        known = leg.remote_port and not address.is_unspecified
        self._latch.negotiate(
            (str(address), leg.remote_port) if known else None,
            {kind for kind in kinds if kind is not None},
        )
        self._prefix = b""
        if self._latch.source is None:
            self._open_up()

    def drain(self, tick: int, into: Recorder | Prelude | None) -> Sequence[str]:
        """Takes every packet that the kernel holds; returns the digits that were pressed.

        What is taken goes `into` what there is for it; raises OSError where that cannot write.
        """
        pressed: Sequence[str] = ()
        rejected = self.rejected
        for _ in range(_MOST_BATCHES):
            filtered = self.connected
            layout = self._layout
            count = layout.receive(self._socket)
            if count:
                if not self._take_run(layout, count, tick, into):
                    pressed = (*pressed, *self._take_singly(layout, count, tick, into))
                elif self._inband is not None:
                    codec = self._codecs[self._prefix[1]]
                    pressed = (*pressed, *self._inband.feed(codec, layout.payloads(count)))
            if count < SLOTS and filtered == self.connected:
                if filtered == self._layout.addressed:
                    self._layout = self._batch.layout(self._layout.size, addressed=not filtered)
                break
        if (self.connected or self._filtered) and self._latch.quiet(tick / _TICKS):
            self._open_up()
        elif self.rejected - rejected >= _FLOOD and not self.connected:
            self._keep_strangers_out()
        return pressed

    def record(self, recorder: Recorder, packets: Sequence[bytes], tick: int) -> None:
        """Records packets that were taken before; raises OSError where it cannot write."""
        samples = sum(len(words) for _, words in self._sound(packets))
        records = journal.frame(packets, recorder.milliseconds(tick))
        recorder.take(records, samples // _SAMPLES_A_TICK, tick)

    def _take_run(
        self, layout: Layout, count: int, tick: int, into: Recorder | Prelude | None
    ) -> bool:
        """Takes a batch as a whole; False where it is not one that carries on the stream."""
        reception = self._reception
        following = reception.sequence + 1 & 0xFFFF
        if not layout.follows(count, self._prefix, following, self._source):
            return False
        latch = self._latch
        if layout.addressed and not (latch.source and layout.only_from(count, latch.source)):
            return False
        reception.run(count)
        if tick >= self._stamp_due:
            self._stamp_due = tick + _STAMP_TICKS
            if came := arrival(self._socket):
                reception.arrival(came, layout.timestamp(count - 1))
        latch.heard(tick / _TICKS)
        self.heard = tick
        if isinstance(into, Prelude):
            into.keep([layout.packet(index) for index in range(count)], tick)
        elif into is not None:
            lasts = count * (layout.size - HEADER.size) // _SAMPLES_A_TICK
            into.take(layout.records(count, into.milliseconds(tick)), lasts, tick)
        return True

    def _take_singly(
        self, layout: Layout, count: int, tick: int, into: Recorder | Prelude | None
    ) -> list[str]:
        """Takes a batch packet by packet; returns the digits that were pressed."""
        taken: list[bytes] = []
        latch = self._latch
        for index in range(count):
            packet = layout.packet(index)
            source = layout.source(index) if layout.addressed else latch.source
            if source is None:
                self.rejected += 1
            elif is_rtcp(packet):
                if self._control.take(packet, source, latch.source):
                    self.heard = tick
                else:
                    self.rejected += 1
            else:
                packets = latch.feed(source, packet, tick / _TICKS)
                self.rejected += 1 - len(packets)  # what was held back counted as rejected
                taken += packets
        if not taken:
            return []
        if not self.connected and latch.source == latch.negotiated:
            self._connect()
        self.heard = tick
        self.started = True
        pressed = [digit for packet in taken if (digit := self._look(packet))]
        self._adapt(taken)
        if self._inband is not None:
            for codec, words in self._sound(taken):
                pressed += self._inband.feed(codec, words)
        if isinstance(into, Prelude):
            into.keep(taken, tick)
        elif into is not None:
            self.record(into, taken, tick)
        return pressed

    def _look(self, packet: bytes) -> str | None:
        """Counts a packet that was taken; returns the digit that begins with it, if one does."""
        _, second, sequence, timestamp, ssrc = HEADER.unpack_from(packet)
        self._reception.packet(ssrc, sequence)
        if second & 0x7F != self._event:
            return None
        return self._digits.feed(ssrc, timestamp, _payload(packet))

    def _adapt(self, packets: Sequence[bytes]) -> None:
        """Expects from now on what the last packet of sound was like."""
        for packet in reversed(packets):
            kind = packet[1] & 0x7F
            if kind in self._codecs:
                break
        else:
            return
        self._prefix = bytes((_PLAIN, kind)) if packet[0] == _PLAIN else b""
        self._source = struct.pack(">I", self._reception.ssrc or 0)
        if len(packet) != self._layout.size:
            self._layout = self._batch.layout(len(packet), addressed=self._layout.addressed)

    def _sound(self, packets: Sequence[bytes]) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        """The sound in these packets: codec and (n,) words of each run with one codec."""
        for codec, run in groupby(packets, lambda packet: self._codecs.get(packet[1] & 0x7F)):
            if codec and (words := b"".join(map(_payload, run))):
                yield codec, np.frombuffer(words, np.uint8)

    def _connect(self) -> None:
        """The negotiated address speaks: the kernel is to take nobody else's packets."""
        if self._latch.source is None:
            return
        for _ in range(2):  # an ICMP message for an earlier packet may be reported here
            try:
                self._socket.connect(self._latch.source)
            except OSError:
                continue
            self.connected = True
            return

    def _keep_strangers_out(self) -> None:
        latch = self._latch
        if latch.source is not None and not self._filtered:
            self._filtered = let_in(self._socket, filter(None, (latch.source, latch.negotiated)))
            self.flooded |= self._filtered

    def _open_up(self) -> None:
        """Packets may come from anywhere again."""
        if self.connected:
            disconnect(self._socket)
            self.connected = False
        if self._filtered:
            let_all_in(self._socket)
            self._filtered = False
        self._layout = self._batch.layout(self._layout.size, addressed=True)


def _payload(packet: bytes) -> bytes:
    """The payload of an RTP packet, empty where it is malformed."""
    try:
        return RtpPacket.parse(packet).payload
    except ValueError:
        return b""
