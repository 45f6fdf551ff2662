"""The threads that talk to the mail server, so that a slow answer holds up one of them only.

Each has a connection of its own and says QUIT when it has had nothing to do for a while. Work goes
to the thread that was busy last: its connection is open. All methods are for one thread, the
courier's; results come through the callback, which the sending threads call.
"""

from __future__ import annotations

import logging
import queue
import threading
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
    """At most `limit` threads, started as they are needed."""

    def __init__(self, spool: Spool, limit: int, done: Callable[[str, Sent], None]) -> None:
        self._spool = spool
        self._limit = limit
        self._done = done
        self._idle: list[_Sender] = []
        self._all: list[_Sender] = []
        self._waiting: deque[tuple[Prepared, Mail]] = deque()

    def submit(self, prepared: Prepared, mail: Mail) -> None:
        """Sends as soon as a thread is free; `done(id, sent)` is called from that thread, and
        `free` must be called afterwards."""
        if self._idle:
            self._idle.pop().give(prepared, mail)
        elif len(self._all) < self._limit:
            sender = _Sender(self, f"smtp-{len(self._all)}")
            self._all.append(sender)
            sender.give(prepared, mail)
            sender.start()
        else:
            self._waiting.append((prepared, mail))

    def free(self, message_id: str) -> None:
        """The thread that sent `message_id` takes the next message, if one waits."""
        sender = next(one for one in self._all if one.job == message_id)
        sender.job = None
        if self._waiting:
            sender.give(*self._waiting.popleft())
        else:
            self._idle.append(sender)

    def close(self) -> None:
        """Ends the idle threads with a QUIT; those at work end with the process."""
        for sender in self._all:
            sender.jobs.put(None)
        for sender in self._idle:
            sender.join(timeout=5.0)


class _Sender(threading.Thread):
    def __init__(self, pool: Senders, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.jobs: queue.SimpleQueue[tuple[Prepared, Mail] | None] = queue.SimpleQueue()
        self.job: str | None = None
        self._pool = pool
        self._delivery: MailDelivery | None = None
        self._mail: Mail | None = None

    def give(self, prepared: Prepared, mail: Mail) -> None:
        """The next job; only for the courier's thread, and only while there is none."""
        self.job = prepared.message.id
        self.jobs.put((prepared, mail))

    def run(self) -> None:
        while True:
            try:
                job = self.jobs.get(timeout=IDLE_SECONDS if self._delivery else None)
            except queue.Empty:
                self._close()
                continue
            if job is None:
                self._close()
                return
            prepared, mail = job
            self._pool._done(prepared.message.id, self._send(prepared, mail))

    def _send(self, prepared: Prepared, mail: Mail) -> Sent:
        try:
            return hand_over(self._pool._spool, prepared, self._delivery_for(mail))
        except Exception as error:
            if not isinstance(error, DeliveryError):
                log.exception("message %s could not be sent", prepared.message.id)
                self._close()
            outcome = Outcome(False, True, str(error) or repr(error), server=True)
            outcomes = dict.fromkeys(prepared.message.delivery.waiting(), outcome)
            message = attempt.after_attempt(prepared.message, outcomes, datetime.now(UTC))
            saved = save(self._pool._spool, message)
            return Sent(message, outcomes, None if saved else Held(message, str(error), True))

    def _delivery_for(self, mail: Mail) -> MailDelivery:
        if self._delivery is None or mail != self._mail:
            self._close()
            self._delivery, self._mail = delivery_for(mail), mail
        return self._delivery

    def _close(self) -> None:
        delivery, self._delivery = self._delivery, None
        if delivery is not None:
            delivery.close()
