"""Free ports on loopback, apart for every test that runs at the same time.

A port is proven free by binding it, and whoever asked binds it a moment later, or lets go of it and
takes it again (a program that is killed and started): so none is one of the system's ephemeral
ports, which it might give to anybody in between, and each is reserved for as long as the process
lives that asked. A process gets one of its own a second time when all of its own have had a turn.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

# From 6000 on is where SIPp looks for media ports, unless it is told others.
_LOWEST_SINGLE, _LOWEST, _HIGHEST = 6_200, 12_000, 32_000
_KINDS = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
_SINGLES = _LOWEST - _LOWEST_SINGLE
# Ranges lie in stretches of one process each, or what several take in turn leaves no long one.
_STRETCH = 600
_STRETCHES = (_HIGHEST - _LOWEST) // _STRETCH
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "4"))
# Another test run is to find some, too.
_FAIR_SHARE = max(1, min(3, _STRETCHES // (2 * _PROCESSES)))
# Neighbouring processes (the workers of one test run) begin far from each other.
_singles = itertools.count(os.getpid() * 977)
_reserved: dict[str, socket.socket] = {}
_stretches: list[int] = []
_next = 0  # where in its stretches, laid end to end, this process takes its next range


def free_port(*kinds: int) -> int:
    """A port that was free a moment ago, for SOCK_DGRAM (UDP) and SOCK_STREAM (TCP) or one `kinds`.

    Raises RuntimeError when none is free.
    """
    for _ in range(_SINGLES):
        port = _LOWEST_SINGLE + next(_singles) % _SINGLES
        if _reserve(f"port {port}") and all(_all_free(port, 1, kind) for kind in kinds or _KINDS):
            return port
    raise RuntimeError("no free port")


def free_range(count: int) -> tuple[int, int]:
    """First and last of `count` consecutive free UDP ports, the first one even.

    Raises RuntimeError when this process has none, and ValueError for more than a stretch has.
    """
    global _next
    if count > _STRETCH:
        raise ValueError(f"{count} ports in a row: {_STRETCH} are the most")
    size = count + count % 2
    for _ in range(2 * _STRETCH):
        turn, offset = divmod(_next, _STRETCH)
        if offset + size > _STRETCH:
            turn, offset = turn + 1, 0
        if turn >= len(_stretches) and not _take_stretch():
            turn = 0
        if not _stretches:
            break
        _next = turn * _STRETCH + offset + size
        first = _LOWEST + _stretches[turn] * _STRETCH + offset
        if _all_free(first, count):
            return first, first + count - 1
    raise RuntimeError(f"no {count} free ports in a row")


def _take_stretch() -> bool:
    """Make one stretch more this process's own, unless it has its share or none is left."""
    if len(_stretches) >= _FAIR_SHARE:
        return False
    for n in range(_STRETCHES):
        stretch = (os.getpid() * 7 + n) % _STRETCHES
        if stretch not in _stretches and _reserve(f"stretch {stretch}"):
            _stretches.append(stretch)
            return True
    return False


def _reserve(what: str) -> bool:
    """Whether `what` is this process's, among all that use this file, until it ends.

    A name in the abstract namespace (unix(7)) is taken by one socket at a time and goes with it.
    """
    if what in _reserved:
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0sipmail tests: {what}")
    except OSError:
        name.close()
        return False
    _reserved[what] = name
    return True


def _all_free(first: int, count: int, kind: int = socket.SOCK_DGRAM) -> bool:
    with contextlib.ExitStack() as stack:
        for port in range(first, first + count):
            probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
