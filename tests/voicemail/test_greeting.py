"""Which greeting plays, and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sipmail.config.model import Greeting, Temporary
from sipmail.voicemail.greeting import Choice, beep, built_in, choose
from sipmail.voicemail.reason import Reason
from tests.voicemail.office import MONDAY_NIGHT, MONDAY_NOON, WARSAW, mailbox, own_greeting

HOURS = "Mo-Fr 08:00-16:00; PH off"
ALL: dict[str, Any] = {
    case: f"/g/{case}.wav" for case in ("default", "busy", "no_answer", "unavailable", "closed")
}


def chosen(
    reason: Reason = Reason.UNKNOWN,
    when: datetime = MONDAY_NOON,
    hours: str | None = None,
    **files: str,
) -> Choice:
    box = mailbox(greeting=own_greeting(**files), hours=hours)
    return choose(box, reason, when, "PL")


@pytest.mark.parametrize(
    ("reason", "case"),
    [
        (Reason.BUSY, "busy"),
        (Reason.NO_ANSWER, "no_answer"),
        (Reason.UNAVAILABLE, "unavailable"),
        (Reason.UNCONDITIONAL, "default"),
        (Reason.UNKNOWN, "default"),
    ],
)
def test_by_reason(reason: Reason, case: str) -> None:
    choice = chosen(reason, **ALL)
    assert (str(choice.path), choice.case, choice.built_in) == (f"/g/{case}.wav", case, False)
    spoken = chosen(reason)
    assert (spoken.path.name, spoken.case, spoken.built_in) == (f"{case}.wav", case, True)


def test_closed_comes_before_the_reason() -> None:
    assert chosen(Reason.BUSY, MONDAY_NIGHT, HOURS, **ALL).case == "closed"
    assert chosen(Reason.BUSY, MONDAY_NOON, HOURS, **ALL).case == "busy"
    assert chosen(Reason.BUSY, MONDAY_NIGHT, HOURS).path.name == "closed.wav"


def test_a_public_holiday_is_closed() -> None:
    independence_day = datetime(2026, 11, 11, 12, 0, tzinfo=WARSAW)
    assert chosen(when=independence_day, hours=HOURS).case == "closed"


def test_an_own_default_beats_a_built_in_special_one() -> None:
    choice = chosen(Reason.BUSY, default="/g/own.wav")
    assert (str(choice.path), choice.built_in) == ("/g/own.wav", False)
    assert "greeting.busy" in choice.why
    assert str(chosen(when=MONDAY_NIGHT, hours=HOURS, default="/g/own.wav").path) == "/g/own.wav"


def test_an_own_busy_greeting_does_not_speak_for_the_night() -> None:
    choice = chosen(Reason.BUSY, MONDAY_NIGHT, HOURS, busy="/g/busy.wav")
    assert (choice.path.name, choice.built_in) == ("closed.wav", True)


@pytest.mark.parametrize("hours", [None, HOURS])
def test_a_temporary_greeting_until_it_is_over(hours: str | None) -> None:
    fair = Temporary(file=Path("/g/fair.wav"), until=datetime(2026, 11, 23, 12, 1))
    box = mailbox(greeting=Greeting(default=Path("/g/own.wav"), temporary=fair), hours=hours)
    assert choose(box, Reason.BUSY, MONDAY_NOON, "PL").case == "temporary"
    assert choose(box, Reason.BUSY, MONDAY_NOON.replace(minute=1), "PL").case == "default"


def test_the_language_of_the_mailbox() -> None:
    box = mailbox(language="en")
    assert choose(box, Reason.UNKNOWN, MONDAY_NOON, None).path.parent.name == "en"


@pytest.mark.parametrize("language", ["pl", "en"])
@pytest.mark.parametrize(
    "name", ["default", "busy", "no_answer", "unavailable", "closed", "thanks"]
)
def test_every_built_in_prompt_is_there(language: str, name: str) -> None:
    assert built_in(language, name).is_file()  # type: ignore[arg-type]


def test_the_beep_is_there() -> None:
    assert beep().is_file()
