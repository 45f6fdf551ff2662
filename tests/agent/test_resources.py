"""What is logged when the system has no more files to give."""

from __future__ import annotations

import asyncio
import errno

import pytest

from sipmail.agent.resources import ExhaustionLog


class Clock(asyncio.SelectorEventLoop):
    """A loop whose clock the test moves."""

    now = 1000.0

    def time(self) -> float:
        return self.now


def test_exhausted_files_are_a_line_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    loop = Clock()
    try:
        loop.set_exception_handler(ExhaustionLog())
        error = OSError(errno.EMFILE, "Too many open files")
        for now in (1000.0, 1000.5, 1059.0, 1061.0):
            loop.now = now
            loop.call_exception_handler({"message": "accept", "exception": error})
        assert caplog.text.count("Too many open files") == 2
        assert "Traceback" not in caplog.text
        loop.call_exception_handler({"message": "a bug", "exception": ValueError("x")})
        assert "a bug" in caplog.text
    finally:
        loop.close()
