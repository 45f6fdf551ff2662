"""The script of a call on a fake call: no clock, no network, no loop."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sipmail.config.model import Choice as Choices
from sipmail.config.model import Record
from sipmail.voicemail.call import Ending, HungUp, Review
from sipmail.voicemail.greeting import choose
from sipmail.voicemail.plan import Desk, Menu, Operator, Plan, make, sources
from sipmail.voicemail.reason import Reason
from sipmail.voicemail.script import leave_message
from tests.voicemail.office import MONDAY_NIGHT, MONDAY_NOON, mailbox, own_greeting

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
    "play silence:0.3 hello beep (#)",
    "record",
    "play thanks",
    "hang up",
]


class FakeCall:
    """Notes what it is asked; hangs up when it is about to do step `gone`.

    `keys` are those that the caller presses, one for each prompt that may be cut short by it;
    `speech` is what each recording holds, in seconds.
    """

    def __init__(
        self,
        ending: Ending = Ending.KEY,
        gone: int | None = None,
        keys: str = "",
        speech: tuple[float, ...] = (),
        operator_answers: bool = False,
    ) -> None:
        self.steps: list[str] = []
        self._ending = ending
        self._gone = gone
        self._keys = list(keys)
        self._speech = list(speech)
        self._operator_answers = operator_answers

    def _step(self, text: str) -> None:
        if len(self.steps) == self._gone:
            raise HungUp("BYE")
        self.steps.append(text)

    async def ring(self, seconds: float) -> None:
        self._step(f"ring {seconds:g}")

    async def answer(self) -> None:
        self._step("answer")

    async def play(self, *prompts: str, keys: str = "") -> str:
        self._step(f"play {' '.join(prompts)}" + f" ({keys})" * (len(keys) == 1))
        pressed = self._keys.pop(0) if self._keys and keys else ""
        return pressed if pressed in keys else ""

    async def enter(self, mailbox: str, *, urgent: bool) -> None:
        self._step(f"enter {mailbox}" + " (urgent)" * urgent)

    async def record(self, record: Record, warning: str | None = None) -> Ending:
        self._step("record" + f" ({warning})" * bool(warning))
        return self._ending

    async def review(self) -> Review:
        speech = self._speech.pop(0) if self._speech else 3.0
        return Review("review", speech, speech > 0)

    async def mark_urgent(self) -> None:
        self._step("urgent")

    async def transfer(self, to: str) -> None:
        self._step(f"transfer {to}")
        if self._operator_answers:
            raise HungUp("the operator has taken the call")

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
    assert call.steps == ["answer", "play silence:0.3 hello (#)", "record", "hang up"]


@pytest.mark.parametrize(("beep", "steps"), [("beep", ["play beep"]), (None, [])])
def test_who_cuts_the_greeting_short_hears_the_beep(beep: str | None, steps: list[str]) -> None:
    call = FakeCall(keys="#")
    run(leave_message(call, replace(PLAN, beep=beep)))
    assert call.steps[2:] == [*steps, "record", "play thanks", "hang up"]


@pytest.mark.parametrize("ending", [Ending.KEY, Ending.SILENCE, Ending.MAX])
def test_the_ending_is_that_of_the_recording(ending: Ending) -> None:
    assert run(leave_message(FakeCall(ending), PLAN)) is ending


@pytest.mark.parametrize("step", range(3))
def test_a_caller_who_goes_before_the_end_of_the_recording(step: int) -> None:
    call = FakeCall(gone=step)
    assert run(leave_message(call, PLAN)) is Ending.CALLER
    assert call.steps == USUAL[:step]


@pytest.mark.parametrize("step", [3, 4])
def test_a_caller_who_does_not_wait_for_the_thanks(step: int) -> None:
    call = FakeCall(Ending.SILENCE, gone=step)
    assert run(leave_message(call, PLAN)) is Ending.SILENCE


def test_why_the_call_is_gone_is_kept() -> None:
    class Dead(FakeCall):
        async def record(self, record: Record, warning: str | None = None) -> Ending:
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
        mailbox="sales",
        greeting="own",
        record=box.record,
        ring=12.0,
        beep="beep",
        thanks="thanks",
        time_up="time_up",
        warning="too_long",
    )


def test_a_plan_without_beep_and_thanks() -> None:
    box = mailbox(after="nothing", record=Record(beep=False))
    plan = make(box, choose(box, Reason.UNKNOWN, MONDAY_NOON, None), lambda path: path.stem)
    assert (plan.beep, plan.thanks) == (None, None)


def test_every_prompt_of_a_plan_was_announced() -> None:
    box = mailbox(greeting=own_greeting(busy="/g/busy.wav"), after="menu")
    announced = {str(path) for path in sources(box)}
    for reason in Reason:
        plan = make(box, choose(box, reason, MONDAY_NOON, None), str)
        assert {plan.greeting, plan.beep, plan.thanks, plan.warning, plan.time_up} <= announced
        menu = plan.menu
        assert menu is not None
        assert {menu.options, menu.again, menu.urgent, menu.invalid} <= announced
        assert {menu.too_short, menu.not_heard} <= announced


# --- the menu after the message ------------------------------------------------------------------

MENU = Menu("menu", "again", "urgent", "invalid", "too_short", "not_heard", pause="-")
OFFER = "play menu -"
BEFORE = USUAL[:3]
AFTER = ["play thanks", "hang up"]


def with_menu(keys: str, *speech: float, gone: int | None = None) -> FakeCall:
    # The first prompt that a key may cut short is the greeting.
    return FakeCall(keys=" " + keys, speech=speech, gone=gone)


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ("#", [OFFER]),
        ("1#", [OFFER, "play review silence:0.5 menu -"]),
        ("2#", [OFFER, "play again beep", "record", OFFER]),
        ("3#", [OFFER, "urgent", "play urgent menu -"]),
        ("7#", [OFFER, "play invalid menu -"]),
        ("", [OFFER] * 3),
        ("1", [OFFER, "play review silence:0.5 menu -", OFFER, OFFER]),
    ],
)
def test_the_menu(keys: str, steps: list[str]) -> None:
    call = with_menu(keys)
    assert run(leave_message(call, replace(PLAN, menu=MENU))) is Ending.KEY
    assert call.steps == [*BEFORE, *steps, *AFTER]


def test_hanging_up_in_the_menu_keeps_what_ended_the_message() -> None:
    call = with_menu("1", gone=4)
    assert run(leave_message(call, replace(PLAN, menu=MENU))) is Ending.KEY


def test_hanging_up_while_recording_again_ends_that_recording() -> None:
    call = with_menu("2", gone=5)
    assert run(leave_message(call, replace(PLAN, menu=MENU))) is Ending.CALLER
    assert call.steps[-1] == "play again beep"


@pytest.mark.parametrize(("speech", "prompt"), [(0.0, "not_heard"), (0.4, "too_short")])
def test_who_says_too_little_is_asked_again(speech: float, prompt: str) -> None:
    call = with_menu("#", speech, 3.0)
    run(leave_message(call, replace(PLAN, menu=MENU)))
    assert call.steps == [*BEFORE, f"play {prompt} beep", "record", OFFER, *AFTER]


def test_who_says_nothing_is_not_asked_for_ever() -> None:
    call = with_menu("#", 0.0, 0.0, 0.0, 0.0)
    run(leave_message(call, replace(PLAN, menu=MENU)))
    assert call.steps.count("record") == 3


# --- other beginnings and ends --------------------------------------------------------------------


def test_an_announcement_is_all_there_is() -> None:
    call = FakeCall()
    assert run(leave_message(call, replace(PLAN, announcement=True))) is Ending.CALLER
    assert call.steps == ["answer", "play silence:0.3 hello (#)", "hang up"]


def test_the_end_of_the_recording_time_is_announced() -> None:
    call = FakeCall(Ending.MAX)
    run(leave_message(call, replace(PLAN, time_up="time_up", warning="too_long")))
    assert call.steps == [*USUAL[:2], "record (too_long)", "play time_up", *USUAL[3:]]


@pytest.mark.parametrize(
    ("longest", "tone"), [(180.0, "too_long"), (20.0, "too_long"), (19.0, None)]
)
def test_short_recordings_have_no_warning(longest: float, tone: str | None) -> None:
    box = mailbox(record=Record(max=longest, warning=10.0))
    plan = make(box, choose(box, Reason.UNKNOWN, MONDAY_NOON, None), lambda path: path.stem)
    assert plan.warning == tone


URGENT = Plan(mailbox="urgent", greeting="on call", record=Record(), urgent=True)
DESK = Desk("keys", "invalid", {"1": URGENT}, pause="-")
CHOOSE = "play silence:0.3 keys -"


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ("1", [CHOOSE, "enter urgent (urgent)", "play silence:0.3 on call (#)", "record"]),
        ("", [CHOOSE, *USUAL[1:-1]]),
        ("91", [CHOOSE, "play invalid keys -", "enter urgent (urgent)",
                "play silence:0.3 on call (#)", "record"]),
        ("999", [CHOOSE, *["play invalid keys -"] * 2, *USUAL[1:-1]]),
    ],
)  # fmt: skip
def test_a_choice_at_the_beginning(keys: str, steps: list[str]) -> None:
    call = FakeCall(keys=keys)
    run(leave_message(call, replace(PLAN, desk=DESK)))
    assert call.steps == ["answer", *steps, "hang up"]


# --- the operator ---------------------------------------------------------------------------------

OPERATOR = Operator("100", "connecting", "nobody", "or zero")
HELLO = "play silence:0.3 hello beep"
HANDED = ["play connecting", "transfer 100"]


def test_zero_during_the_greeting_hands_the_caller_to_the_operator() -> None:
    call = FakeCall(keys="0", operator_answers=True)
    assert run(leave_message(call, replace(PLAN, operator=OPERATOR))) is Ending.CALLER
    assert call.steps == ["answer", HELLO, *HANDED]


def test_where_nobody_can_be_had_the_message_follows() -> None:
    call = FakeCall(keys="0")
    assert run(leave_message(call, replace(PLAN, operator=OPERATOR))) is Ending.KEY
    assert call.steps == ["answer", HELLO, *HANDED, "play nobody beep", *USUAL[2:]]


@pytest.mark.parametrize(("key", "steps"), [("#", ["play beep"]), (" ", [])])
def test_other_keys_do_what_they_did(key: str, steps: list[str]) -> None:
    call = FakeCall(keys=key)
    run(leave_message(call, replace(PLAN, operator=OPERATOR)))
    assert call.steps == ["answer", HELLO, *steps, *USUAL[2:]]


def test_without_an_operator_zero_is_no_key() -> None:
    call = FakeCall(keys="0")
    run(leave_message(call, PLAN))
    assert call.steps == USUAL


def test_zero_in_the_menu_keeps_what_ended_the_message() -> None:
    call = FakeCall(Ending.SILENCE, keys=" 0", operator_answers=True)
    plan = replace(PLAN, operator=OPERATOR, menu=MENU)
    assert run(leave_message(call, plan)) is Ending.SILENCE
    offer = "play menu or zero -"
    assert call.steps == ["answer", HELLO, "record", offer, *HANDED]


def test_the_menu_goes_on_where_nobody_can_be_had() -> None:
    call = FakeCall(keys=" 0#")
    plan = replace(PLAN, operator=OPERATOR, menu=MENU)
    assert run(leave_message(call, plan)) is Ending.KEY
    offers = ["play menu or zero -", *HANDED, "play nobody menu or zero -"]
    assert call.steps == ["answer", HELLO, "record", *offers, *AFTER]


def test_zero_instead_of_a_choice() -> None:
    call = FakeCall(keys="0")
    run(leave_message(call, replace(PLAN, operator=OPERATOR, desk=DESK)))
    assert call.steps == ["answer", CHOOSE, *HANDED, "play nobody", HELLO, *USUAL[2:]]


def test_a_choice_may_have_a_zero_of_its_own() -> None:
    call = FakeCall(keys="0")
    desk = replace(DESK, plans={"0": URGENT})
    run(leave_message(call, replace(PLAN, operator=OPERATOR, desk=desk)))
    assert "enter urgent (urgent)" in call.steps
    assert "transfer 100" not in call.steps


def test_an_announcement_has_an_operator_too() -> None:
    call = FakeCall(keys="0")
    run(leave_message(call, replace(PLAN, operator=OPERATOR, announcement=True)))
    assert call.steps == ["answer", "play silence:0.3 hello", *HANDED, "play nobody", "hang up"]


@pytest.mark.parametrize(
    ("fields", "when", "offered"),
    [
        ({}, MONDAY_NOON, True),
        ({"greeting": own_greeting(default="/g/default.wav")}, MONDAY_NOON, False),
        ({"hours": "Mo-Fr 08:00-16:00"}, MONDAY_NIGHT, False),
        ({"operator": None}, MONDAY_NOON, False),
    ],
)
def test_a_built_in_greeting_is_followed_by_the_offer(
    fields: dict[str, Any], when: datetime, offered: bool
) -> None:
    box = mailbox(**{"operator": "100", **fields})
    plan = make(box, choose(box, Reason.UNKNOWN, when, None), lambda path: path.stem)
    assert plan.offer == (("silence:0.5", "operator_offer") if offered else ())
    call = FakeCall()
    run(leave_message(call, plan))
    said = [step for step in call.steps if "operator_offer" in step]
    assert said == ["play silence:0.3 default silence:0.5 operator_offer beep"] * offered


def test_nobody_is_offered_again_who_was_not_there() -> None:
    plan = replace(PLAN, operator=OPERATOR, desk=DESK, offer=("or zero",))
    call = FakeCall(keys=" ")
    run(leave_message(call, plan))
    assert call.steps[2] == "play silence:0.3 hello or zero beep"
    call = FakeCall(keys="0")
    run(leave_message(call, plan))
    assert call.steps == ["answer", CHOOSE, *HANDED, "play nobody", HELLO, *USUAL[2:]]


@pytest.mark.parametrize(
    ("keys", "prompt", "offer"),
    [
        ({"1": "urgent"}, None, ("silence:0.5", "operator_offer")),
        ({"0": "urgent"}, None, ()),
        ({"1": "urgent"}, Path("/g/keys.wav"), ()),
    ],
)
def test_the_built_in_choice_is_followed_by_the_offer(
    keys: dict[str, str], prompt: Path | None, offer: tuple[str, ...]
) -> None:
    box = mailbox(operator="100", choice=Choices(prompt=prompt, keys=keys))
    greeting = choose(box, Reason.UNKNOWN, MONDAY_NOON, None)
    desk = make(box, greeting, lambda path: path.stem, dict.fromkeys(keys, URGENT)).desk
    assert desk is not None
    assert desk.offer == offer
    call = FakeCall()
    run(leave_message(call, replace(PLAN, desk=desk)))
    said = " ".join(("play silence:0.3", desk.prompt, *offer, desk.pause))
    assert call.steps[1] == said


def test_the_operators_prompts_were_announced() -> None:
    box = mailbox(operator="100", after="menu")
    announced = {str(path) for path in sources(box)}
    operator = make(box, choose(box, Reason.UNKNOWN, MONDAY_NOON, None), str).operator
    assert operator is not None
    assert operator.to == "100"
    assert {operator.connecting, operator.unavailable, operator.offer} <= announced
