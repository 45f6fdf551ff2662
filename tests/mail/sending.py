"""What tests of the delivery send, and to whom."""

from __future__ import annotations

from collections.abc import Callable

from sipmail.config.model import Smtp
from sipmail.mail.deliver import Envelope
from sipmail.mail.smtp import SmtpDelivery
from tests.mail.scripted import Scripted
from tests.support.smtp import SmtpServer

ANNA, JAN, EVA = "anna@sipmail.test", "jan@sipmail.test", "eva@sipmail.test"
DATA = b"Subject: x\r\n\r\n.hidden dot\r\ntext\r\n"

Deliver = Callable[..., SmtpDelivery]
MakeScripted = Callable[..., Scripted]


def envelope(*recipients: str, data: bytes = DATA) -> Envelope:
    return Envelope("20261123T120000000000-ab", "voicemail@sipmail.test", recipients, data)


def settings(server: SmtpServer | Scripted, **changes: object) -> Smtp:
    facts = {"host": server.host, "port": server.port, "security": "none", "timeout": 5.0}
    return Smtp.model_validate({**facts, **changes})


def said(server: Scripted) -> list[str]:
    """What the client said; how it writes a command differs between Pythons."""
    return [line.lower() for line in server.lines]
