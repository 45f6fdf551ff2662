"""The words of e-mails in one language: what `polish` and `english` must know how to say.

Rules: plural forms and dates are written out here and in the languages, without the machine's
locale; times carry their offset; durations are rounded to whole seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar


class Wording(ABC):
    """One language. Class attributes are fixed words, methods need grammar."""

    code: ClassVar[str]

    message: ClassVar[str]
    urgent_message: ClassVar[str]
    missed_call: ClassVar[str]
    missed_subject: ClassVar[str]
    urgent_subject: ClassVar[str]
    no_message_left: ClassVar[str]
    withheld: ClassVar[str]
    """Stands for a caller who does not want to be known."""
    unknown: ClassVar[str]
    """Stands for a caller of whom the network said nothing."""
    withheld_file: ClassVar[str]
    unknown_file: ClassVar[str]

    caller: ClassVar[str]
    number: ClassVar[str]
    mailbox: ClassVar[str]
    called: ClassVar[str]
    why: ClassVar[str]
    when: ClassVar[str]
    length: ClassVar[str]
    also_called: ClassVar[str]
    """Before the times of further calls."""

    larger_than_allowed: ClassVar[str]
    """A recording that is mailed in another format for its size."""

    call: ClassVar[str]
    """On the button that dials."""
    call_back: ClassVar[str]
    """On the link that tells the others who takes the call."""
    call_back_hint: ClassVar[str]
    answer_all: ClassVar[str]
    """The same for readers of the plain text."""
    attached: ClassVar[str]
    waveform: ClassVar[str]
    attention: ClassVar[str]

    reasons: ClassVar[Mapping[str, str]]
    """Why the call came, as a part of a sentence, by `message.reason`."""
    endings: ClassVar[Mapping[str, str]]
    """What the reader must know of how a recording ended, by `message.ending`."""
    notes: ClassVar[Mapping[str, str]]
    """Sentences for the notes that other rooms write down in `message.notes`."""
    cut_off: ClassVar[str]
    """Of a missed call that we ourselves ended, before the caller could speak."""
    silent: ClassVar[str]

    @abstractmethod
    def duration(self, seconds: float) -> str:
        """A length in words: "1 minute 5 seconds"."""

    @abstractmethod
    def date(self, when: datetime) -> str:
        """Day, date and time in words, without the offset."""

    @abstractmethod
    def day(self, when: datetime) -> str:
        """Day of the week and time, for a line that must be short."""

    @abstractmethod
    def lost(self, share: float) -> str:
        """A sentence about a bad line; `share` (0 to 1) of the sound did not arrive."""

    @abstractmethod
    def length_in_subject(self, seconds: float) -> str:
        """What was left and how long it is, for the end of a subject."""

    @abstractmethod
    def call_back_body(self, who: str, when: datetime) -> str:
        """The ready answer that tells the others that somebody takes the call."""

    def zone(self, when: datetime) -> str:
        """The offset of an aware time from UTC: `UTC+01:00`."""
        text = when.strftime("%z")
        return f"UTC{text[:3]}:{text[3:5]}"


def parts(seconds: float) -> tuple[int, int, int]:
    """Hours, minutes and seconds of a length, rounded to whole seconds."""
    whole = round(seconds)
    return whole // 3600, whole % 3600 // 60, whole % 60


def clock(seconds: float) -> str:
    """A length as players show it: `0:42`, `1:02:03`."""
    hours, minutes, rest = parts(seconds)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short(seconds: float) -> str:
    """A length with the signs of SI, which no language declines: `42 s`, `1 min 5 s`."""
    hours, minutes, rest = parts(seconds)
    named = ((hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{count} {unit}" for count, unit in named if count) or "0 s"


def wording(language: str) -> Wording:
    """The words of `language` ("pl", "en")."""
    from sipmail.mail.english import English
    from sipmail.mail.polish import Polish

    return Polish() if language == Polish.code else English()
