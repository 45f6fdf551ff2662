"""The session timer: a call whose other end is gone ends all the same (RFC 4028).

Rules (section 9, the peer has sent the request):
- A Session-Expires below our minimum is refused with 422 and Min-SE, if the peer knows timers;
  else it is raised to the minimum.
- The interval is the peer's. Who refreshes is who it says, else the peer if it knows timers, else
  we. Nobody asks for a timer: there is none.
- A later request without Session-Expires keeps the timer: who refreshes is then the peer, if it
  knows timers and did before, else we.
Rules (sections 7 and 10):
- We refresh after half the interval by UPDATE, where the peer allows it, else by re-INVITE; a
  422 raises the interval, 408 and 481 end the call, and anything else leaves it to its end.
- Without a refresh the call ends with a BYE: as long before the end as section 10 says, which is a
  third of the interval, at most 32 seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from sipmail.errors import ProtocolError
from sipmail.sip.alarms import Alarm
from sipmail.sip.context import Context
from sipmail.sip.extensions import supports
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, Response
from sipmail.sip.parameters import Parameters

_SECONDS = re.compile(r"[ \t]*([0-9]{1,9})[ \t]*")
_MARGIN = 32.0
_TIMER = "timer"

Pairs = tuple[tuple[str, str], ...]


class IntervalTooSmall(ProtocolError):
    """A Session-Expires below `minimum` seconds."""

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum
        super().__init__(422, "Session interval too small")


class Refresher(Enum):
    """Who keeps the session alive."""

    US = "us"
    PEER = "peer"


class SessionTimer:
    """The timer of one call.

    `refresh` is called when it is time to refresh, `expired` when it is too late.
    """

    def __init__(
        self,
        context: Context,
        refresh: Callable[[float], None],
        expired: Callable[[float], None],
    ) -> None:
        self.interval: int | None = None
        self.refresher = Refresher.PEER
        self._context = context
        self._refresh = refresh
        self._expired = expired
        self._min_se = int(context.timers.min_se)
        self._alarms: tuple[Alarm, ...] = ()

    def negotiate(self, request: Request) -> Pairs:
        """The headers for the 2xx to an INVITE, re-INVITE or UPDATE of the peer.

        Raises IntervalTooSmall (422), and ProtocolError(400) for malformed headers.
        """
        headers = request.headers
        asked = parse_session_expires(headers)
        if asked is None and self.interval is None:
            return ()
        knows = supports(headers, _TIMER)
        minimum = max(self._min_se, _seconds(headers.get("Min-SE")) or 0)
        if asked is None:
            assert self.interval is not None  # asked above
            if not knows:
                self.refresher = Refresher.US
        else:
            interval, role = asked
            if interval < self._min_se and knows:
                raise IntervalTooSmall(self._min_se)
            self.interval = max(interval, minimum)
            if role is None:
                role = "uac" if knows else "uas"
            self.refresher = Refresher.PEER if role == "uac" else Refresher.US
        role = "uac" if self.refresher is Refresher.PEER else "uas"
        expires = ("Session-Expires", f"{self.interval};refresher={role}")
        return (expires, ("Require", _TIMER)) if knows else (expires,)

    def request_headers(self) -> Pairs:
        """The headers of our refresh."""
        pairs = [("Session-Expires", f"{self.interval};refresher=uac")]
        if self._min_se > 90:
            pairs.append(("Min-SE", str(self._min_se)))
        return tuple(pairs)

    def too_small(self, response: Response) -> bool:
        """Takes a 422; whether a longer interval is worth another try."""
        minimum = _seconds(response.headers.get("Min-SE"))
        if self.interval is None or minimum is None or minimum <= self.interval:
            return False
        self.interval = self._min_se = minimum
        return True

    def refreshed(self, response: Response, now: float) -> None:
        """Our refresh was taken: who refreshes next, and when, is in the response."""
        try:
            answered = parse_session_expires(response.headers)
        except ProtocolError:
            answered = None
        if answered is not None:
            interval, role = answered
            self.interval = max(interval, self._min_se)
            self.refresher = Refresher.PEER if role == "uas" else Refresher.US
        self.start(now)

    def start(self, now: float) -> None:
        """The interval begins again: a 2xx was sent or has come."""
        self.stop()
        interval = self.interval
        if interval is None:
            return
        end = now + interval - min(_MARGIN, interval / 3)
        alarms = [self._context.at(end, self._expired)]
        if self.refresher is Refresher.US:
            alarms.append(self._context.at(now + interval / 2, self._refresh))
        self._alarms = tuple(alarms)

    def retry(self, seconds: float, now: float) -> None:
        """Refreshes again after `seconds`, the end staying where it is."""
        self._alarms += (self._context.at(now + seconds, self._refresh),)

    def stop(self) -> None:
        """Neither refresh nor expiry from now on."""
        for alarm in self._alarms:
            alarm.cancel()
        self._alarms = ()


def parse_session_expires(headers: Headers) -> tuple[int, str | None] | None:
    """Seconds and refresher (`uac`, `uas` or None) of Session-Expires; ProtocolError(400)."""
    text = headers.get("Session-Expires")
    if text is None:
        return None
    found = _SECONDS.match(text)
    if found is None:
        raise ProtocolError(400, "Malformed Session-Expires")
    refresher = Parameters.parse(text, found.end()).get("refresher")
    role = refresher.lower() if refresher else None
    return int(found[1]), role if role in ("uac", "uas") else None


def _seconds(text: str | None) -> int | None:
    found = _SECONDS.match(text or "")
    return int(found[1]) if found else None
