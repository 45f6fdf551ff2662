"""What the mail server refuses, what waits, and what the administrator hears of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipmail.errors import SpoolError
from sipmail.mail import protocol
from sipmail.spool.message import Kind
from sipmail.spool.spool import AUDIO, Spool, State
from tests.mail.calls import leave
from tests.mail.conftest import ADMIN, ANNA, JAN, OFFICE, MakeConfig
from tests.mail.courier import EVERYBODY, SPOKEN, running, scenario, to_whom, until
from tests.support.smtp import SmtpServer


def test_server_away_then_451_then_one_refused_for_a_while(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    """The issue's own story: exactly once each, under one Message-ID."""
    seen: list[str] = []

    async def work() -> None:
        smtp_server.go()
        async with running(make_config(smtp_server)) as run:
            messages = [leave(spool, SPOKEN if i == 0 else None) for i in range(3)]

            async def attempts(number: int) -> None:
                await until(
                    lambda: all(
                        spool.load(State.QUEUE, one.id).delivery.attempts >= number
                        for one in messages
                    ),
                    f"attempt {number}",
                )

            for message in messages:
                run.courier.notify(message.id)
            await attempts(1)
            await until(lambda: "refused" in run.courier.status.trouble, "the trouble")
            smtp_server.on_data = lambda recipients: "451 4.3.0 later"
            smtp_server.come()
            assert await run.courier.retry("all") == 3
            await attempts(2)
            waiting = spool.load(State.QUEUE, messages[0].id).delivery
            assert waiting.last_answer == "451 4.3.0 later"
            assert set(waiting.waiting()) == EVERYBODY
            smtp_server.on_data = lambda recipients: "250 OK"
            smtp_server.on_recipient = lambda one: "450 greylisted" if one == JAN else "250 OK"
            await run.courier.retry("all")
            await attempts(3)
            partly = spool.load(State.QUEUE, messages[0].id).delivery
            assert (set(partly.delivered()), partly.waiting()) == ({ANNA, OFFICE}, (JAN,))
            smtp_server.on_recipient = lambda one: "250 OK"
            await run.courier.retry("all")
            for message in messages:
                await run.events.settled(message.id)
        seen.extend(message.id for message in messages)

    scenario(work())
    assert to_whom(smtp_server) == dict.fromkeys(EVERYBODY, 3)
    for message_id in seen:
        mine = [one for one in smtp_server.delivered if one.message["X-Sipmail-ID"] == message_id]
        assert len(mine) == 2
        assert {one.message["Message-ID"] for one in mine} == {f"<{message_id}@sipmail.test>"}
        assert len({one.message["To"] for one in mine}) == 1
    with_sound = [one for one in smtp_server.delivered if b"audio/" in one.data]
    assert len({one.attachment() for one in with_sound}) == 1


