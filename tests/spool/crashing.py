"""A machine that dies: every system call of the spool counted, and the crash after the n-th.

`Crash` is a BaseException, so nothing handles it; after it every further call fails too. With
`power_cut` what was written but not synced is lost, the way a file system may lose it: the name is
there, the content is not.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

_CALLS = ("mkdir", "open", "write", "fsync", "rename", "unlink", "rmdir", "posix_fallocate")


class Crash(BaseException):
    """The machine is gone."""


class Machine:
    """Counts system calls; `crash_after` of None lets everything pass."""

    def __init__(self, patch: pytest.MonkeyPatch, crash_after: int | None) -> None:
        self.calls = 0
        self.names: list[str] = []
        self.unsynced: set[str] = set()
        self._crash_after = crash_after
        self._paths: dict[int, str] = {}
        self._dead = crash_after == 0
        self._originals = {name: getattr(os, name) for name in _CALLS}
        for name in _CALLS:
            patch.setattr(os, name, self._patched(name))

    def lose_unsynced(self) -> None:
        """The power is back: what was never synced is empty."""
        for path in self.unsynced:
            if Path(path).is_file():
                os.truncate(path, 0)

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
                raise Crash
            return result

        return call

    def _follow(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        if name == "open" and isinstance(args[0], str | os.PathLike):
            self._paths[result] = os.fspath(args[0])
        elif name == "write":
            self.unsynced.add(self._paths[args[0]])
        elif name == "fsync":
            self.unsynced.discard(self._paths[args[0]])
        elif name == "rename":
            old, new = os.fspath(args[0]), os.fspath(args[1])
            moved = {path for path in self.unsynced if path == old or path.startswith(old + "/")}
            self.unsynced = self.unsynced - moved | {new + path[len(old) :] for path in moved}
