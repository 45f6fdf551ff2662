"""A call that records a greeting: the PIN, listening, again, keeping."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from sipmail.agent.greetings import PinGuard
from sipmail.voicemail.call import HungUp
from sipmail.voicemail.greeting_line import GreetingPlan, Visit, record_greeting
from tests.voicemail.test_script import FakeCall

PLAN = GreetingPlan(
    mailbox="sales",
    pin="4829",
    ask_pin="pin?",
    wrong_pin="wrong",
    ask_greeting="speak",
    not_heard="not heard",
    options="menu",
    invalid="invalid",
    kept="kept",
    goodbye="bye",
    beep="beep",
    pause="-",
)
ASK = "digits silence:0.3 pin? -"
RECORD = ["play speak beep", "record"]
END = ["play bye", "hang up"]


class FakeLine(FakeCall):
    """`pins` are what is keyed in, one after the other."""

    def __init__(self, *pins: str, keys: str = "", gone: int | None = None, **more: Any) -> None:
        super().__init__(keys=keys, gone=gone, **more)
        self._pins = list(pins)

    async def digits(self, *prompts: str, most: int) -> str:
        self._step(f"digits {' '.join(prompts)}")
        if not self._pins:
            raise HungUp("BYE")
        return self._pins.pop(0)

    async def keep(self) -> None:
        self._step("keep")


def drive(script: Coroutine[Any, Any, Visit]) -> Visit:
    try:
        script.send(None)
    except StopIteration as done:
        return Visit(done.value)
    raise AssertionError("the script waited")


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ("3", ["play menu -", "keep", "play kept"]),
        ("13", ["play menu -", "play review menu -", "keep", "play kept"]),
        ("23", ["play menu -", *RECORD, "play menu -", "keep", "play kept"]),
        ("93", ["play menu -", "play invalid menu -", "keep", "play kept"]),
        ("", ["play menu -"] * 3),
    ],
)
def test_listen_again_and_keep(keys: str, steps: list[str]) -> None:
    line = FakeLine("4829", keys=keys)
    visit = drive(record_greeting(line, PLAN))
    assert visit is (Visit.KEPT if "3" in keys else Visit.NOTHING)
    assert line.steps == ["answer", ASK, *RECORD, *steps, *END]


@pytest.mark.parametrize(
    ("pins", "visit"),
    [
        (("1111", "2222", "3333"), Visit.WRONG_PIN),
        (("1111", "2222"), Visit.WRONG_PIN),  # hung up before the third
        (("", "", ""), Visit.WRONG_PIN),
        ((), Visit.NOTHING),
        (("48290", "482", "4828"), Visit.WRONG_PIN),
    ],
)
def test_nobody_records_without_the_pin(pins: tuple[str, ...], visit: Visit) -> None:
    line = FakeLine(*pins, keys="3333")
    assert drive(record_greeting(line, PLAN)) is visit
    assert "record" not in line.steps


def test_a_second_try() -> None:
    line = FakeLine("1111", "4829", keys="3")
    assert drive(record_greeting(line, PLAN)) is Visit.KEPT
    assert line.steps[1:3] == [ASK, "digits wrong pin? -"]


def test_hanging_up_changes_nothing() -> None:
    line = FakeLine("4829", keys="3", gone=5)
    assert drive(record_greeting(line, PLAN)) is Visit.NOTHING
    assert "keep" not in line.steps


def test_silence_is_no_greeting() -> None:
    line = FakeLine("4829", keys="3", speech=(0.0, 3.0))
    assert drive(record_greeting(line, PLAN)) is Visit.KEPT
    assert line.steps[2:6] == [*RECORD, "play not heard beep", "record"]
    silent = FakeLine("4829", keys="3", speech=(0.0, 0.0, 0.0))
    assert drive(record_greeting(silent, PLAN)) is Visit.NOTHING


def test_too_many_wrong_pins_close_the_number() -> None:
    guard = PinGuard()
    for _ in range(2):
        guard.wrong("sales", 3, 0.0)
    assert not guard.is_closed("sales", 0.0)
    guard.right("sales")
    for _ in range(2):
        guard.wrong("sales", 3, 10.0)
    assert not guard.is_closed("sales", 10.0)
    guard.wrong("sales", 3, 10.0)
    assert guard.is_closed("sales", 10.0)
    assert guard.is_closed("sales", 3609.0)
    assert not guard.is_closed("service", 10.0)
    assert not guard.is_closed("sales", 3610.0)
