"""What an attempt makes of a message, who gets it, and what the administrator is told: pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sipmail.mail import admin, attempt
from sipmail.mail.deliver import Outcome
from sipmail.mail.recipients import everyone, recipients, settle
from sipmail.spool.message import Delivery, Kind, Message, RecipientState, RecipientStatus, Sound
from sipmail.spool.spool import State
from tests.mail.conftest import ANNA, JAN, NOON, OFFICE, MakeConfig
from tests.spool.conftest import a_message

TAKEN = Outcome(True, False, "250 ok")
LATER = Outcome(False, True, "451 later")
NEVER = Outcome(False, False, "550 no such user")


def queued(*waiting: str, **changes: object) -> Message:
    delivery = Delivery(recipients={address: RecipientState() for address in waiting})
    return a_message(ended=NOON, delivery=delivery, **changes)


def states(message: Message) -> dict[str, str]:
    return {address: one.state.value for address, one in message.delivery.recipients.items()}


def test_each_recipient_goes_its_own_way() -> None:
    first = attempt.after_attempt(
        queued(ANNA, JAN, OFFICE), {ANNA: TAKEN, JAN: LATER, OFFICE: NEVER}, NOON
    )
    assert states(first) == {ANNA: "delivered", JAN: "waiting", OFFICE: "failed"}
    assert first.delivery.waiting() == (JAN,)
    assert first.delivery.attempts == 1
    assert first.delivery.next_attempt == NOON + timedelta(minutes=1)
    assert first.delivery.last_answer == "451 later"
    assert first.delivery.recipients[ANNA].at == NOON
    assert attempt.settled(first) is None
    assert attempt.worries(first) == ("failed office@sipmail.test",)
    later = NOON + timedelta(minutes=1)
    second = attempt.after_attempt(first, {JAN: TAKEN}, later)
    assert states(second) == {ANNA: "delivered", JAN: "delivered", OFFICE: "failed"}
    assert second.delivery.next_attempt is None
    assert attempt.settled(second) is State.FAILED


def test_all_delivered_is_done() -> None:
    message = attempt.after_attempt(queued(ANNA, JAN), {ANNA: TAKEN, JAN: TAKEN}, NOON)
    assert attempt.settled(message) is State.DONE
    assert attempt.worries(message) == ()
    assert message.delivery.last_answer == "250 ok"


def test_it_is_given_up_after_five_days() -> None:
    message = queued(ANNA)
    now, tries = NOON, 0
    while attempt.settled(message) is None:
        message = attempt.after_attempt(message, {ANNA: LATER}, now)
        tries += 1
        now = message.delivery.next_attempt or now
    # 1 + 2 + 4 + … + 128 minutes are 255; then every 4 h until 120 h have passed
    assert now - NOON >= timedelta(days=5)
    assert now - NOON < timedelta(days=5, hours=4)
    assert tries == 9 + 29
    assert states(message) == {ANNA: "failed"}
    answer = message.delivery.recipients[ANNA].answer
    assert answer == f"given up after {tries} attempts: 451 later"
    assert attempt.settled(message) is State.FAILED


def test_a_hindrance_of_ours_counts_like_a_refusal() -> None:
    message = attempt.after_hindrance(queued(), "there is no mailbox 'x'", NOON)
    assert message.delivery.next_attempt == NOON + timedelta(minutes=1)
    assert attempt.settled(message) is None
    now = NOON
    while attempt.settled(message) is None:
        now = message.delivery.next_attempt or now
        message = attempt.after_hindrance(message, "still none", now)
    assert attempt.settled(message) is State.FAILED
    assert timedelta(days=5) <= now - NOON < timedelta(days=5, hours=4)
    assert attempt.worries(message) == (attempt.GIVEN_UP,)


@pytest.mark.parametrize("jump", [timedelta(days=6), timedelta(days=-400), timedelta(days=4000)])
def test_a_clock_that_was_set_gives_nothing_up(jump: timedelta) -> None:
    """Nor does a machine that was off: five days are those in which it was tried."""
    message, now, offset, tries = queued(ANNA), NOON, timedelta(), 0
    while attempt.settled(message) is None:
        message = attempt.after_attempt(message, {ANNA: LATER}, now + offset)
        tries += 1
        now = (message.delivery.next_attempt or now + offset) - offset
        offset = jump if 3 <= tries < 6 else timedelta()  # set wrongly, and corrected
    assert timedelta(days=5) <= now - NOON < timedelta(days=5, hours=8)
    assert tries >= 9 + 29


def test_what_is_tried_early_waits_no_longer_for_it() -> None:
    """A mail server that comes and goes: each time everything that waits is tried."""
    tried = Delivery(
        recipients={ANNA: RecipientState()},
        attempts=9,
        first_attempt=NOON,
        next_attempt=NOON + timedelta(hours=4),
    )
    message, now = replace(queued(), delivery=tried), NOON
    while attempt.settled(message) is None:
        now += timedelta(hours=3)
        message = attempt.after_attempt(message, {ANNA: LATER}, now)
    assert now - NOON == timedelta(days=5)


def test_retry_makes_it_new_for_those_who_do_not_have_it() -> None:
    tried = attempt.after_attempt(queued(ANNA, JAN), {ANNA: TAKEN, JAN: NEVER}, NOON)
    told = replace(tried, delivery=replace(tried.delivery, told=attempt.worries(tried)))
    again = attempt.due_again(told, NOON)
    assert states(again) == {ANNA: "delivered", JAN: "waiting"}
    assert (again.delivery.attempts, again.delivery.first_attempt) == (0, None)
    assert again.delivery.told == ()


# --- who gets it ------------------------------------------------------------------------------


def on_call(make_config: MakeConfig, now: datetime, **mailbox: object) -> list[str]:
    box = {"name": "Sales", "numbers": ["201"], **mailbox}
    config = make_config(mailboxes={"sales": box | {"record": {"silence": "0s"}}})
    return [one.email for one in recipients(config.mailboxes["sales"], config, now)]


def test_users_on_call_and_emails_each_once(make_config: MakeConfig) -> None:
    shift = {"user": "jan", "hours": "Mo-Fr 16:00-08:00"}
    mailbox = {"users": ["anna", shift], "emails": [OFFICE, ANNA.upper()]}
    assert on_call(make_config, NOON, **mailbox) == [ANNA, OFFICE]
    # 15:30 UTC is 16:30 in Warsaw
    evening = NOON.replace(hour=15, minute=30)
    assert on_call(make_config, evening, **mailbox) == [ANNA, JAN, OFFICE]


def test_hours_on_call_are_those_of_the_mailboxs_own_clock(make_config: MakeConfig) -> None:
    """12:00 UTC is 13:00 in Warsaw and 21:00 in Tokyo."""
    shifts = [{"user": "anna", "hours": "08:00-16:00"}, {"user": "jan", "hours": "16:00-23:00"}]
    assert on_call(make_config, NOON, users=shifts, emails=None) == [ANNA]
    there = {"timezone": "Asia/Tokyo", "users": shifts, "emails": None}
    assert on_call(make_config, NOON, **there) == [JAN]


def test_nobody_on_call_means_everybody(make_config: MakeConfig) -> None:
    night = [{"user": "anna", "hours": "22:00-06:00"}, {"user": "jan", "hours": "Sa,Su"}]
    assert on_call(make_config, NOON, users=night, emails=None) == [ANNA, JAN]
    assert on_call(make_config, NOON, users=night, emails=[OFFICE]) == [OFFICE]


def test_a_corrected_address_replaces_the_one_that_waits(make_config: MakeConfig) -> None:
    config = make_config()
    wanted = recipients(config.mailboxes["sales"], config, NOON)
    before = attempt.after_attempt(
        queued("old@sipmail.test", JAN, OFFICE),
        {"old@sipmail.test": LATER, JAN: TAKEN, OFFICE: NEVER},
        NOON,
    )
    after = settle(before.delivery, wanted)
    assert {address: one.state.value for address, one in after.recipients.items()} == {
        JAN: "delivered",
        OFFICE: "failed",
        ANNA: "waiting",
    }
    assert settle(after, wanted) == after
    assert [one.email for one in everyone(after, wanted)] == [ANNA, JAN, OFFICE]
    gone = tuple(one for one in wanted if one.email != JAN)
    assert [one.email for one in everyone(after, gone)] == [ANNA, OFFICE, JAN]


def test_the_shift_is_frozen_once_somebody_has_it() -> None:
    refused = attempt.after_attempt(queued(ANNA, JAN), {ANNA: LATER, JAN: LATER}, NOON)
    assert refused.delivery.on_call_at is None
    later = NOON + timedelta(hours=3)
    accepted = attempt.after_attempt(refused, {ANNA: LATER, JAN: TAKEN}, later)
    assert accepted.delivery.on_call_at == later
    much_later = attempt.after_attempt(accepted, {ANNA: TAKEN}, later + timedelta(hours=1))
    assert much_later.delivery.on_call_at == later


# --- the administrator ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "could not be delivered to"), ("pl", "nie została dostarczona do")],
)
def test_a_notice_says_all_in_one(make_config: MakeConfig, language: str, words: str) -> None:
    config = make_config(language=language)
    failed = attempt.after_attempt(queued(ANNA, id="one"), {ANNA: NEVER}, NOON)
    late = attempt.after_attempt(queued(JAN, id="two"), {JAN: LATER}, NOON)
    broken = replace(
        queued(ANNA, id="three", mailbox=""),
        delivery=Delivery(sound=Sound("audio.rtp", 9, "application/octet-stream")),
    )
    notice = admin.attention(
        [
            (failed, attempt.worries(failed)),
            (late, (attempt.WAITING,)),
            (broken, attempt.worries(broken)),
        ],
        config,
        NOON,
    )
    assert notice.kind is Kind.NOTICE
    assert notice.notice is not None
    assert "3" in notice.notice.subject
    text = notice.notice.text
    assert f"{words} {ANNA}: 550 no such user" in text
    assert "451 later" in text
    assert "2026-11-23 13:00:00 +0100" in text
    assert "sipmail queue retry ID" in text
    for message_id in ("one", "two", "three"):
        assert message_id in text
    assert attempt.worries(broken) == (attempt.BROKEN,)


def test_a_caller_cannot_write_into_a_notice(make_config: MakeConfig) -> None:
    caller = replace(a_message().caller, number="+48\nSubject: x\r\n\x1b[31m")
    message = attempt.after_attempt(queued(ANNA, caller=caller), {ANNA: NEVER}, NOON)
    notice = admin.attention([(message, attempt.worries(message))], make_config(), NOON).notice
    assert notice is not None
    assert "+48 Subject: x ?[31m" in notice.text
    assert "\n" not in notice.subject


def test_states_are_what_the_file_says() -> None:
    assert [one.value for one in RecipientStatus] == ["waiting", "delivered", "failed"]
