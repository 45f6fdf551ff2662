"""The script of a call on a fake call: no clock, no network, no loop."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from sipmail.config.model import Record
from sipmail.voicemail.call import Ending, HungUp
from sipmail.voicemail.greeting import choose
from sipmail.voicemail.plan import Plan, make, sources
from sipmail.voicemail.reason import Reason
from sipmail.voicemail.script import leave_message
from tests.voicemail.office import MONDAY_NOON, mailbox, own_greeting

PLAN = Plan(
    mailbox="sales",
    greeting="hello",
    record=Record(),
    ring=0.0,
    beep="beep",
    thanks="thanks",
)
USUAL = [
    "answer",
    "play silence:0.3 hello (#)",
    "play beep",
    "record",
    "play thanks",
    "hang up",
]


class FakeCall:
    """Notes what it is asked; hangs up when it is about to do step `gone`."""

    def __init__(self, ending: Ending = Ending.KEY, gone: int | None = None) -> None:
        self.steps: list[str] = []
        self._ending = ending
        self._gone = gone

    def _step(self, text: str) -> None:
        if len(self.steps) == self._gone:
            raise HungUp("BYE")
        self.steps.append(text)

    async def ring(self, seconds: float) -> None:
        self._step(f"ring {seconds:g}")

    async def answer(self) -> None:
        self._step("answer")

    async def play(self, *prompts: str, keys: str = "") -> str:
        self._step(f"play {' '.join(prompts)}" + f" ({keys})" * bool(keys))
        return keys[:1]

    async def record(self, record: Record) -> Ending:
        self._step("record")
        return self._ending

    async def hang_up(self) -> None:
        self._step("hang up")


def run(script: Coroutine[Any, Any, Ending]) -> Ending:
    """Drives a script whose call never waits."""
    try:
        script.send(None)
    except StopIteration as done:
        return Ending(done.value)
    raise AssertionError("the script waited")


def test_from_top_to_bottom() -> None:
    call = FakeCall()
    assert run(leave_message(call, PLAN)) is Ending.KEY
    assert call.steps == USUAL


def test_rings_first_where_phones_ring_in_parallel() -> None:
    call = FakeCall()
    run(leave_message(call, replace(PLAN, ring=15.0)))
    assert call.steps == ["ring 15", *USUAL]


def test_without_beep_and_thanks() -> None:
    call = FakeCall()
    run(leave_message(call, replace(PLAN, beep=None, thanks=None)))
    assert call.steps == [USUAL[0], USUAL[1], "record", "hang up"]


@pytest.mark.parametrize("ending", [Ending.KEY, Ending.SILENCE, Ending.MAX])
def test_the_ending_is_that_of_the_recording(ending: Ending) -> None:
    assert run(leave_message(FakeCall(ending), PLAN)) is ending


@pytest.mark.parametrize("step", range(4))
def test_a_caller_who_goes_before_the_end_of_the_recording(step: int) -> None:
    call = FakeCall(gone=step)
    assert run(leave_message(call, PLAN)) is Ending.CALLER
    assert call.steps == USUAL[:step]


@pytest.mark.parametrize("step", [4, 5])
def test_a_caller_who_does_not_wait_for_the_thanks(step: int) -> None:
    call = FakeCall(Ending.SILENCE, gone=step)
    assert run(leave_message(call, PLAN)) is Ending.SILENCE


def test_why_the_call_is_gone_is_kept() -> None:
    class Dead(FakeCall):
        async def record(self, record: Record) -> Ending:
            raise HungUp("no packets", Ending.TIMEOUT)

    assert run(leave_message(Dead(), PLAN)) is Ending.TIMEOUT


def test_the_plan_has_all_that_the_script_needs() -> None:
    box = mailbox(
        answer_after=12.0,
        greeting=own_greeting(default="/g/own.wav"),
        record=Record(beep=True, max=60.0),
    )
    plan = make(box, choose(box, Reason.UNKNOWN, MONDAY_NOON, None), lambda path: path.stem)
    assert plan == Plan(
        mailbox="sales", greeting="own", record=box.record, ring=12.0, beep="beep", thanks="thanks"
    )


def test_a_plan_without_beep_and_thanks() -> None:
    box = mailbox(after="nothing", record=Record(beep=False))
    plan = make(box, choose(box, Reason.UNKNOWN, MONDAY_NOON, None), lambda path: path.stem)
    assert (plan.beep, plan.thanks) == (None, None)


def test_every_prompt_of_a_plan_was_announced() -> None:
    box = mailbox(greeting=own_greeting(busy="/g/busy.wav"))
    announced = {str(path) for path in sources(box)}
    for reason in Reason:
        plan = make(box, choose(box, reason, MONDAY_NOON, None), str)
        assert {plan.greeting, plan.beep, plan.thanks} <= announced
