"""Greetings that were recorded by phone: kept in the spool, used over the configuration's default.

One file for each mailbox, `greetings/KEY.wav`: deleting it (and a reload) brings the configured
greeting back. What is being recorded lies in a hidden folder beside them, and goes with the call.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from pathlib import Path

from sipmail.agent.review import listen
from sipmail.agent.store import Store
from sipmail.audio.encode import encode
from sipmail.audio.prompt import levelled
from sipmail.audio.speech import RATE
from sipmail.config.model import Config
from sipmail.errors import SpoolError
from sipmail.spool.layout import AUDIO
from sipmail.spool.message import Message

log = logging.getLogger(__name__)

FOLDER = "greetings"
_WRONG_IN_A_ROW = 9
_CLOSED_SECONDS = 3600.0


def recorded(config: Config, root: Path) -> Config:
    """`config` with the greetings that were recorded by phone and lie in the spool at `root`."""
    mailboxes = {}
    for key, mailbox in config.mailboxes.items():
        path = root / FOLDER / f"{key}.wav"
        if mailbox.greeting_number is not None and _is_there(path):
            greeting = mailbox.greeting.model_copy(update={"default": path})
            mailbox = mailbox.model_copy(update={"greeting": greeting})
        mailboxes[key] = mailbox
    return config.model_copy(update={"mailboxes": mailboxes})


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a command of somebody who may not look into the spool
        return False


class GreetingStore(Store):
    """Where the recordings of greetings go, in place of the messages' folders."""

    def __init__(self, store: Store) -> None:
        self.spool = store.spool
        self._threads = store.threads

    async def begin(self, message: Message) -> Path:
        """A folder for the recording. Raises SpoolError."""
        return await self.run(self._begin, self._folder(message))

    async def update(self, message: Message) -> None:
        """There is nothing to be noted."""

    async def keep(self, message: Message) -> None:
        """The recording is the mailbox's greeting from now on, on disk. Raises SpoolError."""
        await self.run(self._keep, message)

    async def abandon(self, message: Message) -> None:
        """The call is over."""
        await self.run(shutil.rmtree, self._folder(message), ignore_errors=True)

    def _folder(self, message: Message) -> Path:
        return self.spool.root / FOLDER / f".{message.id}"

    def _begin(self, folder: Path) -> Path:
        try:
            folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise SpoolError(f"cannot make {folder}: {error}") from error
        return folder

    def _keep(self, message: Message) -> None:
        folder = self._folder(message)
        path = folder.parent / f"{message.mailbox}.wav"
        try:
            heard = listen(folder / AUDIO, message.payloads)
            made = folder / "greeting.wav"
            with made.open("wb") as file:
                file.write(encode(levelled(heard.samples), RATE, "wav").data)
                file.flush()
                os.fsync(file.fileno())
            made.replace(path)
        except OSError as error:
            raise SpoolError(f"cannot write {path}: {error}") from error
        log.info("%s: %s has a new greeting", message.call_id, message.mailbox)


def sweep(root: Path) -> None:
    """Deletes what a crash left of calls that recorded greetings."""
    for left in (root / FOLDER).glob(".*"):
        shutil.rmtree(left, ignore_errors=True)


class PinGuard:
    """Keeps PINs from being tried out: too many wrong ones in a row close the number for a while.
    Times are seconds of a clock that only goes forward."""

    def __init__(self) -> None:
        self._wrong: Counter[str] = Counter()
        self._closed_until: dict[str, float] = {}

    def is_closed(self, mailbox: str, now: float) -> bool:
        return now < self._closed_until.get(mailbox, 0.0)

    def wrong(self, mailbox: str, tries: int, now: float) -> None:
        """A call with so many wrong PINs."""
        self._wrong[mailbox] += tries
        if self._wrong[mailbox] >= _WRONG_IN_A_ROW:
            del self._wrong[mailbox]
            self._closed_until[mailbox] = now + _CLOSED_SECONDS
            log.warning("%s: too many wrong PINs: its greeting_number rests for an hour", mailbox)

    def right(self, mailbox: str) -> None:
        """Somebody knew it."""
        del self._wrong[mailbox]
