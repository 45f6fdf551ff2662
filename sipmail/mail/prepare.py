"""From a message in the queue to an e-mail that can be handed over.

    read → sound to file → is it a message or a missed call → who gets it → compose

Rules: the finished audio file and the Message-ID are on disk before the first attempt, so every
attempt sends the same thing. A recording that cannot be decoded is mailed as it was received,
never held back. Whatever else goes wrong holds the message, which stays in the queue.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sipmail.config.model import Address, Config, Mailbox
from sipmail.errors import SipmailError, SpoolError
from sipmail.mail import attempt, hooks
from sipmail.mail.compose import Attachment, compose_notice, composed
from sipmail.mail.contacts import Contacts
from sipmail.mail.deliver import Envelope
from sipmail.mail.hooks import Hook
from sipmail.mail.recipients import everyone, recipients, settle
from sipmail.mail.recording import sound_of
from sipmail.spool.message import Kind, Message
from sipmail.spool.recovery import interrupted
from sipmail.spool.spool import Spool, State

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Ready to be handed over; `message` is what is on disk."""

    message: Message
    envelopes: tuple[Envelope, ...]
    """One for all, or one for each recipient; none where only hooks wait."""
    hooks: tuple[Hook, ...] = ()
    """To be told after the e-mail is delivered."""
    wrong_template: str = ""
    """What is wrong with the mailbox's own templates; then the built-in words are used."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Nobody waits for it: it has moved to `state`."""

    message: Message
    state: State


@dataclass(frozen=True, slots=True)
class Held:
    """It cannot be sent now; `message` says when it is tried again. `unsaved` when the disk did
    not take even that: then what is on disk is older than `message`."""

    message: Message
    why: str
    unsaved: bool = False
    for_admin: bool = False
    """Whether the administrator is to hear of it at once: time alone will not mend it."""


class Gone(SipmailError):
    """The message is not in the queue (any more), or cannot be read."""


class _Hindrance(SipmailError):
    """Why a message cannot be sent now."""

    def __init__(self, why: str, *, for_admin: bool) -> None:
        self.for_admin = for_admin
        super().__init__(why)


def prepare(
    spool: Spool,
    message_id: str,
    config: Config,
    now: datetime,
    unsaved: Message | None = None,
    contacts: Contacts | None = None,
    repeats: tuple[datetime, ...] = (),
) -> Prepared | Settled | Held:
    """Prepares one message of the queue; `unsaved` is what the disk did not take the last time.

    `contacts` know the names of callers, `repeats` is when the caller of a missed call called
    again, where this e-mail stands for those calls, too.

    Raises Gone. Everything else that can happen is in the result.
    """
    try:
        message = unsaved or spool.load(State.QUEUE, message_id)
    except SpoolError as error:
        raise Gone(str(error)) from error
    if unsaved is not None and not save(spool, message):
        return Held(message, "the disk of the spool does not take the note", unsaved=True)
    if message.delivery.recipients and (state := attempt.settled(message)) is not None:
        return move(spool, message, state, now)  # all that a crash left to do
    try:
        if message.kind is Kind.NOTICE:
            return _prepare_notice(spool, message, config, now)
        names = contacts or Contacts(config)
        return _prepare_message(spool, message, config, now, names, repeats)
    except _Hindrance as error:
        return hold(spool, _latest(spool, message), str(error), now, for_admin=error.for_admin)
    except Exception as error:
        log.exception("message %s (%s) could not be prepared", message_id, message.call_id)
        why = f"could not be prepared: {error!r}"
        return hold(spool, _latest(spool, message), why, now, for_admin=True)


def hold(
    spool: Spool, message: Message, why: str, now: datetime, *, for_admin: bool
) -> Held | Settled:
    """Postpones `message`, or gives it up when its time is over."""
    later = attempt.after_hindrance(message, why, now)
    saved = save(spool, later)
    if saved and (state := attempt.settled(later)) is not None:
        return move(spool, later, state, now)
    return Held(later, why, unsaved=not saved, for_admin=for_admin)


def move(spool: Spool, message: Message, state: State, now: datetime) -> Settled | Held:
    """Takes a settled message out of the queue."""
    try:
        spool.move(message.id, State.QUEUE, state)
    except SpoolError as error:
        log.error("%s", error)
        return Held(attempt.after_hindrance(message, str(error), now), str(error))
    return Settled(message, state)


def save(spool: Spool, message: Message) -> bool:
    """Writes message.json of a message in the queue; False (and a log line) when it cannot be."""
    try:
        spool.update(message, State.QUEUE)
    except SpoolError as error:
        log.error("%s", error)
        return False
    return True


