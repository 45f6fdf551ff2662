"""Adoption: what a dead machine's spool still holds comes into this one.

    DIR/recording/ID ──recovered──▶ DIR/queue/ID ──▶ queue/ID
                                    DIR/failed/ID ─▶ failed/ID      DIR/done/ID ─▶ done/ID

Rules
- The other spool must have no owner and no courier: both of its locks are held meanwhile, so that
  no message has two. (On a file system without locks across machines, somebody has to be sure.)
- A folder comes whole or not at all. On the same disk it is renamed; from another it is copied
  beside its place, synced, renamed into it, and only then deleted over there. After a crash the
  same command goes on where it was.
- The same ID here with the same packets is the same message: it is not sent twice, and goes over
  there. With other packets it is another message, which gets a new ID.
- `done/` comes too, with its age: a dead machine would keep what was to be deleted.
- What cannot be read or moved stays where it is and is told; nothing is lost.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from sipmail.errors import SpoolError
from sipmail.spool import disk
from sipmail.spool.layout import COURIER_LOCK, MESSAGE, State
from sipmail.spool.lock import Lock
from sipmail.spool.message import Message, new_id
from sipmail.spool.recovery import same_recording
from sipmail.spool.spool import Spool, delete

log = logging.getLogger(__name__)

_ADOPTED = (State.QUEUE, State.FAILED, State.DONE)
_UNFINISHED = ".adopting"
_PIECE = 1 << 20


@dataclass(slots=True)
class Adoption:
    """What came of it: the IDs that each state has gained, how many were `known` here already, and
    how many were `left` where they are."""

    gained: dict[State, list[str]] = field(
        default_factory=lambda: {state: [] for state in _ADOPTED}
    )
    known: int = 0
    left: int = 0

    def counts(self) -> dict[str, int]:
        """As numbers, for people and for JSON."""
        numbers = {state.value: len(ids) for state, ids in self.gained.items()}
        return {**numbers, "known": self.known, "left": self.left}


def adopt(spool: Spool, folder: Path) -> Adoption:
    """Takes the messages of the spool in `folder` over into `spool`, which the caller owns.

    Raises SpoolError when `folder` is no spool, is in use, or is this one.
    """
    result = Adoption()
    with _taken(spool, folder) as other:
        _sweep(other)
        other.recover()
        other.repair()
        result.left += len(other.ids(State.RECORDING))
        for state in _ADOPTED:
            for message_id in other.ids(state):
                _adopt(spool, other, state, message_id, result)
    return result


@contextlib.contextmanager
def _taken(spool: Spool, folder: Path) -> Iterator[Spool]:
    """The other spool, as its owner."""
    try:
        if not any((folder / state).is_dir() for state in State):
            raise SpoolError(f"{folder} is no spool: it has no folder {State.QUEUE}/")
        if folder.samefile(spool.root):
            raise SpoolError(f"{folder} is the spool of this sipmail itself")
    except OSError as error:
        raise SpoolError(f"cannot look into {folder}: {error}") from error
    other = Spool(folder)
    other.open()
    try:
        courier = Lock.on_file(folder / COURIER_LOCK, f"the queue of {folder}")
        try:
            yield other
        finally:
            courier.release()
    finally:
        other.close()


def _sweep(other: Spool) -> None:
    """Removes folders that a crash left empty: what was in them has been deleted."""
    for state in _ADOPTED:
        for message_id in other.ids(state):
            with contextlib.suppress(OSError):  # it is not empty
                other.folder(state, message_id).rmdir()


def _adopt(spool: Spool, other: Spool, state: State, message_id: str, result: Adoption) -> None:
    here = other.folder(state, message_id)
    try:
        message = other.load(state, message_id)
        twin = _twin(spool, message_id)
        if twin is not None and same_recording(here, twin):
            delete(here)
            result.known += 1
            return
        if twin is not None:
            message = replace(message, id=new_id(message.received))
        _move(spool, here, state, message)
    except (OSError, SpoolError) as error:
        log.error("%s could not be adopted: %s", here, error)
        result.left += 1
        return
    log.info("%s adopted into %s/ as %s", here, state, message.id)
    result.gained[state].append(message.id)


def _twin(spool: Spool, message_id: str) -> Path | None:
    """The message of that ID here, in whatever state."""
    folders = (spool.folder(state, message_id) for state in State)
    return next((folder for folder in folders if folder.is_dir()), None)


def _move(spool: Spool, here: Path, state: State, message: Message) -> None:
    target = spool.folder(state, message.id)
    if message.id != here.name:
        _copy(here, target, message)
        return
    try:
        here.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(here, target, message)
        return
    for path in (target, *target.iterdir()):
        disk.give_to_owner(path, spool.root)
    disk.sync_folder(target.parent)
    disk.sync_folder(here.parent)


def _copy(here: Path, target: Path, message: Message) -> None:
    """`here` as `target`, on disk there before it goes here."""
    # No ID begins with a dot, so nobody takes it for a message.
    beside = target.with_name(f"{_UNFINISHED}-{target.name}")
    if beside.is_dir():
        shutil.rmtree(beside)
    disk.make_folder(beside)
    for path in here.iterdir():
        if path.name != disk.RESERVE and stat.S_ISREG(path.lstat().st_mode):
            _copy_file(path, beside / path.name)
    if message.id != here.name:
        disk.replace(beside / MESSAGE, message.dumps())
    facts = (here / MESSAGE).stat()
    os.utime(beside / MESSAGE, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    disk.sync_folder(beside)
    beside.rename(target)
    disk.sync_folder(target.parent)
    delete(here)
    disk.sync_folder(here.parent)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reader:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            while piece := reader.read(_PIECE):
                disk.write_all(fd, piece)
            os.fsync(fd)
        finally:
            os.close(fd)
    disk.give_to_owner(target, target.parent)
