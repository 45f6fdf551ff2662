"""Words to the administrator (`mail.admin`): what failed, what waits too long, what is broken.

A notice is a message of its own kind in the queue, so it is retried like any other and survives a
crash. No notice is ever about a notice: trouble with the administrator's own address is in the log
and in `/healthz`, and cannot make a loop. Worries that come together go into one notice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from sipmail.config.model import Config
from sipmail.mail import attempt
from sipmail.mail.deliver import one_line
from sipmail.spool.message import Kind, Message, Notice, new_id
from sipmail.spool.spool import Spool


@dataclass(frozen=True, slots=True)
class _Words:
    subject_one: str
    subject_many: str
    head: str
    failed: str
    given_up: str
    waiting: str
    broken: str
    template: str
    lost: str
    withheld: str
    advice: str


_WORDS: Final[Mapping[str, _Words]] = {
    "en": _Words(
        subject_one="sipmail: a voicemail message needs attention",
        subject_many="sipmail: {count} voicemail messages need attention",
        head="Message {id}\n  for mailbox {mailbox}, from {caller}, {when}",
        failed="  could not be delivered to {address}: {answer}",
        given_up="  was given up: {answer}",
        waiting="  waits since {since}; attempts: {attempts}; last answer: {answer}",
        broken="  its recording could not be decoded; the packets as received were sent instead",
        template="  the mailbox's own template failed, the built-in words were sent: {wrong}",
        lost="  had lost its message.json: the mailbox and the caller are not known",
        withheld="a withheld number",
        advice=(
            "Nothing is lost: the recordings are in {spool}.\n"
            "What happened to a message:  sipmail queue show ID\n"
            "To try it again:             sipmail queue retry ID  (or: all)\n"
            "To give it up:               sipmail queue drop ID"
        ),
    ),
    "pl": _Words(
        subject_one="sipmail: wiadomość głosowa wymaga uwagi",
        subject_many="sipmail: wiadomości głosowe wymagają uwagi ({count})",
        head="Wiadomość {id}\n  skrzynka {mailbox}, od: {caller}, {when}",
        failed="  nie została dostarczona do {address}: {answer}",
        given_up="  zaniechano dostarczania: {answer}",
        waiting="  czeka od {since}; próby: {attempts}; ostatnia odpowiedź: {answer}",
        broken="  nagrania nie udało się odczytać; wysłano pakiety tak, jak przyszły",
        template="  własny szablon skrzynki zawiódł; wysłano treść wbudowaną: {wrong}",
        lost="  utraciła plik message.json: skrzynka i dzwoniący są nieznani",
        withheld="numer zastrzeżony",
        advice=(
            "Nic nie zginęło: nagrania są w {spool}.\n"
            "Co się stało z wiadomością:  sipmail queue show ID\n"
            "Ponowna próba:               sipmail queue retry ID  (lub: all)\n"
            "Rezygnacja:                  sipmail queue drop ID"
        ),
    ),
}


def attention(
    worries: Sequence[tuple[Message, Sequence[str]]], config: Config, now: datetime
) -> Message:
    """One notice about `worries`: for each message what is to be said about it
    (see `attempt.worries`; `attempt.WAITING` says that it waits too long)."""
    words = _WORDS.get(config.language, _WORDS["en"])
    zone = config.timezone
    count = len(worries)
    subject = words.subject_one if count == 1 else words.subject_many.format(count=count)
    blocks = [_block(message, about, words, zone) for message, about in worries]
    text = "\n\n".join([*blocks, words.advice.format(spool=config.spool)]) + "\n"
    return notice("attention", subject, text, now)


def notice(event: str, subject: str, text: str, now: datetime) -> Message:
    """A notice to be queued."""
    return Message(
        id=new_id(now),
        mailbox="",
        called="",
        received=now,
        ended=now,
        kind=Kind.NOTICE,
        notice=Notice(event, one_line(subject), text),
    )


def enqueue(spool: Spool, message: Message) -> None:
    """Puts a notice in the queue, on disk. Raises SpoolError."""
    spool.begin(message)
    spool.finish(message)


def _block(message: Message, about: Sequence[str], words: _Words, zone: ZoneInfo) -> str:
    delivery = message.delivery
    caller = message.caller.number or message.caller.name or words.withheld
    lines = [
        words.head.format(
            id=message.id,
            mailbox=one_line(message.mailbox) or "?",
            caller=one_line(words.withheld if message.caller.withheld else caller),
            when=_time(message.received, zone),
        )
    ]
    for worry in about:
        address = attempt.failed_address(worry)
        if address is not None:
            state = delivery.recipients.get(address)
            answer = (state.answer if state else None) or "-"
            lines.append(words.failed.format(address=address, answer=answer))
        elif worry == attempt.WAITING:
            lines.append(
                words.waiting.format(
                    since=_time(attempt.since(message), zone),
                    attempts=delivery.attempts,
                    answer=delivery.last_answer or "-",
                )
            )
        elif worry == attempt.GIVEN_UP:
            lines.append(words.given_up.format(answer=delivery.last_answer or "-"))
        elif (wrong := attempt.wrong_template(worry)) is not None:
            lines.append(words.template.format(wrong=wrong))
        elif worry == attempt.BROKEN:
            lines.append(words.broken)
    if not message.mailbox:
        lines.append(words.lost)
    return "\n".join(lines)


def _time(when: datetime, zone: ZoneInfo) -> str:
    return f"{when.astimezone(zone):%Y-%m-%d %H:%M:%S %z}"
