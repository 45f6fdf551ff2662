"""E-mails in English."""

from __future__ import annotations

from datetime import datetime

from sipmail.mail.wording import Wording, parts, short

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def plural(count: int, one: str) -> str:
    """1 minute, 2 minutes."""
    return one if count == 1 else f"{one}s"


class English(Wording):
    code = "en"

    message = "New voice message"
    urgent_message = "Urgent voice message"
    missed_call = "Missed call"
    missed_subject = "Missed call: "
    urgent_subject = "Urgent: "
    no_message_left = "The caller left no message."
    withheld = "Withheld number"
    unknown = "Unknown number"
    withheld_file = "anonymous"
    unknown_file = "unknown"

    caller = "Caller"
    number = "Number"
    mailbox = "Mailbox"
    called = "Called number"
    why = "Reason"
    when = "When"
    length = "Length"
    also_called = "Also called"
    larger_than_allowed = "The recording is long, so it is attached in a smaller format."

    call = "Call"
    call_back = "I'll call back"
    call_back_hint = (
        "“I'll call back” prepares an e-mail that tells the others that you are calling back."
    )
    answer_all = "Calling back? Reply to all, so that the others know."
    attached = "The recording is attached:"
    waveform = "Loudness of the recording"
    attention = "Please note"

    reasons = {  # noqa: RUF012 - a constant of the language
        "no-answer": "nobody answered",
        "busy": "the line was busy",
        "unavailable": "the phone could not be reached",
        "unconditional": "calls are forwarded to voicemail",
    }
    endings = {  # noqa: RUF012
        "timeout": "The call broke off: from some point on, no sound arrived.",
        "interrupted": "The recording was interrupted by a failure or restart of the system; "
        "its end may be missing.",
        "shutdown": "The recording was interrupted because the system was being shut down; "
        "its end may be missing.",
        "media": "The recording was interrupted by a failure of the system; "
        "its end may be missing.",
        "max": "The recording reached the longest time allowed and was cut off.",
    }
    notes = {  # noqa: RUF012
        "fax": "Somebody tried to send a fax to this number.",
        "overrun": "For a while the system was too busy to take in all of the sound: parts of the "
        "recording or its end may be missing.",
    }
    cut_off = "A failure or restart of the system ended the call before a message was left."
    silent = "There is almost nothing to be heard in the recording."

    def duration(self, seconds: float) -> str:
        counted = zip(parts(seconds), ("hour", "minute", "second"), strict=True)
        words = [f"{count} {plural(count, unit)}" for count, unit in counted if count]
        return " ".join(words) or "less than a second"

    def date(self, when: datetime) -> str:
        return (
            f"{_DAYS[when.weekday()]}, {when.day} {_MONTHS[when.month - 1]} {when.year}, "
            f"{when:%H:%M}"
        )

    def day(self, when: datetime) -> str:
        return f"{_DAYS[when.weekday()]}, {when:%H:%M}"

    def lost(self, share: float) -> str:
        return f"The line was bad: about {max(1, round(share * 100))}% of the sound was lost."

    def length_in_subject(self, seconds: float) -> str:
        return f"message {short(seconds)}"

    def call_back_body(self, who: str, when: datetime) -> str:
        return f"I'll call back about this call: {who}, {self.date(when)}."
