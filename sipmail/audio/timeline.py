"""The time line of a call: its packets, however they arrived, as samples in real time.

Rules (RFC 3550 sections 5.1 and A.1, RFC 3551 section 4.1, RFC 3389, RFC 4733):
- the RTP timestamp is where a packet belongs, so order, delay and clock skew change nothing;
- timestamps that pass while packets are missing are a loss and are concealed; those that pass while
  none is missing are silence that the sender suppressed: comfort noise where a CN packet says so,
  digital silence during a telephone-event, else the background of the call;
- where stretches overlap, the one with more packets is heard, and of equal packets the first;
- packets of an unknown payload type or without a possible length are left out.

A call without loss gives exactly the decoded samples that were sent. All of it is done with arrays,
and a call whose packets are all there and in order takes a way of its own, which is shorter still.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from sipmail.audio.stretch import Index, Kind, Packets, Placed, arrange
from sipmail.codecs import g711
from sipmail.codecs.comfort_noise import background, comfort_noise, looped
from sipmail.codecs.concealment import conceal
from sipmail.codecs.g711 import Samples
from sipmail.rtp.journal import Journal, ahead
from sipmail.rtp.packet import CLOCK_RATE

RATE = CLOCK_RATE
"""Samples a second of every recording."""

_LONGEST_PACKET = 4000
_LONGEST_RECORDING = 7200 * RATE
_EVENT_BYTES = 4
_NOTED = RATE // 2
_MOST_NOISES = 64

_KINDS = {
    "PCMU": Kind.PCMU,
    "PCMA": Kind.PCMA,
    "CN": Kind.CN,
    "TELEPHONE-EVENT": Kind.EVENT,
}
_STATIC = {0: Kind.PCMU, 8: Kind.PCMA, 13: Kind.CN}  # RFC 3551 table 4

Kinds = npt.NDArray[np.uint8]
Bytes = npt.NDArray[np.uint8]


class Cause(Enum):
    """Why nothing was received for some time."""

    LOST = "lost"
    SUPPRESSED = "suppressed"
    """The sender sent nothing: silence, hold, another stream."""
    EVENT = "event"
    """A digit was sent as telephone-event."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time of half a second or more for which no sound was received; both in seconds."""

    start: float
    seconds: float
    cause: Cause


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The sound of a call and how it was received."""

    samples: Samples
    """(n,) at `rate`."""
    rate: int = RATE
    received: int = 0
    """Packets with sound, without repeated ones."""
    lost: int = 0
    """Packets that never arrived, where sound is missing for it."""
    repeated: int = 0
    reordered: int = 0
    """Packets that arrived after one that belongs behind them."""
    ignored: int = 0
    """Packets of unknown payload type or impossible length, and what lies too far away."""
    concealed_seconds: float = 0.0
    """Seconds of lost sound that were filled in."""
    suppressed_seconds: float = 0.0
    """Seconds that the sender left out."""
    stretches: int = 0
    """How many runs of timestamps the time line is made of."""
    gaps: tuple[Gap, ...] = ()

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate

    @property
    def lost_share(self) -> float:
        """The part of all packets with sound that was lost, 0 to 1."""
        sent = self.received + self.lost
        return self.lost / sent if sent else 0.0


def samples(journal: Journal, payloads: Mapping[int, str]) -> Recording:
    """The sound of `journal`; `payloads` names the encoding of each negotiated payload type.

    Names are those of SDP (`PCMU`, `PCMA`, `CN`, `telephone-event`; what follows a slash does not
    count). The static payload types 0, 8 and 13 are known without being named. Raises nothing:
    what cannot be used is counted in `ignored`.
    """
    kinds = _kind_table(payloads)
    return _in_order(journal, kinds) or _rebuilt(journal, kinds)


def _kind_table(payloads: Mapping[int, str]) -> Kinds:
    table = np.zeros(256, np.uint8)
    for number, kind in _STATIC.items():
        table[number] = kind
    for number, name in payloads.items():
        if 0 <= number < 128:
            table[number] = _KINDS.get(name.partition("/")[0].strip().upper(), Kind.UNKNOWN)
    return table


def _in_order(journal: Journal, kinds: Kinds) -> Recording | None:
    """The recording, if its sound is packets all alike, each the successor of the one before it.

    Events may stand among them, as the key that ends most messages does: where no timestamp is
    left out, they took no time.
    """
    kind = kinds[journal.payload_type]
    length = journal.length
    spoken = kind != Kind.EVENT
    timestamp, offset, ssrc = journal.timestamp, journal.offset, journal.ssrc
    if not spoken.all():
        if (length[~spoken] < _EVENT_BYTES).any():
            return None
        kind, length, ssrc = kind[spoken], length[spoken], ssrc[spoken]
        timestamp, offset = timestamp[spoken], offset[spoken]
    count = len(kind)
    if count == 0:
        return Recording(np.zeros(0, np.int16))
    size = int(length[0])
    alike = (
        int(kind[0]) in (Kind.PCMU, Kind.PCMA)
        and 0 < size <= _LONGEST_PACKET
        and count * size <= _LONGEST_RECORDING
        and bool((length == size).all())
        and bool((kind == kind[0]).all())
        and bool((ssrc == ssrc[0]).all())
        and bool((np.diff(timestamp) == size).all())
    )
    if not alike:
        return None
    buffer: Bytes = np.frombuffer(journal.data, np.uint8)
    rows = ahead(buffer, offset, size)
    decode = g711.decode_ulaw if kind[0] == Kind.PCMU else g711.decode_alaw
    return Recording(decode(rows).ravel(), received=count, stretches=1)


def _rebuilt(journal: Journal, kinds: Kinds) -> Recording:
    """The recording of any packets in any order."""
    packets, ignored = _usable(journal, kinds)
    if not len(packets.kind):
        return Recording(np.zeros(0, np.int16), ignored=ignored)
    placed = arrange(packets)
    kept = (placed.stretch >= 0) & (placed.position + packets.length <= _LONGEST_RECORDING)
    speech = np.flatnonzero(kept & (packets.length > 0))
    heard = _without_repeats(packets, placed, speech)
    noises = np.flatnonzero(kept & (packets.kind == Kind.CN))
    total = int((placed.position + packets.length)[np.concatenate((heard, noises))].max(initial=0))
    sound = np.zeros(total, np.int16)
    _paint(sound, journal, packets, placed, heard)

    gaps = _gaps(packets, placed, heard, total)
    causes, missing = _causes(packets, placed, gaps, journal.data)
    lost = causes == _LOST
    lost_seconds = 0.0
    if len(gaps.start):
        usual = int(np.median(packets.length[heard])) if len(heard) else 160
        # A loss at the edge of suppressed silence is only as long as what is missing.
        credible = gaps.stop - gaps.start <= 2 * missing * usual
        until = np.where(credible, gaps.stop, gaps.start + missing * usual)
        received = np.ones(total, np.bool_)
        for start, stop in zip(gaps.start.tolist(), gaps.stop.tolist(), strict=True):
            received[start:stop] = False
        under = background(sound[received])
        partly = ~lost | (until < gaps.stop)
        _fill_silence(sound, gaps.start[partly], gaps.stop[partly], under)
        _fill_events(sound, packets, placed, journal.data, received)
        _fill_noise(sound, packets, placed, noises, journal.data, gaps, lost)
        losses = np.stack((gaps.start[lost], until[lost]), axis=1)
        conceal(sound, losses, under)
        lost_seconds = float((losses[:, 1] - losses[:, 0]).sum()) / RATE
    silent = (gaps.stop - gaps.start)[causes == _SUPPRESSED]
    return Recording(
        samples=sound,
        received=len(heard),
        lost=int(missing[lost].sum()),
        repeated=len(speech) - len(heard),
        reordered=_reordered(placed, speech),
        ignored=ignored + int((~kept).sum()),
        concealed_seconds=lost_seconds,
        suppressed_seconds=float(silent.sum()) / RATE,
        stretches=placed.count,
        gaps=_noted(gaps, causes),
    )


def _usable(journal: Journal, kinds: Kinds) -> tuple[Packets, int]:
    """The packets of known kind and possible length, and how many others there are."""
    kind = kinds[journal.payload_type]
    length = journal.length.astype(np.int64)
    speech = (kind == Kind.PCMU) | (kind == Kind.PCMA)
    usable = np.where(speech, (length > 0) & (length <= _LONGEST_PACKET), False)
    usable |= (kind == Kind.CN) & (length > 0)
    usable |= (kind == Kind.EVENT) & (length >= _EVENT_BYTES)
    packets = Packets(
        kind=kind[usable],
        sequence=journal.sequence[usable],
        timestamp=journal.timestamp[usable],
        ssrc=journal.ssrc[usable],
        arrival=journal.arrival[usable],
        length=np.where(speech, length, 0)[usable],
        offset=journal.offset[usable],
    )
    return packets, int((~usable).sum())


def _without_repeats(packets: Packets, placed: Placed, speech: Index) -> Index:
    """`speech` by position, one packet each: the first one of the largest stretch."""
    sizes = np.bincount(placed.stretch[speech], minlength=placed.count)
    weight = sizes[placed.stretch[speech]]
    position = placed.position[speech]
    ordered = speech[np.lexsort((speech, -weight, position))]
    at = placed.position[ordered]
    first = np.ones(len(ordered), np.bool_)
    first[1:] = at[1:] != at[:-1]
    return ordered[first]


def _reordered(placed: Placed, speech: Index) -> int:
    """How many packets came after one that belongs behind them in the same stretch."""
    late = 0
    for number in range(placed.count):
        order = placed.sequence[speech[placed.stretch[speech] == number]]
        late += int((order[1:] < np.maximum.accumulate(order)[:-1]).sum())
    return late


def _paint(
    sound: Samples, journal: Journal, packets: Packets, placed: Placed, heard: Index
) -> None:
    """Decodes the packets `heard` to their positions; the largest stretch comes last and stays."""
    sizes = np.bincount(placed.stretch[heard], minlength=placed.count)
    for number in np.argsort(sizes, kind="stable"):
        mine = heard[placed.stretch[heard] == number]
        ends = placed.position[mine] + packets.length[mine]
        if (placed.position[mine][1:] >= ends[:-1]).all():
            _paint_disjoint(sound, journal, packets, placed, mine)
        else:  # packets longer than their timestamps allow: the earliest to arrive stays
            for one in np.sort(mine)[::-1]:
                _paint_disjoint(sound, journal, packets, placed, np.array([one]))


def _paint_disjoint(
    sound: Samples, journal: Journal, packets: Packets, placed: Placed, heard: Index
) -> None:
    length = packets.length[heard]
    begun = np.cumsum(length) - length
    run = np.arange(int(length.sum()))
    source = np.repeat(packets.offset[heard] - begun, length) + run
    target = np.repeat(placed.position[heard] - begun, length) + run
    codes = np.frombuffer(journal.data, np.uint8)[source]
    mulaw = packets.kind[heard] == Kind.PCMU
    if mulaw.all():
        sound[target] = g711.decode_ulaw(codes)
    elif not mulaw.any():
        sound[target] = g711.decode_alaw(codes)
    else:
        law = np.repeat(mulaw, length)
        sound[target] = np.where(law, g711.decode_ulaw(codes), g711.decode_alaw(codes))


@dataclass(frozen=True, slots=True, eq=False)
class _Gaps:
    """Where nothing was received: (k,) first sample, sample after the last, packets beside it."""

    start: Index
    stop: Index
    before: Index
    """The packet that ends there; -1 at the beginning."""
    behind: Index
    """The packet that begins behind it; -1 at the end."""


def _gaps(packets: Packets, placed: Placed, heard: Index, total: int) -> _Gaps:
    position = placed.position[heard]
    ends = np.maximum.accumulate(position + packets.length[heard]) if len(heard) else position
    start = np.concatenate(([0], ends))
    stop = np.concatenate((position, [total]))
    gap = stop > start
    beside = np.concatenate(([-1], heard, [-1]))
    return _Gaps(start[gap], stop[gap], beside[:-1][gap], beside[1:][gap])


_LOST, _SUPPRESSED, _EVENT = 0, 1, 2
_CAUSES = (Cause.LOST, Cause.SUPPRESSED, Cause.EVENT)


def _causes(packets: Packets, placed: Placed, gaps: _Gaps, data: bytes) -> tuple[Index, Index]:
    """Why each gap is there, and how many packets are missing in it."""
    count = len(gaps.start)
    causes = np.full(count, _SUPPRESSED, np.int64)
    missing = np.zeros(count, np.int64)
    inner = (gaps.before >= 0) & (gaps.behind >= 0)
    inner &= placed.stretch[gaps.before] == placed.stretch[gaps.behind]
    others = packets.length == 0
    for number in np.unique(placed.stretch[gaps.before[inner]]):
        mine = inner & (placed.stretch[gaps.before] == number)
        first = placed.sequence[gaps.before[mine]]
        last = placed.sequence[gaps.behind[mine]]
        present = np.unique(placed.sequence[others & (placed.stretch == number)])
        between = np.searchsorted(present, last) - np.searchsorted(present, first)
        missing[mine] = np.maximum(last - first - 1 - between, 0)
    causes[missing > 0] = _LOST
    for begin, end in _events(packets, placed, data):
        touched = (gaps.start < end) & (gaps.stop > begin)
        causes[touched] = _EVENT
    return causes, missing


def _events(packets: Packets, placed: Placed, data: bytes) -> list[tuple[int, int]]:
    """The time that each telephone-event takes, from its position and its longest duration."""
    events = np.flatnonzero((packets.kind == Kind.EVENT) & (placed.stretch >= 0))
    if not len(events):
        return []
    buffer: Bytes = np.frombuffer(data, np.uint8)
    offset = packets.offset[events]
    duration = buffer[offset + 2].astype(np.int64) << 8 | buffer[offset + 3]
    begins, which = np.unique(placed.position[events], return_inverse=True)
    longest = np.zeros(len(begins), np.int64)
    np.maximum.at(longest, which, duration)
    return list(zip(begins.tolist(), (begins + longest).tolist(), strict=True))


def _fill_silence(sound: Samples, start: Index, stop: Index, under: Samples) -> None:
    if not under.any():
        return
    for begin, end in zip(start.tolist(), stop.tolist(), strict=True):
        sound[begin:end] = looped(under, begin, end)


def _fill_events(
    sound: Samples, packets: Packets, placed: Placed, data: bytes, received: npt.NDArray[np.bool_]
) -> None:
    """Nothing is heard while a digit was sent beside the sound."""
    for begin, end in _events(packets, placed, data):
        span = slice(max(begin, 0), max(end, 0))
        sound[span][~received[span]] = 0


def _fill_noise(
    sound: Samples,
    packets: Packets,
    placed: Placed,
    noises: Index,
    data: bytes,
    gaps: _Gaps,
    lost: npt.NDArray[np.bool_],
) -> None:
    """Comfort noise from each CN packet to the next or to the end of its gap."""
    if not len(noises):
        return
    noises = noises[np.argsort(placed.position[noises], kind="stable")]
    at = placed.position[noises]
    inside = np.searchsorted(gaps.start, at, side="right") - 1
    made: dict[bytes, Samples] = {}
    for index, (packet, gap) in enumerate(zip(noises.tolist(), inside.tolist(), strict=True)):
        if gap < 0 or lost[gap] or at[index] >= gaps.stop[gap]:
            continue
        stop = int(gaps.stop[gap])
        if index + 1 < len(noises):
            stop = min(stop, int(at[index + 1]))
        offset = int(packets.offset[packet])
        payload = data[offset : offset + 12]
        if payload not in made and len(made) < _MOST_NOISES:
            made[payload] = comfort_noise(payload)
        noise = made.get(payload, next(iter(made.values())))
        sound[at[index] : stop] = looped(noise, int(at[index]), stop)


def _noted(gaps: _Gaps, causes: Index) -> tuple[Gap, ...]:
    long = np.flatnonzero(gaps.stop - gaps.start >= _NOTED)
    return tuple(
        Gap(
            int(gaps.start[one]) / RATE,
            int(gaps.stop[one] - gaps.start[one]) / RATE,
            _CAUSES[int(causes[one])],
        )
        for one in long
    )
