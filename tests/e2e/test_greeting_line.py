"""A greeting recorded by phone, and heard by the next caller; through the whole program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile

from sipmail.codecs import g711
from tests.conftest import StartAgent
from tests.e2e.conftest import own_number, short_sections
from tests.e2e.prompts import likeness, shipped, wait_said
from tests.e2e.telephone import message, opening, until
from tests.e2e.test_calls import info
from tests.e2e.test_menu import wait_speech
from tests.support.agent import Agent
from tests.support.caller import Call, Caller, CallFailed

pytestmark = pytest.mark.e2e

PIN = "4829"
SPEECH = Path(__file__).parents[2] / "greetings" / "en" / "sample.wav"


def sections(folder: Path) -> dict[str, Any]:
    own = short_sections(folder)
    own["mailboxes"]["sales"].update(greeting_number="298", greeting_pin=PIN)
    return own


def greeting_line(phone: Caller, pin: str) -> Call:
    call = phone.call("298")
    call.send(opening())
    wait_speech(call)
    for key in pin + "#":
        info(call, key)
    return call


def speech(seconds: float, begin: float = 0.0) -> bytes:
    said, _ = soundfile.read(SPEECH, dtype="int16")
    return bytes(g711.encode_ulaw(said[round(begin * 8000) :][: round(seconds * 8000)]))


def record(started: Agent, call: Call, said: bytes, name: str = "audio", since: float = 0) -> None:
    folder = started.spool / "greetings"
    until(lambda: bool(list(folder.glob(f".*/{name}.rtp"))), "the recording")
    call.send(message(said, since=since))
    info(call, "#")


def test_a_greeting_is_recorded_and_heard(agent: StartAgent, tmp_path: Path) -> None:
    started = agent(**sections(tmp_path))
    greeting = started.spool / "greetings" / "sales.wav"
    with Caller(started.address, user=own_number()) as phone:
        call = greeting_line(phone, PIN)
        record(started, call, speech(4.0))
        wait_speech(call)
        info(call, "3")
        until(greeting.exists, "the greeting")
        call.hang_up()
        assert 3.0 <= soundfile.info(greeting).duration <= 4.1
        started.wait_log("the recorded greeting is in use")
        until(lambda: not list(greeting.parent.glob(".*")), "the recording is swept")
        heard = phone.call("201")
        heard.send(opening())
        heard.wait_quiet()
        # Quiet, greeting and beep: with the configured greeting that is less than a second.
        assert len(heard.heard_payload()) / 8000 > 3.0
        heard.hang_up()
        until(lambda: len(started.messages("done")) == 1, "the second call's message, and no other")
    assert started.messages("queue") == []


@pytest.mark.long
def test_listen_and_record_again_before_it_is_kept(agent: StartAgent, tmp_path: Path) -> None:
    started = agent(**sections(tmp_path))
    greeting = started.spool / "greetings" / "sales.wav"
    first, second = speech(2.0), speech(3.0, 3.0)
    menu = shipped("en/greeting_menu")
    with Caller(started.address, user=own_number()) as phone:
        call = greeting_line(phone, PIN)
        record(started, call, first)
        heard = wait_said(started, call, menu)
        info(call, "1")
        begun, heard = heard, wait_said(started, call, menu, heard)
        assert likeness(call.heard_payload()[begun:heard], first[:8000]) > 0.9
        info(call, "2")
        heard = wait_said(started, call, shipped("en/greeting_record"), heard)
        record(started, call, second, "further", since=2.0)
        wait_said(started, call, menu, heard)
        assert not greeting.exists()  # nothing is kept yet
        info(call, "3")
        wait_said(started, call, shipped("en/greeting_kept"), heard)
        call.hang_up()
        started.wait_log("the recorded greeting is in use")
        next_one = phone.call("201")
        next_one.send(opening())
        next_one.wait_quiet()
        assert likeness(next_one.heard_payload(), second[4000:20000]) > 0.9
        assert likeness(next_one.heard_payload(), first[4000:12000]) < 0.5
        next_one.hang_up()


def test_a_wrong_pin_records_nothing(agent: StartAgent, tmp_path: Path) -> None:
    started = agent(**sections(tmp_path))
    with Caller(started.address, user=own_number()) as phone:
        for _ in range(3):
            call = greeting_line(phone, "1111")
            wait_speech(call)
            call.hang_up()
            started.wait_log("greeting of sales: wrong PIN")
        until(lambda: any("rests for an hour" in line for line in started.lines), "the guard")
        with pytest.raises(CallFailed, match="403"):
            phone.call("298")
    assert not (started.spool / "greetings" / "sales.wav").exists()
