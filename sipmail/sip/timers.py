"""The timers of SIP as one immutable value, so that a test or a slow link can have its own.

RFC 3261 table 4 (T1, T2, T4 and what follows from them), RFC 6026 (timer L), RFC 4028 (session
intervals), RFC 5626 section 4.5 (how long to wait after a failed registration). All in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timers:
    """T1 is the estimated round trip, T2 the longest pause between repetitions, T4 the longest
    life of a message in the network.

    `response` is how long the application may think about an INVITE; `min_se` is the shortest
    session interval that we take; `backoff` and `backoff_max` are the base time and the longest
    pause after failed registrations (RFC 5626 proposes half an hour for the latter, for which
    nobody wants to be without a mailbox after a PBX came back), `backoff_silent` is the base time
    where the registrar did not answer; `early_refresh` is how long before
    its end a registration is renewed, at most; `transfer` is how long we wait for whoever a call is
    transferred to, `handover` how soon after a REFER a BYE is hardly the caller's, and `last_news`
    how long after a BYE the result of the transfer may still come.
    """

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    response: float = 600.0
    min_se: float = 90.0
    backoff: float = 30.0
    backoff_silent: float = 1.0
    backoff_max: float = 300.0
    early_refresh: float = 30.0
    transfer: float = 60.0
    handover: float = 3.0
    last_news: float = 2.0

    @property
    def transaction(self) -> float:
        """64*T1: timers B, F, H, J, L, and the wait for an ACK to a 2xx."""
        return 64 * self.t1
