"""Keeps a child process running: one that dies is started again.

The first restart is immediate (a call that comes meanwhile waits milliseconds, not seconds); a
child that keeps dying is started again after growing pauses, so that a broken installation does
not burn the machine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sipmail.errors import SipmailError

log = logging.getLogger(__name__)

_LONGEST_PAUSE = 30.0
_HEALTHY_SECONDS = 60.0


class Keeper:
    """Starts `name` again through `start` whenever `died` is called; `rest(seconds)` pauses."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[None]],
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._start = start
        self._rest = rest
        self.restarts = 0
        self._deaths = 0
        self._started = 0.0
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._gone = False
        """Whether it died since it was started."""

    async def start(self) -> None:
        """The first start; its failure is the caller's."""
        self._started = asyncio.get_running_loop().time()
        await self._start()

    def died(self) -> None:
        """To be called when the child is gone; it is started again unless `stop` was called."""
        self._gone = True
        if self._stopping or (self._task is not None and not self._task.done()):
            return
        self._task = asyncio.get_running_loop().create_task(self._again())

    async def _again(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._started > _HEALTHY_SECONDS:
            self._deaths = 0
        while not self._stopping:
            pause = 0.0 if self._deaths == 0 else min(2.0 ** (self._deaths - 2), _LONGEST_PAUSE)
            self._deaths += 1
            self.restarts += 1
            log.error("the %s died, starting it again in %g s", self._name, pause)
            await self._rest(pause)
            try:
                self._started = loop.time()
                self._gone = False
                await self._start()
            except (SipmailError, OSError) as error:
                log.error("the %s could not be started: %s", self._name, error)
                continue
            except Exception:
                log.exception("the %s could not be started", self._name)
                continue
            if not self._gone:
                return

    def stop(self) -> None:
        """From now on a death is wanted."""
        self._stopping = True
        if self._task is not None:
            self._task.cancel()
