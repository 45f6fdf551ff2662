"""What a process and all its descendants use: CPU seconds and memory, read from /proc."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """The process and its live descendants."""
    pids = [pid]
    for task in _listed(Path(f"/proc/{pid}/task")):
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            pids += tree(int(child))
    return pids


def cpu_seconds(pid: int) -> Counter[str]:
    """User and system time of the tree by program, that of children already reaped included.

    A Python module is named as `python -m` was given it, other programs by their file.
    """
    used: Counter[str] = Counter()
    for member in tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            used[_named(member)] += sum(int(value) for value in fields[11:15])
        except OSError:
            continue
    return Counter({name: ticks / _TICKS for name, ticks in used.items()})


def _named(pid: int) -> str:
    command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return command[2] if command[1:2] == ["-m"] else Path(command[0]).name


def memory(pid: int) -> int:
    """Bytes of memory, pages shared by n processes counted as 1/n each (Pss)."""
    return memory_by_program(pid).total()


def memory_by_program(pid: int) -> Counter[str]:
    """The same by program, named as `cpu_seconds` does."""
    used: Counter[str] = Counter()
    for member in tree(pid):
        try:
            name = _named(member)
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    used[name] += int(line.split()[1]) * 1024
        except OSError:
            continue
    return used


class Peak:
    """Watches the memory of a tree until the end of the block; `bytes` is the most it had."""

    def __init__(self, pid: int, interval: float = 1.0) -> None:
        self.bytes = memory(pid)
        self._pid = pid
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._interval):
            self.bytes = max(self.bytes, memory(self._pid))


def cores() -> tuple[set[int], set[int]]:
    """A core for the measured program and the others for the load; the same one if it is alone."""
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[0]}, set(allowed[1:]) or {allowed[0]}


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
