"""Sending a delivered message again, because somebody lost the e-mail or never saw it.

Used by the courier while it runs, and by a command that owns the spool itself. The message goes
from `done/` back to the queue and is tried like a new one. It gets a Message-ID of its own: mail
servers and clients drop a second e-mail with an ID that they know.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail.queue import DROPPED
from sipmail.mail.recipients import recipients
from sipmail.spool.message import Kind, Message, RecipientState
from sipmail.spool.spool import Spool, State


def resend(
    spool: Spool, message_id: str, addresses: Collection[str], config: Config, now: datetime
) -> Message:
    """Puts a message of `done/` back to the queue, due at `now`, for `addresses`, or for everyone
    who gets the messages of its mailbox where that is empty.

    Raises SpoolError for a message that is not there or cannot be sent, and for an address that
    gets no messages of the mailbox.
    """
    state, message = spool.find(message_id)
    if state is not State.DONE:
        raise SpoolError(f"message {message_id} is in {state}/: {_ELSEWHERE[state]}")
    message = _again(message, _chosen(message, addresses, config, now), now)
    spool.update(message, State.DONE)
    spool.move(message_id, State.DONE, State.QUEUE)
    return message


_ELSEWHERE = {
    State.QUEUE: "it is about to be sent anyway",
    State.FAILED: "`sipmail queue retry` sends it",
    State.RECORDING: "the call is still in progress",
}


def _chosen(
    message: Message, addresses: Collection[str], config: Config, now: datetime
) -> tuple[str, ...]:
    if message.kind is Kind.NOTICE:
        raise SpoolError(f"message {message.id} is a notice to the administrator, not a call")
    mailbox = config.mailboxes.get(message.mailbox)
    if mailbox is None:
        raise SpoolError(f"there is no mailbox {message.mailbox!r} in the configuration any more")
    if message.kind is Kind.MISSED and not mailbox.missed_calls:
        raise SpoolError(
            f"message {message.id} is a missed call, and mailbox {mailbox.key} mails none "
            "(missed_calls: false)"
        )
    wanted = recipients(mailbox, config, message.delivery.on_call_at or now)
    known = {address.email.casefold(): address.email for address in wanted}
    strangers = [address for address in addresses if address.casefold() not in known]
    if strangers:
        raise SpoolError(
            f"{strangers[0]} gets no messages of mailbox {mailbox.key}: "
            f"it has {', '.join(known.values())}"
        )
    return tuple(known[address.casefold()] for address in addresses) or tuple(known.values())


def _again(message: Message, chosen: tuple[str, ...], now: datetime) -> Message:
    delivery = message.delivery
    keys = {address.casefold() for address in chosen}
    others = {
        address: state
        for address, state in delivery.recipients.items()
        if address.casefold() not in keys
    }
    domain = (delivery.message_id or "").rstrip(">").rpartition("@")[2]
    moment = now.astimezone(UTC)
    return replace(
        message,
        notes=tuple(note for note in message.notes if note != DROPPED),
        delivery=replace(
            delivery,
            # Without an earlier Message-ID the courier makes the first one.
            message_id=f"<{message.id}-{moment:%Y%m%d%H%M%S}@{domain}>" if domain else None,
            recipients={**others, **dict.fromkeys(chosen, RecipientState())},
            attempts=0,
            first_attempt=None,
            next_attempt=moment,
            last_answer=None,
        ),
    )
