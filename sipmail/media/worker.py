"""The media worker: `python -m sipmail.media.worker FD FIRST LAST BIND TIMEOUT`.

A process that turns the wheel and obeys its channel. It never waits for anything but the next
millisecond with work in it or a command, does at least one command between two turns and no more
than there is time for, and does not collect garbage while calls are in progress. What breaks in
one call (a full disk, a missing prompt) ends that call's playing and recording with a `Failed`; the
process goes on. Its parent's death is its own.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import secrets
import select
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from sipmail import process
from sipmail.channel import Channel
from sipmail.errors import MediaError
from sipmail.media import protocol
from sipmail.media.batch import Batch
from sipmail.media.ports import PortPool, bind_pair
from sipmail.media.prompts import SILENCE, Prompts
from sipmail.media.session import MOST_TICKS, Session, Studio
from sipmail.media.wheel import Duty, Stream, Wheel

if TYPE_CHECKING:
    from sipmail.media.secure import Gateway

logger = logging.getLogger(__name__)


class Worker:
    """The calls of one process, over one channel."""

    def __init__(self, channel: Channel, pool: PortPool, bind: str, timeout: float) -> None:
        """`bind` is the local address where a call names none; `timeout` is in seconds."""
        self._channel = channel
        self._pool = pool
        self._bind = bind
        self._sessions: dict[str, Session] = {}
        self._streams: dict[Stream, Session] = {}
        self._gateways: dict[str, Gateway] = {}
        self._keys: dict[str, protocol.Keys | None] = {}
        self._commands: deque[list[Any]] = deque()
        self._ended = False
        self._wheel = Wheel(time.monotonic(), self._broken)
        self._studio = Studio(
            wheel=self._wheel,
            batch=Batch(),
            prompts=Prompts(),
            emit=self._emit,
            wall=time.time,
            random=secrets.randbits,
            timeout=timeout,
        )

    def run(self) -> None:
        """Works until the channel ends, then ends every call."""
        # The lowest free descriptor: `select` knows no numbers above 1023, the parent's may be.
        watched = os.dup(self._channel.fileno())
        self._emit(protocol.Ready())
        wheel, clock, commands = self._wheel, time.monotonic, self._commands
        while not self._ended:
            now = clock()
            wheel.advance(now)
            while commands:
                self._command(commands.popleft())
                wait = wheel.wait(clock())
                if wait is not None and wait <= 0:
                    break
            pause = 0.0 if commands else wheel.wait(clock())
            if pause is None:
                gc.collect()
            writers = [watched] if self._channel.unsent else []
            readable, writable, _ = select.select([watched], writers, [], pause)
            if writable:
                self._flush()
            if readable:
                self._read()
        for call, session in self._sessions.items():
            session.close()
            if call in self._gateways:
                self._gateways[call].close()

    def _read(self) -> None:
        try:
            for message in self._channel.receive():
                self._commands.append(message)
        except EOFError:
            self._ended = True

    def _emit(self, message: protocol.Answer | protocol.Event) -> None:
        try:
            self._channel.send(*protocol.encode(message))
        except ConnectionError:
            self._ended = True

    def _flush(self) -> None:
        try:
            self._channel.flush()
        except ConnectionError:
            self._ended = True

    def _command(self, message: list[Any]) -> None:
        """Obeys one command; whatever it raises is the failure of its call."""
        self._wheel.advance(time.monotonic())
        command = protocol.decode(message)
        if isinstance(command, protocol.Open):
            self._open(command)
        elif isinstance(command, protocol.Load):
            self._load(command)
        elif isinstance(command, protocol.Close):
            self._close(command)
        elif session := self._sessions.get(getattr(command, "call", "")):
            try:
                self._direct(session, command)
            except Exception as error:
                self._fail(session, error)

    def _direct(self, session: Session, command: object) -> None:
        gateway = self._gateways.get(session.call)
        if gateway is not None:
            gateway.pump()  # what has come belongs before the command
        match command:
            case protocol.Secure():
                self._secure(session, command.keys)
            case protocol.Connect(leg=leg):
                if gateway is not None:
                    leg = gateway.connect(leg, self._keys[session.call])
                session.connect(leg)
            case protocol.Play(prompts=prompts, token=token):
                session.play(prompts, token)
            case protocol.Record(journal=path, max=maximum, silence=silence, finish_keys=keys):
                session.record(path, maximum, silence, keys)
            case protocol.Finish():
                session.finish()
            case protocol.Stop():
                session.stop()

    def _secure(self, session: Session, keys: protocol.Keys | None) -> None:
        """From the next answer on the call has these keys."""
        self._keys[session.call] = keys
        if session.call not in self._gateways:
            from sipmail.media.secure import Gateway  # few calls need the library

            self._gateways[session.call] = Gateway(*session.sockets, self._wheel)

    def _open(self, command: protocol.Open) -> None:
        now = time.monotonic()
        try:
            try:
                port, rtp, rtcp = bind_pair(self._pool, command.host or self._bind, now)
            except OSError:
                if command.host in ("", self._bind):
                    raise
                port, rtp, rtcp = bind_pair(self._pool, self._bind, now)
        except (MediaError, OSError) as error:
            self._emit(protocol.Refused(command.request, str(error)))
            return
        session = Session(command.call, port, rtp, rtcp, self._studio)
        self._sessions[command.call] = session
        self._streams[session.player] = session
        self._emit(protocol.Opened(command.request, port))

    def _close(self, command: protocol.Close) -> None:
        session = self._sessions.pop(command.call, None)
        if session is None:
            self._emit(protocol.Closed(command.request, protocol.Statistics()))
            return
        del self._streams[session.player]
        gateway = self._gateways.pop(session.call, None)
        if gateway is not None:
            gateway.pump()
        statistics = session.close()
        if gateway is not None:
            gateway.close()
            del self._keys[session.call]
            if gateway.rejected > gateway.accepted:
                text = "%s: %d packets did not authenticate, %d did: the keys may be wrong"
                logger.warning(text, session.call, gateway.rejected, gateway.accepted)
        self._pool.give_back(session.port, time.monotonic())
        self._emit(protocol.Closed(command.request, statistics))

    def _load(self, command: protocol.Load) -> None:
        """Reads prompts ahead; one that is missing is the failure of the call that wants it."""
        for name in command.prompts:
            for codec in SILENCE:
                try:
                    self._studio.prompts.load(name, codec)
                except (OSError, ValueError) as error:
                    logger.warning("prompt %s: %s", name, error)

    def _broken(self, culprit: Stream | Duty, error: Exception) -> None:
        """The wheel's stream or duty raised."""
        session = culprit if isinstance(culprit, Session) else self._streams.get(culprit)  # type: ignore[arg-type]
        if session is not None:
            self._fail(session, error)

    def _fail(self, session: Session, error: Exception) -> None:
        if isinstance(error, OSError | MediaError | ValueError):
            logger.error("%s: media failed: %s", session.call, error)
        else:
            logger.error("%s: media failed", session.call, exc_info=error)
        try:
            session.abandon()
        except OSError as second:
            logger.error("%s: closing the journal failed: %s", session.call, second)
        if isinstance(error, OSError) and session.due is None:
            self._wheel.schedule(session, MOST_TICKS)  # it goes on listening until it is closed
        self._emit(protocol.Failed(session.call, str(error) or type(error).__name__))


def main() -> None:
    """The process: see the module."""
    logging.basicConfig(format="%(asctime)s %(levelname)s media: %(message)s")
    channel = process.adopt()
    first, last, bind, timeout = sys.argv[2:]
    pool = PortPool(int(first), int(last), begin=random.random())
    worker = Worker(channel, pool, bind, float(timeout))
    gc.collect()
    gc.freeze()
    gc.disable()
    worker.run()


if __name__ == "__main__":
    main()
