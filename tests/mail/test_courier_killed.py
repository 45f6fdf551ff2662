"""The courier killed at work, and one whose parent is: one message, one e-mail."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sipmail.spool.layout import COURIER_LOCK
from sipmail.spool.spool import Spool, State
from tests.mail.calls import leave
from tests.mail.conftest import MakeConfig
from tests.mail.courier import EVERYBODY, SPOKEN, Run, running, scenario, to_whom, until
from tests.support.patience import PATIENCE
from tests.support.smtp import SmtpServer


def has_open(pid: int | None, path: Path) -> bool:
    """Whether this process, which may not be there any more, has the file open."""
    try:
        return any(fd.resolve() == path.resolve() for fd in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return False


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


@pytest.mark.long
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


def test_no_courier_outlives_its_parent(make_config: MakeConfig, tmp_path: Path) -> None:
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
