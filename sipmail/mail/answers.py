"""smtplib with an end to every answer, and with an ear for answers to nothing.

RFC 5321 section 4.2.1 sets no limit to the lines of an answer, and smtplib collects them all: a
server that never stops talking would fill the memory. One with more lines than any server needs
counts as a broken connection; so does one that is not complete within the time-out of the socket,
which smtplib would begin anew with every byte.

A command has one answer (section 2.3.8). What a server says before it is asked would be taken for
the answer to the next command, and every answer after it for that of another: such a connection
is `OutOfStep`.
"""

from __future__ import annotations

import contextlib
import select
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from typing import IO, Any, cast

from sipmail.mail.deliver import one_line

_MOST_LINES = 1000
_READ = 1 << 16


class OutOfStep(smtplib.SMTPServerDisconnected):
    """What the server says is no answer to what it was asked: nothing it says can be trusted."""


class Lines:
    """What a server sends, line by line; see above for the rules."""

    def __init__(self, sock: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        self._socket = sock
        self._clock = clock
        self._unread = bytearray()
        self._poll: select.poll | None = None
        self._lines_left = 0
        self._is_new = False
        self._seconds: float | None = None
        self._until = 0.0

    def begin(self) -> None:
        """An answer is to come: whole within the time-out that the socket has now."""
        self._lines_left = _MOST_LINES
        self._is_new = True
        self._seconds = self._socket.gettimeout()
        self._until = self._clock() + (self._seconds or 0.0)

    def readline(self, limit: int) -> bytes:
        """The next line with its end, or what there is of it at the end of the connection or after
        `limit` bytes. Raises OSError where the answer has no end, TimeoutError where it takes too
        long."""
        if self._lines_left == 0:
            raise OSError(f"an answer has more than {_MOST_LINES} lines")
        self._lines_left -= 1
        changed = False
        try:
            while (end := self._unread.find(b"\n", 0, limit)) < 0 and len(self._unread) < limit:
                if self._is_new:
                    self._is_new = False
                elif self._seconds is not None:
                    if (left := self._until - self._clock()) <= 0:
                        raise TimeoutError("timed out")
                    self._socket.settimeout(left)
                    changed = True
                received = self._socket.recv(_READ)
                if not received:
                    end = len(self._unread) - 1
                    break
                self._unread += received
        finally:
            if changed:
                with contextlib.suppress(OSError):
                    self._socket.settimeout(self._seconds)
        size = limit if end < 0 and len(self._unread) >= limit else end + 1
        line = bytes(self._unread[:size])
        del self._unread[:size]
        return line

    def unasked(self) -> bytes | None:
        """What the server has said before it was asked, None where it is silent, `b""` where it
        has hung up. Never waits."""
        if not self._unread:
            if not self._may_have_come():
                return None
            seconds = self._socket.gettimeout()
            self._socket.settimeout(0.0)
            try:
                self._unread += self._socket.recv(_READ)
            except (BlockingIOError, ssl.SSLWantReadError):
                return None
            finally:
                self._socket.settimeout(seconds)
        return bytes(self._unread)

    def _may_have_come(self) -> bool:
        """Whether there is something to read, by one look at the socket."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """For smtplib, whose file this is; the socket it closes itself."""


class Smtp(smtplib.SMTP):
    """An SMTP client whose answers end and belong to what was asked."""

    def putcmd(self, cmd: str, args: str = "") -> None:
        """Sends a command. Raises OutOfStep where the server speaks already."""
        self.listen()
        super().putcmd(cmd, args)

    def getreply(self) -> tuple[int, bytes]:
        """The next answer. Raises SMTPServerDisconnected where it has no end, or none comes."""
        if (lines := self._lines()) is not None:
            lines.begin()
        return super().getreply()

    def listen(self) -> None:
        """Raises OutOfStep where the server has said what nobody asked for, or
        SMTPServerDisconnected where it has hung up."""
        said = self.unasked()
        if said is None:
            return
        self.close()
        if not said:
            raise smtplib.SMTPServerDisconnected("Connection unexpectedly closed")
        raise OutOfStep(f"the server spoke out of turn: {one_line(said)}")

    def unasked(self) -> bytes | None:
        """What the server has said before it was asked, None where it is silent, `b""` where it
        has hung up."""
        lines = self._lines()
        try:
            return None if lines is None else lines.unasked()
        except OSError:
            return b""

    def _lines(self) -> Lines | None:
        if self.file is None and self.sock is not None:  # it is new, or new over TLS
            # What came before TLS is forgotten with the file of before (RFC 3207, section 4.2).
            self.file = cast("IO[Any]", Lines(self.sock))
        return cast("Lines | None", self.file)


class SmtpTls(Smtp, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""
