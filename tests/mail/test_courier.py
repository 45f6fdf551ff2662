"""The courier's process: the real one, started by its client, against a real mail server."""

from __future__ import annotations

import email
import logging
import os
from typing import Any

import pytest

from sipmail.mail import protocol
from sipmail.spool.message import Caller, Kind
from sipmail.spool.spool import AUDIO, Spool, State
from tests.mail.calls import leave, packets, silence
from tests.mail.conftest import ADMIN, ANNA, MakeConfig
from tests.mail.courier import EVERYBODY, SPOKEN, running, scenario, to_whom, until
from tests.support.smtp import SmtpServer


def test_a_message_arrives_whole(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        async with running(make_config(smtp_server)) as run:
            message = leave(spool, SPOKEN)
            run.courier.new(message.id)
            await run.events.settled(message.id)
            await run.events.wait(
                lambda event: isinstance(event, protocol.Status) and event.queue == 0
            )
        (delivered,) = smtp_server.delivered
        assert set(delivered.recipients) == EVERYBODY
        assert delivered.message["Message-ID"] == f"<{message.id}@sipmail.test>"
        name, sound = delivered.attachment()
        assert name.endswith("_+48600123456.wav")
        assert sound[:4] == b"RIFF"
        assert len(sound) - 44 == 2 * 2 * 8000
        assert spool.ids(State.QUEUE) == []
        done = spool.load(State.DONE, message.id)
        assert set(done.delivery.delivered()) == EVERYBODY
        assert done.delivery.attempts == 1
        assert done.duration == pytest.approx(2.0)
        folder = spool.folder(State.DONE, message.id)
        assert (folder / "message.wav").read_bytes() == sound

    scenario(work())


def test_what_waits_at_the_start_is_delivered_in_order(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    messages = [leave(spool, None, mailbox="sales") for _ in range(8)]

    async def work() -> None:
        async with running(make_config(smtp_server)) as run:
            for message in messages:
                await run.events.settled(message.id)

    scenario(work())
    assert len(smtp_server.delivered) == 8
    assert to_whom(smtp_server) == dict.fromkeys(EVERYBODY, 8)


def test_less_speech_than_the_least_is_a_missed_call(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    quiet = leave(spool, packets(silence(3.0)))
    empty = leave(spool, packets(silence(0.0)), caller=Caller("+48600999999"))
    unwanted = leave(spool, packets(silence(3.0)), mailbox="quiet")
    box = {"numbers": ["300"], "users": ["anna"], "missed_calls": False}

    async def work() -> None:
        async with running(make_config(smtp_server, mailboxes={"quiet": box})) as run:
            for message in (quiet, empty, unwanted):
                await run.events.settled(message.id)

    scenario(work())
    assert len(smtp_server.delivered) == 2
    for delivered in smtp_server.delivered:
        with pytest.raises(LookupError):
            delivered.attachment()
    for message in (quiet, empty, unwanted):
        done = spool.load(State.DONE, message.id)
        assert done.kind is Kind.MISSED
        assert (spool.folder(State.DONE, message.id) / AUDIO).exists()


def test_a_recording_that_cannot_be_decoded_is_mailed_as_it_is(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    garbage = os.urandom(5000)
    message = leave(spool, garbage)

    async def work() -> None:
        config = make_config(smtp_server, mail={"admin": ADMIN})
        async with running(config) as run:
            await run.events.settled(message.id)
            await until(lambda: bool(smtp_server.to(ADMIN)), "the notice")
            await until(lambda: spool.ids(State.QUEUE) == [], "an empty queue")

    scenario(work())
    (delivered,) = smtp_server.to(ANNA)
    attached = [
        part.get_payload(decode=True)
        for part in delivered.message.walk()
        if part.get_content_disposition() == "attachment"
    ]
    assert attached == [garbage]
    (notice,) = smtp_server.to(ADMIN)
    assert message.id in notice.message.get_content()
    assert "could not be decoded" in notice.message.get_content()
    assert notice.message["Auto-Submitted"] == "auto-generated"


def test_a_slow_server_holds_up_one_sender_only(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    """The first hand-over never ends while this test lasts; the others go on."""
    from tests.mail.scripted import HANG, HELLO, Scripted

    # The stuck server is the configured one for the first message only.
    stuck = Scripted([*HELLO, ("MAIL", HANG)])

    async def work() -> None:
        config = make_config(smtp_server)
        slow = config.mail.model_copy(
            update={"smtp": config.mail.smtp.model_copy(update={"port": stuck.port})}  # type: ignore[union-attr]
        )
        async with running(config.model_copy(update={"mail": slow})) as run:
            first = leave(spool, None)
            run.courier.notify(first.id)
            await until(lambda: any("mail" in line for line in stuck.lines), "the stuck one")
            run.courier.reload(config)
            others = [leave(spool, None) for _ in range(5)]
            for message in others:
                run.courier.notify(message.id)
            for message in others:
                await run.events.settled(message.id)
            assert spool.load(State.QUEUE, first.id).delivery.attempts == 0
            await until(lambda: run.courier.status.in_hand == 1, "one in hand")
            stuck.stop()

    scenario(work())


def test_without_smtp_the_maildir_gets_it(make_config: MakeConfig, spool: Spool) -> None:
    async def work() -> None:
        config = make_config()
        async with running(config) as run:
            message = leave(spool, SPOKEN)
            run.courier.notify(message.id)
            await run.events.settled(message.id)
        assert config.mail.maildir is not None
        (path,) = (config.mail.maildir / "new").iterdir()
        parsed = email.message_from_bytes(path.read_bytes())
        assert parsed["X-Sipmail-ID"] == message.id

    scenario(work())


def test_the_password_is_in_no_log_line(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    smtp = {"username": "u", "password": "s3cret-password"}

    async def work() -> None:
        async with running(make_config(smtp_server, mail={"smtp": smtp})) as run:
            message = leave(spool, None)
            run.courier.notify(message.id)
            await run.events.wait(lambda event: isinstance(event, protocol.Waiting))

    scenario(work())
    assert "waits for" in caplog.text
    assert "s3cret-password" not in caplog.text


def test_unreadable_folders_do_not_stop_the_others(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    bare = spool.root / "queue" / "20261123T120000000000-aa"
    bare.mkdir()
    (bare / AUDIO).write_bytes(SPOKEN)
    message = leave(spool, None)

    async def work() -> None:
        async with running(make_config(smtp_server, mail={"admin": ADMIN})) as run:
            await run.events.settled(message.id)
            await until(lambda: bool(smtp_server.to(ADMIN)), "the notice")

    scenario(work())
    kept = spool.load(State.QUEUE, bare.name)
    assert kept.mailbox == ""
    assert "lost its message.json" in smtp_server.to(ADMIN)[0].message.get_content()


def test_words_survive_the_channel() -> None:
    words: list[protocol.Word] = [
        protocol.New("x"),
        protocol.Notify("x"),
        protocol.Status(1, 2.5, 3, 4, "trouble"),
        protocol.Waiting("x", "sales", "451", 1.5),
    ]
    for word in words:
        assert protocol.decode(list(protocol.encode(word))) == word
    for wrong in (["Rm", "x"], ["Notify"], ["Notify", "a", "b"]):
        with pytest.raises(ValueError, match="not a word"):
            protocol.decode(list(wrong))
