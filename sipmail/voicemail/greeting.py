"""Which greeting a caller hears, and why.

Rules:
- A temporary greeting is heard in place of all others until it is over.
- Outside the mailbox's opening hours it is the `closed` greeting; else the one for the reason of
  the call (busy, no answer, unavailable); else the default one.
- A recording of the company's own beats a built-in one: where only `default` is recorded, callers
  hear it rather than a stranger's voice, whatever the reason.
- The built-in ones are spoken in the mailbox's language.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

from sipmail.config.hours import is_open
from sipmail.config.model import Mailbox
from sipmail.voicemail.reason import Reason

Case = Literal["default", "busy", "no_answer", "unavailable", "closed"]
# fmt: off
BuiltIn = Literal[
    "default", "busy", "no_answer", "unavailable", "closed", "thanks", "time_up",
    "menu", "again", "urgent", "invalid", "too_short", "not_heard", "choice",
    "pin", "pin_wrong", "greeting_record", "greeting_menu", "greeting_kept", "goodbye",
    "operator", "operator_unavailable", "operator_offer",
]
# fmt: on

_CASES: dict[Reason, Case] = {
    Reason.BUSY: "busy",
    Reason.NO_ANSWER: "no_answer",
    Reason.UNAVAILABLE: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A greeting: its file, the case that it was made for, and why it was taken."""

    path: Path
    case: Case | Literal["temporary"]
    built_in: bool
    why: str


def choose(mailbox: Mailbox, reason: Reason, when: datetime, country: str | None) -> Choice:
    """The greeting for a call that came to `mailbox` for `reason`.

    `when` is the local time of the mailbox, with its zone; `country` (ISO 3166) has the public
    holidays that its opening hours may name.
    """
    temporary = mailbox.greeting.temporary
    if temporary is not None and when.replace(tzinfo=None) < temporary.until:
        why = f"the temporary greeting, until {temporary.until:%Y-%m-%d %H:%M}"
        return Choice(temporary.file, "temporary", False, why)
    case, cause = _case(mailbox, reason, when, country)
    return for_case(mailbox, case, cause)


def for_case(mailbox: Mailbox, case: Case, cause: str) -> Choice:
    """The greeting of `mailbox` in this case, at any hour; `cause` says why it is the case."""
    for wanted in (case, "default") if case != "default" else ("default",):
        path = _own(mailbox, wanted)
        if path is not None:
            why = (
                cause if wanted == case else f"{cause}, but there is no greeting.{case} of its own"
            )
            return Choice(path, wanted, False, why)
    return Choice(built_in(mailbox.language, case), case, True, f"{cause}, built in")


def built_in(language: str, name: BuiltIn) -> Path:
    """A spoken prompt that comes with sipmail, in `language`."""
    return _shipped() / language / f"{name}.wav"


def beep() -> Path:
    """The tone before the recording."""
    return _shipped() / "beep.wav"


def warning() -> Path:
    """The tone shortly before the recording reaches its maximum."""
    return _shipped() / "too_long.wav"


def _case(
    mailbox: Mailbox, reason: Reason, when: datetime, country: str | None
) -> tuple[Case, str]:
    if mailbox.hours is not None and not is_open(mailbox.hours, when, country):
        return "closed", f"{when:%Y-%m-%d %H:%M} is outside the opening hours {mailbox.hours!r}"
    case = _CASES.get(reason, "default")
    if case == "default":
        return case, "no other greeting is for this case"
    return case, f"the call came with the reason {reason}"


def _own(mailbox: Mailbox, case: Case) -> Path | None:
    greeting = mailbox.greeting
    paths: dict[Case, Path | None] = {
        "default": greeting.default,
        "busy": greeting.busy,
        "no_answer": greeting.no_answer,
        "unavailable": greeting.unavailable,
        "closed": greeting.closed,
    }
    return paths[case]


@lru_cache(maxsize=1)
def _shipped() -> Path:
    return Path(str(resources.files("sipmail"))) / "greetings"
