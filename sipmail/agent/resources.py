"""What the system has to grant before many calls can be held at once: open files."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
from typing import Any

log = logging.getLogger(__name__)

# A call holds two sockets and its journal in the media worker, and its folder's lock here.
_FILES_PER_CALL = 3
_FILES_BESIDES = 128
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_TELL_SECONDS = 60.0


def calls_possible() -> tuple[int, int]:
    """The open files that the system grants, and the calls that they are enough for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20)
    return files, max((files - _FILES_BESIDES) // _FILES_PER_CALL, 0)


def raise_file_limit(calls: int) -> None:
    """Raises the limit of open files as far as the system lets; warns when `calls` need more.

    The children inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted, possible = calls_possible()
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if possible < calls:
        log.warning(
            "limits.calls is %d, but the system grants only %d open files, enough for %d calls: "
            "raise LimitNOFILE (systemd) or `ulimit -Hn`, or lower limits.calls",
            calls,
            wanted,
            possible,
        )


class ExhaustionLog:
    """An event loop's exception handler: that no files are left to accept a connection with is a
    line a minute, not a traceback for each try. The loop tries again by itself."""

    def __init__(self) -> None:
        self._told: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in _EXHAUSTED:
            loop.default_exception_handler(context)
            return
        if self._told is None or loop.time() - self._told >= _TELL_SECONDS:
            self._told = loop.time()
            log.error(
                "no connection can be accepted at this moment: %s (see LimitNOFILE of systemd, or "
                "`ulimit -Hn`)",
                error.strerror,
            )
