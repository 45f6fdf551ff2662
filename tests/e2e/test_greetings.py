"""Which greeting a caller hears, through the whole program: by reason, hour, language and file.

One agent for all, whose clock on the wall the tests move forward, from a Monday on; each greeting
is a tone of its own, or a prompt that comes with sipmail.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import soundfile

from tests.conftest import require_program
from tests.e2e.conftest import own_number, write_greeting
from tests.e2e.prompts import pitch, shipped, wait_said
from tests.e2e.telephone import decoded, opening
from tests.support.agent import Agent, configuration
from tests.support.caller import Call, Caller
from tests.support.clock import WallClock

pytestmark = pytest.mark.e2e

WARSAW = ZoneInfo("Europe/Warsaw")
MONDAY = datetime(2026, 11, 9, 12, 0, tzinfo=WARSAW)
TONES = {
    "default": 400.0,
    "busy": 550.0,
    "no_answer": 700.0,
    "unavailable": 900.0,
    "closed": 1150.0,
    "temporary": 1450.0,
    "sound": 1800.0,
}
SECONDS = 0.5
HOURS = "Mo-Fr 08:00-16:00; PH off"


def spoken_at(path: Path, gain: float) -> Path:
    """Two seconds of a voice, as loud as that."""
    voice, rate = soundfile.read(shipped("en/sample"), frames=16000)
    soundfile.write(path, voice / np.max(np.abs(voice)) * gain, rate)
    return path


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> WallClock:
    clock = WallClock(require_program("cc"), tmp_path_factory.mktemp("clock"))
    clock.set(MONDAY)
    return clock


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory, clock: WallClock) -> Iterator[Agent]:
    """The agent; its mailboxes are called by their names."""
    folder = tmp_path_factory.mktemp("hall")
    tone = {
        name: str(write_greeting(folder / f"{name}.wav", SECONDS, pitch))
        for name, pitch in TONES.items()
    }
    cases = {case: tone[case] for case in list(TONES)[:5]}
    music = np.sin(2 * np.pi * TONES["sound"] * np.arange(round(SECONDS * 44100)) / 44100)
    soundfile.write(folder / "sound.mp3", np.stack((music, music), axis=1) * 0.3, 44100)
    boxes: dict[str, Any] = {
        "warsaw": {"greeting": cases, "hours": HOURS},
        "tokyo": {"greeting": cases, "hours": HOURS, "timezone": "Asia/Tokyo"},
        "always": {"greeting": cases},
        "away": {
            "greeting": {
                "default": tone["default"],
                "temporary": {"file": tone["temporary"], "until": "2026-11-12"},
            }
        },
        "only": {"greeting": tone["default"], "hours": HOURS},
        "sound": {"greeting": str(folder / "sound.mp3")},
        "quiet": {"greeting": str(spoken_at(folder / "quiet.wav", 0.03))},
        "loud": {"greeting": str(spoken_at(folder / "loud.wav", 1.0))},
        "polish": {"language": "pl"},
        "english": {"language": "en"},
        "operator": {"language": "pl", "operator": "100"},
    }
    settings = configuration(
        folder,
        defaults={"record": {"beep": False}, "users": ["anna"], "missed_calls": False},
        mailboxes={name: {"numbers": [name], **box} for name, box in boxes.items()},
    )
    agent = Agent(folder, settings).start(**clock.environment)
    yield agent
    agent.close()
    print(agent.log())


@pytest.fixture
def phone(hall: Agent) -> Iterator[Caller]:
    with Caller(hall.address, user=own_number()) as caller:
        yield caller


def dial(phone: Caller, mailbox: str, reason: str = "unconditional") -> Call:
    """A call that a phone system has sent on."""
    sent_on = ("Diversion", f"<sip:{mailbox}@127.0.0.1>;reason={reason}")
    call = phone.call("voicemail", headers=[sent_on])
    call.send(opening())
    return call


def greeting(phone: Caller, mailbox: str, reason: str = "unconditional") -> str:
    """The name of the tone that greets the caller."""
    call = dial(phone, mailbox, reason)
    call.wait_quiet(spoken=20)
    call.hang_up()
    heard = pitch(call)
    (name,) = [name for name, wanted in TONES.items() if abs(wanted - heard) < 20]
    return name


@pytest.mark.parametrize(
    ("reason", "tone"),
    [
        ("user-busy", "busy"),
        ("no-answer", "no_answer"),
        ("unavailable", "unavailable"),
        ("unconditional", "default"),
        ("time-of-day", "default"),
    ],
)
def test_by_the_reason_of_the_call(phone: Caller, reason: str, tone: str) -> None:
    assert greeting(phone, "always", reason) == tone


def test_one_for_all_cases(phone: Caller) -> None:
    assert greeting(phone, "only", "user-busy") == "default"


def test_a_sound_of_any_format_rate_and_number_of_channels(phone: Caller) -> None:
    assert greeting(phone, "sound") == "sound"


def test_a_quiet_recording_is_heard_like_a_loud_one(phone: Caller) -> None:
    heard = []
    for mailbox in ("quiet", "loud"):
        call = dial(phone, mailbox)
        call.wait_quiet(spoken=80)
        call.hang_up()
        heard.append(float(np.std(decoded(call.heard_payload()).astype(float))))
    assert 20 * abs(np.log10(heard[0] / heard[1])) < 1.5  # decibels


@pytest.mark.parametrize("language", ["pl", "en"])
def test_the_built_in_one_of_the_language(hall: Agent, phone: Caller, language: str) -> None:
    call = dial(phone, {"pl": "polish", "en": "english"}[language])
    wait_said(hall, call, shipped(f"{language}/default"))
    call.hang_up()


def test_the_built_in_one_is_followed_by_the_way_to_the_operator(
    hall: Agent, phone: Caller
) -> None:
    call = dial(phone, "operator", "no-answer")
    said = wait_said(hall, call, shipped("pl/no_answer"))
    wait_said(hall, call, shipped("pl/operator_offer"), said)
    call.hang_up()


def test_a_greeting_is_converted_once(hall: Agent, clock: WallClock) -> None:
    """Another start finds all of them prepared."""
    before = {path: path.stat().st_mtime_ns for path in (hall.spool / "prompts").iterdir()}
    assert len(before) > 2 * len(TONES)
    hall.kill9()
    hall.start(**clock.environment)
    after = {path: path.stat().st_mtime_ns for path in (hall.spool / "prompts").iterdir()}
    assert after == before


def test_hours_holidays_zones_and_days_that_end(clock: WallClock, phone: Caller) -> None:
    """The clock only goes forward, so this is one test, and the last one."""
    monday = MONDAY.date()

    def at(days: int, hour: int, minute: int = 0) -> None:
        day = datetime.combine(monday + timedelta(days), datetime.min.time(), WARSAW)
        clock.set(day.replace(hour=hour, minute=minute))

    at(0, 13)
    assert greeting(phone, "warsaw", "user-busy") == "busy"
    assert greeting(phone, "tokyo") == "closed"  # where it is 21:00
    assert greeting(phone, "away") == "temporary"
    at(0, 16)
    assert greeting(phone, "warsaw", "user-busy") == "closed"
    assert greeting(phone, "only") == "default"  # it has no other
    at(1, 1)
    assert greeting(phone, "tokyo") == "default"  # where it is 9:00 on Tuesday
    at(2, 12)
    assert greeting(phone, "warsaw") == "closed"  # 11 November is a holiday in Poland
    at(3, 7, 59)
    assert greeting(phone, "warsaw") == "closed"
    at(3, 8)
    assert greeting(phone, "warsaw") == "default"
    at(3, 23, 58)
    assert greeting(phone, "away") == "temporary"  # until the 12th means to its end
    at(4, 0)
    assert greeting(phone, "away") == "default"
    at(5, 12)
    assert greeting(phone, "warsaw") == "closed"  # Saturday