def test_a_final_refusal_fails_one_and_the_administrator_hears_of_it_once(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    smtp_server.on_recipient = lambda one: "550 5.1.1 unknown" if one == JAN else "250 OK"

    async def work() -> None:
        async with running(make_config(smtp_server, mail={"admin": ADMIN})) as run:
            message = leave(spool, None)
            run.courier.notify(message.id)
            await run.events.settled(message.id, State.FAILED)
            await until(lambda: bool(smtp_server.to(ADMIN)), "the notice")
            failed = spool.load(State.FAILED, message.id)
            assert failed.delivery.failed() == (JAN,)
            assert set(failed.delivery.delivered()) == {ANNA, OFFICE}
            await until(
                lambda: bool(spool.load(State.FAILED, message.id).delivery.told), "the note"
            )
            await until(lambda: spool.ids(State.QUEUE) == [], "the notice's own note")
            await run.kill()
            await run.courier.start()
            await until(lambda: run.courier.status.failed == 1, "one failed")
            # By its ID a failed message is tried again, for those who do not have it.
            smtp_server.on_recipient = lambda one: "250 OK"
            assert await run.courier.retry(message.id) == 1
            await run.events.settled(message.id)
        assert to_whom(smtp_server) == {**dict.fromkeys(EVERYBODY, 1), ADMIN: 1}
        notice = smtp_server.to(ADMIN)[0].message
        assert f"{JAN}: 550 5.1.1 unknown" in notice.get_content()

    scenario(work())


def test_one_who_cannot_have_it_counts_while_another_still_waits(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    answers = {ANNA: "250 OK", JAN: "550 5.1.1 unknown", OFFICE: "451 later"}
    smtp_server.on_recipient = answers.__getitem__

    async def work() -> None:
        async with running(make_config(smtp_server)) as run:

            async def count(queue: int, failed: int) -> None:
                wanted = protocol.Status(queue=queue, failed=failed)
                await until(
                    lambda: replace(run.courier.status, oldest=0.0, trouble="") == wanted,
                    str(wanted),
                )

            message = leave(spool, None)
            run.courier.notify(message.id)
            await count(1, 1)
            await run.kill()
            run.courier.status = protocol.Status()
            await run.courier.start()
            await count(1, 1)
            answers[OFFICE] = "250 OK"
            run.courier.reload(run.config)
            await count(0, 1)
            answers[JAN] = "250 OK"
            assert await run.courier.retry(message.id) == 1
            await count(0, 0)

    scenario(work())


def test_an_administrator_who_cannot_be_reached_makes_no_loop(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    smtp_server.on_recipient = lambda one: "550 unknown"

    async def work() -> None:
        async with running(make_config(smtp_server, mail={"admin": ADMIN})) as run:
            message = leave(spool, None)
            run.courier.notify(message.id)
            await until(lambda: run.courier.status.failed == 2, "message and notice")
            await until(lambda: run.courier.status.queue == 0, "an empty queue")
            assert await run.courier.retry("all") == 0
            assert spool.ids(State.QUEUE) == []
            assert len(spool.ids(State.FAILED)) == 2
            kinds = {one.kind for one in spool.list(State.FAILED)}
            assert kinds == {Kind.MESSAGE, Kind.NOTICE} or kinds == {Kind.MISSED, Kind.NOTICE}

    scenario(work())


def test_a_mailbox_that_is_gone_waits_and_is_told(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        async with running(make_config(smtp_server, mail={"admin": ADMIN})) as run:
            message = leave(spool, None, mailbox="gone")
            run.courier.notify(message.id)
            await until(lambda: bool(smtp_server.to(ADMIN)), "the notice")
            assert "no mailbox 'gone'" in smtp_server.to(ADMIN)[0].message.get_content()
            assert spool.load(State.QUEUE, message.id).delivery.attempts == 1
            box = {"numbers": ["300"], "users": ["anna"]}
            run.courier.reload(make_config(smtp_server, mailboxes={"gone": box}))
            await run.events.settled(message.id)
        assert to_whom(smtp_server) == {ADMIN: 1, ANNA: 1}

    scenario(work())


def test_a_corrected_address_frees_the_queue(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    smtp_server.on_recipient = lambda one: "450 unknown" if one == "ana@sipmail.test" else "250 OK"

    async def work() -> None:
        wrong = make_config(smtp_server, users={"anna": "Anna <ana@sipmail.test>"})
        async with running(wrong) as run:
            message = leave(spool, None)
            run.courier.notify(message.id)
            await until(
                lambda: spool.load(State.QUEUE, message.id).delivery.attempts == 1, "an attempt"
            )
            run.courier.reload(make_config(smtp_server))
            await run.events.settled(message.id)
        assert to_whom(smtp_server) == dict.fromkeys(EVERYBODY, 1)

    scenario(work())


def test_what_waits_long_is_told_once(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    smtp_server.on_recipient = lambda one: "250 OK" if one == ADMIN else "451 later"
    long_ago = datetime.now(UTC) - timedelta(minutes=20)
    messages = [leave(spool, None, ended=long_ago) for _ in range(2)]

    async def work() -> None:
        async with running(make_config(smtp_server, mail={"admin": ADMIN})) as run:
            await until(
                lambda: all(spool.load(State.QUEUE, one.id).delivery.attempts for one in messages),
                "an attempt",
            )
            await run.kill()
            await run.courier.start()  # the check comes at the start
            await until(lambda: bool(smtp_server.to(ADMIN)), "the notice")
            await until(
                lambda: all(
                    spool.load(State.QUEUE, one.id).delivery.told == ("waiting",)
                    for one in messages
                ),
                "the notes",
            )
            await until(lambda: len(spool.ids(State.QUEUE)) == 2, "the notice's own note")
            await run.kill()
            await run.courier.start()
            await run.courier.retry("all")
            await until(
                lambda: all(
                    spool.load(State.QUEUE, one.id).delivery.attempts == 2 for one in messages
                ),
                "another attempt",
            )
        (notice,) = smtp_server.to(ADMIN)
        assert all(one.id in notice.message.get_content() for one in messages)

    scenario(work())


def test_drop_and_retry_of_what_is_not_there(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    smtp_server.on_data = lambda recipients: "451 later"

    async def work() -> None:
        async with running(make_config(smtp_server)) as run:
            message = leave(spool, SPOKEN)
            run.courier.notify(message.id)
            await until(
                lambda: spool.load(State.QUEUE, message.id).delivery.attempts == 1, "an attempt"
            )
            assert await run.courier.drop(message.id) == 1
            done = spool.load(State.DONE, message.id)
            assert done.notes == ("dropped by the administrator",)
            assert (spool.folder(State.DONE, message.id) / AUDIO).exists()
            with pytest.raises(SpoolError, match="is in done/"):
                await run.courier.drop(message.id)
            with pytest.raises(SpoolError, match="there is no message nothing"):
                await run.courier.retry("nothing")
            with pytest.raises(SpoolError, match="is not the ID"):
                await run.courier.drop("../queue")
        assert smtp_server.delivered == []

    scenario(work())


def test_a_word_from_the_agent_reaches_the_administrator(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        smtp_server.go()
        async with running(make_config(smtp_server, mail={"admin": ADMIN})) as run:
            run.courier.tell_admin("trunk", "pbx stays unregistered", "408 Żadnej odpowiedzi")
            await run.events.wait(lambda event: isinstance(event, protocol.Waiting))
            await run.kill()
            smtp_server.come()
            await run.courier.start()
            await run.courier.retry("all")
            await until(lambda: bool(smtp_server.to(ADMIN)), "the word")
        (notice,) = smtp_server.delivered
        assert notice.message["Subject"] == "pbx stays unregistered"
        assert notice.message.get_content().strip() == "408 Żadnej odpowiedzi"

    scenario(work())
