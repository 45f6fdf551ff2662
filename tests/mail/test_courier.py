"""The courier's process: the real one, started by its client, against a real mail server."""

from __future__ import annotations

import asyncio
import email
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail import protocol
from sipmail.mail.client import Courier
from sipmail.spool.layout import COURIER_LOCK
from sipmail.spool.message import Caller, Kind
from sipmail.spool.spool import AUDIO, Spool, State
from tests.mail.calls import babble, leave, packets, silence
from tests.mail.conftest import ADMIN, ANNA, JAN, OFFICE, MakeConfig
from tests.support.patience import PATIENCE
from tests.support.smtp import SmtpServer

EVERYBODY = {ANNA, JAN, OFFICE}
SPOKEN = packets(babble(2.0))


class Events:
    """What the courier told; `wait` for the first that fits."""

    def __init__(self) -> None:
        self.all: list[protocol.Event] = []
        self._came = asyncio.Event()

    def __call__(self, event: protocol.Event) -> None:
        self.all.append(event)
        self._came.set()

    async def wait(self, fits: Callable[[protocol.Event], bool], since: int = 0) -> protocol.Event:
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.all[since:]:
                    if fits(event):
                        return event
                self._came.clear()
                await self._came.wait()

    async def settled(self, message_id: str, state: State = State.DONE) -> None:
        await self.wait(
            lambda event: (
                isinstance(event, protocol.Settled)
                and (event.id, event.state) == (message_id, state)
            )
        )


class Run:
    """A courier at work and what it tells."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.events = Events()
        self.exited = asyncio.Event()
        self.courier = Courier(config, on_event=self.events, on_exit=self.exited.set)

    async def kill(self) -> None:
        assert self.courier.pid is not None
        os.kill(self.courier.pid, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            await self.exited.wait()
        self.exited.clear()


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Run]:
    run = Run(config)
    await run.courier.start()
    try:
        yield run
    finally:
        await run.courier.stop()


def scenario(work: Awaitable[None]) -> None:
    """Runs one test's coroutine."""
    asyncio.run(work)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another process's work, seen on disk
            await asyncio.sleep(0.01)


def has_open(pid: int | None, path: Path) -> bool:
    """Whether this process, which may not be there any more, has the file open."""
    try:
        return any(fd.resolve() == path.resolve() for fd in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False


def to_whom(smtp_server: SmtpServer) -> dict[str, int]:
    """How often each recipient got something."""
    count: dict[str, int] = {}
    for message in smtp_server.delivered:
        for address in message.recipients:
            count[address] = count.get(address, 0) + 1
    return count


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


def test_killed_before_the_servers_answer_it_is_sent_once(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        async with running(make_config(smtp_server)) as run:
            pid = run.courier.pid
            assert pid is not None

            def refuse_and_kill(recipients: tuple[str, ...]) -> str:
                os.kill(pid, signal.SIGKILL)
                return "451 never taken"

            smtp_server.on_data = refuse_and_kill
            message = leave(spool, SPOKEN)
            run.courier.notify(message.id)
            async with asyncio.timeout(PATIENCE):
                await run.exited.wait()
            smtp_server.on_data = lambda recipients: "250 OK"
            await run.courier.start()
            await run.events.settled(message.id)
        assert to_whom(smtp_server) == dict.fromkeys(EVERYBODY, 1)

    scenario(work())


def test_killed_between_the_250_and_its_note_it_comes_again_under_the_same_id(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        async with running(make_config(smtp_server)) as run:
            pid = run.courier.pid
            assert pid is not None

            def take_and_kill(recipients: tuple[str, ...]) -> str:
                os.kill(pid, signal.SIGKILL)
                return "250 OK"

            smtp_server.on_data = take_and_kill
            message = leave(spool, SPOKEN)
            run.courier.notify(message.id)
            async with asyncio.timeout(PATIENCE):
                await run.exited.wait()
            smtp_server.on_data = lambda recipients: "250 OK"
            await run.courier.start()
            await run.events.settled(message.id)
        first, second = smtp_server.delivered
        assert first.data == second.data

    scenario(work())


def test_killed_at_any_time_nothing_is_lost_and_little_comes_twice(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    kills = 4
    messages = [leave(spool, None) for _ in range(30)]

    async def work() -> None:
        async with running(make_config(smtp_server)) as run:
            for _ in range(kills):
                came = len(smtp_server.delivered)
                await until(lambda came=came: len(smtp_server.delivered) >= came + 3, "some mails")  # type: ignore[misc]
                await run.kill()
                await run.courier.start()
            for message in messages:
                await until(
                    lambda message=message: spool.folder(State.DONE, message.id).is_dir(),  # type: ignore[misc]
                    "the rest",
                )

    scenario(work())
    count: dict[str, int] = {}
    for delivered in smtp_server.delivered:
        count[delivered.message["Message-ID"]] = count.get(delivered.message["Message-ID"], 0) + 1
        assert set(delivered.recipients) == EVERYBODY
    assert set(count) == {f"<{one.id}@sipmail.test>" for one in messages}
    # At most what was in the four senders' hands at each kill.
    assert sum(count.values()) - len(messages) <= 4 * kills


def test_a_second_courier_waits_for_the_first(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        config = make_config(smtp_server)
        async with running(config) as first:
            second = Run(config)
            start = asyncio.create_task(second.courier.start())
            await until(lambda: has_open(second.courier.pid, spool.root / COURIER_LOCK), "it asks")
            assert not start.done()
            await first.kill()
            await start
            message = leave(spool, None)
            second.courier.notify(message.id)
            await second.events.settled(message.id)
            await second.courier.stop()

    scenario(work())


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


def test_no_courier_outlives_its_parent(make_config: MakeConfig, tmp_path: Path) -> None:
    import subprocess
    import sys
    import time

    config = make_config()
    (tmp_path / "config" / "spool").mkdir(exist_ok=True)
    script = f"""
import asyncio
from pathlib import Path
from sipmail.config.loader import load
from sipmail.mail.client import Courier
from sipmail.spool.spool import Spool

async def main():
    config = load(Path({str(config.path)!r}))
    Spool(config.spool).open()
    courier = Courier(config)
    await courier.start()
    print(courier.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


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
