"""The courier's process: from the queue to the mail server. `python -m sipmail.mail.courier FD`.

One thread decides (see `dispatch`), and one syncs live journals. Rules: the parent's channel brings
the configuration and ends the process; the queue on disk is the truth, so a courier that dies is
simply started again.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import selectors
import socket
import threading
import time

from sipmail.channel import Channel
from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.mail import protocol
from sipmail.mail.dispatch import Dispatch, Done
from sipmail.mail.log_lines import LogLines
from sipmail.process import adopt
from sipmail.spool.journals import ROUND_SECONDS, JournalSync
from sipmail.spool.spool import Spool

log = logging.getLogger("sipmail.mail.courier")  # run as a program it is `__main__`

NICENESS = 19
_CHECK_SECONDS = 15.0
_EXPIRE_SECONDS = 3600.0
_STATUS_SECONDS = 0.25
_CALLS = 4096
"""So many calls to look around are one."""
_CLOCK_SECONDS = 5.0
"""A clock that goes back by less was only corrected."""
_LEAP_SECONDS = 3600.0
_DOUBT_SECONDS = 86400.0
"""How long after a leap of the clock nothing is deleted for its age: it may be wrong now."""


class Courier:
    """The thread that decides. `run` returns when the parent says so or is gone."""

    def __init__(self, channel: Channel, config: Config, log_lines: LogLines) -> None:
        """Becomes the one courier of `config.spool`; raises SpoolError when there is another."""
        self._channel = channel
        self._log_lines = log_lines
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._results: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._changed = True
        self._stop_at: float | None = None
        self._next_check = 0.0
        self._next_expiry = 0.0
        self._next_status = 0.0
        self._seen = 0.0
        self._seen_monotonic = time.monotonic()
        self._spool = Spool(config.spool)
        self._spool.attach()
        self._dispatch = Dispatch(self._spool, config, self._post, self._say)
        log_lines.wake = self.wake

    def run(self) -> None:
        """Works until told to stop, or until the parent is gone."""
        selector = selectors.DefaultSelector()
        watched = selectors.EVENT_READ
        selector.register(self._channel.fileno(), watched)
        selector.register(self._wake_in, selectors.EVENT_READ)
        with selector, contextlib.suppress(EOFError, ConnectionError):
            self._dispatch.start()
            threading.Thread(target=_sync_journals, args=(self._spool,), daemon=True).start()
            self._say(protocol.Ready())
            while not self._is_over():
                self._work()
                self._channel.flush()
                events = selectors.EVENT_READ
                if self._channel.unsent:
                    events |= selectors.EVENT_WRITE
                if events != watched:
                    watched = events
                    selector.modify(self._channel.fileno(), watched)
                ready = [key.fileobj for key, _ in selector.select(self._patience())]
                if self._wake_in in ready:
                    self._wake_in.recv(_CALLS)
                if self._channel.fileno() in ready:
                    self._channel.flush()
                    self._read_commands()
            self._finish()

    def wake(self) -> None:
        """Makes `run` look around; from any thread."""
        with contextlib.suppress(BlockingIOError):
            self._wake_out.send(b"\0")

    # The loop

    def _work(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._results.get_nowait()()
                self._changed = True
        now, monotonic = time.time(), time.monotonic()
        if now < self._seen - _CLOCK_SECONDS:
            self._clock_went_back(self._seen - now)
        elif self._seen and now - self._seen - (monotonic - self._seen_monotonic) > _LEAP_SECONDS:
            log.warning("the clock went on by %d s: nothing is deleted today", now - self._seen)
            self._next_expiry = now + _DOUBT_SECONDS
        self._seen, self._seen_monotonic = now, monotonic
        if self._stop_at is None or now < self._stop_at:
            self._dispatch.run(now, only_new=self._stop_at is not None)
        if now >= self._next_check:
            self._next_check = now + _CHECK_SECONDS
            self._dispatch.check(now)
        if (moment := self._dispatch.worry_deadline) is not None and now >= moment:
            self._dispatch.tell_worries(now)
        if now >= self._next_expiry:
            self._next_expiry = now + _EXPIRE_SECONDS
            self._dispatch.expire(now)
        self._dispatch.senders.close_idle(monotonic)
        self._publish(now)
        for line in self._log_lines.take():
            self._say(line)

    def _clock_went_back(self, seconds: float) -> None:
        """What was planned by the clock of before would come late by as much."""
        log.warning("the clock went back by %d s: what waits is tried now", seconds)
        self._next_check = self._next_expiry = self._next_status = 0.0
        if self._stop_at is not None:
            self._stop_at -= seconds
        self._dispatch.hurry()

    def _patience(self) -> float:
        now = time.time()
        moments = [self._next_check, self._next_expiry]
        if (moment := self._dispatch.worry_deadline) is not None:
            moments.append(moment)
        if self._changed:
            moments.append(self._next_status)
        if self._stop_at is not None:
            moments.append(self._stop_at)
        elif (deadline := self._dispatch.deadline) is not None:
            moments.append(deadline)
        if (idle := self._dispatch.senders.idle_deadline) is not None:
            moments.append(now + max(idle - time.monotonic(), 0.0))
        return max(min(moments) - now, 0.0)

    def _is_over(self) -> bool:
        if self._stop_at is None:
            return False
        return self._dispatch.in_hand == 0 or time.time() >= self._stop_at

    def _finish(self) -> None:
        self._work()
        self._channel.flush()
        self._dispatch.senders.close()

    # Commands

    def _read_commands(self) -> None:
        for array in self._channel.receive():
            self._changed = True
            match protocol.decode(array):
                case protocol.Configure() as word:
                    self._dispatch.configure(word.config())
                case protocol.New(id=message_id):
                    self._dispatch.new(message_id)
                case protocol.Notify(id=message_id):
                    self._dispatch.enter(message_id)
                case protocol.Retry() as word:
                    self._dispatch.retry(word)
                case protocol.Drop() as word:
                    self._dispatch.drop(word)
                case protocol.Resend() as word:
                    self._dispatch.resend(word)
                case protocol.Tell() as word:
                    self._dispatch.tell(word)
                case protocol.Stop(grace=grace):
                    now = time.time()
                    self._stop_at = now + grace
                    # What the last call left goes out before the end.
                    self._dispatch.run(now, only_new=True)

    # The parent, and the other threads

    def _post(self, result: Done) -> None:
        self._results.put(result)
        self.wake()

    def _publish(self, now: float) -> None:
        if self._changed and now >= self._next_status:
            self._changed = False
            self._next_status = now + _STATUS_SECONDS
            self._say(self._dispatch.status())

    def _say(self, word: protocol.Word) -> None:
        # All of a round go out together.
        self._channel.put(*protocol.encode(word))


def _sync_journals(spool: Spool) -> None:
    journals = JournalSync(spool.root)
    while True:
        started = time.monotonic()
        journals.round()
        time.sleep(max(ROUND_SECONDS - (time.monotonic() - started), 0.1))


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
    lines = LogLines()
    # What a record need not know: only its words are passed on.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    config = _first_configuration(channel)
    if config is None:
        return 0
    try:
        courier = Courier(channel, config, lines)
        gc.freeze()  # what is loaded by now stays, and need not be looked through
        courier.run()
    except SpoolError as error:
        channel.send(*protocol.encode(protocol.Log(logging.CRITICAL, log.name, str(error))))
        return 1
    return 0


if __name__ == "__main__":
    # Senders and encoders that are still at work end here; the queue knows all.
    os._exit(main())
