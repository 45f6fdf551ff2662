"""What a crash left, and how it becomes messages again.

| in `recording/ID` (nobody holds its lock) | what happened                  | so            |
| ----------------------------------------- | ------------------------------ | ------------- |
| no message.json and no packets            | killed in `begin`: no 200 sent | removed       |
| a part of a message.json and no journal   | the same                       | removed       |
| message.json without an end               | killed during the call         | interrupted   |
| message.json with its end                 | killed in `finish`, or refused | as it says    |
| packets, but no readable message.json     | the disk lost it               | rebuilt       |
| the same ID in `queue/`, the same audio   | the disk did half of a rename  | removed       |
| the same ID in `queue/`, other audio      | a backup was put back          | gets a new ID |

In `queue/` only a folder without a readable message.json needs anything: it is rebuilt too. A
rebuilt message has no mailbox: it waits in the queue, where the administrator is told of it, and
its packets are never thrown away. A temporary file left by a torn replacement is overwritten by
the next one, and so is a half-written reserve.

Only `begin` writes into message.json itself, so what breaks off there was begun and never synced:
the journal is opened after `begin`, and the reserve is empty until a note exchanges the two. What
is unreadable in any other way, or beside a reserve that was in use, is a message that the disk
damaged: it is rebuilt.
"""

from __future__ import annotations

import contextlib
import filecmp
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sipmail.errors import SpoolError
from sipmail.spool import disk
from sipmail.spool.layout import AUDIO, MESSAGE
from sipmail.spool.lock import Lock
from sipmail.spool.message import Kind, Message, new_id, torn

log = logging.getLogger(__name__)

_BROKEN = ".broken"
_STATIC_PAYLOADS = {0: "PCMU", 8: "PCMA"}
"""What a journal most likely holds when nobody can say any more (RFC 3551, 6)."""


def recover_recording(folder: Path, queue: Path) -> Message | None:
    """Moves an orphaned `recording/ID` to `queue/`; None when there was nothing to keep, or when
    somebody still records it. Raises OSError and SpoolError; the folder stays for another try."""
    try:
        lock = Lock.on_folder(folder)
    except FileNotFoundError:
        return None
    if lock is None:
        return None
    try:
        return _recover(folder, queue)
    finally:
        lock.release()


def _recover(folder: Path, queue: Path) -> Message | None:
    if _killed_in_begin(folder):
        shutil.rmtree(folder)
        return None
    message = interrupted(read_or_rebuild(folder), folder)
    target = queue / folder.name
    if target.is_dir():
        if same_recording(folder, target):
            shutil.rmtree(folder)
            return None
        message = replace(message, id=new_id(message.received))
        target = queue / message.id
    disk.sync_file(folder / AUDIO)
    disk.replace(folder / MESSAGE, message.dumps())
    folder.rename(target)
    disk.sync_folder(queue)
    disk.sync_folder(folder.parent)
    return message


def _killed_in_begin(folder: Path) -> bool:
    try:
        data = disk.read(folder / MESSAGE)
    except FileNotFoundError:
        return _size(folder / AUDIO) == 0
    if not torn(data) or _exists(folder / AUDIO) or _was_used(folder / disk.RESERVE):
        return False
    with contextlib.suppress(SpoolError):
        Message.loads(data)
        return False  # only its last line break is missing: somebody has edited it
    log.warning("%s: message.json was only begun, so no call was answered: removed", folder)
    return True


def _was_used(reserve: Path) -> bool:
    return _exists(reserve) and bool(reserve.read_bytes().strip(b"\0"))


def interrupted(message: Message, folder: Path) -> Message:
    """`message` with an end, where a crash or a full disk kept it from being written."""
    if message.ended is not None or message.kind is Kind.NOTICE:
        return message
    has_audio = _size(folder / AUDIO) > 0
    last_seen = _modified(folder / AUDIO if has_audio else folder / MESSAGE)
    return replace(
        message,
        ended=max(last_seen, message.received),
        ending="interrupted",
        recorded=has_audio,
        kind=Kind.MESSAGE if has_audio else Kind.MISSED,
    )


def read_or_rebuild(folder: Path) -> Message:
    """The message of `folder`, or the least that can be said about it where its message.json is
    gone or unreadable (which is then kept under another name). Raises OSError."""
    path = folder / MESSAGE
    try:
        message = Message.loads(disk.read(path))
    except FileNotFoundError:
        why = "message.json was missing"
    except SpoolError as error:
        path.rename(folder / (MESSAGE + _BROKEN))
        why = f"message.json could not be read ({error})"
    else:
        return message if message.id == folder.name else replace(message, id=folder.name)
    log.error("%s: %s; the recording is kept, its caller and mailbox are unknown", folder, why)
    return Message(
        id=folder.name,
        mailbox="",
        called="",
        received=_begun(folder),
        ended=_modified(folder / AUDIO),
        ending="interrupted",
        recorded=_exists(folder / AUDIO),
        payloads=_STATIC_PAYLOADS,
        notes=(why,),
    )


def rebuild(folder: Path, write: Callable[[Message], None]) -> None:
    """Gives a folder of `queue/` its message.json again where that is gone or unreadable."""
    try:
        Message.loads(disk.read(folder / MESSAGE))
    except (FileNotFoundError, SpoolError):
        write(read_or_rebuild(folder))


def _begun(folder: Path) -> datetime:
    with contextlib.suppress(ValueError):
        return datetime.strptime(folder.name.split("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
    return _modified(folder)


def _modified(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return datetime.fromtimestamp(path.parent.stat().st_mtime, UTC)


def same_recording(one: Path, other: Path) -> bool:
    """Whether two folders hold the same message: the same packets, or neither has any."""
    return _same(one / AUDIO, other / AUDIO) and _exists(other / MESSAGE)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _exists(path: Path) -> bool:
    return path.is_file()


def _same(one: Path, other: Path) -> bool:
    if not _exists(one) or not _exists(other):
        return not _exists(one)
    return filecmp.cmp(one, other, shallow=False)
