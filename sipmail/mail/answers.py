"""smtplib with an end to every answer.

RFC 5321 section 4.2.1 sets no limit to the lines of an answer, and smtplib collects them all: a
server that never stops talking would fill the memory. One with more lines than any server needs
counts as a broken connection.
"""

from __future__ import annotations

import smtplib
from typing import IO

_MOST_LINES = 1000


class _Lines:
    """The lines that a server sends, `left` of them at most. Raises OSError for one more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.left = 0
        self._file = file

    def readline(self, limit: int) -> bytes:
        if self.left == 0:
            raise OSError(f"an answer has more than {_MOST_LINES} lines")
        self.left -= 1
        return self._file.readline(limit)

    def close(self) -> None:
        self._file.close()


class Smtp(smtplib.SMTP):
    """An SMTP client whose answers end."""

    _lines: _Lines | None = None

    def getreply(self) -> tuple[int, bytes]:
        """The next answer. Raises SMTPServerDisconnected where it has no end, or none comes."""
        if self.file is None and self.sock is not None:  # it is new, or new over TLS
            self.file = self._lines = _Lines(self.sock.makefile("rb"))
        if self._lines is not None:
            self._lines.left = _MOST_LINES
        return super().getreply()


class SmtpTls(Smtp, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""
