"""Free ports on loopback, apart for every test that runs at the same time.

A port is proven free by binding it, and whoever asked binds it a moment later: so none is one of
the system's ephemeral ports, which it might give to anybody in between. No port and no range (for
RTP) is handed out twice by one process, and where each process begins is its own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

_LOWEST_SINGLE = 6_000
_LOWEST, _HIGHEST = 12_000, 32_000
_BLOCK = 100
_BLOCKS = (_HIGHEST - _LOWEST) // _BLOCK
_SINGLES = _LOWEST - _LOWEST_SINGLE
# A step that shares no factor with the number of blocks visits them all; neighbouring processes
# (the workers of one test run) begin far from each other.
_cursor = itertools.count(os.getpid() * 77)
_single = itertools.count(os.getpid() * 977)


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    """A port that was free a moment ago; `kind` is SOCK_DGRAM (UDP) or SOCK_STREAM (TCP).

    Raises RuntimeError when none is free.
    """
    for _ in range(_SINGLES):
        port = _LOWEST_SINGLE + next(_single) % _SINGLES
        if _all_free(port, 1, kind):
            return port
    raise RuntimeError("no free port")


def free_range(count: int) -> tuple[int, int]:
    """First and last of `count` consecutive free UDP ports, the first one even.

    Raises RuntimeError when none of the blocks is free.
    """
    blocks = -(-count // _BLOCK)
    for _ in range(_BLOCKS):
        first = _LOWEST + next(_cursor) * 3 * blocks % _BLOCKS * _BLOCK
        if first + count <= _HIGHEST and _all_free(first, count):
            return first, first + count - 1
    raise RuntimeError(f"no {count} free ports in a row")


def _all_free(first: int, count: int, kind: int = socket.SOCK_DGRAM) -> bool:
    with contextlib.ExitStack() as stack:
        for port in range(first, first + count):
            probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
