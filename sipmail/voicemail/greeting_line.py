"""The script of a call to `greeting_number`: a PIN, then a new greeting for the mailbox.

Whoever dials proves with the PIN that the greeting is theirs to record. They may listen, record
again, or keep; only what is kept is used, and hanging up before that changes nothing.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from sipmail.config.model import Record
from sipmail.voicemail.call import Call, HungUp

TRIES = 3
LONGEST_PIN = 12
_LISTEN, _AGAIN, _KEEP = "1", "2", "3"
_ANY_KEY = "0123456789*#"
_PATIENCE = 3

RECORD = Record(max=120.0, min=1.0, silence=5.0, finish_keys="#", beep=True)
"""How a greeting is recorded."""


class GreetingCall(Call, Protocol):
    """A call that can do these two things, too."""

    async def digits(self, *prompts: str, most: int) -> str:
        """Plays prompts, then the keys that were pressed until `#`, `most` of them, or a pause."""
        ...

    async def keep(self) -> None:
        """What is recorded is the greeting from now on. Raises SpoolError."""


class Visit(Enum):
    """What came of a call."""

    NOTHING = "nothing"
    WRONG_PIN = "wrong PIN"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class GreetingPlan:
    """What will happen in a call; prompts are stems of prepared files or `silence:SECONDS`."""

    mailbox: str
    pin: str
    ask_pin: str
    wrong_pin: str
    ask_greeting: str
    not_heard: str
    options: str
    invalid: str
    kept: str
    goodbye: str
    beep: str
    record: Record = RECORD
    quiet: str = "silence:0.3"
    pause: str = "silence:5"


async def record_greeting(call: GreetingCall, plan: GreetingPlan) -> Visit:
    """Lets whoever knows the PIN record a greeting; returns what came of it.

    Raises what `Call.answer` raises when the call cannot be taken, and SpoolError when the greeting
    cannot be kept.
    """
    visit = Visit.NOTHING
    door = _Door(call, plan)
    try:
        await call.answer()
        if not await door.opens():
            visit = Visit.WRONG_PIN
        elif await _records(call, plan):
            await call.keep()
            visit = Visit.KEPT
            await call.play(plan.kept)
        await call.play(plan.goodbye)
        await call.hang_up()
    except HungUp:
        # As if they had said goodbye; but trying PINs must not be free for who hangs up in time.
        if door.wrong and not door.is_open:
            visit = Visit.WRONG_PIN
    return visit


class _Door:
    """The question for the PIN; `wrong` counts the answers that were not it."""

    def __init__(self, call: GreetingCall, plan: GreetingPlan) -> None:
        self.wrong = 0
        self.is_open = False
        self._call = call
        self._plan = plan

    async def opens(self) -> bool:
        plan = self._plan
        prompts = [plan.quiet, plan.ask_pin]
        while self.wrong < TRIES:
            said = await self._call.digits(*prompts, plan.pause, most=LONGEST_PIN)
            if hmac.compare_digest(said.encode(), plan.pin.encode()):
                self.is_open = True
                return True
            self.wrong += 1
            prompts = [plan.wrong_pin, plan.ask_pin]
        await self._call.play(plan.wrong_pin)
        return False


async def _records(call: GreetingCall, plan: GreetingPlan) -> bool:
    """Records until somebody keeps it; False when nobody answers any more."""
    ask = plan.ask_greeting
    for _ in range(_PATIENCE):
        await call.play(ask, plan.beep)
        await call.record(plan.record)
        review = await call.review()
        if review.speech < plan.record.min:
            ask = plan.not_heard
            continue
        ask = plan.ask_greeting
        key = await _answer(call, plan, review.prompt)
        if key != _AGAIN:
            return key == _KEEP
    return False


async def _answer(call: GreetingCall, plan: GreetingPlan, recording: str) -> str:
    """Again or keep; "" when nobody says."""
    said: tuple[str, ...] = ()
    idle = 0
    while idle < _PATIENCE:
        key = await call.play(*said, plan.options, plan.pause, keys=_ANY_KEY)
        said = ()
        idle = 0 if key else idle + 1
        if key in (_AGAIN, _KEEP):
            return key
        if key == _LISTEN:
            said = (recording,)
        elif key:
            said = (plan.invalid,)
    return ""
