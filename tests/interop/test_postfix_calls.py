"""Calls whose e-mails go through a real Postfix: what arrives is what the spool holds.

One agent, `sipmail run`, hands its e-mails to Postfix, which queues them and relays them to the
mail server of the tests.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sipmail.audio.encode import FORMATS
from tests.audio.test_encode import ffmpeg, sox, sox_plays
from tests.conftest import require_program
from tests.e2e.conftest import (
    LONG,
    PLAIN,
    SHORT,
    own_number,
    wait_mail,
    wait_settled,
    write_greeting,
)
from tests.e2e.telephone import message, noise, opening, wait_recording
from tests.interop.postfix import Postfix, require_postfix
from tests.interop.test_mail_way import body, leaf, parsed
from tests.support.agent import Agent, configuration
from tests.support.caller import Caller
from tests.support.smtp import Delivered, SmtpServer

pytestmark = pytest.mark.interop

ADMIN, ANNA, LUKASZ = "admin@sipmail.test", "anna@sipmail.test", "lukasz@sipmail.test"
LONGEST_LINE = 998
CALLER = "Żaneta Gęślą-Jaźń 🌻"
SECONDS = 1.2
MAILBOXES = {format: f"30{number}" for number, format in enumerate(FORMATS)}
MISSED, FRAGILE = "310", "311"


@dataclass(frozen=True)
class Office:
    """The agent, the Postfix that takes its e-mails, and the server that gets them from there."""

    agent: Agent
    postfix: Postfix
    smtp: SmtpServer

    def leave(self, number: str) -> tuple[str, str]:
        """A call that leaves a message; the caller's number and the Call-ID."""
        with Caller(self.agent.address, user=own_number(), display=CALLER) as phone:
            call = phone.call(number)
            call.send(opening())
            wait_recording(self.agent, call)
            call.send(message(noise(SECONDS, 90)))
            call.hang_up()
            return phone.user, call.call_id


@pytest.fixture(scope="module")
def postfix() -> Iterator[tuple[Postfix, SmtpServer]]:
    """A Postfix, and the server that it relays to."""
    program = require_postfix()
    smtp = SmtpServer().start()
    server = Postfix(program, smtp.port)
    yield server, smtp
    print(f"--- log of Postfix\n{server.log()}")
    server.stop()
    smtp.stop()


@pytest.fixture(scope="module")
def office(
    tmp_path_factory: pytest.TempPathFactory, postfix: tuple[Postfix, SmtpServer]
) -> Iterator[Office]:
    server, smtp = postfix
    folder = tmp_path_factory.mktemp("postfix")
    common = {
        "users": ["anna", "lukasz"],
        "greeting": str(write_greeting(folder / "short.wav", SHORT)),
        "after": "nothing",
        "record": {**PLAIN},
    }
    (folder / "fragile.txt").write_text("{{ who }}\n")
    settings = configuration(
        folder,
        language="pl",
        mail={
            "from": "Poczta głosowa <voicemail@sipmail.test>",
            "smtp": {"host": server.host, "port": server.port, "security": "none"},
            "maildir": None,
            "admin": ADMIN,
        },
        users={"lukasz": f"Łukasz Żółć <{LUKASZ}>"},
        mailboxes={
            **{
                format: {
                    **common,
                    "name": f"Sprzedaż – {format}",
                    "numbers": [number],
                    "attachment": format,
                }
                for format, number in MAILBOXES.items()
            },
            "missed": {
                **common,
                "name": "Księgowość",
                "numbers": [MISSED],
                "greeting": str(write_greeting(folder / "long.wav", LONG)),
            },
            "fragile": {
                **common,
                "name": "Żaden szablon",
                "numbers": [FRAGILE],
                "body": {"text": "fragile.txt"},
            },
        },
    )
    agent = Agent(folder, settings).start()
    yield Office(agent, server, smtp)
    agent.close()
    print(agent.log())


