"""What an e-mail about a call says, before it is text or HTML: the data that templates show.

Rules: everything that a caller controls is cleaned here once (one line, printable, bounded, no
bidirectional controls); templates escape it where they show it. Links are built from numbers that
consist of digits, or are percent-encoded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from sipmail.config.model import Mailbox
from sipmail.config.numbers import country_name, display
from sipmail.config.values import Address
from sipmail.mail.wording import Wording, clock, wording
from sipmail.spool.message import Message
from sipmail.voicemail.display import clean, has_right_to_left

# From this share of lost sound on, a listener notices.
_NOTICEABLE_LOSS = 0.02
_FAILURES = ("interrupted", "shutdown", "media")

_NUMBER = re.compile(r"\+?[0-9*#]*[0-9][0-9*#]*")
_SIP_USER = re.compile(r"[A-Za-z0-9._+\-]+@[A-Za-z0-9.\-]+")
_UNSAFE_IN_FILES = re.compile(r"[^A-Za-z0-9+]+")
_LONGEST_FILE_PART = 32
_LONGEST_NAME = 80
_LONGEST_TITLE = 120


@dataclass(frozen=True, slots=True)
class Attachment:
    """The finished recording. `duration` is in seconds; `waveform` is a PNG.

    `lost` is the share (0 to 1) of the sound that did not arrive and was concealed; `silent` says
    that next to nothing can be heard.
    """

    data: bytes
    mime: str
    extension: str
    duration: float
    waveform: bytes | None = None
    lost: float = 0.0
    silent: bool = False
    smaller: bool = False
    """It is in another format than the mailbox's, for its size."""


class Row(NamedTuple):
    """One fact: its label, its value, a link for it, and a word in a lower voice."""

    label: str
    value: str
    link: str = ""
    aside: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """All that the templates of a message or missed call may show."""

    language: str
    subject: str
    preheader: str
    """The first words, which lists of e-mails show behind the subject."""
    kind: str
    who: str
    length: str
    """As players show it; empty without a recording."""
    caller: tuple[Row, ...]
    facts: tuple[Row, ...]
    remarks: tuple[str, ...]
    """What the reader should know of the line or the recording; none when all was well."""
    number: str
    country: str
    call_link: str
    call_back_link: str
    file_name: str
    facts_by_name: Mapping[str, object]
    """The same for the templates of a company: see `config.templates`."""
    words: Wording


def view(
    message: Message,
    mailbox: Mailbox,
    audio: Attachment | None,
    recipients: Sequence[Address],
) -> View:
    """What there is to say about a message or a missed call."""
    words = wording(mailbox.language)
    received = message.received.astimezone(mailbox.timezone)
    number, name = caller(message)
    title = clean(mailbox.name, _LONGEST_TITLE)
    shown, country = _shown(number), country_name(number, words.code)
    who = isolated(name) or shown or nobody(message, words)
    subject_who = ", ".join(filter(None, (isolated(name), number))) or nobody(message, words)
    duration = audio.duration if audio is not None else None
    remarks = _remarks(message, words, audio)
    call_back_link = _call_back(
        words, mailbox, recipients, received, subject_who if number else "", title
    )
    name_of_file = file_name(message, words, received, audio) if audio is not None else ""
    known = {
        "language": words.code,
        "kind": _kind(message, words, duration),
        "who": who,
        "name": isolated(name),
        "number": shown,
        "country": country,
        "mailbox": title,
        "mailbox_key": mailbox.key,
        "called": _shown(clean(message.called, _LONGEST_NAME)),
        "called_name": isolated(clean(message.called_name or "", _LONGEST_NAME)),
        "reason": words.reasons.get(message.reason, ""),
        "date": words.date(received),
        "day": words.day(received),
        "time": f"{received:%H:%M}",
        "zone": words.zone(received),
        "received": received,
        "duration": words.duration(duration) if duration is not None else "",
        "length": clock(duration) if duration is not None else "",
        "seconds": round(duration) if duration is not None else 0,
        "urgent": message.urgent,
        "missed": duration is None,
        "repeats": _repeats(message, words, mailbox.timezone),
        "remarks": remarks,
        "file_name": name_of_file,
        "call_link": link(number),
        "call_back_link": call_back_link,
        "id": message.id,
    }
    return View(
        language=words.code,
        subject=_subject(message, words, subject_who, title, duration),
        preheader=_preheader(message, words, received, duration),
        kind=_kind(message, words, duration),
        who=who,
        length=clock(duration) if duration is not None else "",
        caller=_caller_rows(message, words, name, number, shown, country),
        facts=_facts(message, words, received, title, duration)
        + _repeat_rows(message, words, mailbox.timezone),
        remarks=remarks,
        number=shown,
        country=country,
        call_link=link(number),
        call_back_link=call_back_link,
        file_name=name_of_file,
        facts_by_name=known,
        words=words,
    )


def caller(message: Message) -> tuple[str, str]:
    """The caller's number and name, fit to be shown; both empty for one who is withheld."""
    if message.caller.withheld:
        return "", ""
    number = clean(message.caller.number or "", _LONGEST_NAME)
    name = clean(message.caller.name or "", _LONGEST_NAME)
    return number, "" if name == number else name


def isolated(name: str) -> str:
    """A name between Unicode isolates where it is written from right to left, so that it cannot
    turn round what follows it."""
    return f"\u2068{name}\u2069" if has_right_to_left(name) else name


