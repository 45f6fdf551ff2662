"""The last messages, for the status page: who called, for which mailbox, what became of it.

Read from the spool when somebody looks, in the thread that serves the page; there is no audio here
and no link to any.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sipmail.errors import SpoolError
from sipmail.mail.queue import was_dropped, was_folded
from sipmail.mail.wording import clock
from sipmail.spool.layout import State
from sipmail.spool.message import Kind, Message
from sipmail.spool.spool import Spool

_SHOWN = 10
_FATES = {State.QUEUE: "waiting", State.DONE: "delivered", State.FAILED: "given up"}


@dataclass(frozen=True, slots=True)
class MessageLine:
    """One message; `duration` is in seconds, None where the caller left none."""

    received: datetime
    mailbox: str
    caller: str
    duration: float | None
    fate: str

    @property
    def what(self) -> str:
        """`0:42`, or `missed`."""
        return "missed" if self.duration is None else clock(self.duration)


def latest_messages(spool: Spool) -> tuple[MessageLine, ...]:
    """The newest messages, newest first. What moves or cannot be read meanwhile is left out."""
    found = [
        (message_id, state)
        for state in _FATES
        if (spool.root / state).is_dir()
        for message_id in spool.ids(state)
    ]
    lines: list[MessageLine] = []
    for message_id, state in sorted(found, reverse=True):
        try:
            message = spool.load(state, message_id)
        except SpoolError:
            continue
        if message.kind is not Kind.NOTICE:
            lines.append(_line(message, state))
        if len(lines) == _SHOWN:
            break
    return tuple(lines)


def _line(message: Message, state: State) -> MessageLine:
    caller = message.caller
    who = "withheld" if caller.withheld else caller.name or caller.number or "unknown"
    return MessageLine(
        message.received,
        message.mailbox,
        who,
        message.duration if message.kind is Kind.MESSAGE else None,
        _fate(message, state),
    )


def _fate(message: Message, state: State) -> str:
    if was_dropped(message):
        return "dropped"
    if was_folded(message):
        return "in another e-mail"
    if state is State.DONE and not message.delivery.delivered():
        return "not mailed"  # a missed call of a mailbox that wants none
    return _FATES[state]
