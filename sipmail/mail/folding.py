"""Which missed calls are mailed now: the first at once, what follows it folded into one e-mail.

    first ──mailed──▶ window open ──further calls wait──▶ window over: one e-mail for all of them,
                                                          and a new window

Calls of one number to one mailbox belong together; a withheld or unknown caller's never do. All of
it is in memory: after a restart the first that waits is mailed at once, and the rest follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sipmail.spool.message import Kind, Message

_LONGEST = 3600.0
"""Seconds; what is older than any window is forgotten."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done with a missed call: wait `until` (Unix seconds), or be mailed now,
    standing for the `others`, too: their IDs and when they came."""

    until: float | None = None
    others: tuple[tuple[str, datetime], ...] = ()


@dataclass(slots=True)
class _Window:
    opened: float
    waiting: dict[str, datetime]


class Folding:
    """The windows of all callers; time is given."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], _Window] = {}

    def turn(self, message: Message, window: float, now: float) -> Turn:
        """What is to be done with `message`, whose mailbox folds within `window` seconds."""
        number = message.caller.number
        settled = message.repeats or message.delivery.attempts or message.delivery.delivered()
        if message.kind is not Kind.MISSED or not window or not number or settled:
            return Turn()
        key = (message.mailbox, number)
        self._forget(now)
        found = self._windows.get(key)
        if found is None or now >= found.opened + window:
            others = {} if found is None else found.waiting
            others.pop(message.id, None)
            self._windows[key] = _Window(now, {})
            return Turn(None, tuple(sorted(others.items())))
        found.waiting[message.id] = message.received
        return Turn(found.opened + window)

    def done(self, message: Message) -> None:
        """Another e-mail stands for `message` now."""
        if (
            window := self._windows.get((message.mailbox, message.caller.number or ""))
        ) is not None:
            window.waiting.pop(message.id, None)

    def _forget(self, now: float) -> None:
        over = [key for key, one in self._windows.items() if now - one.opened > _LONGEST]
        for key in over:
            del self._windows[key]