def nobody(message: Message, words: Wording) -> str:
    """What stands for a caller without number and name."""
    return words.withheld if message.caller.withheld else words.unknown


def link(number: str) -> str:
    """What dials `number`; empty where nothing does."""
    if _NUMBER.fullmatch(number):
        return "tel:" + quote(number, safe="+*")
    return "sip:" + number if _SIP_USER.fullmatch(number) else ""


def file_name(message: Message, words: Wording, received: datetime, audio: Attachment) -> str:
    """A name that is legal on every system: local time, caller, the format's extension."""
    number, name = caller(message)
    part = _UNSAFE_IN_FILES.sub("_", number or name)[:_LONGEST_FILE_PART].strip("_")
    if not part:
        part = words.withheld_file if message.caller.withheld else words.unknown_file
    return f"{received:%Y-%m-%d_%H-%M-%S}_{part}.{audio.extension}"


def thread_id(message: Message, domain: str) -> str | None:
    """A Message-ID that all e-mails of one caller to one mailbox refer to; it exists nowhere.

    None for callers who are withheld or unknown: they have nothing in common.
    """
    number, _ = caller(message)
    if not number:
        return None
    mark = hashlib.sha256(f"{message.mailbox}\0{number}".encode()).hexdigest()[:32]
    return f"<{mark}.caller@{domain}>"


@lru_cache(maxsize=1024)
def _shown(number: str) -> str:
    return display(number)


def _kind(message: Message, words: Wording, duration: float | None) -> str:
    if duration is None:
        return words.missed_call
    return words.urgent_message if message.urgent else words.message


def _subject(message: Message, words: Wording, who: str, title: str, duration: float | None) -> str:
    urgent = words.urgent_subject if message.urgent else ""
    if duration is None:
        return f"{urgent}{words.missed_subject}{who} · {title}"
    return f"{urgent}{who} · {title} · {words.length_in_subject(duration)}"


def _preheader(message: Message, words: Wording, received: datetime, duration: float | None) -> str:
    facts = [words.day(received)]
    if duration is not None:
        facts.append(words.duration(duration))
    if message.reason in words.reasons:
        facts.append(words.reasons[message.reason])
    line = " · ".join(facts)
    return f"{words.no_message_left} {line}" if duration is None else line


def _caller_rows(
    message: Message, words: Wording, name: str, number: str, shown: str, country: str
) -> tuple[Row, ...]:
    if not number:
        return (Row(words.caller, isolated(name) or nobody(message, words)),)
    row = Row(words.number, shown, link(number), country)
    return (Row(words.caller, isolated(name)), row) if name else (row,)


def _facts(
    message: Message, words: Wording, received: datetime, title: str, duration: float | None
) -> tuple[Row, ...]:
    called_name = isolated(clean(message.called_name or "", _LONGEST_NAME))
    called = clean(message.called, _LONGEST_NAME)
    rows = [
        Row(words.mailbox, title),
        Row(words.called, _shown(called) or called_name, aside=called_name if called else ""),
        Row(words.why, words.reasons.get(message.reason, "")),
        Row(words.when, words.date(received), aside=words.zone(received)),
    ]
    if duration is not None:
        rows.append(Row(words.length, words.duration(duration)))
    return tuple(row for row in rows if row.value)


def _repeats(message: Message, words: Wording, zone: ZoneInfo) -> tuple[str, ...]:
    """When the caller called, too, in words; only the time where that was on the same day."""
    first = message.received.astimezone(zone).date()
    times = (when.astimezone(zone) for when in message.repeats)
    return tuple(f"{one:%H:%M}" if one.date() == first else words.day(one) for one in times)


def _repeat_rows(message: Message, words: Wording, zone: ZoneInfo) -> tuple[Row, ...]:
    times = _repeats(message, words, zone)
    return (Row(words.also_called, "; ".join(times)),) if times else ()


def _remarks(message: Message, words: Wording, audio: Attachment | None) -> tuple[str, ...]:
    remarks = []
    if audio is not None:
        if message.ending is not None and message.ending in words.endings:
            remarks.append(words.endings[message.ending])
        if audio.lost >= _NOTICEABLE_LOSS:
            remarks.append(words.lost(audio.lost))
        if audio.silent:
            remarks.append(words.silent)
        if audio.smaller:
            remarks.append(words.larger_than_allowed)
    elif message.ending in _FAILURES:
        remarks.append(words.cut_off)
    remarks += (words.notes.get(note, clean(note, 200)) for note in message.notes)
    return tuple(remarks)


def _call_back(
    words: Wording,
    mailbox: Mailbox,
    recipients: Sequence[Address],
    received: datetime,
    who: str,
    title: str,
) -> str:
    """A mailto link that tells everybody that this call is taken; empty where nobody needs it."""
    everybody = dict.fromkeys(one.email for one in recipients)
    if mailbox.reply_to:
        everybody.setdefault(mailbox.reply_to)
    if not who or len(everybody) < 2:
        return ""
    to = ",".join(quote(email, safe="@") for email in everybody)
    subject = quote(f"{words.call_back}: {who} · {title}", safe="")
    body = quote(words.call_back_body(who, received), safe="")
    return f"mailto:{to}?subject={subject}&body={body}"
