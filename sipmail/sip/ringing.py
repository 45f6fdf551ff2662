"""Ringing: what an INVITE hears before its final response, and for how long (RFC 3261 13.3.1.1).

Rules: 180 is repeated every minute, reliably where the peer requires it (RFC 3262; the first one
then would have to make the offer where the INVITE had none, so there is none). The application may
take until the INVITE expires to answer (13.3.1 step 1), and no longer than `Timers.response`.
"""

from __future__ import annotations

from collections.abc import Callable

from sipmail.errors import ProtocolError
from sipmail.sip.alarms import Alarm
from sipmail.sip.context import Context
from sipmail.sip.message import Request, response_to
from sipmail.sip.reliable import ReliableProvisional
from sipmail.sip.server_transaction import InviteServerTransaction

Pairs = tuple[tuple[str, str], ...]

_REPEAT_SECONDS = 60.0


class Ringing:
    """That of one INVITE; its provisional responses carry `headers` and our tag `to_tag`.

    `too_long` is called when the application has not answered in time, `not_acknowledged` when the
    peer has no PRACK for a response that it wanted reliably.
    """

    __slots__ = ("_context", "_headers", "_invite", "_patience", "_reliable", "_repetition", "_tag")

    def __init__(
        self,
        context: Context,
        invite: InviteServerTransaction,
        to_tag: str,
        headers: Pairs,
        too_long: Callable[[float], None],
        not_acknowledged: Callable[[float], None],
        now: float,
    ) -> None:
        self._context = context
        self._invite = invite
        self._tag = to_tag
        self._headers = headers
        self._reliable: ReliableProvisional | None = None
        if "100rel" in (tag.lower() for tag in invite.request.headers.values("Require")):
            self._reliable = ReliableProvisional(context, invite, not_acknowledged)
        self._repetition: Alarm | None = None
        self._patience = context.at(now + self._longest(invite.request), too_long)

    def ring(self, now: float, *, offered: bool) -> None:
        """Says 180, and again every minute; `offered` says whether the INVITE had an offer."""
        if self._repetition is not None:
            self._repetition.cancel()
        self._repetition = self._context.at(
            now + _REPEAT_SECONDS, lambda now: self.ring(now, offered=offered)
        )
        request, headers = self._invite.request, self._headers
        if self._reliable is None:
            self._invite.respond(response_to(request, 180, headers=headers, to_tag=self._tag), now)
        elif offered and not self._reliable.waiting:
            number = str(self._reliable.next_number())
            headers = (*headers, ("Require", "100rel"), ("RSeq", number))
            response = response_to(request, 180, headers=headers, to_tag=self._tag)
            self._reliable.send(response, now)

    def acknowledge(self, prack: Request) -> None:
        """Takes a PRACK; raises ProtocolError(481) where it is for nothing that was sent."""
        if self._reliable is None:
            raise ProtocolError(481, "No such provisional response")
        self._reliable.acknowledge(prack)

    def stop(self) -> None:
        """The final response is there."""
        self._patience.cancel()
        if self._repetition is not None:
            self._repetition.cancel()
        if self._reliable is not None:
            self._reliable.stop()

    def _longest(self, request: Request) -> float:
        text = request.headers.get("Expires") or ""
        seconds = self._context.timers.response
        return min(seconds, float(text)) if text.isascii() and text.isdigit() else seconds
