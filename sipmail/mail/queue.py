"""What an administrator does to a message that waits or failed: try it again, or give it up.

By the courier for the running agent, or by a command that owns the spool itself. A dropped message
is not destroyed: it lies in `done/` with a note, and its recording is deleted with the others
there, after `keep`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sipmail.errors import SpoolError
from sipmail.mail import attempt
from sipmail.spool.message import Message
from sipmail.spool.spool import Spool, State

DROPPED = "dropped by the administrator"
_FOLDED = "mailed with "


def was_dropped(message: Message) -> bool:
    """Whether it lies in `done/` because of `drop`."""
    return DROPPED in message.notes


def was_folded(message: Message) -> bool:
    """Whether it lies in `done/` because of `fold`."""
    return any(note.startswith(_FOLDED) for note in message.notes)


def retry(
    spool: Spool, message_id: str, now: datetime, newer: Message | None = None
) -> tuple[State, Message]:
    """Makes a message of `queue/` or `failed/` due, for everyone who does not have it; returns
    where it was. `newer` is what the disk has not taken yet. Raises SpoolError."""
    state, message = _find(spool, message_id)
    message = attempt.due_again(newer or message, now)
    spool.update(message, state)
    if state is State.FAILED:
        spool.move(message_id, State.FAILED, State.QUEUE)
    return state, message


def drop(spool: Spool, message_id: str, newer: Message | None = None) -> tuple[State, Message]:
    """Takes a message out of `queue/` or `failed/`; returns where it was. Raises SpoolError."""
    state, message = _find(spool, message_id)
    message = newer or message
    message = replace(
        message,
        notes=(*message.notes, DROPPED),
        delivery=replace(message.delivery, next_attempt=None),
    )
    spool.update(message, state)
    spool.move(message_id, state, State.DONE)
    return state, message


def fold(spool: Spool, message_id: str, into: str) -> Message:
    """Takes a missed call out of `queue/`, for which the e-mail about `into` stands, too. Raises
    SpoolError."""
    message = spool.load(State.QUEUE, message_id)
    message = replace(message, notes=(*message.notes, f"{_FOLDED}{into}"))
    spool.update(message, State.QUEUE)
    spool.move(message_id, State.QUEUE, State.DONE)
    return message


def _find(spool: Spool, message_id: str) -> tuple[State, Message]:
    state, message = spool.find(message_id)
    if state not in (State.QUEUE, State.FAILED):
        raise SpoolError(f"message {message_id} is in {state}/: nothing waits there")
    return state, message
