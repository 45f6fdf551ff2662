"""The agent's side of a media worker: asyncio calls in, events out.

Rules: those of `sipmail.child`, with MediaError; and events of a call stop once it was closed. A
worker that died is started again by whoever owns this object: `on_exit` says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sipmail.child import Child
from sipmail.errors import MediaError
from sipmail.media import protocol
from sipmail.media.protocol import Event, Keys, Leg, Statistics

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
        self._calls: set[str] = set()
        self._secured: set[str] = set()
        self._child: Child[protocol.Answer] = Child(
            "media worker",
            "sipmail.media.worker",
            failure=MediaError,
            on_word=self._on_word,
            on_exit=self._died,
        )

    @property
    def pid(self) -> int | None:
        """The process id of the worker, None while there is none."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it is there and takes calls."""
        return self._child.running

    async def start(self) -> None:
        """Starts the process and waits until it takes commands; raises MediaError if it cannot."""
        await self._child.start(*self._arguments)

    async def stop(self) -> None:
        """Ends the process; it says BYE for every call that is left. `on_exit` is not called."""
        self._calls.clear()
        await self._child.stop(_STOP_SECONDS)

    async def open(self, call: str, host: str = "") -> int:
        """Binds an even RTP port on the local address `host`, RTCP one above; returns the port.

        Raises MediaError when no port is free, or the worker is gone.
        """
        return self.opened(call, await self.begin_to_open(call, host))

    def begin_to_open(self, call: str, host: str = "") -> asyncio.Future[protocol.Answer]:
        """The first half of `open`, for who has something else to do until the answer is there:
        no task is needed for that. Raises MediaError."""
        asked = self._child.request(
            lambda request: protocol.encode(protocol.Open(request, call, host))
        )
        self._calls.add(call)
        return asked

    def opened(self, call: str, answer: protocol.Answer) -> int:
        """The second half of `open`: the port that the answer names. Raises MediaError."""
        if isinstance(answer, protocol.Opened):
            return answer.port
        self._calls.discard(call)
        raise MediaError(answer.text if isinstance(answer, protocol.Refused) else str(answer))

    def connect(self, call: str, leg: Leg, keys: Keys | None = None) -> None:
        """Tells where the far side is and what was agreed; again after every new answer.

        With `keys` the call is SRTP, from its first answer on.
        """
        if keys is not None or call in self._secured:
            self._secured.add(call)
            self._send(protocol.Secure.with_keys(call, keys))
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

    def finish(self, call: str) -> None:
        """Ends the recording as a key of its `finish_keys` does: `RecordingEnded` comes, when the
        journal is closed."""
        self._send(protocol.Finish(call))

    def stop_call(self, call: str) -> None:
        """Ends playing and recording; the journal holds every packet that came until now."""
        self._send(protocol.Stop(call))

    async def close(self, call: str) -> Statistics:
        """Stops the call's media and frees its ports; a worker that is gone gives empty numbers."""
        self._calls.discard(call)
        self._secured.discard(call)
        try:
            answer = await self._child.ask(
                lambda request: protocol.encode(protocol.Close(request, call))
            )
        except MediaError:
            return Statistics()
        return answer.statistics if isinstance(answer, protocol.Closed) else Statistics()

    def _send(self, command: protocol.Command) -> None:
        self._child.send(*protocol.encode(command))

    def _on_word(self, word: list[Any]) -> None:
        message = protocol.decode(word)
        if isinstance(message, protocol.Ready):
            self._child.ready()
        elif isinstance(message, protocol.Opened | protocol.Refused | protocol.Closed):
            self._child.answer(message.request, message)
        elif isinstance(message, Event) and message.call in self._calls:
            self._on_event(message)

    def _died(self) -> None:
        self._calls.clear()
        self._on_exit()
