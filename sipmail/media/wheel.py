"""The timing wheel: every millisecond is a slot, and what is due in it is done then.

Two rings turn together:
- the *pacing* ring of 120 slots, a multiple of every ptime (10, 20, 30, 40, 60 ms). A stream sits
  in each slot that is its turn, so sending a packet moves nothing and computes no time: turn k of
  a stream comes at its first turn + k · ptime, in absolute ticks, and never drifts;
- the *duty* ring of 1024 slots for what comes now and then: reading a socket, a limit, a report.

Streams and duties are put where the wheel is emptiest, so that calls that began together do not
crowd one slot, and all at ticks that divide by the grain: work that is done in one go finds the
processor's caches warm, which halves what it costs, and the wheel wakes a tenth as often. A wheel
that was held up does what it missed, late; after more than 200 ms streams skip the turns they
missed (a burst of old sound helps nobody), duties are all done.

Ticks are whole milliseconds since the epoch that the wheel was given; it reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Protocol

PACING_SLOTS = 120
DUTY_SLOTS = 1024
GRAIN = 10
STALL_TICKS = 200
TICKS = 1000
"""Ticks in a second."""


class Stream(Protocol):
    """Sends one packet a turn."""

    def step(self, tick: int) -> bool:
        """Takes the turn of this tick; False when the stream is over and leaves the wheel."""


class Duty(Protocol):
    """Does something now and then. The wheel keeps `due`; nobody else may write it."""

    due: int | None

    def run(self, tick: int) -> int | None:
        """Does what is due; returns in how many ticks to come again (1 to 1023), None: never."""


class Wheel:
    """See the module; `broken` is told when a stream or a duty raised, which then has left."""

    def __init__(self, epoch: float, broken: Callable[[Stream | Duty, Exception], None]) -> None:
        """`epoch` is the time of tick 0, in seconds of the clock that `advance` is given."""
        self.tick = 0
        """The last tick that was done."""
        self.stalls = 0
        """How often streams had to skip turns."""
        self._epoch = epoch
        self._broken = broken
        self._pacing: list[list[Stream]] = [[] for _ in range(PACING_SLOTS)]
        self._duties: list[list[Duty]] = [[] for _ in range(DUTY_SLOTS)]
        self._streams: dict[Stream, tuple[int, int]] = {}
        """The first slot of each stream, and how many slots lie between its turns."""
        self.waiting = 0
        """How many duties have a plan."""

    def tick_of(self, now: float) -> int:
        """The tick that `now` lies in."""
        return int((now - self._epoch) * TICKS)

    def join(self, stream: Stream, period: int) -> None:
        """Gives `stream` a turn every `period` ticks (a divisor of 120), the first within one."""
        start = self._emptiest(self._pacing, self.tick + 1, self.tick + period)
        first = start % period
        self._streams[stream] = first, period
        for index in range(first, PACING_SLOTS, period):
            self._pacing[index].append(stream)

    def leave(self, stream: Stream) -> None:
        """Takes the stream's turns away; nothing happens when it has none."""
        if (turns := self._streams.pop(stream, None)) is None:
            return
        first, period = turns
        for index in range(first, PACING_SLOTS, period):
            # A new list: the wheel may be going through the old one.
            self._pacing[index] = [other for other in self._pacing[index] if other is not stream]

    def schedule(self, duty: Duty, within: int, after: int = 1) -> None:
        """Has `duty` run once in the emptiest of the ticks `after` … `within` from now.

        A duty waits for one tick only: an earlier plan is dropped.
        """
        self._put(duty, self._emptiest(self._duties, self.tick + after, self.tick + within))

    def cancel(self, duty: Duty) -> None:
        """Drops the plan of this duty."""
        if duty.due is not None:
            self._duties[duty.due % DUTY_SLOTS].remove(duty)
            duty.due = None
            self.waiting -= 1

    def wait(self, now: float) -> float | None:
        """Seconds until the next slot with work, 0 when it is due, None when there is none."""
        if not self._streams and not self.waiting:
            return None
        tick = self.tick + 1
        pacing, duties = self._pacing, self._duties
        while not pacing[tick % PACING_SLOTS] and not duties[tick % DUTY_SLOTS]:
            tick += 1
        return max(0.0, self._epoch + tick / TICKS - now)

    def advance(self, now: float) -> None:
        """Does everything that is due until `now`, one slot after the other."""
        last = self.tick_of(now)
        if not self._streams and not self.waiting:
            self.tick = max(self.tick, last)
            return
        stalled = last - self.tick > STALL_TICKS
        if stalled:
            self.stalls += 1
        skip_until = last - STALL_TICKS // 10 if stalled else 0
        while self.tick < last:
            tick = self.tick = self.tick + 1
            streams = self._pacing[tick % PACING_SLOTS]
            if streams and tick > skip_until:
                self._step(streams, tick)
            duties = self._duties[tick % DUTY_SLOTS]
            if duties:
                self._run(duties, tick)

    @staticmethod
    def _emptiest(ring: Sequence[Sized], first: int, last: int) -> int:
        """The tick from `first` to `last` whose slot in `ring` holds the least, one of the grain
        where there is one."""
        ticks = range(-(-first // GRAIN) * GRAIN, last + 1, GRAIN)
        return min(ticks or (last,), key=lambda tick: len(ring[tick % len(ring)]))

    def _step(self, streams: list[Stream], tick: int) -> None:
        over = None
        for stream in streams:
            try:
                if stream.step(tick):
                    continue
            except Exception as error:
                self._broken(stream, error)
            over = [*over, stream] if over else [stream]
        if over:
            for stream in over:
                self.leave(stream)

    def _run(self, duties: list[Duty], tick: int) -> None:
        self._duties[tick % DUTY_SLOTS] = []
        self.waiting -= len(duties)
        for duty in duties:
            duty.due = None
            try:
                again = duty.run(tick)
            except Exception as error:
                self._broken(duty, error)
                continue
            if again is not None and duty.due is None:
                self._put(duty, tick + again)

    def _put(self, duty: Duty, due: int) -> None:
        self.cancel(duty)
        self._duties[due % DUTY_SLOTS].append(duty)
        duty.due = due
        self.waiting += 1
