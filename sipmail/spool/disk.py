"""What a crash cannot halve: files replaced whole, and names that are on disk when we say so.

`replace` writes beside the file, syncs, renames over it and syncs the folder, so that a reader
sees the old content or the new one and never a part. A folder may hold a `reserve`, one block kept
for the moment when the disk is full: a note of a few lines can then still be written.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

RESERVE = "reserve"
TEMPORARY = ".tmp"
_RESERVE_BYTES = 4096
_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    try:
        _replace(path, data)
    except OSError as error:
        if error.errno not in _FULL or not drop_reserve(path.parent):
            raise
        _replace(path, data)
    sync_folder(path.parent)


def _replace(path: Path, data: bytes) -> None:
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
    """Writes a file that can be made again: not synced, and never at the reserve's cost. Raises
    OSError, and leaves nothing then."""
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
    """Puts one block aside in `folder`, where there is none yet. Raises OSError."""
    path = folder / RESERVE
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return
    try:
        os.posix_fallocate(fd, 0, _RESERVE_BYTES)
    finally:
        os.close(fd)
    give_to_owner(path, folder)


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
