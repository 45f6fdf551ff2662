"""The spool: message folders, moved by `rename` between the folders of their states.

    recording/ID ──finish──▶ queue/ID ──▶ done/ID      (kept for a while, then deleted)
                                     └──▶ failed/ID    (kept until somebody decides)

In a folder: `message.json`, `audio.rtp` (the packets, written by the media worker), later the
finished audio file, and a `reserve` (see `disk.py`) until the message leaves the queue.

Rules
- One process owns the spool (`open`), and one courier works in it (`attach`): file locks.
- A folder in `recording/` is locked by who records; recovery leaves locked folders alone.
- What a method promised is on disk when it returns. A crash between any two system calls leaves
  a state that `recover` understands: `begin` had not returned and no 200 was sent, then the folder
  (empty, or with a message.json that was only begun) goes; in every other case the message comes
  to the queue, once.
- `message.json` is read by `disk.read` alone, and written by `disk.place` once `begin` is over.
- Folders are 0700, files 0600. Every refusal of the disk is a SpoolError. All calls block;
  all may be made from any thread, but only one at a time about one message.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

from sipmail.errors import SpoolError
from sipmail.spool import disk, recovery
from sipmail.spool.layout import AUDIO, COURIER_LOCK, LOCK, MESSAGE, State
from sipmail.spool.lock import Lock
from sipmail.spool.message import Message, check_id

log = logging.getLogger(__name__)

__all__ = ["AUDIO", "MESSAGE", "Spool", "State"]

_COURIER_WAIT = 10.0


class Spool:
    """The spool in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: Lock | None = None
        self._recording: dict[str, Lock | None] = {}  # None: about to be locked
        self._refused: set[str] = set()
        self._guard = threading.Lock()

    # Ownership

    def open(self) -> None:
        """Makes the folders and becomes the one owner; raises SpoolError that names the other."""
        try:
            if not self.root.is_dir():
                self.root.mkdir(mode=0o700, parents=True)
            for state in State:
                with contextlib.suppress(FileExistsError):
                    disk.make_folder(self.root / state)
            disk.sync_folder(self.root)
        except OSError as error:
            raise SpoolError(f"cannot use the spool {self.root}: {error}") from error
        self._lock = Lock.on_file(self.root / LOCK, f"the spool {self.root}")
        disk.give_to_owner(self.root / LOCK, self.root)

    def attach(self) -> None:
        """For the courier, whose parent is the owner: waits until a predecessor that was killed
        is gone, so that no message has two couriers. Raises SpoolError."""
        what = f"the queue of {self.root}"
        self._lock = Lock.on_file(self.root / COURIER_LOCK, what, wait=_COURIER_WAIT)

    def close(self) -> None:
        """Gives up the spool and every folder that is still being recorded."""
        with self._guard:
            locks = list(self._recording.values())
            self._recording.clear()
        for lock in locks:
            if lock is not None:
                lock.release()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # The life of a message

    def begin(self, message: Message) -> Path:
        """A new folder in `recording/`, locked, with its message.json on disk; the journal is
        to be `AUDIO` in it. Raises SpoolError, and leaves nothing then."""
        folder = self.folder(State.RECORDING, message.id)
        with self._guard:
            if message.id in self._recording:
                raise SpoolError(f"{folder} is already being recorded")
            self._recording[message.id] = None
        try:
            disk.make_folder(folder)
        except OSError as error:
            self._release(message.id)
            raise SpoolError(f"cannot begin a message: {error}") from error
        try:
            with self._guard:
                self._recording[message.id] = Lock.on_folder(folder)
            # Nobody has the folder's name before this returns, so nothing need be replaced whole;
            # and all of it is one commit of the file system's journal, that of the first sync.
            disk.put(folder / MESSAGE, message.dumps())
            disk.make_reserve(folder)
            disk.sync_file(folder / MESSAGE)
            disk.sync_folder(folder)
            disk.sync_folder(folder.parent)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            self._release(message.id)
            raise SpoolError(f"cannot begin a message: {error}") from error
        return folder

    def update(self, message: Message, state: State = State.RECORDING) -> None:
        """Replaces message.json by `message`; on disk afterwards. Raises SpoolError, and the
        previous message.json stays whole then."""
        folder = self.folder(state, message.id)
        try:
            disk.replace(folder / MESSAGE, message.dumps())
        except OSError as error:
            raise SpoolError(f"cannot write {folder / MESSAGE}: {error}") from error
        if state in (State.RECORDING, State.QUEUE):
            _keep_reserve(folder)

    def store(self, message_id: str, name: str, data: bytes) -> None:
        """Puts a file that can be made again into the folder of a message in `queue/`.

        It is not synced: a reader compares its size with what message.json says. What is reserved
        for notes is not spent on it. Raises SpoolError.
        """
        path = self.folder(State.QUEUE, message_id) / name
        try:
            disk.put(path, data)
        except OSError as error:
            raise SpoolError(f"cannot write {path}: {error}") from error

    def finish(self, message: Message) -> None:
        """The recording and `message` are on disk and in the queue afterwards.

        A disk that refuses the last facts does not lose the recording: it is queued with the
        message.json of before, marked by the courier as interrupted. Raises SpoolError when even
        the move was refused; the recording then waits in `recording/` for `retry`, or `recover`.
        """
        here = self.folder(State.RECORDING, message.id)
        try:
            self._settle(here, message)
            self._move(here, State.QUEUE, noted=True)
        except SpoolError:
            with contextlib.suppress(OSError):
                disk.sync_folder(here)
            self._refused.add(message.id)
            raise
        finally:
            self._release(message.id)

    def abandon(self, message_id: str) -> None:
        """Removes a message that never became one (the caller gave up before the 200)."""
        folder = self.folder(State.RECORDING, message_id)
        try:
            delete(folder)
        except OSError as error:
            raise SpoolError(f"cannot delete {folder}: {error}") from error
        finally:
            self._release(message_id)

    def move(self, message_id: str, source: State, target: State) -> None:
        """Moves a folder to another state; on disk afterwards. Raises SpoolError."""
        here = self.folder(source, message_id)
        if target in (State.DONE, State.FAILED):
            disk.drop_reserve(here)
        self._move(here, target)

    # Looking

    def folder(self, state: State, message_id: str) -> Path:
        """Where that message is, or would be, in that state."""
        return self.root / state / check_id(message_id)

    def ids(self, state: State) -> list[str]:
        """The messages of a state, oldest first. Raises SpoolError."""
        return sorted(self._ids(state))

    def load(self, state: State, message_id: str) -> Message:
        """Reads one message; raises SpoolError when it is not there or not readable."""
        path = self.folder(state, message_id) / MESSAGE
        try:
            message = Message.loads(disk.read(path))
        except FileNotFoundError:
            raise SpoolError(f"there is no message {message_id} in {state}/") from None
        except OSError as error:
            raise SpoolError(f"cannot read {path}: {error}") from error
        if message.id != message_id:
            raise SpoolError(f"{path} is about {message.id}")
        return message

    def find(self, message_id: str) -> tuple[State, Message]:
        """The message wherever it is; raises SpoolError when it is nowhere."""
        for state in (State.QUEUE, State.FAILED, State.DONE, State.RECORDING):
            try:
                is_here = self.folder(state, message_id).is_dir()
            except OSError as error:
                raise SpoolError(f"cannot read the spool: {error}") from error
            if is_here:
                return state, self.load(state, message_id)
        raise SpoolError(f"there is no message {message_id}")

    def kept_since(self, message_id: str) -> float:
        """When a message of `done/` was settled (Unix seconds): `keep` counts from then. Raises
        SpoolError."""
        try:
            return _settled_at(self.folder(State.DONE, message_id))
        except OSError as error:
            raise SpoolError(f"there is no message {message_id} in {State.DONE}/") from error

    def free_bytes(self) -> int:
        """What this process may still write to the spool's disk, in bytes. Raises SpoolError where
        nothing can be written: the disk is gone, or became read-only."""
        try:
            disk_state = os.statvfs(self.root)
        except OSError as error:
            raise SpoolError(f"cannot look at the disk of {self.root}: {error}") from error
        if not os.access(self.root / State.RECORDING, os.W_OK):
            raise SpoolError(f"the spool {self.root} cannot be written to")
        return disk_state.f_bavail * disk_state.f_frsize

    # Time

    def expire(self, keep: float, now: datetime) -> int:
        """Deletes what has been in `done/` for more than `keep` seconds; returns how many.

        `failed/` is never emptied: somebody has to decide about it.
        """
        deleted = 0
        for message_id in self.ids(State.DONE):
            folder = self.folder(State.DONE, message_id)
            try:
                if now.timestamp() - _settled_at(folder) > keep:
                    delete(folder)
                    deleted += 1
            except OSError as error:
                log.warning("cannot delete %s: %s", folder, error)
        return deleted

    def recover(self) -> list[Message]:
        """Brings every recording that nobody works on any more to the queue and returns them,
        interrupted ones marked so. For the owner, at its start and at any time later."""
        return self._recover(self.ids(State.RECORDING))

    def retry(self) -> list[Message]:
        """The same for those that `finish` could not move; what stays is tried the next time."""
        messages = self._recover(sorted(self._refused))
        self._refused = {one for one in self._refused if self._is_recording(one)}
        return messages

    def _is_recording(self, message_id: str) -> bool:
        try:
            return self.folder(State.RECORDING, message_id).is_dir()
        except OSError:
            return True

    def _recover(self, message_ids: Iterable[str]) -> list[Message]:
        messages = []
        for message_id in message_ids:
            with self._guard:
                if message_id in self._recording:
                    continue
            folder = self.folder(State.RECORDING, message_id)
            try:
                message = recovery.recover_recording(folder, self.root / State.QUEUE)
            except (OSError, SpoolError) as error:
                log.error("%s could not be recovered yet: %s", folder, error)
                continue
            if message is not None:
                messages.append(message)
        return messages

    def repair(self) -> None:
        """For the courier at its start: no folder in `queue/` is without a message.json."""
        for message_id in self.ids(State.QUEUE):
            folder = self.folder(State.QUEUE, message_id)
            try:
                recovery.rebuild(folder, lambda message: self.update(message, State.QUEUE))
            except (OSError, SpoolError) as error:
                log.error("%s could not be repaired yet: %s", folder, error)

    # Inside

    def _settle(self, folder: Path, message: Message) -> None:
        """The last facts of a recording, on disk once `folder` is synced."""
        try:
            disk.sync_file(folder / AUDIO)
        except OSError as error:
            log.error("%s: the disk did not take all of it: %s", folder / AUDIO, error)
        try:
            disk.place(folder / MESSAGE, message.dumps())
        except OSError as error:
            log.error("%s is kept with the facts of its beginning: %s", folder, error)
        else:
            _keep_reserve(folder)

    def _move(self, here: Path, target: State, *, noted: bool = False) -> None:
        """`noted`: what was placed in the folder is to be on disk, too."""
        there = self.root / target / here.name
        try:
            here.rename(there)
            # The first sync puts all of it on disk where the file system keeps a journal; the
            # others find nothing left to do there.
            if noted:
                disk.sync_folder(there)
            disk.sync_folder(there.parent)
            disk.sync_folder(here.parent)
        except OSError as error:
            raise SpoolError(f"cannot move {here} to {target}/: {error}") from error

    def _release(self, message_id: str) -> None:
        with self._guard:
            lock = self._recording.pop(message_id, None)
        if lock is not None:
            lock.release()

    def _ids(self, state: State) -> Iterator[str]:
        try:
            with os.scandir(self.root / state) as entries:
                for entry in entries:
                    with contextlib.suppress(SpoolError):
                        if entry.is_dir(follow_symlinks=False):
                            yield check_id(entry.name)
        except OSError as error:
            raise SpoolError(f"cannot read the spool: {error}") from error

    def list(self, state: State) -> list[Message]:
        """Every readable message of a state, oldest first; what cannot be read is logged."""
        messages = []
        for message_id in self.ids(state):
            try:
                messages.append(self.load(state, message_id))
            except SpoolError as error:
                if self.folder(state, message_id).is_dir():
                    log.warning("left out of the list: %s", error)
        return messages


def _keep_reserve(folder: Path) -> None:
    # A disk that has none to give is no reason to refuse the note, which is written.
    with contextlib.suppress(OSError):
        disk.keep_reserve(folder)


def _settled_at(folder: Path) -> float:
    # The last note in message.json is that of its delivery.
    try:
        return (folder / MESSAGE).stat().st_mtime
    except FileNotFoundError:
        return folder.stat().st_mtime


def delete(folder: Path) -> None:
    """Deletes a message. message.json goes last: a folder half deleted by a crash still says what
    it is. Raises OSError."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == MESSAGE):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.rmdir()
