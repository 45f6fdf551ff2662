"""`sipmail explain`: what it says, and what it takes as a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr

from sipmail.config.model import Choice
from sipmail.errors import SipmailError
from sipmail.voicemail.explain import explain, guess_trunk, read_invite
from tests.voicemail.office import (
    DATA,
    MONDAY_NIGHT,
    MONDAY_NOON,
    WARSAW,
    invite,
    mailbox,
    office,
    own_greeting,
    recorded,
)


def test_the_whole_answer() -> None:
    config = office(mailbox("service", "202", name="Serwis", hours="Mo-Fr 08:00-16:00"))
    lines = explain(recorded("cucm-no-answer-late-offer"), config, MONDAY_NIGHT, "192.0.2.9")
    text = "\n".join(lines)
    assert lines[0] == (
        "Trunk:    carrier: 192.0.2.9 (--source) is in its accept_from 192.0.2.0/24"
    )
    assert "Caller:   1112 Jan Nowak" in lines
    assert "          P-Asserted-Identity: 1112 Jan Nowak" in lines
    assert "Mailbox:  service (Serwis)" in lines
    assert "          request-uri: 9997: no mailbox has this number" in lines
    assert "          diversion: 202: mailbox service" in lines
    assert "Called:   202 Serwis" in lines
    assert "Reason:   no-answer" in lines
    assert "closed: 2026-11-23 22:00 is outside the opening hours" in text
    assert lines[-1] == "Answer:   at once"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.sip")), ids=lambda path: path.stem)
def test_every_invite_can_be_explained(path: object) -> None:
    request = read_invite(path.read_bytes())  # type: ignore[attr-defined]
    lines = explain(request, office(), MONDAY_NOON)
    assert [line.partition(":")[0] for line in lines if line[0] != " "] == [
        "Trunk",
        "Caller",
        "Mailbox",
        "Called",
        "Reason",
        "Greeting",
        "Answer",
    ]


def test_a_call_for_nobody() -> None:
    lines = explain(invite(uri="sip:999@203.0.113.10"), office(), MONDAY_NOON)
    assert 'Mailbox:  none: 404; nothing names one, and no mailbox has the number "*"' in lines


def test_the_mailbox_that_takes_the_rest() -> None:
    lines = explain(invite(), office(mailbox("rest", "*")), MONDAY_NOON)
    assert "          *: this mailbox takes the rest" in lines


def test_a_number_that_records_a_greeting() -> None:
    line = mailbox("ola", "101", greeting_number="298", greeting_pin=SecretStr("4829"))
    lines = explain(invite(uri="sip:298@203.0.113.10"), office(line), MONDAY_NOON)
    assert lines[-1].startswith("Mailbox:  ola: its greeting_number")
    assert "4829" not in "".join(lines)


@pytest.mark.parametrize(
    ("fields", "when", "said"),
    [
        ({}, MONDAY_NOON, "a spoken line after the built-in greeting says so"),
        (
            {"greeting": own_greeting(default="/g/d.wav")},
            MONDAY_NOON,
            "the greeting is your own: let it say so",
        ),
        (
            {"hours": "Mo-Fr 08:00-16:00"},
            MONDAY_NIGHT,
            "the built-in greeting for closed hours does not offer it",
        ),
    ],
)
def test_the_operator(fields: dict[str, Any], when: datetime, said: str) -> None:
    config = office(mailbox("sales", "201", operator="100", **fields))
    lines = explain(invite(uri="sip:201@203.0.113.10"), config, when, "192.0.2.9")
    assert "Key 0:    to the operator 100 at carrier, by REFER" in lines
    assert f"          {said}" in lines
    other = office(mailbox("sales", "201", operator="sip:desk@pbx.example.com", **fields))
    lines = explain(invite(uri="sip:201@203.0.113.10"), other, when, "192.0.2.9")
    assert "Key 0:    to the operator sip:desk@pbx.example.com, by REFER" in lines


def test_a_choice_and_an_announcement_are_said() -> None:
    request = invite(uri="sip:201@203.0.113.10")
    keys = Choice(keys={"1": "service", "2": "home"})
    lines = explain(request, office(mailbox("sales", "201", choice=keys)), MONDAY_NOON)
    assert "Choice:   before the greeting, 1: service; 2: home" in lines
    lines = explain(request, office(mailbox("sales", "201", announcement=True)), MONDAY_NOON)
    assert "Records:  nothing: an announcement" in lines


def test_an_hour_without_an_offset_is_the_mailboxs() -> None:
    """Open until 16:00 in Lisbon, where it is an hour earlier than in Warsaw."""
    box = mailbox("sales", "201", hours="Mo-Fr 08:00-16:00", timezone=ZoneInfo("Europe/Lisbon"))
    request = invite(uri="sip:201@203.0.113.10")
    said = "2026-11-23 16:30 is outside the opening hours"
    at_its_own = datetime(2026, 11, 23, 16, 30)
    assert said in "\n".join(explain(request, office(box), at_its_own))
    assert said in "\n".join(
        explain(request, office(box), at_its_own.replace(hour=17, tzinfo=WARSAW))
    )
    assert "outside" not in "\n".join(
        explain(request, office(box), at_its_own.replace(tzinfo=WARSAW))
    )


def test_trunk_by_via() -> None:
    guess = guess_trunk(recorded("cisco-cube-carrier"), office())
    assert guess.trunk is not None
    assert guess.trunk.name == "carrier"
    assert "topmost Via" in guess.why


def test_trunk_by_registrar_is_only_probable() -> None:
    guess = guess_trunk(recorded("fusionpbx-unconditional"), office())
    assert guess.trunk is not None
    assert guess.trunk.name == "pbx"
    assert guess.why.startswith("probably; From names its registrar pbx.example.com")


def test_no_trunk_says_which_line_would_accept_it() -> None:
    guess = guess_trunk(recorded("avaya-ip-office-target"), office())
    assert guess.trunk is None
    assert "accept_from: [198.51.100.14]" in guess.why


def test_withheld_is_said() -> None:
    lines = explain(recorded("asterisk-pjsip-withheld"), office(), MONDAY_NOON)
    assert "Caller:   withheld" in lines
    assert "          Privacy asks to withhold it" in lines


def test_an_invite_out_of_a_log() -> None:
    data = (DATA / "asterisk-pjsip-no-answer.sip").read_bytes()
    for spoilt in (
        data.replace(b"\r\n", b"\n"),
        b"\n\n" + data,
        data.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"\n"),
    ):
        request = read_invite(spoilt)
        assert (
            request.headers.get("Diversion") == '"Sprzedaz" <sip:201@198.51.100.5>;reason=no-answer'
        )


@pytest.mark.parametrize("data", [b"", b"hello", b"SIP/2.0 200 OK\r\n\r\n"])
def test_what_is_no_invite(data: bytes) -> None:
    with pytest.raises(SipmailError):
        read_invite(data)


def test_another_method() -> None:
    data = (DATA / "3cx-sip-trunk-did.sip").read_bytes().replace(b"INVITE", b"OPTIONS")
    with pytest.raises(SipmailError, match="no INVITE"):
        read_invite(data)
