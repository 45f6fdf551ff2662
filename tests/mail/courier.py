"""The courier's process for tests: the real one, started by its client, and what it tells."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from sipmail.config.model import Config
from sipmail.mail import protocol
from sipmail.mail.client import Courier
from sipmail.spool.spool import State
from tests.mail.calls import babble, packets
from tests.mail.conftest import ANNA, JAN, OFFICE
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


def to_whom(smtp_server: SmtpServer) -> dict[str, int]:
    """How often each recipient got something."""
    count: dict[str, int] = {}
    for message in smtp_server.delivered:
        for address in message.recipients:
            count[address] = count.get(address, 0) + 1
    return count
