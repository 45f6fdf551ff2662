"""Threads for work that blocks, as one event loop needs them.

What `ThreadPoolExecutor` does, without its second future: that one is made for any thread to wait
for, and so has a lock and a condition of its own, and two callbacks that tie it to the loop's. Here
nobody waits but the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

R = TypeVar("R")

_Job = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Threads:
    """At most `most` threads, each started when there is work for it."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._under_way = 0
        """How many jobs the loop waits for."""

    def run(self, work: Callable[[], R]) -> asyncio.Future[R]:
        """What `work` returns or raises. Who stops waiting stops what has not begun yet."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._jobs.put((loop, future, work))
        self._under_way += 1
        if self._under_way > len(self._threads) < self._most:
            name = f"{self._name}_{len(self._threads)}"
            # A daemon, since an idle one would hold up the end: who has work to lose calls `close`.
            thread = Thread(target=self._work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
        return future

    def close(self) -> None:
        """Waits for what is under way and in the queue, then ends the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            loop, future, work = job
            result: object = None
            error: BaseException | None = None
            try:
                if not future.cancelled():
                    result = work()
            except BaseException as caught:
                error = caught
            with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(self._settle, future, result, error)
            del job, future, work, result, error  # not kept until the next one comes

    def _settle(
        self, future: asyncio.Future[object], result: object, error: BaseException | None
    ) -> None:
        self._under_way -= 1
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
