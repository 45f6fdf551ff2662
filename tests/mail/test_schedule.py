"""The schedule of retries, on a clock that is a number."""

from __future__ import annotations

import pytest

from sipmail.mail import schedule
from sipmail.mail.schedule import Schedule, delay_after, is_over

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def drain(queue: Schedule, now: float) -> list[str]:
    taken = []
    while (message_id := queue.take(now)) is not None:
        taken.append(message_id)
    return taken


def test_delays_double_from_a_minute_to_four_hours() -> None:
    minutes = [delay_after(attempt) / MINUTE for attempt in range(1, 12)]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240]
    assert delay_after(100_000) == 4 * HOUR


def test_five_days_are_the_end() -> None:
    assert not is_over(1000.0, 1000.0 + 5 * DAY - 1)
    assert is_over(1000.0, 1000.0 + 5 * DAY)


def test_the_oldest_goes_first_and_only_once() -> None:
    queue = Schedule()
    for message_id in ("c", "a", "b"):
        queue.add(message_id, 0.0, 0.0, tried=False)
    queue.add("a", 0.0, 0.0, tried=False)
    assert drain(queue, 1.0) == ["a", "b", "c"]
    assert drain(queue, 1.0) == []
    assert queue.in_hand == 3
    queue.remove("a")
    assert (len(queue), queue.in_hand) == (2, 2)


def test_nothing_goes_before_its_time() -> None:
    queue = Schedule()
    queue.add("a", 0.0, 10.0, tried=True)
    assert queue.deadline == 10.0
    assert queue.take(9.9) is None
    assert queue.take(10.0) == "a"
    assert queue.deadline is None
    queue.postpone("a", 70.0)
    assert queue.deadline == 70.0
    assert queue.take(69.0) is None
    assert queue.take(70.0) == "a"


def test_at_the_end_only_what_is_new_goes() -> None:
    queue = Schedule()
    queue.add("tried", 0.0, 0.0, tried=True)
    queue.add("unwell", 0.0, 0.0, tried=False)
    queue.add("well", 0.0, 0.0, tried=False)
    queue.add("later", 0.0, 10.0, tried=False)
    assert queue.take(1.0, only_new=True) == "unwell"
    queue.postpone("unwell", 1.0)
    assert queue.take(1.0, only_new=True) == "well"
    assert queue.take(1.0, only_new=True) is None


def test_an_older_plan_does_not_count_any_more() -> None:
    queue = Schedule()
    queue.add("a", 0.0, 0.0, tried=False)
    assert queue.take(0.0) == "a"
    queue.postpone("a", 60.0)
    queue.hurry("a", 5.0)
    assert queue.take(5.0) == "a"
    queue.postpone("a", 300.0)
    assert queue.take(60.0) is None
    assert queue.deadline == 300.0
    queue.remove("a")
    assert queue.deadline is None
    assert drain(queue, 1000.0) == []


def test_a_message_in_hand_is_hurried_once_it_comes_back() -> None:
    queue = Schedule()
    queue.add("a", 0.0, 0.0, tried=False)
    queue.add("b", 0.0, 50.0, tried=True)
    assert queue.take(0.0) == "a"
    queue.hurry_all(1.0)
    assert drain(queue, 1.0) == ["b"]
    queue.postpone("a", 3600.0)
    queue.postpone("b", 3600.0)
    assert queue.deadline == 1.0
    assert drain(queue, 1.0) == ["a"]
    queue.postpone("a", 3600.0)
    assert drain(queue, 3599.0) == []


def test_a_server_in_trouble_is_not_asked_by_everybody() -> None:
    queue = Schedule()
    for number in range(1000):
        queue.add(f"{number:04}", 0.0, 100.0, tried=True)
    first = queue.take(100.0)
    assert first == "0000"
    queue.server_failed(130.0)
    queue.postpone(first, 250.0, server_trouble=True)
    assert drain(queue, 130.0) == []
    queue.add("new", 131.0, 131.0, tried=False)
    assert drain(queue, 131.0) == ["new"]
    assert queue.deadline == 130.0 + schedule.HOLD
    assert queue.take(190.0) == "0001"


def test_one_success_frees_what_waited_for_the_server() -> None:
    queue = Schedule()
    for message_id in ("server", "recipient", "ready"):
        queue.add(message_id, 0.0, 0.0, tried=False)
    assert drain(queue, 0.0) == ["ready", "recipient", "server"]
    queue.server_failed(1.0)
    queue.postpone("server", 4 * HOUR, server_trouble=True)
    queue.postpone("recipient", 4 * HOUR)
    queue.server_works(50.0)
    assert drain(queue, 50.0) == ["server"]


def test_what_waits_too_long_is_named_but_not_what_is_in_hand() -> None:
    queue = Schedule()
    queue.add("old", 0.0, 0.0, tried=False)
    queue.add("older", -50.0, 5000.0, tried=True)
    queue.add("young", 1000.0, 5000.0, tried=True)
    assert queue.oldest == -50.0
    assert queue.waiting_longer_than(900.0, 901.0) == ["old", "older"]
    assert queue.take(0.0) == "old"
    assert queue.waiting_longer_than(900.0, 901.0) == ["older"]
    assert Schedule().oldest is None


@pytest.mark.parametrize("known", ["remove", "postpone", "hurry"])
def test_an_unknown_message_is_no_error(known: str) -> None:
    queue = Schedule()
    {
        "remove": lambda: queue.remove("x"),
        "postpone": lambda: queue.postpone("x", 1.0),
        "hurry": lambda: queue.hurry("x", 1.0),
    }[known]()
    assert len(queue) == 0
