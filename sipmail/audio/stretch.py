"""Which packets belong to one run of RTP timestamps, and where on the time line each run lies.

Rules:
- within one SSRC a packet follows another when its timestamp fits its sequence number (a loss, a
  late or a repeated packet: RFC 3550 section A.1) or the time between the two arrivals (silence
  that the sender suppressed, a long loss); what does not follow begins a new stretch;
- a packet that follows none of its neighbours but an earlier stretch of its SSRC returns there;
- a stretch begins where its quickest packets arrived, measured against the quickest ones shortly
  before it, so the pace of the reader and jitter hardly count; next to the end of what was there
  before, it is joined without a gap;
- where timestamps are no help at all, arrival alone decides.

Positions and lengths are in samples at 8 kHz, arrivals in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from sipmail.rtp.packet import CLOCK_RATE

Index = npt.NDArray[np.int64]
Times = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_MOST_DROPPED = 3000  # RFC 3550 section A.1, MAX_DROPOUT
_MOST_LATE = 100  # MAX_MISORDER
_LONGEST_STEP = 960  # samples a packet: a ptime of 120 ms
_SLACK = 1.0
_OUTAGE = 10.0
_EARLIER = 4
_MOST_STRETCHES = 200
_SAMPLE_BEFORE = 100
_SAMPLE_AFTER = 50
_JOIN_GAP = 320
_JOIN_OVERLAP = 4000
_LONGEST_EVENT = 80000
_ARRIVAL_SLACK = 0.5


class Kind(IntEnum):
    """What the payload type of a packet means."""

    UNKNOWN = 0
    PCMU = 1
    PCMA = 2
    CN = 3
    EVENT = 4


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """The packets that matter, in the order of arrival; every array is (n,)."""

    kind: npt.NDArray[np.uint8]
    sequence: npt.NDArray[np.uint16]
    timestamp: npt.NDArray[np.uint32]
    ssrc: npt.NDArray[np.uint32]
    arrival: Times
    length: Index
    """Samples; 0 for comfort noise and events."""
    offset: Index
    """Where the payload stands in the journal."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where each of the n packets belongs."""

    stretch: Index
    """Number of its stretch, counted by first arrival; -1: it belongs nowhere."""
    sequence: Index
    """Sequence number without wrap, comparable within a stretch."""
    position: Index
    """First sample on the time line, from 0; of an event: where its first packet says it began."""
    count: int
    """How many stretches there are."""


def arrange(packets: Packets) -> Placed:
    """Finds the stretches of at least one packet and puts them on one time line."""
    total = len(packets.kind)
    stretch = np.full(total, -1, np.int64)
    sequence = np.zeros(total, np.int64)
    time = np.zeros(total, np.int64)
    sound = packets.kind != Kind.EVENT
    sources, first_seen = np.unique(packets.ssrc, return_index=True)
    count = 0
    for source in sources[np.argsort(first_seen)]:
        mine = np.flatnonzero(packets.ssrc == source)
        main = mine[sound[mine]]
        if not len(main):
            continue
        sequence[main] = _unwrapped(packets.sequence[main], np.int16)
        time[main] = _unwrapped(packets.timestamp[main], np.int32)
        found = _stretches(packets, main, sequence[main], time[main])
        if found is None or count + int(found.max()) >= _MOST_STRETCHES:
            return _by_arrival(packets)
        stretch[main] = count + found
        count += int(found.max()) + 1
        _join_events(packets, mine[~sound[mine]], main, stretch, sequence, time)
    if count == 0:
        return Placed(stretch, sequence, time, 0)
    stretch = _numbered(stretch)
    position = _positions(packets, stretch, time, count)
    placed = stretch >= 0
    heard = np.flatnonzero(placed & sound)
    position[placed] -= position[heard].min()
    if not _bounded(packets, position[heard]):
        return _by_arrival(packets)
    return Placed(stretch, sequence, position, count)


def _stretches(packets: Packets, main: Index, sequence: Index, time: Index) -> Index | None:
    """The number of the stretch of each packet of one SSRC; None when there are far too many."""
    arrival = packets.arrival[main]
    noise = packets.kind[main] == Kind.CN
    follows = _follows(np.diff(sequence), np.diff(time), np.diff(arrival), noise[1:] | noise[:-1])
    breaks = np.flatnonzero(~follows) + 1
    if len(breaks) > 4 * _MOST_STRETCHES:
        return None
    number = np.zeros(len(main), np.int64)
    lasts = [int(breaks[0]) - 1] if len(breaks) else []
    for at, begin in enumerate(breaks):
        end = breaks[at + 1] if at + 1 < len(breaks) else len(main)
        near = np.array(lasts[-_EARLIER:][::-1])
        ok = _follows(
            sequence[begin] - sequence[near],
            time[begin] - time[near],
            arrival[begin] - arrival[near],
            noise[begin] | noise[near],
        )
        if ok.any():
            belongs = len(lasts) - 1 - int(ok.argmax())
            lasts[belongs] = int(end) - 1
        else:
            belongs = len(lasts)
            lasts.append(int(end) - 1)
        number[begin:end] = belongs
    return number


