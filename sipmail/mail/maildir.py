"""Delivery into a Maildir: a file in `tmp/`, synced, then moved to `new/` (maildir(5)).

The file is named after the message, so a repeated delivery of the same message lands on the same
name: delivered once, whatever crashed in between, even when a reader has moved it to `cur/`.
One file serves all recipients; they stand in its To header.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from sipmail.mail.deliver import Envelope, Outcome, same_for_all

_FOLDERS = ("tmp", "new", "cur")


class MaildirDelivery:
    """The Maildir at `root`, made where it is missing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
        self._host = host

    def send(self, envelope: Envelope) -> dict[str, Outcome]:
        """The e-mail is in `new/` and on disk, or the outcome is temporary: a disk can be freed."""
        try:
            path = self._deliver(envelope)
        except OSError as error:
            return same_for_all(envelope, Outcome(False, True, f"Maildir: {error}", server=True))
        return same_for_all(envelope, Outcome(True, False, f"written to {path}"))

    def close(self) -> None:
        """Nothing is open between messages."""

    def _deliver(self, envelope: Envelope) -> Path:
        for folder in _FOLDERS:
            (self._root / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        seconds, _, rest = envelope.key.partition("-")
        name = f"{seconds}.{rest or '0'}.{self._host}"
        for read in (self._root / "cur").glob(f"{name}*"):
            return read
        beside, target = self._root / "tmp" / name, self._root / "new" / name
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as file:
            # Mail files on Unix end their lines with LF; the MIME structure does not mind.
            file.write(envelope.data.replace(b"\r\n", b"\n"))
            file.flush()
            os.fsync(fd)
        beside.rename(target)
        new = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(new)
        finally:
            os.close(new)
        return target
