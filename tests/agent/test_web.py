"""The HTTP server as a thread: it goes when it is told to, and nobody holds it up."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
import urllib.request
from datetime import timedelta

import pytest

from sipmail.agent import web
from sipmail.agent.status import Snapshot
from sipmail.agent.web import StatusServer
from tests.agent.test_latest import CALM
from tests.support.patience import PATIENCE


def never() -> Snapshot:
    raise AssertionError("nobody asks for a page here")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_stops_long_before_its_poll_is_over(host: str) -> None:
    server = StatusServer(host, 0, never)
    server.start()
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 4


def test_silent_clients_keep_nobody_out_and_take_no_files(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "_CONNECTIONS", 3)
    server = StatusServer("127.0.0.1", 0, lambda: CALM)
    server.start()
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            for _ in range(5)
        ]
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz") as answer:
            assert answer.read() == b"ok\n"
        assert [one.recv(1) for one in silent[:3]] == [b""] * 3  # the oldest were ended
        for one in silent[3:]:
            one.setblocking(False)
            with pytest.raises(BlockingIOError):
                one.recv(1)
        # One that breaks off is no news.
        silent[4].sendall(b"GET /hea")
        silent[4].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        silent[4].close()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/") as answer:
            assert answer.status == 200
    server.stop()
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "words"), [(-90, "0 s"), (90, "90 s"), (600, "10 min"), (10_000, "2 h")]
)
def test_how_long_ago(seconds: int, words: str) -> None:
    assert web.ago(CALM.started, CALM.started + timedelta(seconds=seconds)) == words
