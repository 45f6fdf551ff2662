"""The plan of a call: everything that its script needs, decided before the phone rings.

Made once for each call from pure facts, so that the script only acts and a test can look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sipmail.config.model import Mailbox, Record
from sipmail.voicemail.greeting import BuiltIn, Choice, beep, built_in, warning
from sipmail.voicemail.greeting_line import GreetingPlan

# Media needs a moment to open on both ends; without it the first word is cut off.
_QUIET = "silence:0.3"
_SKIP_KEYS = "#"
OPERATOR_KEY = "0"


# How long a caller may think before the keys are named again.
_PAUSE = "silence:5"
_SHORT_PAUSE = "silence:0.5"

_ALWAYS: tuple[BuiltIn, ...] = (
    *("default", "busy", "no_answer", "unavailable", "closed"),
    *("thanks", "time_up"),
)
_MENU: tuple[BuiltIn, ...] = ("menu", "again", "urgent", "invalid", "too_short", "not_heard")


_OPERATOR: tuple[BuiltIn, ...] = ("operator", "operator_unavailable", "operator_offer")
_GREETING_LINE: tuple[BuiltIn, ...] = (
    *("pin", "pin_wrong", "greeting_record", "greeting_menu", "greeting_kept", "goodbye"),
    *("invalid", "not_heard"),
)


@dataclass(frozen=True, slots=True)
class Menu:
    """The prompts of the menu after the message; `pause` is the time to think."""

    options: str
    again: str
    urgent: str
    invalid: str
    too_short: str
    not_heard: str
    pause: str = _PAUSE
    short_pause: str = _SHORT_PAUSE


@dataclass(frozen=True, slots=True)
class Desk:
    """The choice at the beginning: what names the keys, and the plan that each leads to."""

    prompt: str
    invalid: str
    plans: Mapping[str, Plan]
    pause: str = _PAUSE
    offer: tuple[str, ...] = ()
    """As in `Plan`, after what names the keys."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Whom the key 0 leads to: `to` is a number at the trunk or a SIP URI; the rest are prompts."""

    to: str
    connecting: str
    unavailable: str
    offer: str
    """What says that there is this key."""


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
    time_up: str | None = None
    """What says that the recording reached its maximum."""
    warning: str | None = None
    """The tone `record.warning` before the maximum."""
    menu: Menu | None = None
    desk: Desk | None = None
    operator: Operator | None = None
    offer: tuple[str, ...] = ()
    """What follows a greeting that cannot know of the operator."""
    announcement: bool = False
    """Only the greeting is played."""
    urgent: bool = False
    """Every message is urgent."""
    skip_keys: str = _SKIP_KEYS
    """Keys that cut the greeting short."""


def sources(mailbox: Mailbox) -> tuple[Path, ...]:
    """Every file that a call to this mailbox may need, to be prepared beforehand."""
    own = mailbox.greeting
    cases = (own.default, own.busy, own.no_answer, own.unavailable, own.closed)
    files = [path for path in cases if path is not None]
    if own.temporary is not None:
        files.append(own.temporary.file)
    names = [*_ALWAYS, *(_MENU if mailbox.after == "menu" else ())]
    if mailbox.choice is not None:
        names += ["invalid", *(("choice",) if mailbox.choice.prompt is None else ())]
        files += [mailbox.choice.prompt] if mailbox.choice.prompt is not None else []
    if mailbox.operator is not None:
        names += _OPERATOR
    if mailbox.greeting_number is not None:
        names += _GREETING_LINE
    spoken = [built_in(mailbox.language, name) for name in names]
    return tuple(dict.fromkeys((*files, *spoken, beep(), warning())))


def make(
    mailbox: Mailbox,
    greeting: Choice,
    prompt: Callable[[Path], str],
    choices: Mapping[str, Plan] | None = None,
) -> Plan:
    """The plan for a call to `mailbox`; `prompt` gives the prepared stem of a sound file, and
    `choices` has the plans of the mailboxes that its `choice` leads to, by key."""

    def spoken(name: BuiltIn) -> str:
        return prompt(built_in(mailbox.language, name))

    record = mailbox.record
    silent = mailbox.after == "nothing"
    operator = _operator(mailbox.operator, spoken) if mailbox.operator is not None else None
    offered = operator is not None and offers_operator(mailbox, greeting)
    warned = 0 < record.warning <= record.max / 2
    return Plan(
        mailbox=mailbox.key,
        ring=mailbox.answer_after,
        greeting=prompt(greeting.path),
        beep=prompt(beep()) if record.beep else None,
        record=record,
        thanks=None if silent else spoken("thanks"),
        time_up=None if silent else spoken("time_up"),
        warning=prompt(warning()) if warned else None,
        menu=_menu(spoken) if mailbox.after == "menu" else None,
        desk=_desk(mailbox, prompt, spoken, choices, operator) if choices else None,
        operator=operator,
        offer=_offer(operator) if offered else (),
        announcement=mailbox.announcement,
        urgent=mailbox.urgent,
    )


def offers_operator(mailbox: Mailbox, greeting: Choice) -> bool:
    """Whether callers are told of the operator after this greeting: a company that is closed has
    nobody to offer, and a greeting of its own says what it wants."""
    return mailbox.operator is not None and greeting.built_in and greeting.case != "closed"


def make_greeting_line(mailbox: Mailbox, prompt: Callable[[Path], str]) -> GreetingPlan:
    """The plan for a call to the `greeting_number` of `mailbox`, which has a `greeting_pin`."""

    def spoken(name: BuiltIn) -> str:
        return prompt(built_in(mailbox.language, name))

    pin = mailbox.greeting_pin
    return GreetingPlan(
        mailbox=mailbox.key,
        pin=pin.get_secret_value() if pin is not None else "",
        ask_pin=spoken("pin"),
        wrong_pin=spoken("pin_wrong"),
        ask_greeting=spoken("greeting_record"),
        not_heard=spoken("not_heard"),
        options=spoken("greeting_menu"),
        invalid=spoken("invalid"),
        kept=spoken("greeting_kept"),
        goodbye=spoken("goodbye"),
        beep=prompt(beep()),
    )


def _menu(spoken: Callable[[BuiltIn], str]) -> Menu:
    return Menu(
        options=spoken("menu"),
        again=spoken("again"),
        urgent=spoken("urgent"),
        invalid=spoken("invalid"),
        too_short=spoken("too_short"),
        not_heard=spoken("not_heard"),
    )


def _operator(to: str, spoken: Callable[[BuiltIn], str]) -> Operator:
    return Operator(
        to,
        connecting=spoken("operator"),
        unavailable=spoken("operator_unavailable"),
        offer=spoken("operator_offer"),
    )


def _desk(
    mailbox: Mailbox,
    prompt: Callable[[Path], str],
    spoken: Callable[[BuiltIn], str],
    plans: Mapping[str, Plan],
    operator: Operator | None,
) -> Desk:
    own = mailbox.choice.prompt if mailbox.choice is not None else None
    invalid = spoken("invalid")
    if own is not None:
        return Desk(prompt(own), invalid, plans)
    taken = operator is None or OPERATOR_KEY in plans
    return Desk(spoken("choice"), invalid, plans, offer=() if taken else _offer(operator))


def _offer(operator: Operator | None) -> tuple[str, ...]:
    return () if operator is None else (_SHORT_PAUSE, operator.offer)
