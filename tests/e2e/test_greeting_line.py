"""A greeting recorded by phone, and heard by the next caller; through the whole program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import soundfile

from sipmail.codecs import g711
from tests.conftest import StartAgent
from tests.e2e.conftest import own_number, short_sections
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


def record(started: Agent, call: Call, seconds: float) -> None:
    folder = started.spool / "greetings"
    until(lambda: bool(list(folder.glob(".*/audio.rtp"))), "the recording")
    speech, _ = soundfile.read(SPEECH, dtype="int16", frames=round(seconds * 8000))
    call.send(message(bytes(g711.encode_ulaw(speech))))
    info(call, "#")


def test_a_greeting_is_recorded_and_heard(agent: StartAgent, tmp_path: Path) -> None:
    started = agent(**sections(tmp_path))
    greeting = started.spool / "greetings" / "sales.wav"
    with Caller(started.address, user=own_number()) as phone:
        call = greeting_line(phone, PIN)
        record(started, call, 4.0)
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
    assert started.messages("queue") == []


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
