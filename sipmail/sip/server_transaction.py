"""Server transactions: a request, its responses, and their repetition.

INVITE (RFC 3261 section 17.2.1 as changed by RFC 6026):

    PROCEEDING --300-699--> COMPLETED --ACK--> CONFIRMED --timer I--> TERMINATED
        |                   timer G: the response again (not over TCP, TLS)
        |                   timer H: no ACK came --> TERMINATED
        +------2xx--------> ACCEPTED --timer L--> TERMINATED

Others (section 17.2.2): TRYING, PROCEEDING, COMPLETED --timer J--> TERMINATED.

Rules: a repeated request gets the last response again. In ACCEPTED the 2xx belongs to the dialog,
which repeats it until the ACK (`Acceptance`); until then a repeated INVITE gets it at once too,
later ones are absorbed, as is every INVITE without a response. ACKs to a 2xx are not for here.
Responses go where section 18.2.2 and RFC 3581 section 4 say: over the connection that the request
came on, over UDP to the address it came from, at its source port with `rport`, else at the port
of its Via; a `maddr` that is an address is heeded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from enum import Enum

from sipmail.sip.actions import Hop
from sipmail.sip.alarms import Alarm
from sipmail.sip.context import Context
from sipmail.sip.message import Request, Response
from sipmail.sip.via import Via

_DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


class ServerState(Enum):
    """Where a server transaction stands."""

    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


def response_hop(via: Via, source: Hop) -> Hop:
    """Where responses to a request with this topmost Via go to that came from `source`."""
    if source.transport != "udp":
        return source
    maddr = via.params.get("maddr")
    if maddr is not None and _is_address(maddr):
        return Hop("udp", maddr.strip("[]"), via.port or 5060)
    return Hop("udp", source.host, source.port if via.wants_rport else via.port or 5060)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


class ServerTransaction:
    """What both kinds have in common. `ended` is called once, when it may be forgotten."""

    def __init__(
        self, context: Context, request: Request, source: Hop, ended: Callable[[], None]
    ) -> None:
        self.request = request
        self.hop = response_hop(request.via, source)
        self.state = ServerState.TRYING
        self._context = context
        self._ended = ended
        self._last: bytes | None = None

    @property
    def reliable(self) -> bool:
        """Whether the transport repeats by itself."""
        return self.hop.transport != "udp"

    @property
    def answered(self) -> bool:
        """Whether a final response was given."""
        return self.state not in (ServerState.TRYING, ServerState.PROCEEDING)

    def respond(self, response: Response, now: float) -> None:
        """Sends a response; a second final one is discarded (17.2.2)."""
        raise NotImplementedError

    def repeat(self) -> None:
        """The request came again: the last response goes out again."""
        if self._last is not None:
            self._context.send(self._last, self.hop)

    def transport_failed(self) -> None:
        """The connection is gone: the last response goes to the address in the Via (18.2.2)."""
        via = self.request.via
        port = via.port or _DEFAULT_PORTS[self.hop.transport]
        fallback = Hop(self.hop.transport, via.received or via.host, port)
        if fallback != self.hop and self.state is not ServerState.TERMINATED:
            self.hop = fallback
            self.repeat()

    def _send(self, response: Response) -> None:
        self._last = bytes(response)
        self._context.send(self._last, self.hop)

    def _terminate(self, now: float) -> None:
        if self.state is not ServerState.TERMINATED:
            self.state = ServerState.TERMINATED
            self._ended()


class NonInviteServerTransaction(ServerTransaction):
    """A request other than INVITE and ACK."""

    def respond(self, response: Response, now: float) -> None:
        if self.answered:
            return
        self._send(response)
        if response.status < 200:
            self.state = ServerState.PROCEEDING
            return
        self.state = ServerState.COMPLETED
        if self.reliable:
            self._terminate(now)
        else:
            self._context.at(now + self._context.timers.transaction, self._terminate)  # J


class InviteServerTransaction(ServerTransaction):
    """An INVITE."""

    def __init__(
        self, context: Context, request: Request, source: Hop, ended: Callable[[], None]
    ) -> None:
        super().__init__(context, request, source, ended)
        self.state = ServerState.PROCEEDING
        self.acknowledged = False
        self._interval = 0.0
        self._repetition: Alarm | None = None
        self._timeout: Alarm | None = None

    def respond(self, response: Response, now: float) -> None:
        if self.answered:
            return
        self._send(response)
        if response.status < 200:
            return
        timers = self._context.timers
        self._timeout = self._context.at(now + timers.transaction, self._terminate)  # H and L
        if response.status < 300:
            self.state = ServerState.ACCEPTED
            return
        self.state = ServerState.COMPLETED
        if not self.reliable:
            self._interval = timers.t1
            self._repetition = self._context.at(now + self._interval, self._respond_again)  # G

    def repeat(self) -> None:
        if self.state is ServerState.CONFIRMED or self.acknowledged:
            return
        super().repeat()

    def acknowledge(self, now: float) -> bool:
        """Takes an ACK; False where it isn't for a response of this transaction (2xx)."""
        if self.state not in (ServerState.COMPLETED, ServerState.CONFIRMED):
            return False
        if self.state is ServerState.COMPLETED:
            self.state = ServerState.CONFIRMED
            self._stop()
            if self.reliable:
                self._terminate(now)
            else:
                self._context.at(now + self._context.timers.t4, self._terminate)  # I
        return True

    def _respond_again(self, now: float) -> None:
        self.repeat()
        self._interval = min(2 * self._interval, self._context.timers.t2)
        self._repetition = self._context.at(now + self._interval, self._respond_again)

    def _stop(self) -> None:
        for alarm in (self._repetition, self._timeout):
            if alarm is not None:
                alarm.cancel()

    def _terminate(self, now: float) -> None:
        self._stop()
        super()._terminate(now)
