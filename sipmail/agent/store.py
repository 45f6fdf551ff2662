"""The spool as the event loop sees it: every disk operation in a thread.

An fsync takes 45 ms on a busy disk; several at once share the disk's flush, so the threads are
more than the cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from sipmail.errors import SpoolError
from sipmail.spool.message import Message
from sipmail.spool.spool import Spool, State

P = ParamSpec("P")
R = TypeVar("R")

_THREADS = 8


class Store:
    """Begins and finishes messages without holding up the loop."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="spool")

    @property
    def threads(self) -> ThreadPoolExecutor:
        """The threads, for a store beside this one."""
        return self._threads

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs `work` in one of the spool's threads."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    async def begin(self, message: Message) -> Path:
        """The folder of a new message, its message.json on disk. Raises SpoolError."""
        return await self.run(self.spool.begin, message)

    async def update(self, message: Message) -> None:
        """The facts of a message that is being recorded on disk. Raises SpoolError."""
        await self.run(self.spool.update, message, State.RECORDING)

    async def keep(self, message: Message) -> None:
        """Only greetings are kept: see `greetings`."""
        raise SpoolError(f"{message.id} is no greeting")

    async def finish(self, message: Message) -> None:
        """The recording and its facts on disk, the message in the queue. Raises SpoolError."""
        await self.run(self.spool.finish, message)

    async def abandon(self, message: Message) -> None:
        """Forgets a message that was begun for a call that went elsewhere. Raises SpoolError."""
        await self.run(self.spool.abandon, message.id)

    def close(self) -> None:
        """Waits for what is being written, then ends the threads."""
        self._threads.shutdown(wait=True)
