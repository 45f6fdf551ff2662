"""The agent's side of a media worker: asyncio calls in, events out.

Rules: nothing here blocks the loop, an answer that cannot come any more (the worker died) is a
`MediaError` at once, and events of a call stop once it was closed. A worker that died is started
again by whoever owns this object: `on_exit` says so, `start` may be called again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import subprocess
from collections.abc import Callable, Sequence
from typing import Protocol

from sipmail.channel import Channel
from sipmail.errors import MediaError
from sipmail.media import protocol
from sipmail.media.protocol import Event, Leg, Statistics
from sipmail.process import spawn

logger = logging.getLogger(__name__)

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0


class PortRange(Protocol):
    """The UDP ports of the worker, both ends included."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...


class MediaWorker:
    """One media worker process; `start` it from the main thread (see `sipmail.process.spawn`)."""

    def __init__(
        self,
        ports: PortRange,
        *,
        bind: str = "0.0.0.0",  # noqa: S104
        timeout: float = 30.0,
        on_event: Callable[[Event], None],
        on_exit: Callable[[], None],
    ) -> None:
        """`bind` is the local address where `open` names none that this machine has.

        `timeout` is the RTP timeout in seconds. `on_event` and `on_exit` run in the event loop.
        """
        self._arguments = (str(ports.first), str(ports.last), bind, str(timeout))
        self._on_event = on_event
        self._on_exit = on_exit
        self._requests = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[protocol.Answer]] = {}
        self._calls: set[str] = set()
        self._channel: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reaping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the worker, None while there is none."""
        return self._process.pid if self._process else None

    @property
    def call_count(self) -> int:
        """How many calls it has ports for."""
        return len(self._calls)

    async def start(self) -> None:
        """Starts the process and waits until it takes commands; raises MediaError if it cannot."""
        if self._channel is not None:
            raise MediaError("the media worker runs already")
        self._process, self._channel = spawn("sipmail.media.worker", *self._arguments)
        asyncio.get_running_loop().add_reader(self._channel.fileno(), self._readable)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._answer(0)
        except (TimeoutError, MediaError):
            await self.stop()
            raise MediaError("the media worker did not start") from None

    async def stop(self) -> None:
        """Ends the process; it says BYE for every call that is left. `on_exit` is not called."""
        process, self._process = self._process, None
        self._disconnect("the media worker was stopped")
        if process is not None:
            await asyncio.to_thread(_reap, process)
        if self._reaping is not None and self._reaping is not asyncio.current_task():
            await self._reaping

    async def open(self, call: str, host: str = "") -> int:
        """Binds an even RTP port on the local address `host`, RTCP one above; returns the port.

        Raises MediaError when no port is free, or the worker is gone.
        """
        request = next(self._requests)
        self._calls.add(call)
        try:
            answer = await self._ask(protocol.Open(request, call, host), request)
        except BaseException:
            self._calls.discard(call)
            raise
        if isinstance(answer, protocol.Opened):
            return answer.port
        self._calls.discard(call)
        raise MediaError(answer.text if isinstance(answer, protocol.Refused) else str(answer))

    def connect(self, call: str, leg: Leg) -> None:
        """Tells where the far side is and what was agreed; again after every new answer."""
        self._send(protocol.Connect(call, leg))

    def load(self, prompts: Sequence[str]) -> None:
        """Has the worker read these prompts now, so that no call waits for the disk."""
        self._send(protocol.Load(tuple(prompts)))

    def play(self, call: str, prompts: Sequence[str], token: int) -> None:
        """Plays prompts without a gap: stems of `.ulaw`/`.alaw` files, or `silence:SECONDS`.

        Ends with `Played(call, token)`. What plays already is played to its end first.
        """
        self._send(protocol.Play(call, tuple(prompts), token))

    def record(
        self,
        call: str,
        journal: str,
        max: float,
        silence: float,
        finish_keys: str,
    ) -> None:
        """Records every packet from now on, for `max` seconds at most.

        `silence` seconds without speech end it (0: never), so does a key of `finish_keys`; then
        comes `RecordingEnded`, when the journal is closed.
        """
        self._send(protocol.Record(call, journal, max, silence, finish_keys))

    def stop_call(self, call: str) -> None:
        """Ends playing and recording; the journal holds every packet that came until now."""
        self._send(protocol.Stop(call))

    async def close(self, call: str) -> Statistics:
        """Stops the call's media and frees its ports; a worker that is gone gives empty numbers."""
        self._calls.discard(call)
        request = next(self._requests)
        try:
            answer = await self._ask(protocol.Close(request, call), request)
        except MediaError:
            return Statistics()
        return answer.statistics if isinstance(answer, protocol.Closed) else Statistics()

    async def _ask(self, command: protocol.Command, request: int) -> protocol.Answer:
        if self._channel is None:
            raise MediaError("the media worker is not running")
        answer = self._answer(request)
        self._send(command)
        return await answer

    def _answer(self, request: int) -> asyncio.Future[protocol.Answer]:
        future: asyncio.Future[protocol.Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        future.add_done_callback(lambda _: self._waiting.pop(request, None))
        return future

    def _send(self, command: protocol.Command) -> None:
        """Sends what it can; that the worker is gone is told by `on_exit`, never from here."""
        if self._channel is None:
            return
        with contextlib.suppress(ConnectionError):
            self._channel.send(*protocol.encode(command))
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
            for message in self._channel.receive():
                self._handle(protocol.decode(message))
        except EOFError:
            self._lost()

    def _handle(self, message: protocol.Command | protocol.Answer | Event) -> None:
        if isinstance(message, protocol.Ready):
            self._resolve(0, message)
        elif isinstance(message, protocol.Opened | protocol.Refused | protocol.Closed):
            self._resolve(message.request, message)
        elif isinstance(message, Event) and message.call in self._calls:
            self._on_event(message)

    def _resolve(self, request: int, answer: protocol.Answer) -> None:
        future = self._waiting.get(request)
        if future is not None and not future.done():
            future.set_result(answer)

    def _lost(self) -> None:
        """The channel ended without our doing: reap the process, then tell the owner."""
        process, self._process = self._process, None
        self._disconnect("the media worker died")
        if process is not None:
            logger.error("media worker %d died", process.pid)
            self._reaping = asyncio.create_task(self._bury(process))

    async def _bury(self, process: subprocess.Popen[bytes]) -> None:
        await asyncio.to_thread(_reap, process)
        self._reaping = None
        self._on_exit()

    def _disconnect(self, reason: str) -> None:
        if self._channel is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel.fileno())
        loop.remove_writer(self._channel.fileno())
        self._channel.close()
        self._channel = None
        self._calls.clear()
        for future in tuple(self._waiting.values()):
            if not future.done():
                future.set_exception(MediaError(reason))


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Waits for a process that was told to end, and kills it when it does not."""
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
