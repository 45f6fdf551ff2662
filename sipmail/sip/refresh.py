"""Our session refresh: an UPDATE without a body, or a re-INVITE (RFC 4028 section 7.4, RFC 3311).

Rules: UPDATE where the peer's Allow names it, since it touches nothing else; where it is refused
as a method (405, 501), re-INVITE with what holds already. No INVITE of ours while another one is
under way (RFC 3261 section 14.1). 422: again, with the longer interval. 491: again after 0 to
2 s, since the Call-ID is the peer's (14.1). 408, 481 and no response at all end the call
(12.2.1.2). Others leave the session as it is, and it is tried again before its end.
"""

from __future__ import annotations

from collections.abc import Callable

from sipmail.errors import ProtocolError
from sipmail.sip.dialog_request import DialogRequest, Finished
from sipmail.sip.headers import Headers
from sipmail.sip.message import Response
from sipmail.sip.negotiation import NotAcceptable
from sipmail.sip.session import SDP, Session, description
from sipmail.sip.session_timer import SessionTimer

Pairs = tuple[tuple[str, str], ...]
Ask = Callable[[str, Pairs, bytes, Finished, float], DialogRequest]
"""Sends a request in the dialog: method, headers, body, who hears of its end, now."""

_BUSY_SECONDS = 1.0
_GLARE_SECONDS = 2.0
_AGAIN = 1 / 8
"""Of the interval: when to try again after a refresh that was refused."""


class SessionRefresh:
    """Refreshes one session when its timer says so."""

    def __init__(
        self,
        timer: SessionTimer,
        session: Session,
        ask: Ask,
        lost: Callable[[str, float], None],
        changed: Callable[[], None],
        jitter: Callable[[], float],
    ) -> None:
        self.by_update = False
        """Whether the peer allows UPDATE."""
        self._timer = timer
        self._session = session
        self._ask = ask
        self._lost = lost
        self._changed = changed
        self._jitter = jitter
        self._request: DialogRequest | None = None

    @property
    def inviting(self) -> bool:
        """Whether a re-INVITE of ours is under way."""
        return self._request is not None and self._request.method == "INVITE"

    def note_allowed(self, headers: Headers) -> None:
        """Takes what the peer says that it allows."""
        if "Allow" in headers:
            self.by_update = "UPDATE" in headers.values("Allow")

    def start(self, now: float, *, invite_under_way: bool) -> None:
        """Refreshes now, or in a second where an INVITE of the peer is under way."""
        if self._request is not None:
            return
        if invite_under_way or self._session.pending:
            self._timer.retry(_BUSY_SECONDS, now)
            return
        headers = self._timer.request_headers()
        if self.by_update:
            self._request = self._ask("UPDATE", headers, b"", self._finished, now)
        else:
            headers = (*headers, ("Content-Type", SDP))
            self._request = self._ask(
                "INVITE", headers, self._session.reoffer(), self._finished, now
            )

    def drop(self) -> None:
        """The call is ending."""
        if self._request is not None:
            self._request.drop()
            self._request = None

    def _finished(self, response: Response | None, now: float) -> None:
        invited = self.inviting
        self._request = None
        if response is None or response.status in (408, 481):
            self._lost("the session could not be refreshed", now)
        elif response.status < 300:
            self._refreshed(response, invited, now)
        else:
            self._session.forget_offer()
            self._refused(response, invited, now)

    def _refreshed(self, response: Response, invited: bool, now: float) -> None:
        if invited:
            try:
                self._accept(response)
            except ProtocolError as error:
                self._lost(f"unusable answer to a re-INVITE: {error.text}", now)
                return
        self._timer.refreshed(response, now)

    def _accept(self, response: Response) -> None:
        answer = description(response)
        if answer is None:
            raise NotAcceptable(304, "No answer")
        self._session.accept(answer)
        self._changed()

    def _refused(self, response: Response, invited: bool, now: float) -> None:
        interval = self._timer.interval or 0
        if response.status == 422 and self._timer.too_small(response):
            self.start(now, invite_under_way=False)
        elif response.status in (405, 501) and not invited:
            self.by_update = False
            self.start(now, invite_under_way=False)
        elif response.status == 491:
            self._timer.retry(self._jitter() * _GLARE_SECONDS, now)
        else:
            self._timer.retry(interval * _AGAIN, now)
