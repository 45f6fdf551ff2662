"""Transfer: our REFER, which asks the peer to call somebody else (RFC 3515, RFC 5589 section 6).

    ASKED --2xx, NOTIFY--> WAITING --NOTIFY 2xx--> DONE
      |                       |
      +-----------------------+--a final status from 300 on, no time--> FAILED

Rules:
- REFER makes a subscription to the event `refer`. Its NOTIFYs carry, as message/sipfrag, the status
  that the referred call has: 1xx says nothing yet, anything else is the result (RFC 3515 2.4.5).
- A NOTIFY may overtake the answer to the REFER (RFC 6665 section 4.4.1): it stands for a 2xx.
- One with the `id` of another REFER is about that one (RFC 3515 section 2.4.6).
- A subscription that ends with 1xx only says that no more will be said (RFC 3515 section 2.4.5):
  the transfer goes on. One that ends without a status has failed.
- After `Timers.transfer` it counts as failed. Should whoever was asked for answer later, it is done
  all the same: they have the caller then.
- A peer that took the REFER and says BYE before any result has handed the caller over, or the
  caller has given up. A result decides that which comes within `Timers.last_news`, for the
  subscription outlives the call (RFC 5057), or the BYE's Reason (RFC 3326). Else it was
  handed over where the BYE came at once and no telephone rang before, as from systems that follow a
  REFER and report nothing; later it may have been either, and nobody is to miss a caller.
- 481 to the REFER says that the call is gone (RFC 3261 section 12.2.1.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from sipmail.sip.actions import Hop
from sipmail.sip.alarms import Alarm
from sipmail.sip.context import Context
from sipmail.sip.dialog import uri_at
from sipmail.sip.dialog_request import DialogRequest, Finished
from sipmail.sip.message import Request, Response
from sipmail.sip.reason import completed_elsewhere, reasons
from sipmail.sip.uri import SipUri

Pairs = tuple[tuple[str, str], ...]
Ask = Callable[[str, Pairs, bytes, Finished, float], DialogRequest]
"""Sends a request in the dialog: method, headers, body, who hears of its end, now."""

_STATUS = re.compile(rb"\s*SIP/2\.0[ \t]+([1-6][0-9]{2})(?:[ \t]+([^\r\n]*))?", re.IGNORECASE)
_ID = re.compile(r";\s*id\s*=\s*([^;\s]+)", re.IGNORECASE)
_LONGEST_REASON = 100
_TRANSFERS = ("BLIND_TRANSFER", "ATTENDED_TRANSFER")
"""What FreeSWITCH writes in the Reason of its BYE."""


class TransferState(Enum):
    """Where a transfer stands."""

    ASKED = "asked"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


class Transfer:
    """One transfer to the URI `to`.

    `done` is called when whoever was asked for has answered, `failed` with the status that says why
    not (None where nothing did) and its reason, `lost` where the call itself is gone. `failed`
    comes at most once, and `done` may follow it.
    """

    def __init__(
        self,
        context: Context,
        to: str,
        referred_by: str,
        ask: Ask,
        done: Callable[[float], None],
        failed: Callable[[int | None, str], None],
        lost: Callable[[str, float], None],
        now: float,
    ) -> None:
        self.state = TransferState.ASKED
        self._timers = context.timers
        self._at = context.at
        self._taken = now
        self._rings = False
        self._done = done
        self._failed = failed
        self._lost = lost
        self._end: Alarm = context.at(now + context.timers.transfer, self._out_of_time)
        headers = (("Refer-To", f"<{to}>"), ("Referred-By", referred_by))
        self._request = ask("REFER", headers, b"", self._answered, now)

    @property
    def under_way(self) -> bool:
        """Whether its result is still to come."""
        return self.state in (TransferState.ASKED, TransferState.WAITING)

    def notified(self, notify: Request, now: float) -> None:
        """Takes a NOTIFY of the dialog; one that is about something else changes nothing."""
        event = notify.headers.get("Event") or ""
        if event.partition(";")[0].strip().lower() != "refer" or self.state is TransferState.DONE:
            return
        number = _ID.search(event)
        if number is not None and number[1] != str(self._request.number):
            return
        status, reason = _fragment(notify)
        self._accept(now)
        if 200 <= status < 300:
            self._stop(TransferState.DONE)
            self._done(now)
        elif status >= 300:
            self._fail(status, reason)
        elif status == 0:
            if _is_over(notify):
                self._fail(None, "nobody says what became of it")
        else:
            self._rings = self._rings or status > 100

    def left(self, bye: Request, decided: Callable[[bool], None], now: float) -> None:
        """The peer has said BYE: `decided` is called, now or later, with whether somebody else has
        the caller. What else is told here then counts for that alone."""
        if self.state is not TransferState.WAITING:
            decided(False)
        elif _says_handed_over(bye):
            decided(True)
        else:
            likely = not self._rings and now - self._taken <= self._timers.handover
            self._end.cancel()
            self._end = self._at(now + self._timers.last_news, lambda _: decided(likely))
            self._done = lambda _: decided(True)
            self._failed = lambda *_: decided(False)

    def drop(self) -> None:
        """The call is ending."""
        self._stop(self.state)

    def _answered(self, response: Response | None, now: float) -> None:
        if not self.under_way:
            return
        if response is None:
            self._fail(None, "REFER was not answered")
        elif response.status == 481:
            self._lost("the peer knows no such call any more", now)
        elif response.status >= 300:
            self._fail(response.status, response.reason)
        else:
            self._accept(now)

    def _accept(self, now: float) -> None:
        if self.state is TransferState.ASKED:
            self.state = TransferState.WAITING
            self._taken = now

    def _out_of_time(self, now: float) -> None:
        self._fail(None, "nobody answered in time")

    def _fail(self, status: int | None, reason: str) -> None:
        if self.under_way:
            self._stop(TransferState.FAILED)
            self._failed(status, reason)

    def _stop(self, state: TransferState) -> None:
        self.state = state
        self._end.cancel()
        self._request.drop()


def target_of(to: str, registrar: str | None, source: Hop) -> str:
    """The URI for Refer-To: `to` itself where it is one, else that user at the trunk.

    That is the registrar where the trunk has one, else the address that the call came from.
    """
    if to.lower().startswith(("sip:", "sips:")):
        return to
    user = to.replace("#", "%23")  # the one sign of a keypad that a user may not have as it is
    if registrar is not None:
        home = SipUri.parse(registrar)
        return str(replace(home, user=user))
    return uri_at(user, source)


def _fragment(notify: Request) -> tuple[int, str]:
    """The status line in the body, (0, "") where there is none that can be read."""
    line = _STATUS.match(notify.body)
    if line is None:
        return 0, ""
    reason = (line[2] or b"").decode("utf-8", "replace").strip()
    return int(line[1]), "".join(c for c in reason if c.isprintable())[:_LONGEST_REASON]


def _says_handed_over(bye: Request) -> bool:
    return completed_elsewhere(bye.headers) or any(
        one.text in _TRANSFERS for one in reasons(bye.headers)
    )


def _is_over(notify: Request) -> bool:
    state = notify.headers.get("Subscription-State") or ""
    return state.partition(";")[0].strip().lower() == "terminated"
