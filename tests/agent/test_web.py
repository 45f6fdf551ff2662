"""The HTTP server as a thread: it goes when it is told to."""

from __future__ import annotations

import time

import pytest

from sipmail.agent.status import Snapshot
from sipmail.agent.web import StatusServer


def never() -> Snapshot:
    raise AssertionError("nobody asks for a page here")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_stops_long_before_its_poll_is_over(host: str) -> None:
    server = StatusServer(host, 0, never)
    server.start()
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 2
