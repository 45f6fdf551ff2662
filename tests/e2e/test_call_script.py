"""What a caller hears and may do from the answer to the BYE, through the whole program.

Keys go as INFO. Who hangs up, at whatever point, leaves what was recorded until then: one e-mail.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import soundfile

from sipmail.codecs import g711
from tests.e2e.conftest import (
    SHORT,
    facts,
    mails_from,
    own_number,
    wait_mail,
    wait_settled,
    write_greeting,
)
from tests.e2e.prompts import likeness, shipped, wait_said
from tests.e2e.telephone import (
    decoded,
    message,
    noise,
    opening,
    recording,
    same,
    until,
    wait_recording,
)
from tests.e2e.test_calls import info
from tests.support.agent import Agent, configuration
from tests.support.caller import Call, Caller
from tests.support.rtp import PCMU, RATE, SILENCE
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e

PLAIN = {"trim": False, "normalize": False, "silence": "0s", "min": "1s", "beep": False}
SECONDS = 2.5


def speech(seconds: float, begin: float = 0.0) -> bytes:
    """A voice, in G.711 µ-law: what the menu asks for is decided by speech, not by noise."""
    said, _ = soundfile.read(shipped("en/sample"), dtype="int16")
    return bytes(g711.encode_ulaw(said[round(begin * RATE) :][: round(seconds * RATE)]))


MESSAGE = speech(SECONDS)
OTHER = speech(SECONDS, 3.0)


@pytest.fixture(scope="module")
def smtp() -> Iterator[SmtpServer]:
    server = SmtpServer().start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, smtp: SmtpServer) -> Iterator[Agent]:
    """An agent whose mailboxes are called by their names."""
    folder = tmp_path_factory.mktemp("house")
    own = {
        "greeting": str(write_greeting(folder / "short.wav", SHORT)),
        "attachment": "wav",
        "users": ["anna"],
        "record": PLAIN,
    }
    boxes: dict[str, Any] = {
        "menu": {"after": "menu"},
        "thanks": {"after": "thanks"},
        "nothing": {"after": "nothing"},
        "brief": {"record": {**PLAIN, "max": "3s", "warning": "1500ms"}},
        "reception": {
            "after": "nothing",
            "choice": {"keys": {"1": "urgent", "2": "quotes", "3": "service"}},
        },
        "urgent": {"after": "nothing", "urgent": True},
        "quotes": {"after": "nothing"},
        "service": {"after": "nothing", "emails": ["service@sipmail.test"]},
        "news": {"announcement": True},
    }
    settings = configuration(
        folder,
        smtp,
        mailboxes={key: {**own, "numbers": [key], **box} for key, box in boxes.items()},
    )
    agent = Agent(folder, settings).start()
    yield agent
    agent.close()
    print(agent.log())


@pytest.fixture
def phone(house: Agent) -> Iterator[Caller]:
    with Caller(house.address, user=own_number()) as caller:
        yield caller


def dial(phone: Caller, mailbox: str) -> Call:
    call = phone.call(mailbox)
    call.send(opening())
    return call


def speak(house: Agent, call: Call, said: bytes = MESSAGE) -> None:
    """Says it as the message, and `#`."""
    wait_recording(house, call)
    call.send(message(said))
    info(call, "#")


def in_the_menu(house: Agent, phone: Caller) -> Call:
    call = dial(phone, "menu")
    speak(house, call)
    wait_said(house, call, shipped("en/menu"))
    return call


# --- what is heard --------------------------------------------------------------------------------


def test_thanks_and_then_the_end(house: Agent, phone: Caller, smtp: SmtpServer) -> None:
    call = dial(phone, "thanks")
    speak(house, call)
    wait_said(house, call, shipped("en/thanks"))
    call.wait_bye()
    same(recording(wait_mail(smtp, phone.user)), decoded(MESSAGE))


def test_the_longest_time_has_a_warning_and_is_announced(
    house: Agent, phone: Caller, smtp: SmtpServer
) -> None:
    call = dial(phone, "brief")
    wait_recording(house, call)
    said = noise(5.0, 62)
    begun = len(call.heard_payload())
    call.send(message(said)[: round(2.2 / 0.02)])
    warned = wait_said(house, call, shipped("too_long"), begun)
    assert house.messages("recording") != []  # it is not over yet
    call.send(message(said[round(2.2 * RATE) :], since=2.2))
    wait_said(house, call, shipped("en/time_up"), warned)
    call.wait_bye()
    recorded = recording(wait_mail(smtp, phone.user))
    assert 2.8 * RATE <= len(recorded) <= 3.5 * RATE
    same(recorded[: 2 * RATE], decoded(said)[: 2 * RATE])


@pytest.mark.parametrize(
    ("said", "asked"), [(speech(0.4), "too_short"), (SILENCE[PCMU] * 3200, "not_heard")]
)
def test_too_short_and_silent_are_told_apart(
    house: Agent, phone: Caller, smtp: SmtpServer, said: bytes, asked: str
) -> None:
    call = dial(phone, "menu")
    speak(house, call, said)
    heard = wait_said(house, call, shipped(f"en/{asked}"))
    (folder,) = [one for one in house.messages("recording") if (one / "audio.rtp").exists()]
    until((folder / "further.rtp").exists, "another recording")
    call.send(message(MESSAGE, since=0.5))
    info(call, "#")
    wait_said(house, call, shipped("en/menu"), heard)
    call.hang_up()
    same(recording(wait_mail(smtp, phone.user)), decoded(MESSAGE))


def test_the_menu_plays_what_was_said(house: Agent, phone: Caller) -> None:
    call = in_the_menu(house, phone)
    heard = len(call.heard_payload())
    info(call, "1")
    # It is brought to the level of the prompts; the menu follows.
    wait_said(house, call, shipped("en/menu"), heard)
    assert likeness(call.heard_payload()[heard:], MESSAGE[:RATE]) > 0.9
    info(call, "#")
    wait_said(house, call, shipped("en/thanks"), heard)
    call.wait_bye()


def test_an_unknown_key_is_said_to_be_none(house: Agent, phone: Caller) -> None:
    call = in_the_menu(house, phone)
    heard = len(call.heard_payload())
    info(call, "7")
    said = wait_said(house, call, shipped("en/invalid"), heard)
    wait_said(house, call, shipped("en/menu"), said)
    call.hang_up()


def test_an_announcement_is_heard_and_that_is_all(
    house: Agent, phone: Caller, smtp: SmtpServer
) -> None:
    call = dial(phone, "news")
    wait_said(house, call, house.folder / "short.wav")
    call.wait_bye()
    known = wait_settled(house, call.call_id)
    assert (known["kind"], known["recorded"]) == ("missed", False)
    assert str(wait_mail(smtp, phone.user).message["Subject"]).startswith("Missed call: ")


# --- the choice at the beginning ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "mailbox"),
    [("1", "urgent"), ("2", "quotes"), ("3", "service"), ("92", "quotes")],
)
def test_each_key_leads_to_its_mailbox(
    house: Agent, phone: Caller, smtp: SmtpServer, keys: str, mailbox: str
) -> None:
    call = dial(phone, "reception")
    heard = wait_said(house, call, shipped("en/choice"))
    for key in keys[:-1]:
        info(call, key)
        heard = wait_said(house, call, shipped("en/invalid"), heard)
    info(call, keys[-1])
    speak(house, call)
    call.wait_bye()
    mail = wait_mail(smtp, phone.user)
    same(recording(mail), decoded(MESSAGE))
    assert mail.message["X-Sipmail-Mailbox"] == mailbox
    assert mail.message["Importance"] == ("high" if mailbox == "urgent" else None)
    service = ("service@sipmail.test",) if mailbox == "service" else ()
    assert mail.recipients == ("anna@sipmail.test", *service)


def test_who_presses_nothing_stays(house: Agent, phone: Caller, smtp: SmtpServer) -> None:
    call = dial(phone, "reception")
    speak(house, call)
    call.wait_bye()
    assert wait_mail(smtp, phone.user).message["X-Sipmail-Mailbox"] == "reception"


# --- hanging up -----------------------------------------------------------------------------------


def hang_up_at(house: Agent, phone: Caller, point: str) -> tuple[Call, bytes]:
    """A call that ends at this point, and what it leaves."""
    match point:
        case "answer":
            call = phone.call("menu")
            return call, b""
        case "choice":
            call = dial(phone, "reception")
            call.wait_heard(30)
            return call, b""
        case "greeting":
            call = dial(phone, "menu")
            call.wait_heard(20)
            return call, b""
        case "recording":
            call = dial(phone, "menu")
            wait_recording(house, call)
            call.send(message(MESSAGE))
            return call, MESSAGE
        case "thanks":
            call = dial(phone, "thanks")
            speak(house, call)
            call.wait_heard(len(call.heard) + 10)
            return call, MESSAGE
    call = dial(phone, "menu")
    speak(house, call)
    call.wait_heard(len(call.heard) + 25)
    keys = {"menu": "", "listening": "1", "again": "2", "recording again": "2", "urgent": "3"}
    if keys[point]:
        info(call, keys[point])
        call.wait_heard(len(call.heard) + 25)
    if point == "recording again":
        (folder,) = facts(house, call.call_id)
        until((house.spool / "recording" / folder / "further.rtp").exists, "another recording")
        call.send(message(OTHER, since=SECONDS))
        return call, OTHER
    return call, MESSAGE


@pytest.mark.parametrize(
    "point",
    [
        *("answer", "choice", "greeting", "recording", "thanks"),
        *("menu", "listening", "again", "recording again", "urgent"),
    ],
)
def test_hanging_up_at_any_point_leaves_one_mail(
    house: Agent, phone: Caller, smtp: SmtpServer, point: str
) -> None:
    before = len(house.lines)
    call, left = hang_up_at(house, phone, point)
    assert call.hang_up().status == 200
    mail = wait_mail(smtp, phone.user)
    known = wait_settled(house, call.call_id)
    if left:
        same(recording(mail), decoded(left))
        assert known["kind"] == "message"
    else:
        assert str(mail.message["Subject"]).startswith("Missed call: ")
        assert known["kind"] == "missed"
    assert known["urgent"] == (point == "urgent")
    assert len(mails_from(smtp, phone.user)) == 1
    until(lambda: not list((house.spool / "prompts").glob("review-*")), "no copies are left")
    assert [line for line in house.lines[before:] if "Traceback" in line or "ERROR" in line] == []
