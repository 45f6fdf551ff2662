"""A message, its mailbox and its readers, for the tests of e-mails."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sipmail.config.model import Config, Mail, Mailbox, Sip, Trunk
from sipmail.config.values import Address
from sipmail.mail.compose import Attachment, compose
from sipmail.spool.message import Caller, Delivery, Message

WARSAW = ZoneInfo("Europe/Warsaw")
READERS = (
    Address("Anna Kowalska", "anna@example.com"),
    Address("Łukasz Żółć", "lukasz@example.com"),
    Address("", "biuro@example.com"),
)
MESSAGE = Message(
    id="20261123T133012000000-0123456789ab",
    mailbox="sales",
    called="+48221234567",
    received=datetime(2026, 11, 23, 13, 30, 12, tzinfo=UTC),
    caller=Caller("+48600123456", "Katarzyna Wiśniewska"),
    reason="no-answer",
    ending="caller",
    recorded=True,
    duration=42.3,
    delivery=Delivery(message_id="<20261123T133012000000-0123456789ab@example.com>"),
)
MP3 = Attachment(b"ID3" + bytes(range(256)) * 3, "audio/mpeg", "mp3", 42.3)
PNG = (Path(__file__).parent / "data" / "waveform.png").read_bytes()


def mailbox(**fields: Any) -> Mailbox:
    usual: dict[str, Any] = {
        "key": "sales",
        "name": "Poczta – sprzedaż",
        "numbers": ("201", "+48221234567"),
        "language": "pl",
        "timezone": WARSAW,
        "reply_to": "biuro@example.com",
    }
    return Mailbox(**{**usual, **fields})


CONFIG = Config(
    language="pl",
    country="PL",
    timezone=WARSAW,
    sip=Sip(trunks={"pbx": Trunk(registrar="sip:pbx.example.com", username="200")}),
    mail=Mail(from_=Address("Poczta głosowa", "voicemail@example.com"), admin="admin@example.com"),
    mailboxes={"sales": mailbox()},
)


def called_by(number: str | None, name: str | None = None, **fields: Any) -> Message:
    return replace(MESSAGE, caller=Caller(number, name), **fields)


def written(
    message: Message = MESSAGE,
    audio: Attachment | None = MP3,
    readers: tuple[Address, ...] = READERS,
    **box: Any,
) -> bytes:
    return compose(message, mailbox(**box), CONFIG, audio, readers)


def read(data: bytes) -> EmailMessage:
    """What the standard library, which did not write it, reads in an e-mail."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert not message.defects
    assert all(not part.defects for part in message.walk())
    return message


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def html_of(message: EmailMessage) -> str:
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content())
