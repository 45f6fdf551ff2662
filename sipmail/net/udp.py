"""SIP over UDP: one listening socket, read until it is empty each time the loop wakes.

Reading the socket ourselves costs a fifth of asyncio's datagram protocol; a burst of INVITEs is
taken in one wake-up. RFC 3261 section 18: replies and requests of ours leave from the socket that
listens, so that the port which a NAT opened stays the port that is used.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from sipmail.net.address import is_ipv6

log = logging.getLogger(__name__)

_BURST = 128
_LARGEST = 65535
_RECEIVE_BUFFER = 4 * 1024 * 1024

Received = Callable[[bytes, str, int, "UdpSocket"], None]


class UdpSocket:
    """A bound UDP socket; `received(data, host, port, socket)` gets every datagram."""

    transport = "udp"

    def __init__(self, host: str, port: int, received: Received) -> None:
        family = socket.AF_INET6 if is_ipv6(host) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            self._socket.setblocking(False)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self.host: str = host
        self.port: int = self._socket.getsockname()[1]
        self.ipv6 = family == socket.AF_INET6
        self._received = received
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _readable(self) -> None:
        for _ in range(_BURST):
            try:
                data, address = self._socket.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.warning("receiving on udp port %d: %s", self.port, error)
                return
            self._received(data, address[0].partition("%")[0], address[1], self)

    def send(self, data: bytes, host: str, port: int) -> None:
        """Sends one datagram. Raises OSError when the kernel knows that it cannot arrive.

        A full send buffer drops it, as the network would: SIP's retransmission makes it good.
        """
        try:
            self._socket.sendto(data, (host, port))
        except (BlockingIOError, InterruptedError):
            log.debug("send buffer full, a datagram to %s:%d dropped", host, port)

    def close(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
