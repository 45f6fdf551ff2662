"""POST against servers that do not come to an end."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
from collections.abc import Iterator

import pytest

from sipmail.mail.post import Timed, post
from tests.support.patience import PATIENCE


class Dripping:
    """A socket that is given a byte a second."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.now = 100.0
        self.timeout = 5.0

    def gettimeout(self) -> float:
        return self.timeout

    def settimeout(self, timeout: float) -> None:
        self.timeout = timeout

    def makefile(self, mode: str, buffering: int) -> io.RawIOBase:
        return self  # type: ignore[return-value]

    def readinto(self, buffer: memoryview) -> int:
        if self.timeout < 1.0:
            raise TimeoutError("timed out")
        self.now += 1.0
        byte, self.text = self.text[:1], self.text[1:]
        buffer[: len(byte)] = byte
        return len(byte)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(("text", "comes"), [(b"200\n", True), (b"200 OK\n", False)])
def test_the_whole_answer_has_one_time_out(text: bytes, comes: bool) -> None:
    sock = Dripping(text)
    file = io.BufferedReader(Timed(sock, lambda: sock.now))  # type: ignore[arg-type]
    with contextlib.nullcontext() if comes else pytest.raises(TimeoutError):
        assert file.readline() == text
    assert sock.now - 100.0 == min(len(text), 5)


@pytest.fixture
def endless() -> Iterator[str]:
    """The address of a server whose answers have no end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        connection.sendall(b"1\r\nx\r\n" * 10_000)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.mark.parametrize("most", [0, 5])
def test_an_answer_without_end_is_one(endless: str, most: int) -> None:
    answer = post(endless, b"{}", {}, PATIENCE, most=most)
    assert (answer.status, answer.reason, answer.body) == (201, "Made", b"x" * most)
