"""Each example loads, and a simulated call does what its comments say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest

from sipmail.agent.reception import Admission, Reception
from sipmail.config.loader import load
from sipmail.config.model import Config, Mailbox
from sipmail.mail.compose import compose
from sipmail.mail.contacts import Contacts
from sipmail.mail.recipients import recipients
from sipmail.mail.view import Attachment
from sipmail.sip.actions import Hop, Incoming
from sipmail.sip.message import Request, parse
from sipmail.voicemail.plan import Plan, sources
from sipmail.voicemail.script import leave_message
from tests.mail.post import MESSAGE, read, text_of
from tests.voicemail.test_script import FakeCall, run

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = sorted(file.stem for file in FOLDER.glob("*.yaml"))
ENVIRONMENT = dict.fromkeys(("PBX_PASSWORD", "SMTP_PASSWORD", "WEBHOOK_SECRET"), "x")

MONDAY_NOON = "2026-11-23 12:00"
MONDAY_NIGHT = "2026-11-23 22:00"
SATURDAY_NOON = "2026-11-28 12:00"
INDEPENDENCE_DAY = "2026-11-11 12:00"  # a Wednesday


@dataclass(frozen=True)
class Outcome:
    """What a call led to: the mailbox, which greeting, who gets the e-mail, what was asked of the
    call."""

    mailbox: Mailbox
    greeting: str
    to: tuple[str, ...]
    urgent: bool
    steps: tuple[str, ...]


class Line(FakeCall):
    """A caller who presses `keys`, and the mailbox that this leads to."""

    def __init__(self, keys: str = "") -> None:
        super().__init__(keys=keys)
        self.entered: tuple[str, bool] | None = None

    async def enter(self, mailbox: str, *, urgent: bool) -> None:
        self.entered = (mailbox, urgent)


def example(name: str) -> Config:
    return load(FOLDER / f"{name}.yaml", ENVIRONMENT)


def call(
    config: Config, number: str, when: str, keys: str = "", reason: str = "no-answer"
) -> Outcome:
    """A call that `number` did not take, at this local time."""
    moment = datetime.fromisoformat(when).replace(tzinfo=config.timezone)
    prompts = {
        path: f"{path.parent.name}/{path.stem}"
        for box in config.mailboxes.values()
        for path in sources(box)
    }
    reception = Reception(config, prompts, lambda: 1 << 40, lambda: moment)
    request = parse(
        (
            "INVITE sip:voicemail@192.0.2.1 SIP/2.0\r\n"
            "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1\r\n"
            "From: <sip:+48600123456@192.0.2.7>;tag=1\r\nTo: <sip:voicemail@192.0.2.1>\r\n"
            f"Diversion: <sip:{number}@192.0.2.7>;reason={reason}\r\n"
            "Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        ).encode()
    )
    assert isinstance(request, Request)
    trunk = next(iter(config.sip.trunks))
    admission = reception.receive(
        Incoming("1", request, trunk, Hop("udp", "192.0.2.7", 5060)), 0, 0
    )
    assert isinstance(admission, Admission)
    assert isinstance(admission.plan, Plan)
    line = Line(keys)
    run(leave_message(line, admission.plan))
    key, urgent = line.entered or (admission.message.mailbox, admission.message.urgent)
    mailbox = config.mailboxes[key]
    plans = admission.plan.desk.plans.values() if admission.plan.desk and line.entered else ()
    plan = next((plan for plan in plans if plan.mailbox == key), admission.plan)
    to = tuple(one.email.partition("@")[0] for one in recipients(mailbox, config, moment))
    return Outcome(mailbox, plan.greeting, to, urgent, tuple(line.steps))


# --- all of them ----------------------------------------------------------------------------------


def test_there_are_eight() -> None:
    assert len(NAMES) == 8
    assert set(re.findall(r"\((.+?)\.yaml\)", (FOLDER / "README.md").read_text())) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_right(name: str) -> None:
    assert example(name).warnings == ()


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_happens_and_what_to_say(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert "# What happens\n" in text
    spoken = re.findall(r"(?m)^#   (.+?), (pl|en): ", text)
    polish = [case for case, language in spoken if language == "pl"]
    assert polish == [case for case, language in spoken if language == "en"]
    assert len(polish) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_every_number_is_taken_day_and_night(name: str) -> None:
    config = example(name)
    for mailbox in config.mailboxes.values():
        for number in mailbox.numbers:
            for when in (MONDAY_NOON, MONDAY_NIGHT, SATURDAY_NOON, INDEPENDENCE_DAY):
                outcome = call(config, "777" if number == "*" else number, when)
                assert outcome.to or outcome.mailbox.announcement


# --- each of them ---------------------------------------------------------------------------------


def test_law_and_accounting() -> None:
    config = example("law-accounting")
    law, books = call(config, "201", MONDAY_NOON), call(config, "+48221234502", MONDAY_NOON)
    assert (law.mailbox.key, law.to) == ("law", ("nowak", "zielinski"))
    assert (books.mailbox.key, books.to) == ("accounting", ("lis",))
    assert law.greeting == "pl/no_answer"
    for when in (MONDAY_NIGHT, SATURDAY_NOON, INDEPENDENCE_DAY):
        assert call(config, "201", when).greeting == "pl/closed"
    for box in config.mailboxes.values():
        assert (box.record.max, box.one_mail_each, box.after) == (300, True, "menu")
    assert "urgent" in call(config, "201", MONDAY_NOON, keys=" 3#").steps
    for keys in ("0", " 0#"):
        steps = call(config, "201", MONDAY_NOON, keys=keys).steps
        assert "transfer 100" in steps
        assert "record" in " ".join(steps)
    assert Contacts(config).name("601234567") == "Zofia Wiśniewska (sprawa 114/26)"
    assert config.keep == 14 * 86400


def test_clinic() -> None:
    config = example("clinic")
    assert call(config, "201", MONDAY_NOON).to == ("rejestracja",)
    assert call(config, "201", MONDAY_NIGHT).greeting == "pl/closed"
    prescriptions = call(config, "202", MONDAY_NIGHT)
    assert (prescriptions.to, prescriptions.greeting) == (("maj",), "pl/no_answer")
    night = call(config, "209", MONDAY_NIGHT)
    assert "record" not in " ".join(night.steps)
    assert night.to == ()
    assert not night.mailbox.missed_calls
    assert call(config, "333", MONDAY_NOON).mailbox.key == "rest"
    assert config.mailboxes["registration"].fold_missed_calls == 300
    assert config.keep == 86400


def test_it_and_hosting() -> None:
    config = example("it-hosting")
    day = call(config, "201", MONDAY_NOON, keys="1")
    assert (day.mailbox.key, day.urgent, day.to) == ("outage", True, ("noc",))
    for when in (MONDAY_NIGHT, SATURDAY_NOON, INDEPENDENCE_DAY):
        assert call(config, "201", when, keys="1").to == ("dyzur",)
    quote = call(config, "201", MONDAY_NOON, keys="2")
    assert (quote.to, quote.greeting, quote.urgent) == (("sales",), "en/no_answer", False)
    for keys in ("3", ""):
        support = call(config, "201", MONDAY_NOON, keys=keys)
        assert (support.mailbox.key, support.to) == ("support", ("support",))
    webhook = config.mailboxes["outage"].webhook
    assert webhook is not None
    assert webhook.secret is not None


def test_school() -> None:
    config = example("school")
    assert call(config, "201", MONDAY_NOON).greeting == "pl/no_answer"
    for when in (MONDAY_NIGHT, INDEPENDENCE_DAY, "2026-07-13 12:00", "2026-12-28 12:00"):
        assert call(config, "201", when).greeting == "pl/closed"
        assert call(config, "202", when).greeting == "pl/no_answer"
    absence = call(config, "202", MONDAY_NIGHT)
    assert absence.to == ("sekretariat", "nauczyciele")
    assert (absence.mailbox.record.max, absence.mailbox.missed_calls) == (60, False)


def test_shop() -> None:
    config = example("shop")
    assert call(config, "9", "2026-11-28 14:59").greeting == "pl/no_answer"
    assert call(config, "9", "2026-11-28 15:00").greeting == "pl/closed"
    assert call(config, "9", INDEPENDENCE_DAY).greeting == "pl/closed"
    assert call(config, "9", MONDAY_NOON, reason="user-busy").greeting == "pl/busy"
    box = config.mailboxes["shop"]
    assert (box.fold_missed_calls, box.record.normalize, box.missed_calls) == (600, True, True)


def test_field_service() -> None:
    config = example("field-service")
    office = call(config, "250", MONDAY_NOON)
    assert office.steps[0] == "ring 25"
    assert (office.mailbox.key, office.to) == ("office", ("biuro",))
    assert call(config, "250", MONDAY_NOON, keys="3").mailbox.key == "office"
    assert call(config, "250", MONDAY_NOON, keys="2").mailbox.key == "quotes"
    urgent = call(config, "250", MONDAY_NOON, keys="1")
    assert (urgent.urgent, urgent.to) == (True, ("marek", "tomasz"))
    # 23 November 2026 is in week 48, a week later in week 49.
    assert call(config, "250", MONDAY_NIGHT, keys="1").to == ("tomasz",)
    assert call(config, "250", "2026-11-30 22:00", keys="1").to == ("marek",)
    assert call(config, "250", SATURDAY_NOON, keys="1").to == ("tomasz",)
    command = config.mailboxes["urgent"].command
    assert command is not None
    assert command.run == ("/usr/local/bin/send-sms", "+48601234567")


@pytest.mark.parametrize(
    ("keys", "mailbox", "to"),
    [
        ("1", "urgent", ("serwis", "adam")),
        ("2", "quotes", ("oferty",)),
        ("3", "service", ("serwis",)),
        ("", "office", ("biuro",)),
    ],
)
def test_solar(keys: str, mailbox: str, to: tuple[str, ...]) -> None:
    outcome = call(example("solar"), "9", MONDAY_NIGHT, keys=keys)
    assert (outcome.mailbox.key, outcome.to, outcome.urgent) == (mailbox, to, mailbox == "urgent")
    assert outcome.steps[1] == "play silence:0.3 pl/choice silence:5"


def test_solar_sorts_quotes_by_their_subject() -> None:
    config = example("solar")
    box = config.mailboxes["quotes"]
    people = recipients(box, config, MESSAGE.received)
    sound = Attachment(b"x", "audio/mpeg", "mp3", 42.0)
    mail = read(compose(replace(MESSAGE, mailbox="quotes"), box, config, sound, people))
    assert mail["Subject"] == "[Oferta] Katarzyna Wiśniewska, +48 600 123 456 (0:42)"
    mail = read(compose(replace(MESSAGE, mailbox="quotes"), box, config, None, people))
    assert mail["Subject"] == "[Oferta] Katarzyna Wiśniewska, +48 600 123 456 (bez wiadomości)"


def test_remote_team() -> None:
    config = example("remote-team")
    assert call(config, "101", MONDAY_NOON).to == ("ola",)
    kim = call(config, "102", MONDAY_NOON)
    assert (kim.to, kim.greeting) == (("kim",), "en/no_answer")
    for answer, hour, zone in (
        (kim, "13:30", "UTC+00:00"),
        (call(config, "101", MONDAY_NOON), "14:30", "UTC+01:00"),
    ):
        people = recipients(answer.mailbox, config, MESSAGE.received)
        text = text_of(read(compose(MESSAGE, answer.mailbox, config, None, people)))
        assert hour in text
        assert zone in text
    for number, language in (("+48221234567", "pl"), ("+442071234567", "en")):
        morning, afternoon = (
            call(config, number, MONDAY_NOON),
            call(config, number, "2026-11-23 14:00"),
        )
        assert (morning.to, afternoon.to) == (("ola",), ("ola", "kim"))
        assert morning.greeting == f"{language}/no_answer"
        assert morning.mailbox.one_mail_each
