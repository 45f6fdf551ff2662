"""What a crash cannot halve: files replaced whole, and names that are on disk when we say so.

A message's folder holds a spare file beside message.json, the `reserve`. `place` writes the new
content into it, syncs it, and lets the two exchange their names (renameat2): message.json is the
new content, and what it was is the next reserve. So a reader sees the old content or the new one
and never a part, a note makes and deletes no inode (which a file system pays for long afterwards:
ext4 steps over every inode deleted in the last minutes when it makes one), and a note of a few
lines can be written when the disk is full, since its block is allocated already.

| where                                      | then the new content              | the reserve    |
| ------------------------------------------ | --------------------------------- | -------------- |
| a reserve, and names can be exchanged      | is written into it, and exchanged | the old file   |
| a reserve, and they cannot                 | is written into it, and renamed   | is made again  |
| none, or it is a link, locked, not a file, | is a `.tmp` beside, and renamed   | is made (anew) |
| or blocks are small, or never overwritten  |                                   |                |
| the disk refuses to write into it          | the same; a reserve that is still | is made again  |
|                                            | there is deleted to make room     |                |

A reader that opened message.json just before the exchange has the next reserve in hand. So who
reads (`read`) holds a shared lock on the open file and looks whether it is still the one of that
name; who writes into a reserve holds an exclusive lock or leaves that file alone. Neither waits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path

from sipmail.spool.exchange import exchange
from sipmail.spool.filesystem import writes_in_place

RESERVE = "reserve"
TEMPORARY = ".tmp"
_RESERVE_BYTES = 4096
_BLOCK_BYTES = 512
"""What `st_blocks` counts (POSIX leaves it open, every system that we run on says 512)."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
# A FIFO of that name must not make us wait.
_SPARE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_TRIES = 100


def sync_folder(path: Path) -> None:
    """The names in `path` are on disk afterwards. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> bool:
    """The content of `path` is on disk afterwards; False where there is no such file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    return True


def make_folder(path: Path) -> None:
    """A folder that only its owner may enter. Raises OSError, FileExistsError among them."""
    path.mkdir(0o700)
    give_to_owner(path, path.parent)


def replace(path: Path, data: bytes) -> None:
    """The file `path` holds `data`, whole and on disk, or what it held before when this raises
    OSError. With a full disk the folder's reserve is spent."""
    place(path, data)
    sync_folder(path.parent)


def place(path: Path, data: bytes) -> None:
    """Like `replace`, but on disk only when the caller has synced the folder; until then a power
    cut leaves the old content or the new one. Raises OSError."""
    if _fill_reserve(path.parent, data):
        reserve = path.with_name(RESERVE)
        try:
            exchange(reserve, path)
        except OSError:  # it cannot be done here, or `path` is not there yet
            reserve.rename(path)
        return
    try:
        _place_beside(path, data)
    except OSError as error:
        if error.errno not in _FULL or not drop_reserve(path.parent):
            raise
        _place_beside(path, data)


def _fill_reserve(folder: Path, data: bytes) -> bool:
    """Whether the reserve holds `data` now, synced. Where it does not, what it holds is nobody's
    business: it has no other name, and nobody reads it."""
    path = folder / RESERVE
    try:
        fd = os.open(path, _SPARE)
    except OSError:
        return False
    try:
        known = os.fstat(fd)
        # Where blocks are smaller, a short message.json would be less than a reserve; where they
        # are not overwritten, none at all.
        if not _is_ours(known) or known.st_blksize < _RESERVE_BYTES:
            return False
        if not writes_in_place(fd, known.st_dev) or not _lock(fd, fcntl.LOCK_EX):
            return False
        # Not truncated before: that would give its block back to a disk that may be full.
        write_all(fd, data)
        os.ftruncate(fd, len(data))
        give_to_owner(path, folder)
        os.fsync(fd)
    except OSError:
        return False
    finally:
        # By name, since a child that was forked meanwhile would keep the lock. Before the names
        # are exchanged: nobody finds message.json locked.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
    return True


def _is_ours(known: os.stat_result) -> bool:
    # With a second name it may be anybody's, a backup's for instance.
    return stat.S_ISREG(known.st_mode) and known.st_nlink == 1


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def read(path: Path) -> bytes:
    """What `path` holds, whole, while another process replaces it. Raises OSError."""
    for _ in range(_TRIES):
        fd = os.open(path, os.O_RDONLY)
        try:
            known = os.fstat(fd)
            # Locked or of another name: it has become the reserve since it was opened.
            if _lock(fd, fcntl.LOCK_SH) and os.path.samestat(known, path.stat()):
                return _read_all(fd, known.st_size)
        finally:
            os.close(fd)
    return path.read_bytes()  # a file system without such locks


def _read_all(fd: int, size: int) -> bytes:
    pieces = []
    while piece := os.read(fd, size + 1):
        pieces.append(piece)
        size = max(size - len(piece), 0)
    return b"".join(pieces)


def _place_beside(path: Path, data: bytes) -> None:
    beside = path.with_name(path.name + TEMPORARY)
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        give_to_owner(beside, path.parent)
        beside.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`, however little the kernel takes at a time. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def put(path: Path, data: bytes) -> None:
    """Writes a file whose content nobody relies on yet: not synced, and never at the reserve's
    cost. Raises OSError, and leaves nothing then."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            write_all(fd, data)
        finally:
            os.close(fd)
        give_to_owner(path, path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def make_reserve(folder: Path) -> None:
    """Puts one block aside in a new `folder`. Raises OSError."""
    path = folder / RESERVE
    fd = os.open(path, _SPARE | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(fd, 0, _RESERVE_BYTES)
    finally:
        os.close(fd)
    give_to_owner(path, folder)


def keep_reserve(folder: Path) -> None:
    """The folder has a reserve again after a note, where the note has spent it, or it became one
    that cannot be used, or has less on disk than another note may need. Raises OSError."""
    path = folder / RESERVE
    try:
        known = path.lstat()
    except FileNotFoundError:
        make_reserve(folder)
        return
    if not _is_ours(known):
        if drop_reserve(folder):
            make_reserve(folder)
    elif known.st_blocks * _BLOCK_BYTES < _RESERVE_BYTES:
        _enlarge(path)


def _enlarge(path: Path) -> None:
    fd = os.open(path, _SPARE)
    try:
        if _lock(fd, fcntl.LOCK_EX):
            os.posix_fallocate(fd, 0, _RESERVE_BYTES)
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def drop_reserve(folder: Path) -> bool:
    """Gives the block back to the disk; False where there was none."""
    try:
        (folder / RESERVE).unlink()
    except OSError:
        return False
    return True


def give_to_owner(path: Path, folder: Path) -> None:
    """Gives `path` to the owner of `folder` where we are root: an administrator's command runs
    as root, and what it writes must stay readable to the service. Raises OSError."""
    if os.geteuid() == 0:
        owner = folder.stat()
        if owner.st_uid != 0 or owner.st_gid != 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
