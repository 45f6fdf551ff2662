"""Reliable provisional responses and their PRACK (RFC 3262), used only when the peer requires it.

Rules: RSeq begins anywhere below 2**31 and counts on; a response is repeated after T1, then after
twice as long each time, until its PRACK; after 64*T1 the INVITE is refused with a 5xx (section 3).
The next one waits for the PRACK of the one before. Ours carry no session description, so the 2xx
need not wait; a provisional response that is overtaken by it is repeated no more, its PRACK still
gets its 200.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sipmail.errors import ProtocolError
from sipmail.sip.alarms import Alarm
from sipmail.sip.context import Context
from sipmail.sip.message import Request, Response
from sipmail.sip.server_transaction import InviteServerTransaction

_RACK = re.compile(r"[ \t]*([0-9]{1,10})[ \t]+([0-9]{1,10})[ \t]+([^ \t]+)[ \t]*")


class ReliableProvisional:
    """The provisional responses to one INVITE that must be acknowledged."""

    def __init__(
        self,
        context: Context,
        transaction: InviteServerTransaction,
        unacknowledged: Callable[[float], None],
    ) -> None:
        self._context = context
        self._transaction = transaction
        self._unacknowledged = unacknowledged
        self._number = 1 + int(context.jitter() * (2**31 - 2**16))
        self._acknowledged = True
        self._sent = False
        self._interval = 0.0
        self._repetition: Alarm | None = None
        self._timeout: Alarm | None = None

    @property
    def waiting(self) -> bool:
        """Whether a PRACK is still to come."""
        return not self._acknowledged

    def next_number(self) -> int:
        """The RSeq of the next response."""
        if self._sent:
            self._number += 1
        self._sent = True
        return self._number

    def send(self, response: Response, now: float) -> None:
        """Sends the response that has the RSeq of `next_number`."""
        timers = self._context.timers
        self._acknowledged = False
        self._interval = timers.t1
        self._transaction.respond(response, now)
        self._repetition = self._context.at(now + self._interval, self._repeat)
        self._timeout = self._context.at(now + timers.transaction, self._give_up)

    def acknowledge(self, prack: Request) -> None:
        """Takes a PRACK; raises ProtocolError(481) where it is for nothing that was sent."""
        found = _RACK.fullmatch(prack.headers.get("RAck") or "")
        if found is None:
            raise ProtocolError(400, "Malformed RAck")
        number, cseq, method = int(found[1]), int(found[2]), found[3]
        if (
            not self._sent
            or number != self._number
            or cseq != self._transaction.request.cseq.number
            or method != "INVITE"
            or self._acknowledged
        ):
            raise ProtocolError(481, "No such provisional response")
        self._acknowledged = True
        self.stop()

    def stop(self) -> None:
        """Repeats no more."""
        for alarm in (self._repetition, self._timeout):
            if alarm is not None:
                alarm.cancel()

    def _repeat(self, now: float) -> None:
        self._transaction.repeat()
        self._interval *= 2
        self._repetition = self._context.at(now + self._interval, self._repeat)

    def _give_up(self, now: float) -> None:
        self.stop()
        self._unacknowledged(now)
