"""The way of each message: out of the queue to who prepares it, to a sender, and to `done/`.

One thread decides, the courier's, and all methods are for it; others turn recordings into e-mails
and talk to the server. A message is in hand of one of them at a time, who alone writes its folder;
what an administrator wants of it waits until then. Whoever has prepared a message goes on to send
it, where there is nothing to decide. A message that was taken by the server but could not be noted
is kept in memory and noted before anything else happens to it.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail import admin, attempt, protocol
from sipmail.mail import queue as work
from sipmail.mail.contacts import Contacts
from sipmail.mail.encoders import Encoders
from sipmail.mail.folding import Folding
from sipmail.mail.hooks import is_hook
from sipmail.mail.prepare import Gone, Held, Prepared, Settled, prepare
from sipmail.mail.resend import resend
from sipmail.mail.schedule import FIRST_DELAY, LONGEST_DELAY, TOO_LONG, Schedule
from sipmail.mail.senders import Senders, Sent
from sipmail.mail.worries import Worries
from sipmail.spool.message import Kind, Message
from sipmail.spool.spool import Spool, State

log = logging.getLogger(__name__)

_SENDERS = 4
_ENCODERS = 2
_IN_HAND = _SENDERS + _ENCODERS + 2
"""Prepared e-mails lie in memory: no more than the threads can work on."""
_FAILED_REMEMBERED = 86400.0

Done = Callable[[], None]


class Dispatch:
    """What waits, what is in hand, and what became of it; times are Unix seconds."""

    def __init__(
        self,
        spool: Spool,
        config: Config,
        post: Callable[[Done], None],
        say: Callable[[protocol.Word], None],
    ) -> None:
        """`post` may be called from any thread: it has the courier's call what it is given. `say`
        tells the parent."""
        self._spool = spool
        self._config = config
        self._post = post
        self._say = say
        self._schedule = Schedule()
        self._threads = ThreadPoolExecutor(_ENCODERS + _SENDERS, thread_name_prefix="mail")
        self._encoders = Encoders(self._threads, _ENCODERS)
        self.senders = Senders(spool, _SENDERS, self._on_sent)
        self._worries = Worries(spool)
        self._unsaved: dict[str, Message] = {}
        self._after: dict[str, list[Done]] = {}
        self._late: set[str] = set()
        self._folding = Folding()
        self._folded: dict[str, tuple[str, ...]] = {}
        self._contacts = Contacts(config)
        self._wrong_templates: set[tuple[str, str]] = set()
        self._trouble = ""
        self._failed = 0
        self._partly: set[str] = set()
        """What waits for some and has failed for others."""

    def start(self) -> None:
        """Takes in what the queue holds."""
        self._spool.repair()
        for message_id in self._spool.ids(State.QUEUE):
            self.enter(message_id)
        self._remember_failed(time.time())

    def configure(self, config: Config) -> None:
        """Uses `config` from now on; everything that waits is due."""
        self._config = config
        self._contacts = Contacts(config)
        self._wrong_templates.clear()
        self.hurry()

    def hurry(self) -> None:
        """Everything that waits is due."""
        self._schedule.hurry_all(time.time())

    def run(self, now: float, *, only_new: bool) -> None:
        """Puts in hand what is due, as far as there is room."""
        while self._has_room() and (message_id := self._schedule.take(now, only_new=only_new)):
            self._prepare(message_id, now)

    @property
    def deadline(self) -> float | None:
        """When `run` will have something to do; None while it waits for others."""
        return self._schedule.deadline if self._has_room() else None

    @property
    def in_hand(self) -> int:
        """How many messages are being worked on."""
        return self._schedule.in_hand

    def status(self) -> protocol.Status:
        """The queue now."""
        return protocol.Status(
            queue=len(self._schedule),
            oldest=self._schedule.oldest or 0.0,
            in_hand=self._schedule.in_hand,
            failed=self._failed + len(self._partly),
            trouble=self._trouble,
        )

    def expire(self, now: float) -> None:
        """Deletes what was kept for long enough."""
        self._threads.submit(self._spool.expire, self._config.keep, _utc(now))

    # What comes

    def new(self, message_id: str) -> None:
        """A call has just left this message in the queue."""
        now = time.time()
        self._schedule.add(message_id, now, now, tried=False)

    def enter(self, message_id: str) -> None:
        """This message is in the queue; how far it is, it says itself."""
        now = time.time()
        try:
            message = self._spool.load(State.QUEUE, message_id)
        except SpoolError as error:
            log.error("not delivered: %s", error)
            return
        again = message.delivery.next_attempt
        if message.delivery.failed():
            self._partly.add(message_id)
        self._schedule.add(
            message_id,
            attempt.since(message).timestamp(),
            min(again.timestamp(), now + LONGEST_DELAY) if again else now,
            tried=message.delivery.attempts > 0,
        )

    # What the administrator asks for

    def retry(self, word: protocol.Retry) -> None:
        """Answers once the message, or all of them, is due."""
        if word.id:
            self._when_idle(word.id, partial(self._retry_one, word))
            return
        self._schedule.hurry_all(time.time())
        self._say(protocol.Answer(word.request, len(self._schedule), ""))

    def _retry_one(self, word: protocol.Retry) -> None:
        now = time.time()
        try:
            was, message = work.retry(self._spool, word.id, _utc(now), self._unsaved.get(word.id))
        except SpoolError as error:
            self._say(protocol.Answer(word.request, 0, str(error)))
            return
        self._forget(word.id, was)
        self._schedule.add(word.id, attempt.since(message).timestamp(), now, tried=False)
        self._schedule.hurry(word.id, now)
        self._say(protocol.Answer(word.request, 1, ""))

    def drop(self, word: protocol.Drop) -> None:
        """Answers once the message has left the queue."""
        self._when_idle(word.id, partial(self._drop, word))

    def _drop(self, word: protocol.Drop) -> None:
        try:
            was, message = work.drop(self._spool, word.id, self._unsaved.get(word.id))
        except SpoolError as error:
            self._say(protocol.Answer(word.request, 0, str(error)))
            return
        self._forget(word.id, was)
        self._schedule.remove(word.id)
        log.warning("%s was dropped by the administrator", _name(message))
        self._say(protocol.Settled(word.id, message.mailbox, State.DONE))
        self._say(protocol.Answer(word.request, 1, ""))

    def resend(self, word: protocol.Resend) -> None:
        """Answers once the message is in the queue again."""
        self._when_idle(word.id, partial(self._resend, word))

    def _resend(self, word: protocol.Resend) -> None:
        now = time.time()
        try:
            message = resend(self._spool, word.id, word.addresses, self._config, _utc(now))
        except SpoolError as error:
            self._say(protocol.Answer(word.request, 0, str(error)))
            return
        log.info("%s is sent again", _name(message))
        # As a new one: what happened to the e-mail of before does not count.
        self._schedule.add(word.id, now, now, tried=False)
        self._say(protocol.Answer(word.request, 1, ""))

    def _forget(self, message_id: str, was: State) -> None:
        self._failed -= was is State.FAILED
        self._partly.discard(message_id)
        self._unsaved.pop(message_id, None)
        self._worries.forget(message_id)

    def _when_idle(self, message_id: str, action: Done) -> None:
        if self._schedule.is_in_hand(message_id):
            self._after.setdefault(message_id, []).append(action)
        else:
            action()

    # One message

    def _prepare(self, message_id: str, now: float, repeats: tuple[datetime, ...] = ()) -> None:
        unsaved = self._unsaved.get(message_id)
        more = (self._config, _utc(now), unsaved, self._contacts, repeats)
        self._encoders.submit(partial(self._prepared, message_id, *more))

    def _prepared(self, message_id: str, *more: Any) -> Done:
        """In another thread: prepares a message, and says what comes next."""
        result: Prepared | Settled | Held | Exception
        try:
            result = prepare(self._spool, message_id, *more)
        except Exception as error:
            result = error
        if isinstance(result, Prepared) and _is_plain(result) and self.senders.has_room():
            return partial(self.senders.send, result, self._config.mail)
        return partial(self._post, partial(self._on_prepared, message_id, result))

    def _has_room(self) -> bool:
        return self._schedule.in_hand < _IN_HAND

    def _on_prepared(self, message_id: str, result: Prepared | Settled | Held | Exception) -> None:
        if isinstance(result, Gone):
            log.warning("message %s is gone from the queue: %s", message_id, result)
            self._schedule.remove(message_id)
            self._unsaved.pop(message_id, None)
            self._partly.discard(message_id)
            self._free(message_id)
        elif isinstance(result, Exception):
            raise result
        elif isinstance(result, Prepared):
            self._unsaved.pop(message_id, None)
            self._take_turn(result)
        else:
            self._place(result)
            self._free(message_id)

    def _take_turn(self, prepared: Prepared) -> None:
        """Hands a prepared e-mail to a sender; a missed call may have to wait for others."""
        message, now = prepared.message, time.time()
        mailbox = self._config.mailboxes.get(message.mailbox)
        window = mailbox.fold_missed_calls if mailbox is not None else 0.0
        turn = self._folding.turn(message, window, now)
        if turn.until is not None:
            log.info("%s waits for more of this caller", _name(message))
            self._schedule.postpone(message.id, turn.until)
            self._free(message.id)
        elif turn.others:
            self._folded[message.id] = tuple(one for one, _ in turn.others)
            self._prepare(message.id, now, tuple(when for _, when in turn.others))
        else:
            for one in self._folded.pop(message.id, ()):
                self._when_idle(one, partial(self._fold, one, message.id))
            self._warn_of_template(message, prepared.wrong_template)
            self._send(prepared)

    def _send(self, prepared: Prepared) -> None:
        if self.senders.has_room():
            self._threads.submit(self.senders.send, prepared, self._config.mail)
        else:
            self.senders.wait(prepared, self._config.mail)

    def _fold(self, message_id: str, into: str) -> None:
        try:
            message = work.fold(self._spool, message_id, into)
        except SpoolError as error:
            log.warning("not folded: %s", error)
            return
        self._schedule.remove(message_id)
        self._folding.done(message)
        log.info("%s is mailed with %s", _name(message), into)
        self._say(protocol.Settled(message_id, message.mailbox, State.DONE))

    def _warn_of_template(self, message: Message, wrong: str) -> None:
        """Once for each mistake: a mailbox may get many messages."""
        if not wrong:
            return
        log.error("%s: the built-in words were used: %s", _name(message), wrong)
        if (message.mailbox, wrong) not in self._wrong_templates:
            self._wrong_templates.add((message.mailbox, wrong))
            self._worry(message, (attempt.template_worry(wrong),))

    def _on_sent(self, message_id: str, sent: Sent) -> None:
        self._post(partial(self._after_sending, message_id, sent))

    def _after_sending(self, message_id: str, sent: Sent) -> None:
        if (waiting := self.senders.free()) is not None:
            self._threads.submit(self.senders.send, *waiting)
        self._unsaved.pop(message_id, None)
        now = time.time()
        message = sent.message
        for address, outcome in sent.outcomes.items():
            state = message.delivery.recipients[address]
            if outcome.ok:
                log.info("%s delivered to %s: %s", _name(message), address, outcome.answer)
                self._say(protocol.Delivered(message.id, message.mailbox, address, outcome.answer))
            elif state.state == "failed":
                answer = state.answer or outcome.answer
                log.error("%s FAILED for %s: %s", _name(message), address, answer)
                self._say(protocol.Failed(message.id, message.mailbox, address, answer))
            else:
                log.warning("%s waits for %s: %s", _name(message), address, outcome.answer)
        if any(outcome.server for outcome in sent.outcomes.values()):
            self._trouble = next(o.answer for o in sent.outcomes.values() if o.server)
            self._schedule.server_failed(now)
        elif any(not is_hook(recipient) for recipient in sent.outcomes):
            self._trouble = ""
            self._schedule.server_works(now)
        self._worry(message, attempt.worries(message))
        if message.delivery.failed():
            self._partly.add(message_id)
        if sent.place is None:
            self._wait(message, server_trouble=bool(self._trouble))
        else:
            self._place(sent.place)
        self._free(message_id)

    def _place(self, place: Settled | Held) -> None:
        message = place.message
        if isinstance(place, Settled):
            self._schedule.remove(message.id)
            self._unsaved.pop(message.id, None)
            self._partly.discard(message.id)
            self._failed += place.state is State.FAILED
            self._worry(message, attempt.worries(message))
            if not message.delivery.delivered():  # else the log has said so for each recipient
                log.info("%s is settled: %s/", _name(message), place.state)
            self._say(protocol.Settled(message.id, message.mailbox, place.state))
            return
        if place.unsaved:
            self._unsaved[message.id] = message
        log.warning("%s waits: %s", _name(message), place.why)
        if place.for_admin:
            self._worry(message, (attempt.WAITING,))
        self._wait(message)

    def _wait(self, message: Message, *, server_trouble: bool = False) -> None:
        delivery = message.delivery
        now = _utc(time.time())
        again = delivery.next_attempt
        if again is None or again <= now:  # its note could not be written
            again = now + timedelta(seconds=FIRST_DELAY)
        self._schedule.postpone(message.id, again.timestamp(), server_trouble=server_trouble)
        answer = delivery.last_answer or ""
        self._say(protocol.Waiting(message.id, message.mailbox, answer, again.timestamp()))

    def _free(self, message_id: str) -> None:
        for action in self._after.pop(message_id, ()):
            action()

    # The administrator

    def _worry(self, message: Message, about: tuple[str, ...]) -> None:
        if self._config.mail.admin is not None:
            self._worries.add(message, about)

    def _is_free(self, message_id: str) -> bool:
        # The folder of a message in hand belongs to whoever works on it.
        return not self._schedule.is_in_hand(message_id) and message_id not in self._unsaved

    @property
    def worry_deadline(self) -> float | None:
        """When `tell_worries` will have something to tell the administrator."""
        return self._worries.deadline(self._is_free)

    def tell_worries(self, now: float) -> None:
        """Queues a notice about what goes wrong."""
        if self._config.mail.admin is None:
            self._worries.clear()
        elif (notice := self._worries.tell(self._config, _utc(now), self._is_free)) is not None:
            self.enter(notice.id)

    def tell(self, word: protocol.Tell) -> None:
        """Queues the agent's word to the administrator."""
        if self._config.mail.admin is None:
            return
        notice = admin.notice(word.event, word.subject, word.text, _utc(time.time()))
        try:
            admin.enqueue(self._spool, notice)
        except SpoolError as error:
            log.error("the administrator could not be told: %s", error)
            return
        self.enter(notice.id)

    def _remember_failed(self, now: float) -> None:
        failed = self._spool.list(State.FAILED)
        self._failed = len(failed)
        for message in failed:
            last = attempt.last_heard(message)
            if last is not None and now - last.timestamp() < _FAILED_REMEMBERED:
                self._worry(message, attempt.worries(message))

    def check(self, now: float) -> None:
        """Looks for what has waited too long."""
        late = set(self._schedule.waiting_longer_than(TOO_LONG, now))
        for message_id in late - self._late:
            with contextlib.suppress(SpoolError):
                message = self._spool.load(State.QUEUE, message_id)
                self._worry(message, (attempt.WAITING,))
        self._late = late


def _is_plain(prepared: Prepared) -> bool:
    """Whether it can only be sent now: see `Dispatch._take_turn`."""
    return prepared.message.kind is not Kind.MISSED and not prepared.wrong_template


def _name(message: Message) -> str:
    what = "notice" if message.kind is Kind.NOTICE else "message"
    return f"{what} {message.id} ({message.mailbox or '-'}, {message.call_id or '-'})"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
