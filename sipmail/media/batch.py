"""Reading a call's packets in batches: one `recvmmsg` takes all that the kernel holds.

A `Layout` has a slot for each packet of a batch, laid out like journal records of one packet size:

    | record header (8) | packet of the expected size | record header (8) | packet … |

The kernel writes each packet between the headers (`recvmmsg` is called through ctypes; a longer
packet goes on in an overflow buffer), so when all have the expected size the slots *are* the
journal's next bytes: written as they stand, nothing is copied. All layouts of a process are shared
by its calls; what a layout holds is valid until it is read into again. Where `recvmmsg` is missing
a loop over `recvfrom` serves.

Reading never blocks and never raises: a soft error (an ICMP message that the kernel reports as
ECONNREFUSED) is not the end of a call, so the read is tried once more and then left for next time.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import socket
import struct
import sys
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sipmail.rtp.journal import RECORD
from sipmail.rtp.latch import Address
from sipmail.rtp.packet import HEADER

SLOTS = 64
"""Packets that one read takes at most."""

G711_20_MS = HEADER.size + 160
"""Bytes of the packet that nearly everybody sends."""

_OVERFLOW = 2048
_MOST_LAYOUTS = 16
_ADDRESS = 28  # sockaddr_in6, the longest that comes
_MSG_TRUNC = 0x20
_PACKET = RECORD.size
_PAYLOAD = RECORD.size + HEADER.size
_SIOCGSTAMPNS = 0x8907
_TIMESPEC = struct.Struct("@ll")
_SEQUENCES = np.arange((1 << 16) + SLOTS, dtype=np.uint32).astype(">u2").tobytes()


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr of Linux."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Iovec)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr of Linux: a header and how many bytes were received."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class Layout(Protocol):
    """The slots for packets of one size; `count` everywhere is what `receive` returned."""

    size: int
    """Bytes of the packet that is expected."""
    addressed: bool
    """Whether the source of every packet is read too."""

    def receive(self, sock: socket.socket) -> int:
        """Reads what is there into the slots; returns how many packets, at most SLOTS."""

    def follows(self, count: int, prefix: bytes, sequence: int, ssrc: bytes) -> bool:
        """Whether all are of the expected size and go on without a gap: first two bytes `prefix`,
        sequence numbers from `sequence` on, the four bytes `ssrc`.
        """

    def records(self, count: int, milliseconds: int) -> memoryview:
        """The packets as journal records; only where all are of the expected size."""

    def payloads(self, count: int) -> npt.NDArray[np.uint8]:
        """(count, n) payload bytes; only for packets of the expected size."""

    def timestamp(self, index: int) -> int:
        """The RTP timestamp of one packet of the expected size."""

    def packet(self, index: int) -> bytes:
        """One packet, whatever its size; empty where it was longer than any buffer."""

    def uniform(self, count: int) -> int:
        """The size of all packets of the batch, 0 where they differ."""

    def source(self, index: int) -> Address:
        """Where one packet came from; only in an addressed layout."""

    def only_from(self, count: int, source: Address) -> bool:
        """Whether all packets came from there; only in an addressed layout."""


class _Slots:
    """The slots and what numpy reads in them, whoever fills them."""

    def __init__(self, size: int, addressed: bool) -> None:
        self.size = size
        self.addressed = addressed
        self._width = RECORD.size + size
        self._rows = np.zeros((SLOTS, self._width), np.uint8)
        self._rows[:, : RECORD.size] = np.frombuffer(
            RECORD.pack(self._width, size, 0), dtype=np.uint8
        )
        self._flat = self._rows.reshape(-1).data
        self._milliseconds = self._view(">u4", 4)
        self._prefixes = self._view("S2", _PACKET)
        self._numbers = self._view(">u2", _PACKET + 2)
        self._timestamps = self._view(">u4", _PACKET + 4)
        self._sources = self._view(">u4", _PACKET + 8)
        self._expected = np.full(SLOTS, size, np.uint32).tobytes()
        self._lengths = np.zeros(SLOTS, np.uint32)

    def _view(self, kind: str, at: int) -> npt.NDArray[np.generic]:
        return np.ndarray((SLOTS,), kind, self._rows.data, at, (self._width,))

    def follows(self, count: int, prefix: bytes, sequence: int, ssrc: bytes) -> bool:
        return (
            self._lengths[:count].tobytes() == self._expected[: 4 * count]
            and self._numbers[:count].tobytes() == _SEQUENCES[2 * sequence : 2 * (sequence + count)]
            and self._prefixes[:count].tobytes() == prefix * count
            and self._sources[:count].tobytes() == ssrc * count
        )

    def records(self, count: int, milliseconds: int) -> memoryview:
        self._milliseconds[:count] = milliseconds
        return self._flat[: count * self._width]

    def payloads(self, count: int) -> npt.NDArray[np.uint8]:
        return self._rows[:count, _PAYLOAD:]

    def timestamp(self, index: int) -> int:
        return int(self._timestamps.item(index))

    def uniform(self, count: int) -> int:
        lengths = self._lengths[:count]
        return int(lengths[0]) if bool((lengths == lengths[0]).all()) else 0


class MultipleLayout(_Slots):
    """Filled by `recvmmsg`."""

    def __init__(self, size: int, addressed: bool, overflow: npt.NDArray[np.uint8]) -> None:
        super().__init__(size, addressed)
        self._overflow = overflow
        self._names = np.zeros((SLOTS, _ADDRESS), np.uint8)
        self._vectors = (_Iovec * (2 * SLOTS))()
        self._messages = (_Message * SLOTS)()
        for index, message in enumerate(self._messages):
            slot, rest = self._vectors[2 * index], self._vectors[2 * index + 1]
            slot.base = self._rows.ctypes.data + index * self._width + RECORD.size
            slot.length = size
            rest.base = overflow.ctypes.data + index * _OVERFLOW
            rest.length = _OVERFLOW
            message.header.vectors = ctypes.pointer(slot)
            message.header.vector_count = 2
            if addressed:
                message.header.name = self._names.ctypes.data + index * _ADDRESS
                message.header.name_length = _ADDRESS
        memory = memoryview(self._messages).cast("B")
        pitch = ctypes.sizeof(_Message)
        self._lengths = np.ndarray((SLOTS,), np.uint32, memory, _Message.length.offset, (pitch,))
        self._name_lengths = np.ndarray(
            (SLOTS,), np.uint32, memory, _Header.name_length.offset, (pitch,)
        )
        self._pointer = ctypes.byref(self._messages)
        self._recvmmsg: Callable[..., int] = _libc.recvmmsg
        self._errno = ctypes.get_errno

    def receive(self, sock: socket.socket) -> int:
        count = self._recvmmsg(sock.fileno(), self._pointer, SLOTS, socket.MSG_DONTWAIT, None)
        if count < 0:
            if self._errno() in (errno.EAGAIN, errno.EWOULDBLOCK):
                return 0
            count = self._recvmmsg(sock.fileno(), self._pointer, SLOTS, socket.MSG_DONTWAIT, None)
            if count < 0:
                return 0
        if self.addressed:
            self._name_lengths[:count] = _ADDRESS
        return count

    def packet(self, index: int) -> bytes:
        message = self._messages[index]
        if message.header.flags & _MSG_TRUNC:
            return b""
        length = message.length
        start = index * self._width + RECORD.size
        packet = self._flat[start : start + min(length, self.size)].tobytes()
        if length > self.size:
            packet += self._overflow[index, : length - self.size].tobytes()
        return packet

    def source(self, index: int) -> Address:
        name = self._names[index].tobytes()
        if int.from_bytes(name[:2], sys.byteorder) == socket.AF_INET6:
            host = socket.inet_ntop(socket.AF_INET6, name[8:24])
        else:
            host = socket.inet_ntop(socket.AF_INET, name[4:8])
        return host, int.from_bytes(name[2:4], "big")

    def only_from(self, count: int, source: Address) -> bool:
        name = _socket_address(source)
        return self._names[:count, : len(name)].tobytes() == name * count


class SingleLayout(_Slots):
    """Filled by a loop over `recvfrom`, for systems without `recvmmsg`."""

    def __init__(self, size: int, addressed: bool) -> None:
        super().__init__(size, addressed)
        self._packets = [b""] * SLOTS
        self._addresses: list[Address] = [("", 0)] * SLOTS

    def receive(self, sock: socket.socket) -> int:
        refused = False
        count = 0
        while count < SLOTS:
            try:
                packet, address = sock.recvfrom(self.size + _OVERFLOW + 1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError:
                if refused:
                    break
                refused = True
                continue
            if len(packet) > self.size + _OVERFLOW:
                packet = b""
            self._packets[count] = packet
            self._addresses[count] = address[:2]
            self._lengths[count] = len(packet)
            if len(packet) == self.size:
                start = count * self._width + RECORD.size
                self._flat[start : start + self.size] = packet
            count += 1
        return count

    def packet(self, index: int) -> bytes:
        return self._packets[index]

    def source(self, index: int) -> Address:
        return self._addresses[index]

    def only_from(self, count: int, source: Address) -> bool:
        return all(address == source for address in self._addresses[:count])


class Batch:
    """The layouts of a process, made when a packet size is first met."""

    def __init__(self, multiple: bool | None = None) -> None:
        """`multiple` says whether to use `recvmmsg`; None: where the system has it."""
        self._multiple = _HAS_RECVMMSG if multiple is None else multiple
        self._overflow = np.zeros((SLOTS, _OVERFLOW), np.uint8)
        self._layouts: dict[tuple[int, bool], Layout] = {}
        self._common = tuple(self._make(G711_20_MS, addressed) for addressed in (False, True))
        for layout in self._common:
            self._layouts[G711_20_MS, layout.addressed] = layout

    def layout(self, size: int, *, addressed: bool) -> Layout:
        """The layout for packets of `size` bytes, or another one where that size is not worth it.

        The sizes of G.711 are few, so a peer that tries all of them is served by the layout for
        20 ms, which takes every packet too.
        """
        layout = self._layouts.get((size, addressed))
        if layout is None:
            if not HEADER.size < size <= _OVERFLOW or len(self._layouts) >= _MOST_LAYOUTS:
                return self._common[addressed]
            layout = self._make(size, addressed)
            self._layouts[size, addressed] = layout
        return layout

    def _make(self, size: int, addressed: bool) -> Layout:
        if self._multiple:
            return MultipleLayout(size, addressed, self._overflow)
        return SingleLayout(size, addressed)


def arrival(sock: socket.socket) -> float | None:
    """When the packet that was read last came (Unix time, seconds); None where nobody knows."""
    try:
        fcntl.ioctl(sock, _SIOCGSTAMPNS, _stamp)
    except OSError:
        return None
    seconds, nanoseconds = _TIMESPEC.unpack(_stamp)
    return float(seconds + nanoseconds / 1e9)


def disconnect(sock: socket.socket) -> None:
    """Undoes `connect`: packets come from everywhere again; the local port stays bound."""
    unspecified = ctypes.create_string_buffer(struct.pack("=H", socket.AF_UNSPEC), _ADDRESS)
    _libc.connect(sock.fileno(), unspecified, _ADDRESS)


def _socket_address(address: Address) -> bytes:
    """The first bytes of the sockaddr that the kernel writes for this source."""
    host, port = address
    if ":" in host:
        family, rest = socket.AF_INET6, bytes(4) + socket.inet_pton(socket.AF_INET6, host)
    else:
        family, rest = socket.AF_INET, socket.inet_pton(socket.AF_INET, host)
    return struct.pack("=H", family) + port.to_bytes(2, "big") + rest


_stamp = bytearray(_TIMESPEC.size)
_libc = ctypes.CDLL(None, use_errno=True)
_HAS_RECVMMSG = sys.platform == "linux" and hasattr(_libc, "recvmmsg")
