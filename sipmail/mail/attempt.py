"""What an attempt makes of a message: pure functions from outcomes to the next `Delivery`.

    waiting ──accepted──▶ delivered
       │ └────refused────▶ failed        (5xx, or still waiting after the last moment)
       └──not now: stays waiting, and the message has a next attempt

A message is settled when nobody waits: then it goes to `done/`, or to `failed/` where anybody
failed.

How long it has waited is told by no single look at the clock, which may have been set, or the
machine off: of the time since the attempt before counts what was planned, at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sipmail.mail import schedule
from sipmail.mail.deliver import Outcome
from sipmail.spool.layout import AUDIO, State
from sipmail.spool.message import Delivery, Message, RecipientState, RecipientStatus

GIVEN_UP = "given up"
WAITING = "waiting"
BROKEN = "broken"
_FAILED = "failed "
_TEMPLATE = "template "


def after_attempt(message: Message, outcomes: Mapping[str, Outcome], now: datetime) -> Message:
    """`message` after an attempt in which the server spoke about the recipients in `outcomes`."""
    message = heard(message, outcomes, now)
    return replace(message, delivery=_count(message.delivery, now))


def heard(message: Message, outcomes: Mapping[str, Outcome], now: datetime) -> Message:
    """`message` with what the server said so far, in an attempt that goes on."""
    known = dict(message.delivery.recipients)
    for address, outcome in outcomes.items():
        known[address] = RecipientState(_status(outcome), outcome.answer, now)
    accepted = any(outcome.ok for outcome in outcomes.values())
    trouble = next((o.answer for o in outcomes.values() if not o.ok), None)
    answer = trouble or next((o.answer for o in outcomes.values()), message.delivery.last_answer)
    on_call_at = message.delivery.on_call_at or (now if accepted else None)
    delivery = replace(
        message.delivery, recipients=known, on_call_at=on_call_at, last_answer=answer
    )
    return replace(message, delivery=delivery)


def after_hindrance(message: Message, why: str, now: datetime) -> Message:
    """`message` after something of ours kept it from being sent: retried like a temporary
    refusal, and given up as late as one."""
    return replace(message, delivery=_count(replace(message.delivery, last_answer=why), now))


def settled(message: Message) -> State | None:
    """Where `message` goes once nobody waits for it any more; None as long as somebody does."""
    delivery = message.delivery
    if delivery.waiting():
        return None
    if delivery.failed():
        return State.FAILED
    if not delivery.recipients and delivery.attempts:  # nobody to send it to was ever found
        return None if delivery.next_attempt else State.FAILED
    return State.DONE


def due_again(message: Message, now: datetime) -> Message:
    """`message` as if it were new, for those who do not have it: somebody said "retry"."""
    known = {
        address: state
        if state.state is RecipientStatus.DELIVERED
        else RecipientState(RecipientStatus.WAITING, state.answer, state.at)
        for address, state in message.delivery.recipients.items()
    }
    told = tuple(what for what in message.delivery.told if what == BROKEN)
    delivery = replace(
        message.delivery,
        recipients=known,
        attempts=0,
        first_attempt=None,
        next_attempt=now.astimezone(UTC),
        told=told,
    )
    return replace(message, delivery=delivery)


def since(message: Message) -> datetime:
    """When `message` came to the queue."""
    return message.ended or message.received


def last_heard(message: Message) -> datetime | None:
    """When the server last said something about a recipient, None where it never did."""
    return max(filter(None, (one.at for one in message.delivery.recipients.values())), default=None)


def worries(message: Message) -> tuple[str, ...]:
    """What the administrator is to hear about `message` and has not: a key for each."""
    delivery = message.delivery
    found = [_FAILED + address for address in delivery.failed()]
    if delivery.sound is not None and delivery.sound.file == AUDIO:
        found.append(BROKEN)
    if not delivery.recipients and delivery.attempts and not delivery.next_attempt:
        found.append(GIVEN_UP)
    return tuple(what for what in found if what not in delivery.told)


def failed_address(worry: str) -> str | None:
    """The address that a worry of `worries` is about, None where it is about something else."""
    return worry.removeprefix(_FAILED) if worry.startswith(_FAILED) else None


def template_worry(wrong: str) -> str:
    """The worry that a template of the mailbox is broken."""
    return _TEMPLATE + wrong


def wrong_template(worry: str) -> str | None:
    """What is wrong with a template, None where a worry is about something else."""
    return worry.removeprefix(_TEMPLATE) if worry.startswith(_TEMPLATE) else None


def _began(delivery: Delivery, now: datetime) -> datetime:
    """When the message was first tried, by a clock that shows `now`: later by what passed beyond
    what was planned, and by as much earlier as the clock went back."""
    if delivery.first_attempt is None:
        return now
    if delivery.next_attempt is None:
        return delivery.first_attempt
    planned = timedelta(seconds=schedule.delay_after(delivery.attempts))
    passed = now - (delivery.next_attempt - planned)
    return delivery.first_attempt + passed - min(max(passed, timedelta()), planned)


def _status(outcome: Outcome) -> RecipientStatus:
    if outcome.ok:
        return RecipientStatus.DELIVERED
    return RecipientStatus.WAITING if outcome.temporary else RecipientStatus.FAILED


def _count(delivery: Delivery, now: datetime) -> Delivery:
    attempts = delivery.attempts + 1
    first = _began(delivery, now)
    if not schedule.is_over(first.timestamp(), now.timestamp()):
        again = now + timedelta(seconds=schedule.delay_after(attempts))
        return replace(
            delivery,
            attempts=attempts,
            first_attempt=first,
            next_attempt=again if delivery.waiting() or not delivery.recipients else None,
        )
    known = {
        address: replace(
            state,
            state=RecipientStatus.FAILED,
            answer=f"{GIVEN_UP} after {attempts} attempts: {state.answer or delivery.last_answer}",
            at=now,
        )
        if state.state is RecipientStatus.WAITING
        else state
        for address, state in delivery.recipients.items()
    }
    return replace(
        delivery,
        attempts=attempts,
        first_attempt=first,
        next_attempt=None,
        recipients=known,
    )