def _follows(sequence: Index, time: Index, arrival: Times, noise: Flags) -> Flags:
    """Whether packets belong to the stretch of others, from the differences between the two.

    `noise`: one of both is comfort noise, which may share a timestamp with speech.
    """
    numbered = np.abs(sequence)
    forward = np.sign(time) == np.sign(sequence)
    known = (sequence <= _MOST_DROPPED) & (sequence >= -_MOST_LATE)
    by_sequence = forward & known & (np.abs(time) <= numbered * _LONGEST_STEP)
    passed = (time > 0) & (time <= (arrival + _SLACK) * CLOCK_RATE)
    waited = passed & ((sequence > 0) | (arrival > _OUTAGE))
    late = (time < 0) & (time >= -_SLACK * CLOCK_RATE) & (sequence < 0) & known
    same = (time == 0) & ((sequence == 0) | noise)
    follows: Flags = by_sequence | waited | late | same
    return follows


def _join_events(
    packets: Packets, events: Index, main: Index, stretch: Index, sequence: Index, time: Index
) -> None:
    """Gives each event the stretch of the packet that arrived before it (or else after it)."""
    if not len(events):
        return
    beside = main[np.maximum(np.searchsorted(main, events) - 1, 0)]
    step = (packets.timestamp[events] - packets.timestamp[beside]).view(np.int32)
    number = (packets.sequence[events] - packets.sequence[beside]).view(np.int16)
    near = np.abs(step.astype(np.int64)) <= _LONGEST_EVENT
    events, beside = events[near], beside[near]
    stretch[events] = stretch[beside]
    time[events] = time[beside] + step[near]
    sequence[events] = sequence[beside] + number[near]


def _numbered(stretch: Index) -> Index:
    """The same stretches, numbered in the order in which their first packets arrived."""
    names, first = np.unique(stretch[stretch >= 0], return_index=True)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(first)] = np.arange(len(names))
    return np.where(stretch >= 0, rank[np.maximum(stretch, 0)], -1)


def _positions(packets: Packets, stretch: Index, time: Index, count: int) -> Index:
    """Where each packet lies when every stretch is placed by its arrival."""
    position = time.copy()
    if count == 1:
        return position
    sound = np.flatnonzero((packets.kind != Kind.EVENT) & (stretch >= 0))
    clock = packets.arrival * CLOCK_RATE
    for number in range(1, count):
        mine = sound[stretch[sound] == number]
        before = sound[sound < mine[0]]
        ends = position[before] + packets.length[before]
        reference = (ends - clock[before])[-_SAMPLE_BEFORE:].max()
        first = mine[:_SAMPLE_AFTER]
        quickest = (time[first] + packets.length[first] - clock[first]).max()
        shift = round(float(reference - quickest))
        begin = int(time[mine].min())
        apart = begin + shift - int(ends.max())
        if -_JOIN_OVERLAP <= apart <= _JOIN_GAP:
            shift -= apart
        everything = stretch == number
        position[everything] = time[everything] + shift
    return position


def _bounded(packets: Packets, position: Index) -> bool:
    """Whether the time line is no longer than its sound and the time that passed can explain."""
    received = int(packets.length.sum())
    passed = float(packets.arrival.max() - packets.arrival.min()) + 60
    return int(position.max()) <= received + passed * CLOCK_RATE


def _by_arrival(packets: Packets) -> Placed:
    """One packet after the other as they came, with a gap where none came for a while."""
    total = len(packets.kind)
    clock = (packets.arrival - packets.arrival[0] - _ARRIVAL_SLACK) * CLOCK_RATE
    begun = np.cumsum(packets.length) - packets.length
    late = np.maximum.accumulate(np.maximum(np.rint(clock).astype(np.int64) - begun, 0))
    number = np.arange(total, dtype=np.int64)
    return Placed(np.zeros(total, np.int64), number, begun + late, 1)


def _unwrapped(values: npt.NDArray[np.unsignedinteger], signed: type) -> Index:
    """The values without wrap: each is the one before plus the shortest way to it."""
    steps = np.diff(values).view(signed).astype(np.int64)
    return np.concatenate(([0], np.cumsum(steps)))
