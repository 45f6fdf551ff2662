"""What a mailbox makes of its e-mails, through the whole program: a call in, e-mails out.

One agent for all; each test calls from a number of its own, by which it finds its e-mails.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.conftest import (
    LONG,
    PLAIN,
    SHORT,
    mails_from,
    own_number,
    wait_mail,
    wait_settled,
    write_greeting,
)
from tests.e2e.telephone import (
    body,
    decoded,
    message,
    noise,
    opening,
    recording,
    same,
    until,
    wait_recording,
)
from tests.mail.test_hooks import Listener
from tests.support.agent import ROOT, Agent, configuration, merged
from tests.support.caller import Call, Caller
from tests.support.patience import PATIENCE
from tests.support.smtp import Delivered, SmtpServer

pytestmark = pytest.mark.e2e

SECRET = "s3cret of the webhook"
ADMIN = "admin@sipmail.test"
ANNA, JAN, OFFICE = "anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"
ZONE = ZoneInfo("Europe/Warsaw")
FOLD = 3.0
TEMPLATE = "{{ who }} called {{ mailbox }}.\n{{ seconds | round | int }} s, {{ number }}\n"
BROKEN = "{{ who.no_such_thing.at_all }}\n"
DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")


@dataclass(frozen=True)
class House:
    """The agent, and what its mailboxes talk to."""

    agent: Agent
    smtp: SmtpServer
    listener: Listener
    folder: Path

    def leave(
        self, mailbox: str, seconds: float = 0.3, number: str | None = None
    ) -> tuple[str, Call]:
        """A call that leaves a message; the caller's number, and the call."""
        with Caller(self.agent.address, user=number or own_number()) as phone:
            call = phone.call(mailbox)
            call.send(opening())
            wait_recording(self.agent, call)
            call.send(message(noise(seconds, 71)))
            call.hang_up()
            return phone.user, call

    def message(self, mailbox: str) -> Delivered:
        """The e-mail about a message that was left there."""
        number, _ = self.leave(mailbox)
        return wait_mail(self.smtp, number)

    def miss(self, mailbox: str, number: str) -> None:
        """A call that hangs up during the greeting, on disk when this returns."""
        with Caller(self.agent.address, user=number) as phone:
            call = phone.call(mailbox)
            call.hang_up()
            self.agent.wait_log(f"{call.call_id}: missed")


def write_contacts(path: Path, names: dict[str, str]) -> None:
    """A CSV file as an address book exports it, in place of what was there."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("name", "phone"), *((n, p) for p, n in names.items())])


def days_around_now() -> tuple[str, str]:
    """Opening hours that hold now, whatever the hour, and others that don't."""
    today = datetime.now(ZONE).date()
    near = [DAYS[(today + timedelta(days=days)).weekday()] for days in (-1, 0, 1)]
    return ",".join(near), ",".join(day for day in DAYS if day not in near)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    smtp = SmtpServer().start()
    listener = Listener()
    short = str(write_greeting(folder / "short.wav", SHORT))
    long = str(write_greeting(folder / "long.wav", LONG))
    write_contacts(folder / "contacts.csv", {"+48601000001": "Somebody Else"})
    (folder / "mail.txt").write_text(TEMPLATE)
    (folder / "fragile.txt").write_text(TEMPLATE)
    on_duty, off_duty = days_around_now()
    settings = configuration(
        folder,
        smtp,
        mail={"admin": ADMIN},
        contacts=["contacts.csv"],
        defaults={"attachment": "wav", "after": "nothing", "greeting": short, "record": PLAIN},
        mailboxes={
            "sales": {"greeting": short, "record": {**PLAIN}},
            "worded": {
                "name": "Words",
                "numbers": ["302"],
                "users": ["anna"],
                "subject": "[{{ mailbox_key }}] {{ who }} ({{ length }})",
                "body": {"text": "mail.txt"},
            },
            "fragile": {
                "name": "Fragile",
                "numbers": ["303"],
                "users": ["anna"],
                "body": {"text": "fragile.txt"},
            },
            "told": {
                "name": "Told",
                "numbers": ["304"],
                "users": ["anna"],
                "webhook": {"url": listener.url, "secret": SECRET},
                "command": [shutil.which("tee") or "/usr/bin/tee", str(folder / "told.json")],
            },
            "folded": {
                "name": "Folded",
                "numbers": ["305"],
                "users": ["anna"],
                "greeting": long,
                "fold_missed_calls": f"{FOLD:g}s",
            },
            "each": {
                "name": "Each",
                "numbers": ["306"],
                "users": ["anna", "jan"],
                "emails": [OFFICE],
                "one_mail_each": True,
            },
            "duty": {
                "name": "Duty",
                "numbers": ["307"],
                "users": [{"user": "anna", "hours": on_duty}, {"user": "jan", "hours": off_duty}],
            },
        },
    )
    agent = Agent(folder, settings).start()
    try:
        yield House(agent, smtp, listener, folder)
    finally:
        agent.close()
        smtp.stop()
        listener.stop()
        print(agent.log())


