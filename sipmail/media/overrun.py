"""What the kernel had no room for: datagrams that came while nobody read their socket.

The kernel counts them for each socket and tells by SO_MEMINFO (Linux 4.12), as unsigned numbers of
32 bits of which the ninth is meant. What is lost in the middle shows in the RTP sequence numbers
too; what is lost at the end of a call shows here alone.
"""

from __future__ import annotations

import socket
import struct

_SO_MEMINFO = 55
_DROPS = struct.Struct("=32xI")


def overrun(sock: socket.socket) -> int:
    """How many datagrams `sock` has lost so far; 0 where the kernel does not tell."""
    try:
        told = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.size)
    except OSError:
        return 0
    return int(_DROPS.unpack(told)[0]) if len(told) == _DROPS.size else 0
