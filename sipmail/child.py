"""The event loop's side of a child process: words out, answers and words in, over one channel.

Rules: nothing here blocks the loop; an answer that cannot come any more (the child died) is an
error at once; a child that died is reaped before its owner hears of it, so that what it held (a
lock, ports) is free when the owner starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from sipmail.channel import Channel
from sipmail.errors import SipmailError
from sipmail.process import spawn

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_START_SECONDS = 30.0
_LINGER_SECONDS = 1.0
_KILL_SECONDS = 5.0


class Child(Generic[Answer]):
    """One child process, `python -m MODULE`, and what it was asked; `start` may be called again
    whenever it does not run."""

    def __init__(
        self,
        name: str,
        module: str,
        *,
        failure: Callable[[str], SipmailError],
        on_word: Callable[[list[Any]], None],
        on_exit: Callable[[], None],
    ) -> None:
        """`name` stands in log lines and in the text of every `failure` that is raised here.

        `on_word(array)` takes each message of the child and calls `ready` and `answer` for those
        that are such; `on_exit` tells of a death that nobody asked for. Both run in the loop.
        """
        self._name = name
        self._module = module
        self._failure = failure
        self._on_word = on_word
        self._on_exit = on_exit
        self._requests = itertools.count(1)
        self._ready: asyncio.Future[None] | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._burial: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, None while there is none."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether it is there and has said that it is ready."""
        return self._channel is not None and self._ready is not None and self._ready.done()

    async def start(self, *arguments: str, greeting: Sequence[object] = ()) -> None:
        """Starts the process, sends it the `greeting` and waits until it said that it is ready;
        raises `failure`. To be called in the main thread (see `sipmail.process.spawn`)."""
        if self._channel is not None:
            raise self._failure(f"the {self._name} runs already")
        self._process, self._channel = spawn(self._module, *arguments)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._channel.fileno(), self._readable)
        self._ready = loop.create_future()
        if greeting:
            self.send(*greeting)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._ready
        except (TimeoutError, SipmailError):
            await self.stop(0.0)
            raise self._failure(f"the {self._name} did not start") from None

    async def stop(self, seconds: float, farewell: Sequence[object] = ()) -> None:
        """Ends the process, by force after `seconds`; `on_exit` is not called.

        It is told by the word `farewell` and heard until it ends; without one, the end of the
        channel tells it.
        """
        process, self._process = self._process, None
        if farewell:
            self.send(*farewell)
        else:
            self._disconnect("was stopped")
        if process is not None:
            await asyncio.to_thread(_end, process, seconds)
        self._disconnect("was stopped")
        if self._burial is not None:
            await self._burial

    def send(self, *word: object) -> None:
        """Sends what it can; that the child is gone is told by `on_exit`, never from here."""
        if self._channel is None:
            return
        with contextlib.suppress(ConnectionError):
            self._channel.send(*word)
            if self._channel.unsent:
                loop = asyncio.get_running_loop()
                loop.add_writer(self._channel.fileno(), self._writable)

    async def ask(self, word: Callable[[int], Sequence[object]]) -> Answer:
        """Sends the word of a request, made with its number, and waits for the `answer`; raises
        `failure` when the child is gone, or what the answer is."""
        return await self.request(word)

    def request(self, word: Callable[[int], Sequence[object]]) -> asyncio.Future[Answer]:
        """What `ask` waits for, for who has something else to do meanwhile; raises `failure`."""
        if self._channel is None:
            raise self._failure(f"the {self._name} is not running at this moment: try again")
        request = next(self._requests)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        self.send(*word(request))
        return future

    def ready(self) -> None:
        """The child takes words."""
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def answer(self, request: int, answer: Answer | SipmailError) -> None:
        """The child answered a request; nothing where nobody waits for it any more."""
        future = self._waiting.pop(request, None)
        if future is None or future.done():
            return
        if isinstance(answer, SipmailError):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    def _writable(self) -> None:
        if self._channel is None:
            return
        with contextlib.suppress(ConnectionError):
            self._channel.flush()
        if not self._channel.unsent:
            asyncio.get_running_loop().remove_writer(self._channel.fileno())

    def _readable(self) -> None:
        if self._channel is None:
            return
        try:
            for word in self._channel.receive():
                self._on_word(word)
        except EOFError:
            self._lost()

    def _lost(self) -> None:
        process, self._process = self._process, None
        self._disconnect("died")
        if process is not None:  # otherwise `stop` is at work
            self._burial = asyncio.get_running_loop().create_task(self._bury(process))

    async def _bury(self, process: subprocess.Popen[bytes]) -> None:
        await asyncio.to_thread(_end, process, _LINGER_SECONDS)
        logger.error("%s %d died (exit code %s)", self._name, process.pid, process.returncode)
        self._burial = None
        self._on_exit()

    def _disconnect(self, why: str) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(channel.fileno())
        loop.remove_writer(channel.fileno())
        channel.close()
        for future in (self._ready, *self._waiting.values()):
            if future is not None and not future.done():
                future.set_exception(self._failure(f"the {self._name} {why}"))
        self._waiting.clear()


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Waits for a process that was told to end, and kills it when it does not; blocks."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_SECONDS)
