"""Locks that the kernel drops when their holder dies: `flock` on a file that names the holder.

A lock belongs to the open file description, so two `Lock`s of one file exclude each other even in
one process, and a child does not inherit it (descriptors are close-on-exec).
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from sipmail.errors import SpoolError

_RETRY_SECONDS = 0.02


class Lock:
    """An exclusive lock that is held until `release`, or until this process dies."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def on_file(cls, path: Path, what: str, *, wait: float = 0.0) -> Lock:
        """Locks `path` (made where it is missing), trying for `wait` seconds; the file then holds
        our process id. Raises SpoolError that says who has `what`."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SpoolError(f"cannot lock {what}: {error}") from error
        deadline = time.monotonic() + wait
        while not _try(fd):
            if time.monotonic() >= deadline:
                holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise SpoolError(f"{what} is in use by another sipmail (process {holder})")
            time.sleep(_RETRY_SECONDS)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        return cls(fd)

    @classmethod
    def on_folder(cls, path: Path) -> Lock | None:
        """Locks a folder itself; None when somebody else holds it. Raises OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        if _try(fd):
            return cls(fd)
        os.close(fd)
        return None

    def fileno(self) -> int:
        return self._fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _try(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
