"""`sipmail test-mail`: a sample message through the real composition and the real delivery.

It goes past the spool: what the server answers is said at once and nothing is retried.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Annotated

import typer

from sipmail.cli.options import FAILED, WRONG_USE, ConfigOption, fail, read_config

if TYPE_CHECKING:
    from sipmail.config.model import Config, Mailbox
    from sipmail.mail.compose import Attachment
    from sipmail.mail.deliver import Envelope
    from sipmail.spool.message import Message

_CALLER = "sipmail test-mail"


def test_mail(
    mailbox: Annotated[str, typer.Argument(help="The mailbox, by its key in the configuration.")],
    config: ConfigOption = None,  # noqa: PT028 - not a test of pytest
) -> None:
    """Send a sample message to everyone who gets this mailbox's messages now.

    Says what the server answered for each of them; exits with 1 when any was refused.

    Example: sipmail test-mail sales
    """
    settings = read_config(config)
    box = settings.mailboxes.get(mailbox)
    if box is None:
        known = ", ".join(settings.mailboxes)
        fail(f"there is no mailbox {mailbox!r}: there are {known}", WRONG_USE)
    envelope = _sample(settings, box)
    if not envelope.recipients:
        fail(f"mailbox {mailbox} has neither users nor emails")
    print(f"From: {envelope.sender}, {len(envelope.data)} bytes, {_way(settings)}", flush=True)
    if not _send(settings, envelope):
        raise typer.Exit(FAILED)


def _send(config: Config, envelope: Envelope) -> bool:
    from sipmail.mail.deliver import delivery_for

    delivery = delivery_for(config.mail)
    try:
        outcomes = delivery.send(envelope)
    finally:
        delivery.close()
    for address, outcome in outcomes.items():
        if outcome.ok:
            print(f"{address}: accepted: {outcome.answer}")
        else:
            again = "refused for now" if outcome.temporary else "refused"
            print(f"{address}: {again}: {outcome.answer}", file=sys.stderr)
    return all(outcome.ok for outcome in outcomes.values())


def _sample(config: Config, mailbox: Mailbox) -> Envelope:
    from dataclasses import replace

    from sipmail.mail.compose import compose
    from sipmail.mail.deliver import Envelope
    from sipmail.mail.recipients import recipients

    to = recipients(mailbox, config, datetime.now(UTC))
    audio = _recording(mailbox)
    message = replace(_message(config, mailbox), duration=audio.duration)
    data = compose(message, mailbox, config, audio, to)
    addresses = tuple(address.email for address in to)
    return Envelope(message.id, config.mail.sender, addresses, data)


def _message(config: Config, mailbox: Mailbox) -> Message:
    from sipmail.spool.message import Caller, Delivery, Message, new_id

    now = datetime.now(UTC)
    message_id = new_id(now)
    domain = config.mail.from_.email.rpartition("@")[2]
    called = next((number for number in mailbox.numbers if number != "*"), "")
    return Message(
        id=message_id,
        mailbox=mailbox.key,
        called=called,
        received=now,
        answered=now,
        ended=now,
        ending="caller",
        recorded=True,
        caller=Caller(None, _CALLER),
        reason="no-answer",
        delivery=Delivery(message_id=f"<{message_id}@{domain}>"),
    )


def _recording(mailbox: Mailbox) -> Attachment:
    """The built-in greeting of the mailbox's language stands for what a caller said."""
    from sipmail.audio.encode import encode
    from sipmail.audio.prompt import decode
    from sipmail.audio.speech import RATE
    from sipmail.mail.compose import Attachment

    spoken = files("sipmail") / "greetings" / mailbox.language / "default.wav"
    with as_file(spoken) as path:
        encoded = encode(decode(path), RATE, mailbox.attachment)
    return Attachment(encoded.data, encoded.mime, encoded.extension, encoded.duration)


def _way(config: Config) -> str:
    smtp = config.mail.smtp
    if smtp is None:
        return f"into the Maildir {config.mail.maildir}"
    login = f", as {smtp.username}" if smtp.username else ", without a login"
    return f"by {smtp.host}:{smtp.port} ({smtp.security}{login})"
