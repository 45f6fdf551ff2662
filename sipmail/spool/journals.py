"""Live journals on disk: what a power cut can take is what came since the last round.

The media worker only appends; it must never wait for a disk. The courier's process makes a round
over `recording/` every few seconds and syncs each journal that has grown. With many calls at once
one `syncfs` (Linux) costs less than a sync a file.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import sys
from pathlib import Path

from sipmail.spool import disk
from sipmail.spool.layout import AUDIO, State

log = logging.getLogger(__name__)

ROUND_SECONDS = 2.0
_MANY = 64


class JournalSync:
    """Remembers how long each journal was at the last round."""

    def __init__(self, root: Path) -> None:
        self._folder = root / State.RECORDING
        self._synced: dict[str, int] = {}
        self._told = ""
        library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._syncfs = getattr(library, "syncfs", None)

    def round(self) -> int:
        """Syncs what has grown; returns how many journals that were. Errors are logged, one that
        lasts once: the recording goes on, and the next round tries again."""
        try:
            count = self._round()
        except OSError as error:
            if str(error) != self._told:
                log.warning("the journals in %s could not be synced: %s", self._folder, error)
            self._told = str(error)
            return 0
        self._told = ""
        return count

    def _round(self) -> int:
        sizes = self._sizes()
        known = self._synced
        grown = [name for name, size in sizes.items() if size != known.get(name)]
        self._synced = {name: size for name, size in sizes.items() if known.get(name) == size}
        if len(grown) > _MANY and self._sync_all():
            self._synced.update((name, sizes[name]) for name in grown)
            return len(grown)
        for name in grown:
            self._sync(name, is_new=name not in known)
            self._synced[name] = sizes[name]
        return len(grown)

    def _sizes(self) -> dict[str, int]:
        sizes = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    size = (Path(entry.path) / AUDIO).stat().st_size
                except OSError:
                    continue  # no journal yet, or the message went on to the queue
                if size:
                    sizes[entry.name] = size
        return sizes

    def _sync(self, name: str, *, is_new: bool) -> None:
        folder = self._folder / name
        try:
            fd = os.open(folder / AUDIO, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
        if is_new:
            with contextlib.suppress(FileNotFoundError):  # the message went on to the queue
                disk.sync_folder(folder)

    def _sync_all(self) -> bool:
        if self._syncfs is None:
            return False
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return bool(self._syncfs(fd) == 0)
        finally:
            os.close(fd)
