"""A filter in the kernel: of a UDP socket that is not connected, only these sources are let in.

For a flood by strangers, whose packets would else crowd those of the call out of the socket's
buffer. Classic BPF (Linux, no privileges needed): for each source its address is compared with
that in the IP header (from SKF_NET_OFF on) and its port with that in the UDP header, where the
packet begins for such a filter.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from sipmail.rtp.latch import Address

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_LOAD_WORD, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x15, 0x06
_IP_HEADER = 0xFFF00000
_V4_SOURCE, _V6_SOURCE = 12, 8
_WHOLE = 0xFFFF

_Step = tuple[int, int, int, int]
"""Code, how far to jump where it is true and where not, the operand."""


def let_in(sock: socket.socket, sources: Iterable[Address]) -> bool:
    """Has the kernel drop what comes from elsewhere; whether it does."""
    steps = b"".join(struct.pack("=HBBI", *step) for step in program(sources))
    held = ctypes.create_string_buffer(steps, len(steps))
    told = struct.pack("@HP", len(steps) // 8, ctypes.addressof(held))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)
    except OSError:
        return False
    return True


def let_all_in(sock: socket.socket) -> None:
    """Undoes `let_in`; raises OSError where there is nothing to undo."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def program(sources: Iterable[Address]) -> list[_Step]:
    """The steps of the filter."""
    steps: list[_Step] = []
    for host, port in sources:
        steps += _block(host, port)
    return [*steps, (_RETURN, 0, 0, 0)]


def _block(host: str, port: int) -> list[_Step]:
    """Ends the filter for this source, is jumped out of for all others."""
    address = ip_address(host)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    start = _IP_HEADER + (_V4_SOURCE if address.version == 4 else _V6_SOURCE)
    wanted = [
        (_LOAD_WORD, start + 4 * index, word)
        for index, (word,) in enumerate(struct.iter_unpack("!I", address.packed))
    ]
    wanted.append((_LOAD_HALF, 0, port))
    steps: list[_Step] = []
    for index, (load, offset, value) in enumerate(wanted):
        left = 2 * (len(wanted) - 1 - index) + 1
        steps += [(load, 0, 0, offset), (_JUMP_EQUAL, 0, left, value)]
    return [*steps, (_RETURN, 0, 0, _WHOLE)]
