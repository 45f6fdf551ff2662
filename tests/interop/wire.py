"""A wire between SIPp and the agent that pings: before everything that SIPp sends it sends the
keep-alives of the field, from the same port and over the same connection.

Over UDP they must get no answer: the agent's own messages go where Via and Contact say, past the
wire, so that whatever comes back to it is one. Over TCP a double CRLF must get its CRLF at once
(RFC 5626 section 3.5.1).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from tests.support.patience import PATIENCE
from tests.support.ports import free_port

PINGS = (b"\0\0\0\0", b"\r\n\r\n", b"\r\n", b"\0", b"0", b" ")
"""What PBXs (Kamailio's nathelper: zeros) and phones send over UDP to keep a NAT open."""
_PING, _PONG = b"\r\n\r\n", b"\r\n"


class Wire:
    """The wire to `target`, as a context manager; `address` is its near end."""

    def __init__(self, transport: str, target: tuple[str, int]) -> None:
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        self.address = "127.0.0.1", free_port(kind)
        self.pings = 0
        self.answers: list[bytes] = []
        """What came back over UDP."""
        self.wrong: list[str] = []
        self._target = target
        self._near = socket.socket(socket.AF_INET, kind)
        self._far = socket.socket(socket.AF_INET, kind)
        self._near.bind(self.address)
        self._near.settimeout(PATIENCE)
        work = self._datagrams if transport == "udp" else self._stream
        self._threads = [threading.Thread(target=work, daemon=True)]

    def __enter__(self) -> Wire:
        if self._near.type == socket.SOCK_STREAM:
            self._near.listen()
        self._far.connect(self._target)
        self._threads[0].start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for one in (self._near, self._far):
            # `close` alone would leave a thread that reads where it is.
            with contextlib.suppress(OSError):  # it was never connected, or is gone
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _datagrams(self) -> None:
        self._threads.append(threading.Thread(target=self._collect, daemon=True))
        self._threads[-1].start()
        while True:
            try:
                data = self._near.recv(65535)
            except OSError:
                return
            if not data:
                return
            for ping in PINGS:
                self._far.send(ping)
                self.pings += 1
            self._far.send(data)

    def _collect(self) -> None:
        while True:
            try:
                data = self._far.recv(65535)
            except OSError:
                return
            if not data:
                return
            self.answers.append(data)

    def _stream(self) -> None:
        pong = threading.Event()
        try:
            near, _ = self._near.accept()
        except OSError:
            return
        back = threading.Thread(target=self._pass_back, args=(near, pong), daemon=True)
        self._threads.append(back)
        back.start()
        with near:
            while data := _received(near):
                pong.clear()
                self._far.sendall(_PING)
                self.pings += 1
                if not pong.wait(PATIENCE):
                    self.wrong.append("a ping got no pong")
                    return
                self._far.sendall(data)
        self._far.shutdown(socket.SHUT_RDWR)

    def _pass_back(self, near: socket.socket, pong: threading.Event) -> None:
        """Takes out the pongs, which come between messages: nothing else begins with a CRLF."""
        while data := _received(self._far):
            if data.startswith(_PONG):
                data = data[len(_PONG) :]
                pong.set()
            if data:
                near.sendall(data)


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65535)
    except OSError:
        return b""
