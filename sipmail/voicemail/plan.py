"""The plan of a call: everything that its script needs, decided before the phone rings.

Made once for each call from pure facts, so that the script only acts and a test can look at it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sipmail.config.model import Mailbox, Record
from sipmail.voicemail.greeting import Choice, beep, built_in

# Media needs a moment to open on both ends; without it the first word is cut off.
_QUIET = "silence:0.3"
_SKIP_KEYS = "#"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will happen in a call. Prompts are stems of prepared files or `silence:SECONDS`."""

    mailbox: str
    greeting: str
    record: Record
    ring: float = 0.0
    """Seconds before the call is answered."""
    quiet: str = _QUIET
    beep: str | None = None
    thanks: str | None = None
    """What is played after the recording; None ends the call at once."""
    skip_keys: str = _SKIP_KEYS
    """Keys that cut the greeting short."""


def sources(mailbox: Mailbox) -> tuple[Path, ...]:
    """Every file that a call to this mailbox may need, to be prepared beforehand."""
    own = mailbox.greeting
    cases = (own.default, own.busy, own.no_answer, own.unavailable, own.closed)
    spoken = tuple(
        built_in(mailbox.language, name)
        for name in ("default", "busy", "no_answer", "unavailable", "closed", "thanks")
    )
    return (*(path for path in cases if path is not None), *spoken, beep())


def make(mailbox: Mailbox, greeting: Choice, prompt: Callable[[Path], str]) -> Plan:
    """The plan for a call to `mailbox`; `prompt` gives the prepared stem of a sound file."""
    thanks = mailbox.after != "nothing"
    return Plan(
        mailbox=mailbox.key,
        ring=mailbox.answer_after,
        greeting=prompt(greeting.path),
        beep=prompt(beep()) if mailbox.record.beep else None,
        record=mailbox.record,
        thanks=prompt(built_in(mailbox.language, "thanks")) if thanks else None,
    )
