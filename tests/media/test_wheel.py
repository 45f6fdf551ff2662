"""The wheel on a moved clock."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sipmail.media.wheel import PACING_SLOTS, Wheel


class Steps:
    """A stream that notes its turns, and is over after `most`."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.turns: list[int] = []
        self.most = most

    def step(self, tick: int) -> bool:
        self.turns.append(tick)
        return len(self.turns) < self.most


class Every:
    """A duty that comes again after `period`, `count` times in all."""

    def __init__(self, period: int, count: int = 1 << 30) -> None:
        self.due: int | None = None
        self.period = period
        self.count = count
        self.runs: list[int] = []

    def run(self, tick: int) -> int | None:
        self.runs.append(tick)
        return self.period if len(self.runs) < self.count else None


class Broken(Steps, Every):
    def __init__(self) -> None:
        Every.__init__(self, 10)

    def step(self, tick: int) -> bool:
        raise OSError("step")

    def run(self, tick: int) -> int | None:
        raise OSError("run")


def wheel() -> tuple[Wheel, list[tuple[object, Exception]]]:
    broken: list[tuple[object, Exception]] = []
    return Wheel(100.0, lambda culprit, error: broken.append((culprit, error))), broken


@pytest.mark.parametrize("ptime", [10, 20, 30, 40, 60])
def test_turns_are_absolute(ptime: int) -> None:
    turning, _ = wheel()
    stream = Steps()
    turning.join(stream, ptime)
    for now in (100.0137, 100.05, 100.0999, 100.17, 100.3605):  # whenever it is looked at
        turning.advance(now)
    first = stream.turns[0]
    assert 1 <= first <= ptime
    assert stream.turns == list(range(first, 361, ptime))


def test_streams_are_spread_over_the_slots() -> None:
    turning, _ = wheel()
    streams = [Steps() for _ in range(200)]
    for stream in streams:
        turning.join(stream, 20)
    turning.advance(100.0205)
    each = [sum(stream.turns == [tick] for stream in streams) for tick in (10, 20)]
    assert each == [100] * 2


def test_duties_are_spread_and_keep_their_period() -> None:
    turning, _ = wheel()
    duties = [Every(200) for _ in range(400)]
    for duty in duties:
        turning.schedule(duty, 200)
    turning.advance(101.0)
    assert sorted(duty.runs[0] for duty in duties) == sorted(list(range(10, 201, 10)) * 20)
    assert all(b - a == 200 for duty in duties for a, b in pairwise(duty.runs))


def test_waiting_until_the_next_work() -> None:
    turning, _ = wheel()
    assert turning.wait(100.0) is None
    duty = Every(500, count=2)
    turning.schedule(duty, 30, after=30)
    assert turning.wait(100.01) == pytest.approx(0.02)
    turning.advance(100.030)
    assert turning.wait(100.030) == pytest.approx(0.5)
    assert turning.wait(101.0) == 0.0
    turning.advance(101.0)
    assert turning.wait(101.0) is None


def test_a_duty_that_fits_no_fifth_tick_still_runs() -> None:
    turning, _ = wheel()
    duty = Every(1, count=1)
    turning.schedule(duty, 3)
    turning.advance(100.0035)
    assert duty.runs == [3]


def test_rescheduling_and_cancelling() -> None:
    turning, _ = wheel()
    duty = Every(900)
    turning.schedule(duty, 500, after=500)
    turning.schedule(duty, 10, after=10)
    turning.advance(100.6)
    assert duty.runs == [10]
    turning.cancel(duty)
    turning.cancel(duty)
    turning.advance(103.0)
    assert duty.runs == [10]
    assert turning.wait(103.0) is None


def test_a_stream_that_is_over_leaves() -> None:
    turning, _ = wheel()
    short, long = Steps(most=3), Steps()
    turning.join(short, 20)
    turning.join(long, 20)
    turning.advance(100.2)
    assert len(short.turns) == 3
    assert len(long.turns) == 10
    turning.leave(long)
    turning.leave(long)
    assert turning.wait(100.2) is None


def test_what_breaks_leaves_alone() -> None:
    turning, broken = wheel()
    bad, good, duty = Broken(), Steps(), Every(20)
    turning.join(bad, 20)
    turning.join(good, 20)
    turning.schedule(bad, 5)
    turning.schedule(duty, 5)
    turning.advance(100.101)
    assert sorted(str(error) for _, error in broken) == ["run", "step"]
    assert good.turns == [20, 40, 60, 80, 100]
    assert len(duty.runs) == 5


def test_a_stall_skips_turns_but_no_duty() -> None:
    turning, _ = wheel()
    stream, duty = Steps(), Every(100)
    turning.join(stream, 20)
    turning.schedule(duty, 100, after=100)
    turning.advance(100.1)
    turning.advance(103.0)
    assert turning.stalls == 1
    assert len(duty.runs) == 30
    assert len(stream.turns) == 6  # five in time, and the last one
    turning.advance(103.02)
    assert (stream.turns[-1] - stream.turns[0]) % 20 == 0


def test_idle_time_is_no_stall() -> None:
    turning, _ = wheel()
    turning.advance(500.0)
    stream = Steps()
    turning.join(stream, 20)
    turning.advance(500.02)
    assert stream.turns[0] > 400_000 - PACING_SLOTS
    assert turning.stalls == 0
