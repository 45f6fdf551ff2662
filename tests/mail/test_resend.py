"""Delivered messages that are sent again: what is reset, who gets it, and through the courier."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from sipmail.errors import SpoolError
from sipmail.mail import protocol
from sipmail.mail.queue import DROPPED
from sipmail.mail.resend import resend
from sipmail.spool.message import Delivery, Kind, Message, RecipientState, RecipientStatus
from sipmail.spool.spool import Spool, State
from tests.mail.calls import leave
from tests.mail.conftest import ANNA, JAN, NOON, OFFICE, MakeConfig
from tests.mail.courier import SPOKEN, running
from tests.support.smtp import SmtpServer


def delivered(spool: Spool, **changes: object) -> Message:
    """A message in `done/` that everybody has."""
    message = leave(spool, None)
    has_it = RecipientState(RecipientStatus.DELIVERED, "250 OK", NOON)
    message = replace(
        message,
        delivery=Delivery(
            message_id=f"<{message.id}@sipmail.test>",
            attempts=3,
            first_attempt=NOON,
            on_call_at=NOON,
            recipients=dict.fromkeys((ANNA, JAN, OFFICE), has_it),
            last_answer="250 OK",
        ),
    )
    message = replace(message, **changes)  # type: ignore[arg-type]
    spool.update(message, State.QUEUE)
    spool.move(message.id, State.QUEUE, State.DONE)
    return message


def test_everybody_gets_it_as_if_it_were_new(make_config: MakeConfig, spool: Spool) -> None:
    message = delivered(spool)
    later = NOON + timedelta(hours=1)
    resend(spool, message.id, (), make_config(), later)
    again = spool.load(State.QUEUE, message.id)
    assert again.delivery.waiting() == (ANNA, JAN, OFFICE)
    assert again.delivery.next_attempt == later
    assert (again.delivery.attempts, again.delivery.first_attempt) == (0, None)
    assert again.delivery.on_call_at == NOON
    assert spool.ids(State.DONE) == []


def test_only_the_chosen_get_it_whatever_case_they_are_written_in(
    make_config: MakeConfig, spool: Spool
) -> None:
    message = delivered(spool)
    resend(spool, message.id, ("JAN@sipmail.test",), make_config(), NOON)
    again = spool.load(State.QUEUE, message.id)
    assert again.delivery.waiting() == (JAN,)
    assert again.delivery.delivered() == (ANNA, OFFICE)


def test_the_second_e_mail_has_a_message_id_of_its_own(
    make_config: MakeConfig, spool: Spool
) -> None:
    message = delivered(spool)
    resend(spool, message.id, (), make_config(), NOON)
    again = spool.load(State.QUEUE, message.id)
    assert again.delivery.message_id == f"<{message.id}-20261123120000@sipmail.test>"


def test_a_dropped_message_is_no_longer_said_to_be_dropped(
    make_config: MakeConfig, spool: Spool
) -> None:
    message = delivered(spool, notes=("fax", DROPPED), delivery=Delivery())
    resend(spool, message.id, (), make_config(), NOON)
    again = spool.load(State.QUEUE, message.id)
    assert again.notes == ("fax",)
    assert again.delivery.message_id is None
    assert again.delivery.waiting() == (ANNA, JAN, OFFICE)


def test_strangers_get_nothing(make_config: MakeConfig, spool: Spool) -> None:
    message = delivered(spool)
    with pytest.raises(SpoolError, match="gets no messages of mailbox sales"):
        resend(spool, message.id, ("boss@sipmail.test",), make_config(), NOON)
    assert spool.load(State.DONE, message.id) == message


def test_what_is_not_delivered_is_not_for_here(make_config: MakeConfig, spool: Spool) -> None:
    waiting = leave(spool, None)
    with pytest.raises(SpoolError, match="is in queue/: it is about to be sent"):
        resend(spool, waiting.id, (), make_config(), NOON)
    spool.move(waiting.id, State.QUEUE, State.FAILED)
    with pytest.raises(SpoolError, match="is in failed/: `sipmail queue retry`"):
        resend(spool, waiting.id, (), make_config(), NOON)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kind": Kind.NOTICE}, "is a notice to the administrator"),
        ({"mailbox": "gone"}, "there is no mailbox 'gone'"),
    ],
)
def test_what_cannot_be_sent_stays(
    changes: dict[str, object], why: str, make_config: MakeConfig, spool: Spool
) -> None:
    message = delivered(spool, **changes)
    with pytest.raises(SpoolError, match=why):
        resend(spool, message.id, (), make_config(), NOON)
    assert spool.ids(State.DONE) == [message.id]


def test_a_missed_call_goes_only_where_they_are_mailed(
    make_config: MakeConfig, spool: Spool
) -> None:
    message = delivered(spool, kind=Kind.MISSED)
    without = make_config(mailboxes={"sales": {"missed_calls": False}})
    with pytest.raises(SpoolError, match="missed_calls: false"):
        resend(spool, message.id, (), without, NOON)
    resend(spool, message.id, (), make_config(), NOON)
    assert spool.ids(State.QUEUE) == [message.id]


def test_through_the_courier(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        async with running(make_config(smtp_server)) as run:
            message = leave(spool, SPOKEN)
            run.courier.notify(message.id)
            await run.events.settled(message.id)
            since = len(run.events.all)
            handler = run.courier.handlers()["messages.resend"]
            assert await handler({"id": message.id, "addresses": [ANNA]}) == 1
            await run.events.wait(lambda event: isinstance(event, protocol.Settled), since)
            with pytest.raises(SpoolError, match="there is no message"):
                await handler({"id": "nobody"})
        first, second = smtp_server.delivered
        assert second.recipients == (ANNA,)
        assert second.message["To"] == first.message["To"]
        assert second.message["Message-ID"] != first.message["Message-ID"]
        assert second.attachment()[1] == first.attachment()[1]

    asyncio.run(work())
