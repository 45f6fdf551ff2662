"""The line between two of our own processes: a Unix stream socket with a JSON array a line.

Rules: neither side ever blocks on the other (what the kernel does not take now waits in a buffer
until `flush`), a message arrives whole or not at all, and the end of the peer is an `EOFError`.
JSON because both ends are ours, the messages are small, and nothing that is read can run code.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

_CHUNK = 65536
# Made once: `json.dumps` with anything but its defaults makes an encoder each time.
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


class Channel:
    """One end of a pair; `fileno` lets an event loop or a poll watch it."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._received = bytearray()
        self._unsent = bytearray()

    @classmethod
    def from_fd(cls, fd: int) -> Channel:
        """The end that a parent process handed down as the open file descriptor `fd`."""
        return cls(socket.socket(fileno=fd))

    @staticmethod
    def pair() -> tuple[Channel, socket.socket]:
        """Our end, and the socket whose descriptor the child inherits."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        return Channel(ours), theirs

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """Whether something waits for `flush`: watch for writability then."""
        return bool(self._unsent)

    def send(self, *message: object) -> None:
        """Sends one message (anything JSON can say); what does not fit now waits. Never blocks.

        Raises BrokenPipeError or ConnectionError once the peer is gone.
        """
        self.put(*message)
        self.flush()

    def put(self, *message: object) -> None:
        """The same, but what was put is sent with the next `flush`: a wake-up of the peer for
        several messages."""
        self._unsent += _encode(message).encode() + b"\n"

    def flush(self) -> None:
        """Hands the kernel what it takes of the unsent bytes."""
        while self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except (BlockingIOError, InterruptedError):
                return
            del self._unsent[:sent]

    def receive(self) -> Iterator[list[object]]:
        """Yields every whole message that has arrived; raises EOFError once the peer is gone."""
        ended = False
        while True:
            try:
                chunk = self._socket.recv(_CHUNK)
            except (BlockingIOError, InterruptedError):
                break
            except ConnectionError:
                chunk = b""
            if not chunk:
                ended = True
                break
            self._received += chunk
            if len(chunk) < _CHUNK:
                break
        if (end := self._received.rfind(b"\n") + 1) > 0:
            lines = self._received[: end - 1].decode()
            del self._received[:end]
            yield from map(_decode, lines.split("\n"))
        if ended:
            raise EOFError

    def close(self) -> None:
        self._socket.close()
