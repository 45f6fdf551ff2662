"""Handing a finished e-mail over: what is handed over, and what came of it for each recipient.

Two ways: `smtp.SmtpDelivery` and `maildir.MaildirDelivery`; `delivery_for` chooses by the
configuration. An outcome is final once it is not temporary. An answer is what the server said, as
one line that is fit for logs and terminals; it never holds our password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sipmail.config.model import Mail
from sipmail.errors import DeliveryError

_LONGEST_ANSWER = 400


@dataclass(frozen=True, slots=True)
class Envelope:
    """One hand-over: `data` is the whole e-mail with CRLF line ends, `key` names it uniquely and
    stays the same over every attempt (a message's ID)."""

    key: str
    sender: str
    recipients: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the hand-over for one recipient.

    `server` says that the trouble is the server's and not the recipient's: nobody else would have
    fared better.
    """

    ok: bool
    temporary: bool
    answer: str
    server: bool = False


class MailDelivery(Protocol):
    """Hands e-mails over; used by one thread at a time."""

    def send(self, envelope: Envelope) -> Mapping[str, Outcome]:
        """One outcome for each recipient of `envelope`; never raises for what a server does."""

    def close(self) -> None:
        """Ends the connection, if there is one; `send` may be called again."""


def delivery_for(mail: Mail) -> MailDelivery:
    """SMTP where it is configured, else the Maildir. Raises DeliveryError when neither is."""
    from sipmail.mail.maildir import MaildirDelivery
    from sipmail.mail.smtp import SmtpDelivery

    if mail.smtp is not None:
        return SmtpDelivery(mail.smtp)
    if mail.maildir is not None:
        return MaildirDelivery(mail.maildir)
    raise DeliveryError("neither mail.smtp nor mail.maildir is configured", temporary=True)


def one_line(text: str | bytes) -> str:
    """What a peer said, as one line of printable characters and of bounded length."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    words = " ".join(text.split())
    safe = "".join(char if char.isprintable() else "?" for char in words)
    return safe if len(safe) <= _LONGEST_ANSWER else safe[: _LONGEST_ANSWER - 1] + "…"


def same_for_all(envelope: Envelope, outcome: Outcome) -> dict[str, Outcome]:
    """`outcome` for every recipient of `envelope`."""
    return dict.fromkeys(envelope.recipients, outcome)