def _prepare_notice(
    spool: Spool, message: Message, config: Config, now: datetime
) -> Prepared | Settled | Held:
    if config.mail.admin is None:
        return move(spool, message, State.DONE, now)
    wanted = (Address("", config.mail.admin),)
    on_disk = message
    message = _addressed(message, wanted, config)
    _must_save(spool, message, on_disk)
    if (state := attempt.settled(message)) is not None:
        return move(spool, message, state, now)
    data = compose_notice(message, config, wanted)
    return Prepared(message, (_envelope(message, config, message.delivery.waiting(), data),))


def _prepare_message(
    spool: Spool,
    message: Message,
    config: Config,
    now: datetime,
    contacts: Contacts,
    repeats: tuple[datetime, ...],
) -> Prepared | Settled | Held:
    folder = spool.folder(State.QUEUE, message.id)
    on_disk = message
    message = interrupted(message, folder)
    mailbox = config.mailboxes.get(message.mailbox)
    if mailbox is None:
        why = f"there is no mailbox {message.mailbox!r} in the configuration"
        raise _Hindrance(why, for_admin=True)
    audio: Attachment | None = None
    if message.recorded and message.kind is Kind.MESSAGE:
        message, audio = sound_of(spool, message, mailbox)
    if message.kind is Kind.MISSED and not mailbox.missed_calls:
        _must_save(spool, message, on_disk)
        return move(spool, message, State.DONE, now)
    if repeats:
        message = replace(message, repeats=tuple(sorted({*message.repeats, *repeats})))
    wanted = recipients(mailbox, config, message.delivery.on_call_at or now)
    told = hooks.names(mailbox)
    if not wanted and not told:
        raise _Hindrance(f"mailbox {mailbox.key} has neither users nor emails", for_admin=True)
    message = _addressed(message, (*wanted, *(Address("", hook) for hook in told)), config)
    _must_save(spool, message, on_disk)
    if (state := attempt.settled(message)) is not None:
        return move(spool, message, state, now)
    return _composed(message, mailbox, config, audio, wanted, contacts, folder)


def _composed(
    message: Message,
    mailbox: Mailbox,
    config: Config,
    audio: Attachment | None,
    wanted: tuple[Address, ...],
    contacts: Contacts,
    folder: Path,
) -> Prepared:
    waiting = message.delivery.waiting()
    addresses = tuple(one for one in waiting if not hooks.is_hook(one))
    shown = message
    if not message.caller.withheld and (name := contacts.name(message.caller.number)) is not None:
        shown = replace(message, caller=replace(message.caller, name=name))
    envelopes = []
    wrong = ""
    if addresses and mailbox.one_mail_each:
        names = {person.email.casefold(): person for person in wanted}
        for address in addresses:
            one = names.get(address.casefold(), Address("", address))
            data, wrong = composed(_for_one(shown, address), mailbox, config, audio, (one,))
            envelopes.append(_envelope(message, config, (address,), data, _mark(address)))
    elif addresses:
        to = everyone(message.delivery, wanted)
        data, wrong = composed(shown, mailbox, config, audio, to)
        envelopes.append(_envelope(message, config, addresses, data))
    sound = message.delivery.sound
    file = folder / sound.file if sound is not None else None
    told = hooks.hooks(shown, mailbox, audio, file, waiting)
    return Prepared(message, tuple(envelopes), told, wrong)


def _for_one(message: Message, address: str) -> Message:
    """`message` with the Message-ID of the e-mail that only `address` gets."""
    local, at, domain = (message.delivery.message_id or "").partition("@")
    own = f"{local}.{_mark(address)}{at}{domain}"
    return replace(message, delivery=replace(message.delivery, message_id=own))


def _mark(address: str) -> str:
    return hashlib.sha256(address.casefold().encode()).hexdigest()[:12]


def _addressed(message: Message, wanted: tuple[Address, ...], config: Config) -> Message:
    """`message` with its recipients and its Message-ID."""
    delivery = settle(message.delivery, wanted)
    if delivery.message_id is None:
        domain = config.mail.from_.email.rpartition("@")[2] or "localhost"
        delivery = replace(delivery, message_id=f"<{message.id}@{domain}>")
    return replace(message, delivery=delivery)


def _envelope(
    message: Message, config: Config, to: tuple[str, ...], data: bytes, mark: str = ""
) -> Envelope:
    key = f"{message.id}-{mark}" if mark else message.id
    return Envelope(key, config.mail.sender, to, data)


def _must_save(spool: Spool, message: Message, on_disk: Message) -> None:
    """Writes message.json where it changed: without a note on disk nothing may be sent."""
    if message != on_disk and not save(spool, message):
        raise _Hindrance("the disk of the spool does not take the note", for_admin=False)


def _latest(spool: Spool, message: Message) -> Message:
    with contextlib.suppress(SpoolError):
        return spool.load(State.QUEUE, message.id)
    return message
