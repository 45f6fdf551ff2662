"""The UDP port pairs of a worker: RTP on an even port, RTCP on the odd one above (RFC 3550 s. 11).

A port rests after a call, so that late packets of that call never end in the next one. Ports are
handed out in the order in which they were given back, the one that rested longest first: in a range
of 500 pairs and with a call every 8 s that is more than an hour. Under a rush of short calls a port
rests less, down to a bound under which a call is refused rather than mixed with another.
A pool begins anywhere in its range: the worker that follows one that died does not hand out first
what its calls were still sent to.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections import deque

from sipmail.errors import MediaError

REST_SECONDS = 5.0
"""How long a port rests before it is used again, at the least."""

_EXPEDITED_FORWARDING = 0xB8  # DSCP 46 (RFC 3246), what networks expect of voice
_TIMESTAMP = getattr(socket, "SO_TIMESTAMPNS", 35)


class PortPool:
    """The even ports from `first` to `last` whose odd neighbour is in the range too.

    `begin` (0 up to 1) says where in the range it begins, `rest` is in seconds.
    """

    def __init__(
        self, first: int, last: int, rest: float = REST_SECONDS, begin: float = 0.0
    ) -> None:
        self.first = first
        self.last = last
        self._rest = rest
        start = first + first % 2
        self._free: deque[tuple[int, float]] = deque(
            (port, float("-inf")) for port in range(start, last, 2)
        )
        self._free.rotate(-int(begin * len(self._free)))

    def take(self, now: float) -> int | None:
        """The port that rested longest; None when all are in use or resting."""
        if not self._free or now - self._free[0][1] < self._rest:
            return None
        return self._free.popleft()[0]

    def give_back(self, port: int, now: float) -> None:
        """The port is free again at `now` (seconds of the clock that `take` is given)."""
        self._free.append((port, now))

    def __len__(self) -> int:
        """Ports that are not in use; some may be resting."""
        return len(self._free)


def bind_pair(pool: PortPool, host: str, now: float) -> tuple[int, socket.socket, socket.socket]:
    """A port of the pool with its RTP and RTCP sockets, bound on `host`, never blocking.

    Ports that another program holds go to rest. Raises MediaError when none is left, OSError when
    this machine has no such address.
    """
    for _ in range(len(pool)):
        port = pool.take(now)
        if port is None:
            break
        try:
            rtp = _bound(host, port)
            try:
                rtcp = _bound(host, port + 1)
            except OSError:
                rtp.close()
                raise
        except OSError as error:
            pool.give_back(port, now if error.errno == errno.EADDRINUSE else float("-inf"))
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        # When an SR came is told to its sender (LSR, DLSR), so RTCP gets the kernel's time.
        with contextlib.suppress(OSError):
            rtcp.setsockopt(socket.SOL_SOCKET, _TIMESTAMP, 1)
        return port, rtp, rtcp
    raise MediaError(f"no free RTP port in {pool.first}-{pool.last}")


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED_FORWARDING)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED_FORWARDING)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
