"""The agent's side of the courier: asyncio calls in, events out.

Rules: those of `sipmail.child`, with SpoolError. A courier that died is started again by whoever
owns this object: `on_exit` says so, and the new one reads the queue from disk.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sipmail.child import Child
from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail import protocol
from sipmail.spool.control import Handler


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
        self._child: Child[int] = Child(
            "courier",
            "sipmail.mail.courier",
            failure=SpoolError,
            on_word=self._on_word,
            on_exit=on_exit,
        )
        self.status = protocol.Status()
        """The queue as the courier last told of it."""

    @property
    def pid(self) -> int | None:
        """The process id of the courier, None while there is none."""
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether it is there and has read the queue."""
        return self._child.running

    async def start(self, config: Config | None = None) -> None:
        """Starts the process, with another `config` if one is given, and waits until it has read
        the queue; raises SpoolError."""
        self._config = config or self._config
        await self._child.start(greeting=protocol.encode(protocol.Configure.of(self._config)))

    async def stop(self, grace: float = 5.0) -> None:
        """Lets it finish what it has in hand for `grace` seconds, then ends it. What is left is in
        the queue. `on_exit` is not called."""
        await self._child.stop(grace + 1.0, protocol.encode(protocol.Stop(grace)))

    def new(self, message_id: str) -> None:
        """A call has just left this message in the queue."""
        self._send(protocol.New(message_id))

    def notify(self, message_id: str) -> None:
        """A message has come to the queue from elsewhere."""
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
        wanted = "" if message_id == "all" else message_id
        return await self._child.ask(
            lambda request: protocol.encode(protocol.Retry(request, wanted))
        )

    async def drop(self, message_id: str) -> int:
        """Gives a message of `queue/` or `failed/` up; raises SpoolError."""
        return await self._child.ask(
            lambda request: protocol.encode(protocol.Drop(request, message_id))
        )

    async def resend(self, message_id: str, addresses: Sequence[str] = ()) -> int:
        """Sends a message of `done/` again, to everyone of its mailbox or only to `addresses`;
        raises SpoolError."""
        return await self._child.ask(
            lambda request: protocol.encode(protocol.Resend(request, message_id, tuple(addresses)))
        )

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

    def _send(self, word: protocol.Command) -> None:
        self._child.send(*protocol.encode(word))

    def _on_word(self, array: list[Any]) -> None:
        word = protocol.decode(array)
        if isinstance(word, protocol.Ready):
            self._child.ready()
        elif isinstance(word, protocol.Answer):
            self._child.answer(word.request, SpoolError(word.error) if word.error else word.count)
        elif isinstance(word, protocol.Log):
            logging.getLogger(word.logger).log(word.level, "%s", word.text)
        elif isinstance(word, protocol.Event):
            if isinstance(word, protocol.Status):
                self.status = word
            self._on_event(word)
