"""Keys and prompts of a call in progress: which key is whose, on signalling and media that note
what they are asked and answer when told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from sipmail.agent.call import Line, LiveCall
from sipmail.config.model import Record
from sipmail.media.protocol import OVERRUN, Statistics
from sipmail.spool.message import Message
from sipmail.voicemail.call import Ending, HungUp


class Worker:
    """The media worker's commands, noted; `ahead` happens as soon as prompts are to be played."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.call: LiveCall | None = None
        self.overrun = 0
        self.ahead: list[str] = []
        """For each play: keys that are pressed, `.` where the prompts are over."""

    def play(self, call: str, prompts: tuple[str, ...], token: int) -> None:
        assert self.call is not None
        self.commands.append(f"play {' '.join(prompts)}")
        for what in self.ahead.pop(0):
            if what == ".":
                self.call.note_played(token)
            else:
                self.call.note_digit(what)

    async def close(self, call: str) -> Statistics:
        return Statistics(overrun=self.overrun)

    def stop_call(self, call: str) -> None:
        self.commands.append("stop")

    def record(self, call: str, journal: str, **limits: object) -> None:
        self.commands.append("record")
        assert self.call is not None
        self.call.note_digit("#")
        self.call.note_recording_ended("key")


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def call(worker: Worker) -> LiveCall:
    line = Line(cast("Any", None), cast("Any", worker), cast("Any", None), ("PCMU",))
    message = Message("id", "sales", "201", datetime(2026, 1, 5, tzinfo=UTC))
    made = worker.call = LiveCall("key", line, message, host="127.0.0.1", source="127.0.0.2")
    made._folder = Path("/spool/recording/id")  # as when it was answered
    return made


async def play(call: LiveCall, *prompts: str, keys: str = "") -> str:
    return await asyncio.wait_for(call.play(*prompts, keys=keys), 10)


@pytest.mark.parametrize(
    ("happens", "key", "commands"),
    [
        (".", "", ["play hello"]),
        ("#", "#", ["play hello", "stop"]),
        ("12#", "#", ["play hello", "stop"]),
        ("12.", "", ["play hello"]),
        ("#.", "#", ["play hello"]),
        (".#", "", ["play hello"]),
    ],
)
def test_a_key_cuts_prompts_short_and_one_that_comes_after_them_does_not(
    call: LiveCall, worker: Worker, happens: str, key: str, commands: list[str]
) -> None:
    worker.ahead = [happens]
    assert asyncio.run(play(call, "hello", keys="#")) == key
    assert worker.commands == commands


@pytest.mark.parametrize(
    ("first", "second"), [(".1", "1"), ("1.", ""), (".12", "1"), (".7", ""), (".", "")]
)
def test_a_key_between_two_prompts_counts_for_the_second(
    call: LiveCall, worker: Worker, first: str, second: str
) -> None:
    async def script() -> str:
        assert await play(call, "hello") == ""
        return await play(call, "menu", keys="12")

    worker.ahead = [first, "."]
    assert asyncio.run(script()) == second


def test_a_key_that_was_obeyed_is_not_obeyed_again(call: LiveCall, worker: Worker) -> None:
    async def script() -> list[str]:
        return [await play(call, "menu", keys="12") for _ in range(3)]

    worker.ahead = ["1", ".", "2"]
    assert asyncio.run(script()) == ["1", "", "2"]


def test_the_key_that_ends_a_recording_is_none_of_the_menu(call: LiveCall, worker: Worker) -> None:
    async def script() -> tuple[Ending, str]:
        await play(call, "beep")
        ending = await asyncio.wait_for(call.record(Record()), 10)
        return ending, await play(call, "menu", keys="#")

    worker.ahead = [".", "."]
    assert asyncio.run(script()) == (Ending.KEY, "")
    assert worker.commands == ["play beep", "record", "play menu"]


def test_keys_that_are_pressed_while_the_operator_is_called_are_for_no_prompt(
    call: LiveCall, worker: Worker
) -> None:
    def nobody_there(actions: object) -> None:
        call.note_digit("0")
        call.note_transfer_failed(486, "Busy Here")

    endpoint = SimpleNamespace(transfer=lambda *what: [])
    driver = SimpleNamespace(endpoint=endpoint, now=0.0, perform=nobody_there)
    call._line = replace(call._line, driver=cast("Any", driver))

    async def script() -> str:
        await play(call, "connecting")
        await asyncio.wait_for(call.transfer("100"), 10)
        return await play(call, "unavailable", "menu", keys="0")

    worker.ahead = [".", "."]
    assert asyncio.run(script()) == ""
    assert worker.commands == ["play connecting", "play unavailable menu"]


@pytest.mark.parametrize(
    ("happens", "digits"), [("1234", "1234"), ("12345", "12345"), ("12#", "12"), ("#", "")]
)
def test_digits_are_collected_until_there_are_enough(
    call: LiveCall, worker: Worker, happens: str, digits: str
) -> None:
    async def script() -> tuple[str, str]:
        said = await asyncio.wait_for(call.digits("pin", most=len(happens)), 10)
        return said, await play(call, "hello", keys="12345#")

    worker.ahead = [happens, "."]
    assert asyncio.run(script()) == (digits, "")


def test_a_call_that_is_gone_plays_nothing(call: LiveCall, worker: Worker) -> None:
    call.note_gone(HungUp("BYE"))
    with pytest.raises(HungUp, match="BYE"):
        asyncio.run(play(call, "hello"))
    assert worker.commands == []


@pytest.mark.parametrize(
    ("lost", "recorded", "notes"), [(7, True, (OVERRUN,)), (7, False, ()), (0, True, ())]
)
def test_a_recording_that_we_lost_a_part_of_says_so(
    call: LiveCall, worker: Worker, lost: int, recorded: bool, notes: tuple[str, ...]
) -> None:
    worker.overrun = lost
    call.message = replace(call.message, recorded=recorded)
    call._media_open = call._signalling_over = True
    asyncio.run(call.close())
    assert call.message.notes == notes
