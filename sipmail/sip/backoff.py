"""How long to wait after failed registrations (RFC 5626 section 4.5).

Twice as long after each failure in a row, up to a longest pause, and each time a random part of
the second half less, so that the clients of a registrar that comes back don't all come at once.
A registrar that did not answer at all most likely restarts, and until we are back no call reaches
us: the first tries follow quickly. One that refuses is left in peace: what guards it against
guessed passwords would shut us out.
"""

from __future__ import annotations

from collections.abc import Callable

from sipmail.sip.timers import Timers

_LONG_ENOUGH = 32


def backoff(
    failures: int, timers: Timers, jitter: Callable[[], float], *, answered: bool = True
) -> float:
    """Seconds to wait after `failures` in a row; `jitter` gives numbers from 0 up to 1."""
    base = timers.backoff if answered else timers.backoff_silent
    upper = min(timers.backoff_max, base * 2.0 ** min(failures, _LONG_ENOUGH))
    return upper * (0.5 + 0.5 * jitter())
