"""Many datagrams a system call: `sendmmsg` and `recvmmsg` through ctypes, messages as numpy rows.

Linux, 64 bits. The kernel's structures are numpy records, so that a batch is put together by
indexing an array and not by a loop.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_libc = ctypes.CDLL(None, use_errno=True)

MMSGHDR = np.dtype(
    [
        ("name", "u8"),
        ("name_length", "u4"),
        ("_1", "u4"),
        ("iovec", "u8"),
        ("iovec_count", "u8"),
        ("control", "u8"),
        ("control_length", "u8"),
        ("flags", "i4"),
        ("_2", "u4"),
        ("length", "u4"),
        ("_3", "u4"),
    ]
)
IOVEC = np.dtype([("base", "u8"), ("length", "u8")])
# struct sockaddr_in: the port and the address are big-endian.
SOCKADDR = np.dtype([("family", "u2"), ("port", ">u2"), ("address", ">u4"), ("_", "u8")])

_CONTROL = 64
_SECONDS_AT, _NANOSECONDS_AT = 16, 24
_WOULD_BLOCK = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNREFUSED, errno.EINTR)
SO_TIMESTAMPNS = 35


class Outbox:
    """One row a call: `rows[i]` is its datagram of fixed size, `addresses[i]` where it goes."""

    def __init__(self, calls: int, size: int) -> None:
        self.rows: NDArray[np.uint8] = np.zeros((calls, size), np.uint8)
        self.addresses = np.zeros(calls, SOCKADDR)
        self.addresses["family"] = socket.AF_INET
        iovecs = np.zeros(calls, IOVEC)
        iovecs["base"] = self.rows.ctypes.data + np.arange(calls, dtype=np.uint64) * size
        iovecs["length"] = size
        self._iovecs = iovecs
        self._headers = np.zeros(calls, MMSGHDR)
        step = np.arange(calls, dtype=np.uint64)
        self._headers["name"] = self.addresses.ctypes.data + step * SOCKADDR.itemsize
        self._headers["name_length"] = SOCKADDR.itemsize
        self._headers["iovec"] = iovecs.ctypes.data + step * IOVEC.itemsize
        self._headers["iovec_count"] = 1

    def send(self, sock: socket.socket, calls: NDArray[np.intp]) -> int:
        """Sends the rows of these calls; returns how many the kernel did not take."""
        batch = self._headers[calls]
        done = 0
        while done < len(batch):
            pointer = batch.ctypes.data + done * MMSGHDR.itemsize
            sent = _libc.sendmmsg(
                sock.fileno(), ctypes.c_void_p(pointer), min(len(batch) - done, 1024), 0
            )
            if sent < 0:
                if ctypes.get_errno() not in _WOULD_BLOCK:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
                return len(batch) - done
            done += sent
        return 0


@dataclass(frozen=True)
class Batch:
    """What one `Inbox.receive` brought: source ports, kernel times (s), sequence numbers."""

    ports: NDArray[np.uint16]
    times: NDArray[np.float64]
    sequences: NDArray[np.uint16]


class Inbox:
    """Takes datagrams from sockets with the kernel's receive time on each (CLOCK_REALTIME)."""

    def __init__(self, depth: int = 512, size: int = 256) -> None:
        self._depth = depth
        self._rows = np.zeros((depth, size), np.uint8)
        self._sources = np.zeros(depth, SOCKADDR)
        self._control = np.zeros((depth, _CONTROL), np.uint8)
        step = np.arange(depth, dtype=np.uint64)
        self._iovecs = np.zeros(depth, IOVEC)
        self._iovecs["base"] = self._rows.ctypes.data + step * size
        self._iovecs["length"] = size
        self._headers = np.zeros(depth, MMSGHDR)
        self._headers["name"] = self._sources.ctypes.data + step * SOCKADDR.itemsize
        self._headers["iovec"] = self._iovecs.ctypes.data + step * IOVEC.itemsize
        self._headers["iovec_count"] = 1
        self._headers["control"] = self._control.ctypes.data + step * _CONTROL

    @staticmethod
    def prepare(sock: socket.socket) -> None:
        """Asks for kernel times on `sock`, and for a long queue where that is allowed."""
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    def receive(self, sock: socket.socket) -> Batch | None:
        """The datagrams that are there, at most `depth`; None when there is none."""
        self._headers["name_length"] = SOCKADDR.itemsize
        self._headers["control_length"] = _CONTROL
        count = _libc.recvmmsg(
            sock.fileno(),
            ctypes.c_void_p(self._headers.ctypes.data),
            self._depth,
            socket.MSG_DONTWAIT,
            None,
        )
        if count <= 0:
            return None
        control = self._control[:count]
        seconds = control[:, _SECONDS_AT : _SECONDS_AT + 8].copy().view(np.int64)[:, 0]
        nanoseconds = control[:, _NANOSECONDS_AT : _NANOSECONDS_AT + 8].copy().view(np.int64)[:, 0]
        sequences = self._rows[:count, 2:4].copy().view(">u2")[:, 0].astype(np.uint16)
        ports = self._sources["port"][:count].astype(np.uint16)
        return Batch(ports, seconds + nanoseconds / 1e9, sequences)
