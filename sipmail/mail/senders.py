"""Handing over prepared e-mails: how many at a time, and over which connection.

Each hand-over has a connection of its own, so that a slow answer holds up one of them only. The one
that was busy last is used first: it is open. What has had nothing to do for a while ends with a
QUIT. Methods are for one thread, the courier's, unless they say otherwise.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sipmail.config.model import Mail
from sipmail.errors import DeliveryError
from sipmail.mail import attempt
from sipmail.mail.deliver import Envelope, MailDelivery, Outcome, delivery_for, same_for_all
from sipmail.mail.hooks import Hook
from sipmail.mail.prepare import Held, Prepared, Settled, move, save
from sipmail.spool.message import Message
from sipmail.spool.spool import Spool

log = logging.getLogger(__name__)

IDLE_SECONDS = 10.0
_QUIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a hand-over: `outcomes` by address, `message` as noted, and where it is."""

    message: Message
    outcomes: Mapping[str, Outcome]
    place: Settled | Held | None
    """Settled: it left the queue. Held: its note or its move was refused. None: it waits."""


def hand_over(spool: Spool, prepared: Prepared, delivery: MailDelivery) -> Sent:
    """Sends the e-mails, then tells the hooks; what one has taken is on disk before the next is
    tried, for a hook may take minutes, and who is ended meanwhile must not send twice."""
    outcomes: dict[str, Outcome] = {}

    def noted() -> bool:
        so_far = attempt.heard(prepared.message, outcomes, datetime.now(UTC))
        return not outcomes or save(spool, so_far)

    for envelope in prepared.envelopes:
        if not noted():
            return _held(prepared.message, outcomes)
        outcomes |= _mailed(delivery, envelope)
    if not any(not one.ok and one.temporary for one in outcomes.values()):
        now_delivered = tuple(address for address, one in outcomes.items() if one.ok)
        for hook in prepared.hooks:
            if not noted():
                return _held(prepared.message, outcomes)
            outcomes[hook.name] = _told(hook, now_delivered)
    now = datetime.now(UTC)
    message = attempt.after_attempt(prepared.message, outcomes, now)
    if not save(spool, message):
        return _held(prepared.message, outcomes)
    state = attempt.settled(message)
    return Sent(message, outcomes, move(spool, message, state, now) if state else None)


def _held(message: Message, outcomes: Mapping[str, Outcome]) -> Sent:
    message = attempt.after_attempt(message, outcomes, datetime.now(UTC))
    return Sent(message, outcomes, Held(message, "the disk does not take the note", unsaved=True))


def _mailed(delivery: MailDelivery, envelope: Envelope) -> dict[str, Outcome]:
    try:
        return dict(delivery.send(envelope))
    except Exception as error:
        # A fault of ours here must not make those wait who have it already.
        log.exception("message %s could not be sent", envelope.key)
        delivery.close()
        return same_for_all(envelope, Outcome(False, True, str(error) or repr(error), server=True))


def _told(hook: Hook, now_delivered: tuple[str, ...]) -> Outcome:
    try:
        return hook.tell(now_delivered)
    except Exception as error:
        log.exception("the %s could not be told", hook.name)
        return Outcome(False, True, str(error) or repr(error))


class Senders:
    """At most `limit` hand-overs at a time; connections stay open for the next ones for a while."""

    def __init__(self, spool: Spool, limit: int, done: Callable[[str, Sent], None]) -> None:
        """`done(id, sent)` is called from the thread that has sent."""
        self._spool = spool
        self._done = done
        self._guard = threading.Lock()
        self._free = limit
        self._idle: list[_Line] = []
        self._waiting: deque[tuple[Prepared, Mail]] = deque()

    def has_room(self) -> bool:
        """Whether one more may be sent now: then it must be, with `send`. From any thread."""
        with self._guard:
            if not self._free:
                return False
            self._free -= 1
            return True

    def wait(self, prepared: Prepared, mail: Mail) -> None:
        """There is no room yet."""
        self._waiting.append((prepared, mail))

    def free(self) -> tuple[Prepared, Mail] | None:
        """After each hand-over: what is to be sent in its place, if anything waits."""
        if self._waiting:
            return self._waiting.popleft()
        with self._guard:
            self._free += 1
        return None

    def send(self, prepared: Prepared, mail: Mail) -> None:
        """Sends, and calls `done`; `free` must be called afterwards. From any thread."""
        self._done(prepared.message.id, self._sent(prepared, mail))

    def _sent(self, prepared: Prepared, mail: Mail) -> Sent:
        line: _Line | None = None
        try:
            line = self._line(mail)
            sent = hand_over(self._spool, prepared, line.delivery)
        except Exception as error:
            if not isinstance(error, DeliveryError):
                log.exception("message %s could not be sent", prepared.message.id)
            if line is not None:
                line.delivery.close()
            outcome = Outcome(False, True, str(error) or repr(error), server=True)
            outcomes = dict.fromkeys(prepared.message.delivery.waiting(), outcome)
            message = attempt.after_attempt(prepared.message, outcomes, datetime.now(UTC))
            saved = save(self._spool, message)
            return Sent(message, outcomes, None if saved else Held(message, str(error), True))
        line.since = time.monotonic()
        with self._guard:
            self._idle.append(line)
        return sent

    def _line(self, mail: Mail) -> _Line:
        """The connection that was busy last, since it is open; a new one where none is idle."""
        with self._guard:
            line = self._idle.pop() if self._idle else None
        if line is not None and line.mail is not mail and line.mail != mail:
            line.delivery.close()
            line = None
        return line or _Line(delivery_for(mail), mail)

    # The end of connections

    @property
    def idle_deadline(self) -> float | None:
        """When `close_idle` will have something to close (monotonic seconds)."""
        with self._guard:
            return self._idle[0].since + IDLE_SECONDS if self._idle else None

    def close_idle(self, monotonic: float) -> None:
        """Ends the connections that have had nothing to do for a while."""
        self._close(monotonic - IDLE_SECONDS)

    def close(self) -> None:
        """Ends those that have nothing to do now; the others end with the process."""
        for thread in self._close(math.inf):
            thread.join(_QUIT_SECONDS)

    def _close(self, until: float) -> list[threading.Thread]:
        """A QUIT may take seconds: each has a thread of its own."""
        with self._guard:
            count = sum(line.since <= until for line in self._idle)
            over, self._idle = self._idle[:count], self._idle[count:]
        threads = [threading.Thread(target=line.delivery.close, daemon=True) for line in over]
        for thread in threads:
            thread.start()
        return threads


@dataclass(slots=True)
class _Line:
    """A way to the server, for one thread at a time."""

    delivery: MailDelivery
    mail: Mail
    since: float = 0.0
    """When it was last used (monotonic seconds)."""