def arrived(mail: Delivered) -> dict[str, Any]:
    """What Perl's MIME::Parser reads in it; AssertionError unless it came by Postfix, whole."""
    assert "by postfix.sipmail.test (Postfix)" in str(mail.message["Received"])
    assert max(map(len, mail.data.split(b"\r\n"))) <= LONGEST_LINE
    assert not mail.message.defects
    found = parsed(mail.data)
    assert base64.b64decode(found["subject"]).decode() == mail.message["Subject"]
    return found


def plays(format: str, file: Path) -> None:
    """AssertionError unless two players find the right length in this recording."""
    assert abs(len(ffmpeg(require_program("ffmpeg"), file)) / 8000 - SECONDS) <= 0.1
    if sox_plays(require_program("sox"), format):
        assert abs(len(sox(require_program("sox"), file)) / 8000 - SECONDS) <= 0.1


@pytest.mark.parametrize("format", FORMATS)
def test_a_message(office: Office, format: str, tmp_path: Path) -> None:
    number, call_id = office.leave(MAILBOXES[format])
    mail = wait_mail(office.smtp, number)
    assert set(mail.recipients) == {ANNA, LUKASZ}
    known = wait_settled(office.agent, call_id)
    found = arrived(mail)

    folder = office.agent.spool / "done" / known["id"]
    kept = folder / known["delivery"]["sound"]["file"]
    name, audio = leaf(found, "audio")
    assert audio == kept.read_bytes()
    assert mail.attachment() == (name, audio)
    assert name.endswith(f"_{number}{kept.suffix}")
    file = tmp_path / name
    file.write_bytes(audio)
    plays(format, file)

    subject = f"{CALLER}, {number} · Sprzedaż – {format} · nagranie 1 s"
    assert mail.message["Subject"] == subject
    assert mail.message["From"] == "Poczta głosowa <voicemail@sipmail.test>"
    assert mail.message["To"] == f"Anna Kowalska <{ANNA}>, Łukasz Żółć <{LUKASZ}>"
    text, html = body(found, "text/plain"), body(found, "text/html")
    assert text.startswith(f"Nowa wiadomość głosowa: {CALLER}\n")
    assert f"Sprzedaż – {format}\n" in text
    assert f"{name}\n" in text
    assert text.endswith("Odpowiedz wszystkim, aby inni o\u00a0tym wiedzieli.\n")
    assert CALLER in html
    assert html.rstrip().endswith("</html>")
    _, picture = leaf(found, "image")
    assert picture.startswith(b"\x89PNG")
    assert picture.endswith(b"IEND\xaeB`\x82")


def test_a_missed_call(office: Office) -> None:
    number = own_number()
    with Caller(office.agent.address, user=number, display=CALLER) as phone:
        phone.call(MISSED).hang_up()
    mail = wait_mail(office.smtp, number)
    found = arrived(mail)
    subject = f"Nieodebrane: {CALLER}, {number} · Księgowość"
    assert mail.message["Subject"] == subject
    kinds = [part["type"] for part in found["parts"]]
    assert kinds == ["multipart/alternative", "text/plain", "text/html"]
    text = body(found, "text/plain")
    assert text.startswith(f"Nieodebrane połączenie: {CALLER}\n")
    assert "Osoba dzwoniąca nie zostawiła wiadomości." in text


def test_a_notice(office: Office) -> None:
    (office.agent.folder / "fragile.txt").write_text("{{ who.no_such_thing.at_all }}\n")
    number, _ = office.leave(FRAGILE)
    arrived(wait_mail(office.smtp, number))
    office.smtp.wait_until(lambda: bool(office.smtp.to(ADMIN)), what="a notice")
    (mail,) = office.smtp.to(ADMIN)
    found = arrived(mail)
    assert [part["type"] for part in found["parts"]] == ["text/plain"]
    text = body(found, "text/plain")
    assert "skrzynka fragile, od: " in text
    assert "własny szablon" in text
    assert number in text
    assert mail.message["Subject"] == "sipmail: wiadomość głosowa wymaga uwagi"