def test_a_caller_is_named_from_a_file_that_changes(house: House) -> None:
    contacts = house.folder / "contacts.csv"
    number = own_number()
    write_contacts(contacts, {number: "Zofia Wiśniewska"})
    house.leave("201", 1.1, number)  # files are looked at once a second
    first = wait_mail(house.smtp, number)
    assert "Zofia Wiśniewska" in first.message["Subject"]
    assert "Zofia Wiśniewska" in body(first)
    assert "Jan Nowak" not in body(first).split("\n\n")[0]  # as the network calls this caller
    write_contacts(contacts, {number: "Z. Wiśniewska-Lis (Sun Ltd)"})
    house.leave("201", 1.1, number)
    house.smtp.wait_until(lambda: len(mails_from(house.smtp, number)) == 2)
    second = mails_from(house.smtp, number)[1]
    assert "Z. Wiśniewska-Lis (Sun Ltd)" in second.message["Subject"]
    assert "Zofia" not in body(second)


def test_own_words(house: House) -> None:
    mail = house.message("302")
    assert mail.message["Subject"] == "[worded] Jan Nowak (0:00)"
    number = str(mail.message["X-Sipmail-Caller"])
    first, second = body(mail).splitlines()[:2]
    assert first == "Jan Nowak called Words."
    assert second.replace(" ", "") == f"0s,{number}"
    html = mail.message.get_body(("html",))
    assert isinstance(html, EmailMessage)
    assert "Jan Nowak called Words.<br>" in html.get_content()


def test_a_template_that_breaks_while_it_runs(house: House) -> None:
    assert body(house.message("303")).startswith("Jan Nowak called Fragile.")
    template = house.folder / "fragile.txt"
    template.write_text(BROKEN)
    mail = house.message("303")
    assert "Mailbox:" in body(mail)  # the built-in words
    same(recording(mail), decoded(noise(0.3, 71)))
    house.smtp.wait_until(lambda: bool(house.smtp.to(ADMIN)), PATIENCE, "a word to the admin")
    (notice,) = house.smtp.to(ADMIN)
    told = notice.message.get_content()
    assert "the mailbox's own template failed, the built-in words were sent: body.text" in told
    assert str(mail.message["X-Sipmail-ID"]) in told
    # Mended, it is used again, without a reload.
    template.write_text(TEMPLATE + "Mended.\n")
    assert "Mended." in body(house.message("303"))


def test_a_webhook_and_a_command_are_told(house: House) -> None:
    number, call = house.leave("304")
    known = wait_settled(house.agent, call.call_id)
    ((headers, posted),) = house.listener.taken
    signed = f"{headers['x-sipmail-timestamp']}.".encode() + posted
    mark = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["x-sipmail-signature"] == f"sha256={mark}"
    told = json.loads(posted)
    assert (told["event"], told["id"], told["mailbox"]) == ("message", known["id"], "told")
    assert told["caller"] == {"number": number, "name": "Jan Nowak", "withheld": False}
    assert told["call_id"] == call.call_id
    assert told["duration"] == 0.3
    assert told["delivered_to"] == [ANNA]
    mail = wait_mail(house.smtp, number)
    assert told["recording"]["size"] == len(mail.attachment()[1])
    by_command = json.loads((house.folder / "told.json").read_text())
    path = Path(by_command["recording"].pop("path"))
    assert path.parent.parent.parent == house.agent.spool
    del told["delivered_to"], by_command["delivered_to"]
    assert by_command == told
    delivery = known["delivery"]["recipients"]
    assert {name: one["state"] for name, one in delivery.items()} == {
        ANNA: "delivered",
        "webhook": "delivered",
        "command": "delivered",
    }


