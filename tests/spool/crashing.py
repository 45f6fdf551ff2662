"""A machine that dies: every system call of the spool counted, and the crash after the n-th.

`Crash` is a BaseException, so nothing handles it; after it every further call fails too. A power
cut loses one of two things, as file systems do: `lose_unsynced` what was written and not synced,
whose name is there and whose content is not; `lose_uncommitted` everything since the last sync,
names too, as a journal does that had no reason to be written.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sipmail.spool import disk

_CALLS = (
    *("mkdir", "open", "write", "ftruncate", "fsync", "rename", "unlink", "rmdir"),
    "posix_fallocate",
)
_EXCHANGE = "exchange"


class Crash(BaseException):
    """The machine is gone."""


class Machine:
    """Counts system calls; `crash_after` of None lets everything pass. `tree` is what
    `lose_uncommitted` brings back."""

    def __init__(
        self, patch: pytest.MonkeyPatch, crash_after: int | None, tree: Path | None = None
    ) -> None:
        self.calls = 0
        self.names: list[str] = []
        self.unsynced: set[str] = set()
        self._crash_after = crash_after
        self._paths: dict[int, str] = {}
        self._dead = crash_after == 0
        self._tree = tree
        self._committed: dict[Path, bytes | None] = {}
        self._originals = {name: getattr(os, name) for name in _CALLS}
        self._originals[_EXCHANGE] = getattr(disk, _EXCHANGE)
        for name in _CALLS:
            patch.setattr(os, name, self._patched(name))
        patch.setattr(disk, _EXCHANGE, self._patched(_EXCHANGE))
        self._commit()

    def lose_unsynced(self) -> None:
        """The power is back: what was never synced is empty."""
        for path in self.unsynced:
            if Path(path).is_file():
                os.truncate(path, 0)

    def lose_uncommitted(self) -> None:
        """The power is back: all is as it was at the last sync."""
        assert self._tree is not None
        for path in self._tree.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        for path, content in self._committed.items():
            if content is None:
                path.mkdir(mode=0o700)
            else:
                path.write_bytes(content)

    def _commit(self) -> None:
        if self._tree is None:
            return
        self._committed = {
            path: None
            if path.is_dir()
            else b""
            if str(path) in self.unsynced
            else path.read_bytes()
            for state in sorted(self._tree.iterdir())
            if state.is_dir()
            for path in (state, *sorted(state.rglob("*")))
        }

    def _patched(self, name: str) -> Any:
        original = self._originals[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._dead:
                raise Crash
            result = original(*args, **kwargs)
            self.calls += 1
            self.names.append(name)
            self._follow(name, args, result)
            if self.calls == self._crash_after:
                self._dead = True
                if name == "ftruncate":  # of a lock: the kernel drops those of the dead
                    fcntl.flock(args[0], fcntl.LOCK_UN)
                raise Crash
            return result

        return call

    def _follow(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        if name == "open" and isinstance(args[0], str | os.PathLike):
            self._paths[result] = os.fspath(args[0])
        elif name in ("write", "ftruncate"):
            self.unsynced.add(self._paths[args[0]])
        elif name == "fsync":
            self.unsynced.discard(self._paths[args[0]])
            self._commit()
        elif name == _EXCHANGE:
            one, other = os.fspath(args[0]), os.fspath(args[1])
            if (one in self.unsynced) != (other in self.unsynced):
                self.unsynced ^= {one, other}
        elif name == "rename":
            old, new = os.fspath(args[0]), os.fspath(args[1])
            moved = {path for path in self.unsynced if path == old or path.startswith(old + "/")}
            self.unsynced = self.unsynced - moved | {new + path[len(old) :] for path in moved}
