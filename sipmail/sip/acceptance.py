"""Acceptance: a 2xx to an INVITE, repeated until its ACK comes (RFC 3261 section 13.3.1.4).

It belongs to the dialog and not to the transaction, because the ACK is a request of its own. It is
repeated over TCP and TLS too: a proxy on the way may go on over UDP. T1 after the first time,
then after twice as long, at most T2; after 64*T1 it is given up, and the dialog is to end with a
BYE.
"""

from __future__ import annotations

from collections.abc import Callable

from sipmail.sip.alarms import Alarm
from sipmail.sip.context import Context
from sipmail.sip.message import Response
from sipmail.sip.server_transaction import InviteServerTransaction


class Acceptance:
    """One 2xx on its way; `number` is the CSeq number of its INVITE and its ACK."""

    def __init__(
        self,
        context: Context,
        transaction: InviteServerTransaction,
        response: Response,
        unacknowledged: Callable[[float], None],
        now: float,
    ) -> None:
        self.number = transaction.request.cseq.number
        self._context = context
        self._transaction = transaction
        self._unacknowledged = unacknowledged
        self._interval = context.timers.t1
        transaction.respond(response, now)
        self._repetition: Alarm | None = context.at(now + self._interval, self._repeat)
        self._timeout: Alarm | None = context.at(now + context.timers.transaction, self._give_up)

    def acknowledge(self) -> bool:
        """The ACK came; False where it came before."""
        first = not self._transaction.acknowledged
        self.stop()
        return first

    def stop(self) -> None:
        """Repeats no more: the ACK came, or the dialog is over."""
        self._transaction.acknowledged = True
        for alarm in (self._repetition, self._timeout):
            if alarm is not None:
                alarm.cancel()
        self._repetition = self._timeout = None

    def _repeat(self, now: float) -> None:
        self._transaction.repeat()
        self._interval = min(2 * self._interval, self._context.timers.t2)
        self._repetition = self._context.at(now + self._interval, self._repeat)

    def _give_up(self, now: float) -> None:
        self.stop()
        self._unacknowledged(now)