def test_missed_calls_of_one_caller_are_folded(house: House) -> None:
    number = own_number()
    for _ in range(3):
        house.miss("305", number)
    house.smtp.wait_until(
        lambda: len(mails_from(house.smtp, number)) == 2, PATIENCE, "both e-mails"
    )
    first, second = mails_from(house.smtp, number)
    assert second.at - first.at > FOLD / 2  # the window was kept open
    for mail in (first, second):
        assert str(mail.message["Subject"]).startswith("Missed call")
    assert ["Also called:" in body(mail) for mail in (first, second)] == [False, True]
    until(lambda: house.agent.messages("queue") == [], "an empty queue")
    texts = [(one / "message.json").read_text() for one in house.agent.messages("done")]
    known = [json.loads(text) for text in texts if number in text]
    repeats = [len(one["repeats"]) for one in known if one["delivery"]["attempts"]]
    assert sorted(repeats) == [0, 1]
    assert len(known) == 3
    # The window is open for these callers only, and for messages never.
    assert house.message("305").recipients == (ANNA,)


def test_an_e_mail_for_each_or_one_for_all(house: House) -> None:
    number, _ = house.leave("306")
    house.smtp.wait_until(
        lambda: len(mails_from(house.smtp, number)) == 3, PATIENCE, "an e-mail each"
    )
    mails = mails_from(house.smtp, number)
    assert sorted(mail.recipients for mail in mails) == [(ANNA,), (JAN,), (OFFICE,)]
    for mail in mails:
        (to,) = mail.message["To"].addresses
        assert (to.addr_spec,) == mail.recipients
    assert len({mail.message["Message-ID"] for mail in mails}) == 3
    assert len({mail.attachment()[1] for mail in mails}) == 1
    together = house.message("201")
    assert sorted(together.recipients) == [ANNA, JAN, OFFICE]
    assert len(together.message["To"].addresses) == 3


def test_who_is_on_call_gets_it(house: House) -> None:
    assert house.message("307").recipients == (ANNA,)
    # The rota changes places, and the next message goes to the other one.
    changed = merged(house.agent.settings, {})
    anna, jan = changed["mailboxes"]["duty"]["users"]
    users = [{**anna, "hours": jan["hours"]}, {**jan, "hours": anna["hours"]}]
    changed["mailboxes"] = {
        **changed["mailboxes"],
        "duty": {**changed["mailboxes"]["duty"], "users": users},
    }
    house.agent.write(changed)
    reload(house.agent)
    assert house.message("307").recipients == (JAN,)


def reload(agent: Agent) -> None:
    before = len(agent.lines)
    agent.signal(signal.SIGHUP)
    agent.wait_log("configuration reloaded", since=before)


def test_a_dead_machines_spool_is_adopted(house: House, tmp_path: Path) -> None:
    settings = configuration(tmp_path, house.smtp, mailboxes=house.agent.settings["mailboxes"])
    settings["mailboxes"] = {"sales": house.agent.settings["mailboxes"]["sales"]}
    node = Agent(tmp_path, settings).start()
    said = noise(0.5, 72)
    with Caller(node.address, user=own_number()) as phone:
        call = phone.call("201")
        call.send(opening())
        wait_recording(node, call)
        call.send(message(said))
        (cut_off,) = node.messages("recording")
        until(lambda: (cut_off / "audio.rtp").stat().st_size > len(said), "what was said")
        refused = adopt(house.agent, node.spool)
        assert refused.returncode == 1
        assert "is in use by another sipmail" in refused.stderr
        node.kill9()
        assert mails_from(house.smtp, phone.user) == []
        done = adopt(house.agent, node.spool)
        assert (done.returncode, done.stdout) == (0, "1 message will be delivered now\n"), done
        mail = wait_mail(house.smtp, phone.user)
    same(recording(mail)[-len(decoded(said)) :], decoded(said))
    known = wait_settled(house.agent, call.call_id)
    assert (known["ending"], known["id"]) == ("interrupted", cut_off.name)
    assert [len(node.messages(state)) for state in ("recording", "queue", "done")] == [0, 0, 0]


def adopt(agent: Agent, spool: Path) -> subprocess.CompletedProcess[str]:
    """What the command says to an administrator."""
    command = ["queue", "adopt", str(spool), "-c", str(agent.file)]
    return subprocess.run(
        [sys.executable, "-m", "sipmail", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
