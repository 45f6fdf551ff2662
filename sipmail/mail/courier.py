"""The courier's process: from the queue to the mail server. `python -m sipmail.mail.courier FD`.

One thread decides (the schedule, commands, events); encoders turn recordings into files, senders
talk to the server, and one thread syncs live journals. A message is in hand of one of them at a
time, who alone writes its folder. Rules: the parent's channel brings the configuration and ends the
process; the queue on disk is the truth, so a courier that dies is simply started again; a message
that was taken by the server but could not be noted is kept in memory and noted before anything
else happens to it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from sipmail.channel import Channel
from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail import admin, attempt, protocol
from sipmail.mail import queue as work
from sipmail.mail.contacts import Contacts
from sipmail.mail.folding import Folding
from sipmail.mail.hooks import is_hook
from sipmail.mail.prepare import Gone, Held, Prepared, Settled, prepare
from sipmail.mail.resend import resend
from sipmail.mail.schedule import FIRST_DELAY, LONGEST_DELAY, TOO_LONG, Schedule
from sipmail.mail.senders import Senders, Sent
from sipmail.mail.worries import Worries
from sipmail.process import adopt
from sipmail.spool.journals import ROUND_SECONDS, JournalSync
from sipmail.spool.message import Kind, Message
from sipmail.spool.spool import Spool, State

log = logging.getLogger("sipmail.mail.courier")  # run as a program it is `__main__`

NICENESS = 19
_SENDERS = 4
_ENCODERS = 2
_IN_HAND = _SENDERS + _ENCODERS + 2
"""Prepared e-mails lie in memory: no more than the threads can work on."""
_CHECK_SECONDS = 15.0
_EXPIRE_SECONDS = 3600.0
_STATUS_SECONDS = 0.25
_FAILED_REMEMBERED = 86400.0

_Done = Callable[[], None]


class Courier:
    """The thread that decides. `run` returns when the parent says so or is gone."""

    def __init__(self, channel: Channel, config: Config, log_lines: _LogLines) -> None:
        """Becomes the one courier of `config.spool`; raises SpoolError when there is another."""
        self._channel = channel
        self._config = config
        self._log_lines = log_lines
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._results: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._schedule = Schedule()
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encode")
        self._unsaved: dict[str, Message] = {}
        self._after: dict[str, list[_Done]] = {}
        self._late: set[str] = set()
        self._folding = Folding()
        self._folded: dict[str, tuple[str, ...]] = {}
        self._contacts = Contacts(config)
        self._wrong_templates: set[tuple[str, str]] = set()
        self._trouble = ""
        self._failed = 0
        self._changed = True
        self._stop_at: float | None = None
        self._next_check = 0.0
        self._next_expiry = 0.0
        self._next_status = 0.0
        self._spool = Spool(config.spool)
        self._spool.attach()
        self._worries = Worries(self._spool)
        self._senders = Senders(self._spool, _SENDERS, self._on_sent)
        log_lines.wake = self.wake

    def run(self) -> None:
        """Works until told to stop, or until the parent is gone."""
        selector = selectors.DefaultSelector()
        selector.register(self._channel.fileno(), selectors.EVENT_READ)
        selector.register(self._wake_in, selectors.EVENT_READ)
        with selector, contextlib.suppress(EOFError, ConnectionError):
            self._start()
            while not self._is_over():
                self._work()
                events = selectors.EVENT_READ
                if self._channel.unsent:
                    events |= selectors.EVENT_WRITE
                selector.modify(self._channel.fileno(), events)
                selector.select(self._patience())
                self._channel.flush()
                self._read_commands()
            self._finish()

    def wake(self) -> None:
        """Makes `run` look around; from any thread."""
        with contextlib.suppress(BlockingIOError):
            self._wake_out.send(b"\0")

    # The loop

    def _work(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_in.recv(4096):
                pass
        with contextlib.suppress(queue.Empty):
            while True:
                self._results.get_nowait()()
                self._changed = True
        now = time.time()
        if self._stop_at is None or now < self._stop_at:
            self._dispatch(now)
        if now >= self._next_check:
            self._next_check = now + _CHECK_SECONDS
            self._check(now)
        if (moment := self._worries.deadline(self._is_free)) is not None and now >= moment:
            self._tell(now)
        if now >= self._next_expiry:
            self._next_expiry = now + _EXPIRE_SECONDS
            self._encoders.submit(self._spool.expire, self._config.keep, _utc(now))
        self._publish(now)
        for line in self._log_lines.take():
            self._say(line)

    def _patience(self) -> float:
        now = time.time()
        moments = [self._next_check, self._next_expiry]
        if (moment := self._worries.deadline(self._is_free)) is not None:
            moments.append(moment)
        if self._changed:
            moments.append(self._next_status)
        if self._stop_at is not None:
            moments.append(self._stop_at)
        elif (
            self._schedule.in_hand < _IN_HAND and (deadline := self._schedule.deadline) is not None
        ):
            moments.append(deadline)
        return max(min(moments) - now, 0.0)

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return self._schedule.in_hand == 0 or time.time() >= self._stop_at

    def _finish(self) -> None:
        self._work()
        self._senders.close()

    # Commands

    def _read_commands(self) -> None:
        for array in self._channel.receive():
            word = protocol.decode(array)
            self._changed = True
            if isinstance(word, protocol.Configure):
                self._configure(word.config())
            elif isinstance(word, protocol.New):
                now = time.time()
                self._schedule.add(word.id, now, now, tried=False)
            elif isinstance(word, protocol.Notify):
                self._enter(word.id)
            elif isinstance(word, protocol.Retry):
                self._retry(word)
            elif isinstance(word, protocol.Drop):
                self._when_idle(word.id, partial(self._drop, word))
            elif isinstance(word, protocol.Resend):
                self._when_idle(word.id, partial(self._resend, word))
            elif isinstance(word, protocol.Tell):
                self._tell_word(word)
            elif isinstance(word, protocol.Stop):
                now = time.time()
                self._stop_at = now + word.grace
                self._dispatch(now)  # what the last call left goes out before the end

    def _start(self) -> None:
        self._spool.repair()
        for message_id in self._spool.ids(State.QUEUE):
            self._enter(message_id)
        self._remember_failed(time.time())
        threading.Thread(target=_sync_journals, args=(self._spool,), daemon=True).start()
        self._say(protocol.Ready())

    def _configure(self, config: Config) -> None:
        self._config = config
        self._contacts = Contacts(config)
        self._wrong_templates.clear()
        self._schedule.hurry_all(time.time())

    def _enter(self, message_id: str) -> None:
        now = time.time()
        try:
            message = self._spool.load(State.QUEUE, message_id)
        except SpoolError as error:
            log.error("not delivered: %s", error)
            return
        again = message.delivery.next_attempt
        self._schedule.add(
            message_id,
            attempt.since(message).timestamp(),
            min(again.timestamp(), now + LONGEST_DELAY) if again else now,
            tried=message.delivery.attempts > 0,
        )

    def _retry(self, word: protocol.Retry) -> None:
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
        self._unsaved.pop(message_id, None)
        self._worries.forget(message_id)

    def _when_idle(self, message_id: str, action: _Done) -> None:
        if self._schedule.is_in_hand(message_id):
            self._after.setdefault(message_id, []).append(action)
        else:
            action()

    # One message

    def _dispatch(self, now: float) -> None:
        stopping = self._stop_at is not None
        while self._has_room() and (message_id := self._schedule.take(now, only_new=stopping)):
            self._prepare(message_id, now)

    def _prepare(self, message_id: str, now: float, repeats: tuple[datetime, ...] = ()) -> None:
        self._encoders.submit(
            prepare,
            self._spool,
            message_id,
            self._config,
            _utc(now),
            self._unsaved.get(message_id),
            self._contacts,
            repeats,
        ).add_done_callback(partial(self._post_prepared, message_id))

    def _has_room(self) -> bool:
        return self._schedule.in_hand < _IN_HAND

    def _post_prepared(self, message_id: str, future: Future[Prepared | Settled | Held]) -> None:
        self._post(partial(self._on_prepared, message_id, future))

    def _post(self, result: _Done) -> None:
        self._results.put(result)
        self.wake()

    def _on_prepared(self, message_id: str, future: Future[Prepared | Settled | Held]) -> None:
        try:
            result = future.result()
        except Gone as error:
            log.warning("message %s is gone from the queue: %s", message_id, error)
            self._schedule.remove(message_id)
            self._unsaved.pop(message_id, None)
            self._free(message_id)
            return
        if isinstance(result, Prepared):
            self._unsaved.pop(message_id, None)
            self._take_turn(result)
            return
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
            self._senders.submit(prepared, self._config.mail)

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
        self._senders.free(message_id)
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

    def _tell(self, now: float) -> None:
        if self._config.mail.admin is None:
            self._worries.clear()
        elif (notice := self._worries.tell(self._config, _utc(now), self._is_free)) is not None:
            self._enter(notice.id)

    def _tell_word(self, word: protocol.Tell) -> None:
        if self._config.mail.admin is None:
            return
        notice = admin.notice(word.event, word.subject, word.text, _utc(time.time()))
        try:
            admin.enqueue(self._spool, notice)
        except SpoolError as error:
            log.error("the administrator could not be told: %s", error)
            return
        self._enter(notice.id)

    def _remember_failed(self, now: float) -> None:
        failed = self._spool.list(State.FAILED)
        self._failed = len(failed)
        for message in failed:
            first = message.delivery.first_attempt
            if first is not None and now - first.timestamp() < _FAILED_REMEMBERED:
                self._worry(message, attempt.worries(message))

    def _check(self, now: float) -> None:
        late = set(self._schedule.waiting_longer_than(TOO_LONG, now))
        for message_id in late - self._late:
            with contextlib.suppress(SpoolError):
                message = self._spool.load(State.QUEUE, message_id)
                self._worry(message, (attempt.WAITING,))
        self._late = late

    # The parent

    def _publish(self, now: float) -> None:
        if not self._changed or now < self._next_status:
            return
        self._changed = False
        self._next_status = now + _STATUS_SECONDS
        self._say(
            protocol.Status(
                queue=len(self._schedule),
                oldest=self._schedule.oldest or 0.0,
                in_hand=self._schedule.in_hand,
                failed=self._failed,
                trouble=self._trouble,
            )
        )

    def _say(self, word: protocol.Word) -> None:
        self._channel.send(*protocol.encode(word))


class _LogLines(logging.Handler):
    """Keeps what the courier logs until it is passed on to the agent, whose log it goes to."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._lines: queue.SimpleQueue[protocol.Log] = queue.SimpleQueue()
        self.wake: _Done = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put(protocol.Log(record.levelno, record.name, self.format(record)))
        if threading.current_thread() is not threading.main_thread():
            self.wake()  # the main thread passes the lines on before it sleeps

    def take(self) -> Iterator[protocol.Log]:
        """The lines since the last time."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._lines.get_nowait()


def _sync_journals(spool: Spool) -> None:
    journals = JournalSync(spool.root)
    while True:
        started = time.monotonic()
        journals.round()
        time.sleep(max(ROUND_SECONDS - (time.monotonic() - started), 0.1))


def _name(message: Message) -> str:
    what = "notice" if message.kind is Kind.NOTICE else "message"
    return f"{what} {message.id} ({message.mailbox or '-'}, {message.call_id or '-'})"


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _first_configuration(channel: Channel) -> Config | None:
    """Waits for the word that comes before any other; None when the parent is gone."""
    with selectors.DefaultSelector() as selector, contextlib.suppress(EOFError):
        selector.register(channel.fileno(), selectors.EVENT_READ)
        while True:
            selector.select()
            for array in channel.receive():
                word = protocol.decode(array)
                if isinstance(word, protocol.Configure):
                    return word.config()
                log.error("before the configuration came %s", type(word).__name__)
    return None


def main() -> int:
    """The process: adopted by its parent, out of everybody's way."""
    channel = adopt()
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    os.umask(0o077)
    lines = _LogLines()
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    config = _first_configuration(channel)
    if config is None:
        return 0
    try:
        Courier(channel, config, lines).run()
    except SpoolError as error:
        channel.send(*protocol.encode(protocol.Log(logging.CRITICAL, log.name, str(error))))
        return 1
    return 0


if __name__ == "__main__":
    # Senders and encoders that are still at work end here; the queue knows all.
    os._exit(main())
