"""How the e-mails leave: what the whole program says to a mail server that can do this or that."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import (
    PLAIN,
    own_number,
)
from tests.e2e.telephone import message, noise, opening, wait_recording
from tests.e2e.test_calls import info
from tests.mail.scripted import BODY, Script, Scripted
from tests.mail.test_oauth import Endpoint
from tests.support.agent import Agent, configuration
from tests.support.caller import Caller

pytestmark = pytest.mark.e2e

ANNA = "anna@sipmail.test"
SENDER = "voicemail@sipmail.test"
SAID = noise(1.1, 51)


def leave_one(folder: Path, server: Scripted, person: str, **smtp: Any) -> None:
    """A message for `person` by an agent of its own, whose server is this one, until it is sent."""
    settings = configuration(
        folder,
        mail={
            "smtp": {"host": server.host, "port": server.port, "security": "none", **smtp},
            "maildir": None,
        },
        users={"anna": person},
        mailboxes={"sales": {"users": ["anna"], "emails": [], "record": PLAIN}},
    )
    agent = Agent(folder, settings).start()
    try:
        with Caller(agent.address, user=own_number()) as phone:
            call = phone.call()
            call.send(opening())
            info(call, "#")
            wait_recording(agent, call)
            call.send(message(SAID))
            call.hang_up()
        agent.wait_log("delivered to")
    finally:
        agent.close()
        print(agent.log())


def mail_server(*extensions: str, login: Script | None = None) -> Scripted:
    """A server with these extensions that takes one message."""
    hello = "\r\n".join(f"250-{one}" for one in ("mail.test", *extensions[:-1]))
    hello += f"\r\n250 {extensions[-1]}"
    taken: Script = [("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go"), (BODY, "250 ok")]
    return Scripted([(None, "220 mail.test"), ("EHLO", hello), *(login or ()), *taken])


def test_delivery_status_notifications_are_asked_for(tmp_path: Path) -> None:
    server = mail_server("DSN", "8BITMIME")
    leave_one(tmp_path, server, f"Anna <{ANNA}>")
    mail, rcpt = server.lines[1:3]
    assert "RET=HDRS ENVID=2" in mail
    assert rcpt.endswith(f"<{ANNA}> NOTIFY=FAILURE,DELAY")
    server.stop()


def test_an_address_with_polish_letters_goes_by_smtputf8(tmp_path: Path) -> None:
    server = mail_server("SMTPUTF8", "8BITMIME")
    leave_one(tmp_path, server, "Łukasz Żółć <łukasz@żółć.example>")
    mail, rcpt = server.lines[1:3]
    assert mail.endswith(" SMTPUTF8")
    assert "<łukasz@xn--kda4b0koi.example>" in rcpt
    assert any("<łukasz@xn--kda4b0koi.example>" in line for line in server.lines[4:])  # To
    server.stop()


def test_a_login_by_token_as_microsoft_wants_it(tmp_path: Path) -> None:
    endpoint = Endpoint()
    server = mail_server("AUTH XOAUTH2", login=[("AUTH XOAUTH2", "235 ok")])
    oauth = {"token_url": endpoint.url, "client_id": "id", "client_secret": "s3cret", "scope": "x"}
    try:
        leave_one(tmp_path, server, f"Anna <{ANNA}>", username=SENDER, oauth=oauth)
    finally:
        endpoint.stop()
    assert [form["grant_type"] for form in endpoint.forms] == ["client_credentials"]
    (auth,) = [line for line in server.lines if line.startswith("AUTH")]
    said = base64.b64decode(auth.split()[2]).decode()
    assert said == f"user={SENDER}\x01auth=Bearer token-1\x01\x01"
    server.stop()
