"""The agent's side of the courier: asyncio calls in, events out.

Rules: nothing here blocks the loop; an answer that cannot come any more (the courier died) is a
SpoolError at once. A courier that died is started again by whoever owns this object: `on_exit`
says so, `start` may be called again, and the new one reads the queue from disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import subprocess
from collections.abc import Callable, Mapping, Sequence

from sipmail.channel import Channel
from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail import protocol
from sipmail.process import spawn
from sipmail.spool.control import Handler

log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_KILL_SECONDS = 5.0


class Courier:
    """One courier process; `start` it from the main thread (see `sipmail.process.spawn`)."""

    def __init__(
        self,
        config: Config,
        *,
        on_event: Callable[[protocol.Event], None] = lambda event: None,
        on_exit: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_event` and `on_exit` run in the event loop."""
        self._config = config
        self._on_event = on_event
        self.on_exit = on_exit
        self._requests = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reaping: asyncio.Task[None] | None = None
        self.status = protocol.Status()
        """The queue as the courier last told of it."""

    @property
    def pid(self) -> int | None:
        """The process id of the courier, None while there is none."""
        return self._process.pid if self._process else None

    async def start(self, config: Config | None = None) -> None:
        """Starts the process, with another `config` if one is given, and waits until it has read
        the queue; raises SpoolError."""
        self._config = config or self._config
        if self._channel is not None:
            raise SpoolError("the courier runs already")
        self._process, self._channel = spawn("sipmail.mail.courier")
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)
        ready = self._future(0)
        self._send(protocol.Configure.of(self._config))
        try:
            async with asyncio.timeout(_START_SECONDS):
                await ready
        except (TimeoutError, SpoolError):
            await self.stop(0.0)
            raise SpoolError("the courier did not start") from None

    async def stop(self, grace: float = 5.0) -> None:
        """Lets it finish what it has in hand for `grace` seconds, then ends it. What is left is in
        the queue. `on_exit` is not called."""
        process, self._process = self._process, None
        self._send(protocol.Stop(grace))
        if process is not None:
            try:
                await _ended(process, grace + 1.0)
            except TimeoutError:
                process.kill()
                await _ended(process, _KILL_SECONDS)
        self._disconnect()
        if self._reaping is not None:
            await self._reaping

    def notify(self, message_id: str) -> None:
        """A message has come to the queue."""
        self._send(protocol.Notify(message_id))

    def reload(self, config: Config) -> None:
        """Uses `config` from now on, also after a restart; everything that waits is due now."""
        self._config = config
        self._send(protocol.Configure.of(config))

    def tell_admin(self, event: str, subject: str, text: str) -> None:
        """Queues a word to `mail.admin`; nothing where none is configured. `event` names its
        cause, like "trunk"."""
        self._send(protocol.Tell(event, subject, text))

    async def retry(self, message_id: str) -> int:
        """Tries a message of `queue/` or `failed/` now, or the whole queue ("all"); returns how
        many messages that is. Raises SpoolError."""
        request = next(self._requests)
        wanted = "" if message_id == "all" else message_id
        return await self._ask(protocol.Retry(request, wanted), request)

    async def drop(self, message_id: str) -> int:
        """Gives a message of `queue/` or `failed/` up; raises SpoolError."""
        request = next(self._requests)
        return await self._ask(protocol.Drop(request, message_id), request)

    async def resend(self, message_id: str, addresses: Sequence[str] = ()) -> int:
        """Sends a message of `done/` again, to everyone of its mailbox or only to `addresses`;
        raises SpoolError."""
        request = next(self._requests)
        return await self._ask(protocol.Resend(request, message_id, tuple(addresses)), request)

    def handlers(self) -> Mapping[str, Handler]:
        """What `sipmail queue` and `sipmail messages` ask for, for the table of the control
        socket."""

        async def retry(arguments: Mapping[str, object]) -> object:
            return await self.retry(str(arguments.get("id", "")) or "all")

        async def drop(arguments: Mapping[str, object]) -> object:
            return await self.drop(str(arguments.get("id", "")))

        async def resend(arguments: Mapping[str, object]) -> object:
            addresses = arguments.get("addresses", [])
            if not isinstance(addresses, list):
                raise SpoolError("addresses is not a list")
            return await self.resend(str(arguments.get("id", "")), [str(one) for one in addresses])

        return {"queue.retry": retry, "queue.drop": drop, "messages.resend": resend}

    async def _ask(
        self, word: protocol.Retry | protocol.Drop | protocol.Resend, request: int
    ) -> int:
        if self._channel is None:
            raise SpoolError("the courier is not running at this moment: try again")
        answer = self._future(request)
        self._send(word)
        return await answer

    def _future(self, request: int) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        future.add_done_callback(lambda _: self._waiting.pop(request, None))
        return future

    def _send(self, word: protocol.Command) -> None:
        """Sends what it can; that the courier is gone is told by `on_exit`, never from here."""
        if self._channel is None:
            return
        with contextlib.suppress(ConnectionError):
            self._channel.send(*protocol.encode(word))
            if self._channel.unsent:
                loop = asyncio.get_running_loop()
                loop.add_writer(self._channel.fileno(), self._writable)

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
            for array in self._channel.receive():
                self._handle(protocol.decode(array))
        except EOFError:
            self._lost()

    def _handle(self, word: protocol.Word) -> None:
        if isinstance(word, protocol.Ready):
            self._resolve(0, 0, "")
        elif isinstance(word, protocol.Answer):
            self._resolve(word.request, word.count, word.error)
        elif isinstance(word, protocol.Log):
            logging.getLogger(word.logger).log(word.level, "%s", word.text)
        elif isinstance(word, protocol.Event):
            if isinstance(word, protocol.Status):
                self.status = word
            self._on_event(word)

    def _resolve(self, request: int, count: int, error: str) -> None:
        future = self._waiting.get(request)
        if future is None or future.done():
            return
        if error:
            future.set_exception(SpoolError(error))
        else:
            future.set_result(count)

    def _lost(self) -> None:
        process, self._process = self._process, None
        self._disconnect()
        if process is None:
            return  # `stop` is at work
        self._reaping = asyncio.get_running_loop().create_task(_reap(process))
        self.on_exit()

    def _disconnect(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(channel.fileno())
            loop.remove_writer(channel.fileno())
            channel.close()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(SpoolError("the courier is gone"))


async def _ended(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Waits for the end of `process`; raises TimeoutError."""
    try:
        await asyncio.to_thread(process.wait, seconds)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error


async def _reap(process: subprocess.Popen[bytes]) -> None:
    # The end of its channel came first; a process that lingers would hold the queue's lock.
    with contextlib.suppress(TimeoutError):
        await _ended(process, 1.0)
        return
    process.kill()
    with contextlib.suppress(TimeoutError):
        await _ended(process, _KILL_SECONDS)
