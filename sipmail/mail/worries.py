"""What the administrator is still to hear about messages: gathered, told in one notice, noted.

What is told is noted in each message.json, after the notice is in the queue: a crash in between
tells twice rather than never. What is gathered here is lost with the process; the next one finds
it again in the messages themselves.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail import admin
from sipmail.spool.message import Kind, Message
from sipmail.spool.spool import Spool, State

log = logging.getLogger(__name__)

NOTICE_SECONDS = 60.0
"""Between two notices; what happens meanwhile goes into the next one."""


class Worries:
    """The worries (see `attempt.worries`) about messages, by ID."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._about: dict[str, set[str]] = {}
        self._next = 0.0

    def add(self, message: Message, about: Sequence[str]) -> None:
        """Something new to tell about `message`; never about a notice, which would make a loop."""
        new = [worry for worry in about if worry not in message.delivery.told]
        if new and message.kind is not Kind.NOTICE:
            self._about.setdefault(message.id, set()).update(new)

    def forget(self, message_id: str) -> None:
        """Somebody has taken care of the message."""
        self._about.pop(message_id, None)

    def clear(self) -> None:
        """There is nobody to be told."""
        self._about.clear()

    def deadline(self, is_free: Callable[[str], bool]) -> float | None:
        """When `tell` has something to say about messages that `is_free`, which nobody works on."""
        return self._next if any(map(is_free, self._about)) else None

    def tell(self, config: Config, now: datetime, is_free: Callable[[str], bool]) -> Message | None:
        """Queues one notice about all free messages and returns it; None when there was nothing
        to say, or the disk refused (then it is tried again later)."""
        self._next = now.timestamp() + NOTICE_SECONDS
        about = self._collect([one for one in self._about if is_free(one)])
        if not about:
            return None
        notice = admin.attention([(message, new) for _, message, new in about], config, now)
        try:
            admin.enqueue(self._spool, notice)
        except SpoolError as error:
            log.error("the administrator could not be told: %s", error)
            return None
        for state, message, new in about:
            self.forget(message.id)
            self._note(state, message, new)
        return notice

    def _collect(self, message_ids: list[str]) -> list[tuple[State, Message, list[str]]]:
        about = []
        for message_id in message_ids:
            new: list[str] = []
            with contextlib.suppress(SpoolError):
                state, message = self._spool.find(message_id)
                told = message.delivery.told
                new = sorted(one for one in self._about[message_id] if one not in told)
            if new:
                about.append((state, message, new))
            else:
                self.forget(message_id)
        return about

    def _note(self, state: State, message: Message, new: list[str]) -> None:
        delivery = replace(message.delivery, told=(*message.delivery.told, *new))
        try:
            self._spool.update(replace(message, delivery=delivery), state)
        except SpoolError as error:
            log.error("told, but not noted: %s", error)
