"""What the system has to grant before many calls can be held at once: open files."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)

# A call holds two sockets and its journal in the media worker, and its folder's lock here.
_FILES_PER_CALL = 3
_FILES_BESIDES = 128


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
