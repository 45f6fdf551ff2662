"""Ten thousand seeded calls over a bad network: each ends in a legal state, nothing stays behind.

SIPMAIL_SCHEDULES sets how many; a failing seed is in the name of the assertion.
"""

from __future__ import annotations

import os
import re
from collections import Counter

import pytest

from tests.sip_core.network import RegistrarSchedule, Schedule

COUNT = int(os.environ.get("SIPMAIL_SCHEDULES", "10080"))
PARTS = 8
TRANSFERS = ("transfer", "Transferred", "TransferFailed")

# What the application may be told about a call, in the words of `actions.py`.
# (An UPDATE may overtake the ACK; the other endings of a call are told by Ended alone.)
LEGAL = re.compile(
    r"(MediaChanged )*(Established )?(MediaChanged )*"
    r"(transfer (MediaChanged )*)?(TransferFailed (MediaChanged )*)?(Transferred (MediaChanged )*)?"
    r"(HungUp )?Ended |Cancelled Ended "
)


def check(schedule: Schedule, seed: int) -> None:
    for call, told in schedule.told.items():
        story = "".join(f"{name} " for name in told)
        assert told.count("Ended") == 1, f"seed {seed}: {call}: {story}"
        assert told.count("Established") <= 1, f"seed {seed}: {call}: {story}"
        assert LEGAL.fullmatch(story), f"seed {seed}: {call}: {story}"
        result = {"Transferred", "TransferFailed"} & set(told)
        assert not result or "transfer" in told, f"seed {seed}: {call}: {story}"
        assert not ("Cancelled" in told and "Established" in told), f"seed {seed}: {call}: {story}"
    assert schedule.endpoint.machines == 0, f"seed {seed}"
    assert schedule.endpoint.calls == 0, f"seed {seed}"
    assert schedule.endpoint.deadline is None, f"seed {seed}"


@pytest.mark.parametrize("part", range(PARTS))
def test_schedules(part: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(part, COUNT, PARTS):
        schedule = Schedule(seed)
        schedule.run()
        check(schedule, seed)
        for told in schedule.told.values():
            seen.update(told)
    if COUNT >= 1000:
        # The plans do reach what they are there for.
        for name in ("Established", "Cancelled", "HungUp", "Ended", "MediaChanged", *TRANSFERS):
            assert seen[name] > 5, f"{name}: {seen}"


def test_many_calls_at_once_over_a_bad_network() -> None:
    schedule = Schedule(2_000_003, phones=40)
    schedule.run()
    assert len(schedule.told) > 10
    check(schedule, 2_000_003)


@pytest.mark.parametrize("part", range(4))
def test_registrations_over_a_bad_network(part: int) -> None:
    for seed in range(part, max(4, COUNT // 10), 4):
        schedule = RegistrarSchedule(seed)
        schedule.run()
        where = f"seed {seed}: {schedule.story}"
        assert schedule.most_under_way <= 1, where
        assert schedule.story[-1] == "Unregistered", where
        assert schedule.story.count("Unregistered") == 1, where
        # Where nothing is lost and the registrar is there, it has forgotten us.
        assert not schedule.bound or schedule.network.loss > 0 or schedule.away, where
        assert schedule.endpoint.machines == 0, where
        assert schedule.endpoint.deadline is None, where
