"""SIP over UDP: one listening socket, read until it is empty each time the loop wakes.

Reading the socket ourselves costs a fifth of asyncio's datagram protocol; a burst of INVITEs is
taken in one wake-up. RFC 3261 section 18: replies and requests of ours leave from the socket that
listens, so that the port which a NAT opened stays the port that is used. Where the system tells of
ICMP errors (Linux), a port or host that nobody answers at is known at once (section 18.4).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Callable

from sipmail.net.address import is_ipv6

log = logging.getLogger(__name__)

_BURST = 128
_LARGEST = 65535
_RECEIVE_BUFFER = 4 * 1024 * 1024
_ERRORS_AT_ONCE = 16
# Linux, <linux/in.h> and <linux/in6.h>; Python's socket has names for them from 3.14 on.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_EXTENDED_ERROR = struct.Struct("=I")

Received = Callable[[bytes, str, int, "UdpSocket"], None]
Unreachable = Callable[[str, int, str], None]
"""`unreachable(host, port, why)`: ICMP says that a datagram of ours did not arrive there."""


class UdpSocket:
    """A bound UDP socket; `received(data, host, port, socket)` gets every datagram."""

    transport = "udp"

    def __init__(
        self, host: str, port: int, received: Received, unreachable: Unreachable | None = None
    ) -> None:
        family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            if unreachable is not None:
                self._ask_for_errors()
            self._socket.setblocking(False)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.host: str = host
        self.port: int = self._socket.getsockname()[1]
        self.ipv6 = family == socket.AF_INET6
        self._received = received
        self._unreachable = unreachable
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _ask_for_errors(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # a system without them
            if self._socket.family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)

    def _readable(self) -> None:
        for _ in range(_BURST):
            try:
                data, address = self._socket.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # The error of a datagram sent earlier, to anybody: the queue says to whom.
                if not self._take_errors():
                    log.warning("receiving on udp port %d: %s", self.port, error)
                    return
                continue
            self._received(data, address[0].partition("%")[0], address[1], self)

    def _take_errors(self) -> bool:
        """Empties the queue of ICMP errors; whether there were any."""
        taken = False
        if self._unreachable is None or not hasattr(socket, "MSG_ERRQUEUE"):
            return taken
        for _ in range(_ERRORS_AT_ONCE):
            try:
                _, ancillary, _, address = self._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            taken = True
            if not address:
                continue
            why = "ICMP: unreachable"
            for _, _, data in ancillary:
                if len(data) >= _EXTENDED_ERROR.size:
                    why = f"ICMP: {os.strerror(_EXTENDED_ERROR.unpack_from(data)[0])}"
            # Told later: an error found while sending must not come back into who sends.
            host, port = address[0].partition("%")[0], address[1]
            self._loop.call_soon(self._unreachable, host, port, why)
        return taken

    def send(self, data: bytes, host: str, port: int) -> None:
        """Sends one datagram. Raises OSError when the kernel knows that it cannot arrive.

        A full send buffer drops it, as the network would: SIP's retransmission makes it good.
        """
        for attempt in range(2):
            try:
                self._socket.sendto(data, (host, port))
            except (BlockingIOError, InterruptedError):
                log.debug("send buffer full, a datagram to %s:%d dropped", host, port)
            except OSError:
                if attempt or not self._take_errors():
                    raise
                continue  # that was the error of an earlier one
            return

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
