"""The endpoint: everything that sipmail is in SIP, as one machine without I/O.

The shell hands it what arrives and wakes it at `deadline`; each method returns the actions that
follow, in their order. Messages are matched to transactions, then to dialogs, then to trunks.

Rules:
- Keep-alives and what is no SIP (line breaks, STUN, zeros) get no answer over UDP; over TCP and
  TLS a double CRLF gets a CRLF (RFC 5626 section 3.5.1).
- A request within a dialog belongs to it wherever it comes from, any other only to a trunk
  whose address it comes from. Anyone else gets no answer at all, malformed or not: `Ignored`.
- Malformed requests of a trunk get the status that the parser names, those for dialogs and
  transactions that don't exist 481, an ACK never anything (RFC 3261 section 8.2).
- A CANCEL gets 200 where its INVITE is known, and what it stops gets 487 (9.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from sipmail.errors import ProtocolError
from sipmail.sip.actions import Action, Hop, Ignored, Way
from sipmail.sip.call import Call
from sipmail.sip.context import Context
from sipmail.sip.in_dialog import InDialog
from sipmail.sip.line import Line
from sipmail.sip.message import Request, Response, check, parse, received_from, response_to
from sipmail.sip.outside import Outside
from sipmail.sip.refusal import refusal
from sipmail.sip.registration import RegistrationPhase, RegistrationState
from sipmail.sip.server_transaction import response_hop
from sipmail.sip.session import LocalMedia
from sipmail.sip.sources import Sources
from sipmail.sip.timers import Timers
from sipmail.sip.transactions import TransactionLayer
from sipmail.sip.transfer import target_of
from sipmail.sip.trunk import Trunk

_PING = b"\r\n\r\n"
_PONG = b"\r\n"


class Endpoint:
    """A SIP user agent for `trunks`, which must have different names.

    `tokens` gives a new unguessable text of letters and digits each time, `jitter` numbers from 0
    up to 1. `now` is always in seconds of one clock that never goes back.
    """

    def __init__(
        self,
        trunks: Iterable[Trunk],
        *,
        tokens: Callable[[], str],
        jitter: Callable[[], float],
        timers: Timers | None = None,
        user_agent: str = "sipmail",
    ) -> None:
        self._context = Context(tokens, jitter, timers or Timers(), user_agent)
        self._layer = TransactionLayer(self._context)
        self._lines = {trunk.name: self._line(trunk) for trunk in trunks}
        self._sources = Sources(self._lines.values())
        self._calls: dict[str, Call] = {}
        self._dialogs: dict[tuple[str, str], InDialog] = {}
        self._callers: dict[tuple[str, str], Call] = {}
        self._outside = Outside(
            self._context, self._layer, self._find_call, self._adopt, self._forget
        )
        self._started = False
        self._leaving: dict[Line, Line | None] = {}
        """Lines that unregister, and what takes their place then."""

    # --- time and status ------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When `timer` is to be called next."""
        return self._context.alarms.deadline

    def timer(self, now: float) -> list[Action]:
        """Does what is due."""
        self._context.alarms.ring(now)
        return self._context.take()

    @property
    def calls(self) -> int:
        """Calls in progress, those too whose BYE has no answer yet."""
        return len(self._calls)

    @property
    def busy(self) -> bool:
        """Whether a call is in progress or the end of a registration has no answer yet."""
        return bool(self._calls or self._leaving) or any(
            state.phase is RegistrationPhase.UNREGISTERING for state in self.registrations.values()
        )

    @property
    def registrations(self) -> dict[str, RegistrationState]:
        """The trunks that register, by name."""
        return {
            name: line.registration.state
            for name, line in self._lines.items()
            if line.registration is not None
        }

    @property
    def machines(self) -> int:
        """Transactions and calls that are alive, for tests: nothing must stay behind."""
        return len(self._layer) + len(self._calls) + len(self._leaving)

    # --- trunks ---------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """Registers the trunks that have a registrar."""
        self._started = True
        for line in self._lines.values():
            if line.registration is not None:
                line.registration.start(now)
        return self._context.take()

    def resolved(self, trunk: str, ways: Sequence[Way], now: float) -> list[Action]:
        """The answer to `Resolve`: where to send to, best first. No ways: the look-up failed."""
        line = self._lines.get(trunk)
        if line is not None and line.registration is not None:
            line.registration.resolved(ways, now)
            self._sources.forget()
        return self._context.take()

    def reconfigure(self, trunks: Iterable[Trunk], now: float) -> list[Action]:
        """Takes over changed trunks: those that stay the same keep their registration.

        A registration that changes is given up before the new one begins, since many registrars
        grant an account only one. Calls go on.
        """
        before = self._lines
        self._lines = {}
        for trunk in trunks:
            line = before.pop(trunk.name, None)
            if line is not None and _same_registration(line.trunk, trunk):
                line.replace_trunk(trunk, now)
                self._lines[trunk.name] = line
                continue
            self._lines[trunk.name] = successor = self._line(trunk)
            if line is None or not self._leave(line, successor, now):
                self._start_line(successor, now)
        for line in before.values():
            self._leave(line, None, now)
        self._sources.replace(self._lines.values())
        return self._context.take()

    def unregister(self, now: float) -> list[Action]:
        """Gives up all registrations; each ends with `Unregistered`."""
        self._started = False
        for line in self._lines.values():
            if line.registration is not None:
                line.registration.unregister(now)
        return self._context.take()

    def refuse_new(self, status: int | None) -> None:
        """From now on new calls get this status (None: they are welcome again)."""
        self._outside.refuse_status = status

    def transport_failed(self, hop: Hop, now: float) -> list[Action]:
        """Nothing can be sent to `hop`, or the connection to it broke."""
        self._layer.transport_failed(hop, now)
        for line in self._lines.values():
            if line.registration is not None:
                line.registration.transport_failed(hop, now)
        return self._context.take()

    def reachable(self, trunk: str, now: float) -> list[Action]:
        """The network of a trunk is there again: it need not wait with its registration."""
        line = self._lines.get(trunk)
        if line is not None and line.registration is not None:
            line.registration.heard(now)
        return self._context.take()

    def trunks_at(self, host: str) -> tuple[str, ...]:
        """The names of the trunks that an address belongs to."""
        return tuple(line.trunk.name for line in self._sources.candidates(host))

    def learned_host(self, trunk: str, source: Hop) -> str | None:
        """Our address as the registrar of `trunk` saw it, for media of calls that it sends."""
        line = self._lines.get(trunk)
        registration = None if line is None else line.registration
        if registration is None or registration.address is None:
            return None
        return registration.address.host if source.host in registration.hosts else None

    def _line(self, trunk: Trunk) -> Line:
        return Line(self._context, self._layer, trunk, self._line_left)

    def _start_line(self, line: Line, now: float) -> None:
        if self._started and line.registration is not None:
            line.registration.start(now)

    def _leave(self, line: Line, successor: Line | None, now: float) -> bool:
        """Whether a registration is now on its way out; `successor` then waits for it."""
        registration = line.registration
        if registration is None or registration.phase is RegistrationPhase.IDLE:
            return False
        self._leaving[line] = successor
        registration.unregister(now)
        return True

    def _line_left(self, line: Line, now: float) -> None:
        successor = self._leaving.pop(line, None)
        if successor is not None and self._lines.get(successor.trunk.name) is successor:
            self._start_line(successor, now)

    # --- calls ----------------------------------------------------------------------------------

    def ring(self, call: str, now: float) -> list[Action]:
        """Lets the caller hear that it rings (180). An unknown or ended call is left alone, here
        and in what follows: the application may not have heard of its end yet."""
        if (found := self._calls.get(call)) is not None:
            found.ring(now)
        return self._context.take()

    def answer(self, call: str, local: LocalMedia, now: float) -> list[Action]:
        """Takes the call: 200 with our media. `Ended` follows at once where nothing is agreed."""
        if (found := self._calls.get(call)) is not None:
            found.answer(local, now)
        return self._context.take()

    def reject(
        self,
        call: str,
        status: int,
        now: float,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> list[Action]:
        """Refuses the call with a status from 300 on; one that is answered is hung up."""
        if (found := self._calls.get(call)) is not None:
            found.reject(status, now, reason, tuple(headers))
        return self._context.take()

    def hang_up(self, call: str, now: float, reason_header: str | None = None) -> list[Action]:
        """Ends the call: BYE once the ACK is there, 480 before the answer."""
        if (found := self._calls.get(call)) is not None:
            found.hang_up(now, reason_header)
        return self._context.take()

    def transfer(self, call: str, to: str, now: float) -> list[Action]:
        """Transfers the call to `to`, a sip URI or a number at the call's trunk, by REFER. What
        becomes of it is told by `Transferred` or `TransferFailed`."""
        if (found := self._calls.get(call)) is not None:
            line = self._lines.get(found.trunk)
            registrar = None if line is None else line.trunk.registrar
            found.transfer(target_of(to, registrar, found.dialog.source), now)
        return self._context.take()

    def _adopt(self, call: Call, invite: Request) -> None:
        dialog = call.dialog
        self._calls[call.key] = call
        self._dialogs[dialog.call_id, dialog.local_tag] = InDialog(self._context, call, invite)
        self._callers[dialog.call_id, dialog.remote_tag] = call

    def _forget(self, call: Call) -> None:
        dialog = call.dialog
        del self._calls[call.key]
        del self._dialogs[dialog.call_id, dialog.local_tag]
        if self._callers.get((dialog.call_id, dialog.remote_tag)) is call:
            del self._callers[dialog.call_id, dialog.remote_tag]

    def _find_call(self, call_id: str, ours: str, theirs: str) -> Call | None:
        found = self._dialogs.get((call_id, ours))
        return found.call if found is not None and found.call.dialog.remote_tag == theirs else None

    # --- what arrives ---------------------------------------------------------------------------

    def receive(self, data: bytes, source: Hop, local: Hop, now: float) -> list[Action]:
        """Takes a datagram, or a message from a stream, from `source`.

        `local` is the address of ours that this peer sees: Contact and Via say it.
        """
        if data[:1] > b" " or data[:1] == b"\r" or data[:1] == b"\n":
            self._receive(data, source, local, now)
        return self._context.take()

    def malformed(self, error: ProtocolError, source: Hop, now: float) -> list[Action]:
        """Refuses what broke a stream from `source`, where `error.request` can be answered."""
        self._malformed(error, source)
        return self._context.take()

    def _receive(self, data: bytes, source: Hop, local: Hop, now: float) -> None:
        if not data.strip(_PONG):
            if data == _PING and source.transport != "udp":
                self._context.send(_PONG, source)
            return
        try:
            message = parse(data)
            if isinstance(message, Response):
                self._layer.receive(message, now)
                return
            check(message)
            message = received_from(message, source.host, source.port)
        except ProtocolError as error:
            if isinstance(error.request, Request) and error.request.method == "ACK":
                with suppress(ProtocolError):  # only what says whose it is has to be well formed
                    self._acknowledge(error.request, source, now)
            else:
                self._malformed(error, source)
            return
        if message.method == "ACK":
            self._acknowledge(message, source, now)
        elif message.method == "CANCEL":
            self._cancel(message, source, now)
        elif (transaction := self._layer.find(message)) is not None:
            transaction.repeat()
        else:
            self._request(message, source, local, now)

    def _malformed(self, error: ProtocolError, source: Hop) -> None:
        """Refuses what can be refused, statelessly, and only to a trunk."""
        request = error.request
        if not isinstance(request, Request) or "Via" not in request.headers:
            return  # this was hardly SIP
        if not self._sources.candidates(source.host):
            self._ignore(request, source)
        elif request.method != "ACK":
            hop = source  # should the Via not say where the answer goes to
            with suppress(ProtocolError):
                request = received_from(request, source.host, source.port)
                hop = response_hop(request.via, source)
            response = refusal(self._context, request, error, self._context.tokens())
            self._context.send(response, hop)

    def _acknowledge(self, ack: Request, source: Hop, now: float) -> None:
        invite = self._layer.invite_of(ack)
        if invite is not None and invite.acknowledge(now):
            return
        theirs = ack.from_.tag or ""
        call = self._find_call(ack.call_id, ack.to.tag or "", theirs)
        if call is None:
            call = self._callers.get((ack.call_id, theirs))
            if call is None or call.dialog.source.host != source.host:
                return
        call.acknowledge(ack, now)

    def _cancel(self, request: Request, source: Hop, now: float) -> None:
        if (transaction := self._layer.find(request)) is not None:
            transaction.repeat()
            return
        invite = self._layer.invite_of(request)
        if invite is None:
            self._unknown(request, source, now)
            return
        call = self._callers.get((request.call_id, request.from_.tag or ""))
        if call is not None and call.invite is not invite:
            call = None
        tag = self._context.tokens() if call is None else call.dialog.local_tag
        server = ("Server", self._context.user_agent)
        response = response_to(request, 200, headers=(server,), to_tag=tag)
        self._layer.serve(request, source).respond(response, now)
        if call is not None:
            call.cancel(request, now)

    def _request(self, request: Request, source: Hop, local: Hop, now: float) -> None:
        tag = request.to.tag
        if tag is not None:
            dialog = self._dialogs.get((request.call_id, tag))
            if dialog is None or dialog.call.dialog.remote_tag != (request.from_.tag or ""):
                self._unknown(request, source, now)
            elif request.method == "INVITE":
                dialog.receive(self._layer.serve_invite(request, source), now)
            else:
                dialog.receive(self._layer.serve(request, source), now)
            return
        candidates = self._sources.candidates(source.host)
        if not candidates:
            self._ignore(request, source)
            return
        line = self._sources.line_of(request, candidates)
        if line.registration is not None:
            line.registration.heard(now)
        self._outside.receive(request, line, source, local, now)

    def _unknown(self, request: Request, source: Hop, now: float) -> None:
        """A request for a dialog or transaction that isn't there."""
        if not self._sources.candidates(source.host):
            self._ignore(request, source)
            return
        error = ProtocolError(481, "No such call")
        response = refusal(self._context, request, error, self._context.tokens())
        serve = self._layer.serve_invite if request.method == "INVITE" else self._layer.serve
        serve(request, source).respond(response, now)

    def _ignore(self, request: Request, source: Hop) -> None:
        hint = self._sources.hint(request, source.host)
        self._context.tell(Ignored(source, request.method, hint))


def _same_registration(before: Trunk, after: Trunk) -> bool:
    """Whether the registrar (or a caller with a password) has no part in what changed."""
    alike = replace(
        after, keepalive=before.keepalive, accept_from=before.accept_from, srtp=before.srtp
    )
    return alike == before
