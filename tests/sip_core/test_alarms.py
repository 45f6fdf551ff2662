from __future__ import annotations

from time import perf_counter

from sipmail.sip.alarms import Alarms


def test_rings_in_order_of_time_and_then_of_setting() -> None:
    alarms, heard = Alarms(), list[str]()
    alarms.set(2.0, lambda now: heard.append("late"))
    alarms.set(1.0, lambda now: heard.append("first"))
    alarms.set(1.0, lambda now: heard.append("second"))
    assert alarms.deadline == 1.0
    alarms.ring(1.5)
    assert heard == ["first", "second"]
    assert alarms.deadline == 2.0
    alarms.ring(5.0)
    assert heard == ["first", "second", "late"]
    assert alarms.deadline is None


def test_what_an_alarm_sets_for_now_rings_too_and_it_learns_the_time() -> None:
    alarms, heard = Alarms(), list[float]()

    def again(now: float) -> None:
        heard.append(now)
        if len(heard) < 3:
            alarms.set(now, again)

    alarms.set(1.0, again)
    alarms.ring(4.0)
    assert heard == [4.0, 4.0, 4.0]


def test_a_cancelled_alarm_is_silent_and_moves_the_deadline() -> None:
    alarms, heard = Alarms(), list[str]()
    first = alarms.set(1.0, lambda now: heard.append("no"))
    alarms.set(2.0, lambda now: heard.append("yes"))
    first.cancel()
    first.cancel()
    assert len(alarms) == 1
    assert alarms.deadline == 2.0
    alarms.ring(3.0)
    first.cancel()
    assert heard == ["yes"]
    assert len(alarms) == 0


def test_cancelled_alarms_do_not_pile_up() -> None:
    alarms = Alarms()
    keep = alarms.set(1e6, lambda now: None)
    for number in range(10_000):
        alarms.set(1000.0 + number, lambda now: None).cancel()
        assert len(alarms._heap) < 200
    assert keep.pending
    assert len(alarms) == 1


def test_the_deadline_of_many_costs_what_that_of_few_does() -> None:
    def cost(count: int) -> float:
        alarms = Alarms()
        for number in range(count):
            alarms.set(1e6 + number, lambda now: None)
        best = 1.0
        for _ in range(5):
            started = perf_counter()
            for _ in range(500):
                alarms.ring(1.0)
                _ = alarms.deadline
            best = min(best, perf_counter() - started)
        return best

    # A scan of 20,000 would cost a thousand times as much as one of 20.
    assert cost(20_000) < 20 * cost(20)
