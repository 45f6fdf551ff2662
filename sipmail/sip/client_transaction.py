"""Client transactions: a request of ours, repeated until its answer comes or time is over.

INVITE (RFC 3261 section 17.1.1 as changed by RFC 6026), which we send inside dialogs only:

    CALLING --1xx--> PROCEEDING --300-699--> COMPLETED (ACK sent) --timer D--> TERMINATED
       |                 +---------2xx-----> ACCEPTED --timer M--> TERMINATED
       timer A: again; timer B: nobody answered --> TERMINATED

Others (section 17.1.2):

    TRYING --1xx--> PROCEEDING --200-699--> COMPLETED --timer K--> TERMINATED
       timer E: again; timer F: nobody answered --> TERMINATED

Rules: a request goes to one hop; trying the next is for whoever sent it (RFC 3263 section 4.3).
Over TCP and TLS nothing is repeated. The ACK to a 300-699 belongs to the transaction (17.1.1.3),
the ACK to a 2xx to the dialog, which is told of every 2xx that comes. Timeouts and transport
errors are told by `failed` (8.1.3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from sipmail.sip.actions import Hop
from sipmail.sip.alarms import Alarm
from sipmail.sip.context import Context
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, Response


class ClientState(Enum):
    """Where a client transaction stands."""

    TRYING = "trying"
    CALLING = "calling"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Failure(Enum):
    """Why there is no response; the value is the status that it counts as (8.1.3.1)."""

    TIMEOUT = 408
    TRANSPORT = 503


Responded = Callable[[Response, float], None]
Failed = Callable[[Failure, float], None]


class ClientTransaction:
    """What both kinds have in common; `request` has its Via.

    `responded` gets provisional and final responses, `failed` is called instead of a final one.
    """

    def __init__(
        self,
        context: Context,
        request: Request,
        hop: Hop,
        responded: Responded,
        failed: Failed,
        ended: Callable[[], None],
        now: float,
    ) -> None:
        self.request = request
        self.hop = hop
        self.state = ClientState.TRYING
        self._context = context
        self._responded = responded
        self._failed = failed
        self._ended = ended
        self._interval = context.timers.t1
        self._repetition: Alarm | None = None
        context.send(request, hop)
        if not self.reliable:
            self._repetition = context.at(now + self._interval, self._repeat)
        self._end = context.at(now + context.timers.transaction, self._timed_out)

    @property
    def reliable(self) -> bool:
        """Whether the transport repeats by itself."""
        return self.hop.transport != "udp"

    def receive(self, response: Response, now: float) -> None:
        """Takes a response that belongs to this transaction."""
        raise NotImplementedError

    def transport_failed(self, now: float) -> None:
        """The hop can't be reached, or its connection broke."""
        if self.state in (ClientState.TRYING, ClientState.CALLING, ClientState.PROCEEDING):
            self._fail(Failure.TRANSPORT, now)

    def drop(self) -> None:
        """Nobody is interested any more: nothing is repeated or told from now on."""
        self._stop()
        if self.state is not ClientState.TERMINATED:
            self.state = ClientState.TERMINATED
            self._ended()

    def _repeat(self, now: float) -> None:
        raise NotImplementedError

    def _timed_out(self, now: float) -> None:
        self._fail(Failure.TIMEOUT, now)

    def _fail(self, failure: Failure, now: float) -> None:
        self.drop()
        self._failed(failure, now)

    def _linger(self, state: ClientState, seconds: float, now: float) -> None:
        """Waits in `state` for repetitions of the response."""
        self._stop()
        self.state = state
        if seconds > 0:
            self._end = self._context.at(now + seconds, lambda _: self.drop())
        else:
            self.drop()

    def _stop(self) -> None:
        if self._repetition is not None:
            self._repetition.cancel()
        self._end.cancel()


class NonInviteClientTransaction(ClientTransaction):
    """A request other than INVITE and ACK."""

    def receive(self, response: Response, now: float) -> None:
        if self.state not in (ClientState.TRYING, ClientState.PROCEEDING):
            return
        if response.status < 200:
            self.state = ClientState.PROCEEDING
        else:
            self._linger(
                ClientState.COMPLETED, 0 if self.reliable else self._context.timers.t4, now
            )  # K
        self._responded(response, now)

    def _repeat(self, now: float) -> None:
        self._context.send(self.request, self.hop)
        t2 = self._context.timers.t2
        proceeding = self.state is ClientState.PROCEEDING
        self._interval = t2 if proceeding else min(2 * self._interval, t2)
        self._repetition = self._context.at(now + self._interval, self._repeat)  # E


class InviteClientTransaction(ClientTransaction):
    """An INVITE; `responded` is called for every 2xx, repeated ones too."""

    def __init__(
        self,
        context: Context,
        request: Request,
        hop: Hop,
        responded: Responded,
        failed: Failed,
        ended: Callable[[], None],
        now: float,
    ) -> None:
        super().__init__(context, request, hop, responded, failed, ended, now)
        self.state = ClientState.CALLING

    def receive(self, response: Response, now: float) -> None:
        if self.state in (ClientState.CALLING, ClientState.PROCEEDING):
            timers = self._context.timers
            if response.status < 200:
                self.state = ClientState.PROCEEDING
                self._stop()
            elif response.status < 300:
                self._linger(ClientState.ACCEPTED, timers.transaction, now)  # M
            else:
                self._acknowledge(response)
                linger = 0 if self.reliable else max(32.0, timers.transaction)
                self._linger(ClientState.COMPLETED, linger, now)  # D
            self._responded(response, now)
        elif self.state is ClientState.ACCEPTED and 200 <= response.status < 300:
            self._responded(response, now)
        elif self.state is ClientState.COMPLETED and response.status >= 300:
            self._acknowledge(response)

    def _repeat(self, now: float) -> None:
        self._context.send(self.request, self.hop)
        self._interval *= 2
        self._repetition = self._context.at(now + self._interval, self._repeat)  # A

    def _acknowledge(self, response: Response) -> None:
        """The ACK to a response other than 2xx (17.1.1.3)."""
        sent = self.request.headers
        pairs = [("Via", sent.all("Via")[0])]
        pairs += [("Route", route) for route in sent.all("Route")]
        pairs += [
            ("Max-Forwards", "70"),
            ("From", sent.get("From") or ""),
            ("To", response.headers.get("To") or ""),
            ("Call-ID", sent.get("Call-ID") or ""),
            ("CSeq", f"{self.request.cseq.number} ACK"),
        ]
        self._context.send(Request("ACK", self.request.uri, Headers(pairs)), self.hop)
