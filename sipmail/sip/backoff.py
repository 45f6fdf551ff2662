"""How long to wait after failed registrations (RFC 5626 section 4.5).

Twice as long after each failure in a row, up to a longest pause, and each time a random part of
the second half less, so that the clients of a registrar that comes back don't all come at once.
"""

from __future__ import annotations

from collections.abc import Callable

from sipmail.sip.timers import Timers

_LONG_ENOUGH = 32


def backoff(failures: int, timers: Timers, jitter: Callable[[], float]) -> float:
    """Seconds to wait after `failures` in a row; `jitter` gives numbers from 0 up to 1."""
    upper = min(timers.backoff_max, timers.backoff * 2.0 ** min(failures, _LONG_ENOUGH))
    return upper * (0.5 + 0.5 * jitter())
