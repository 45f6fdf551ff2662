"""Requests of the peer within the dialog of a call, method by method (RFC 3261 12.2.2 and 14).

- INVITE: a new offer is answered at once, none is answered with an offer; a second one before the
  first has its final response gets 500 (14.2), one that crosses ours 491; what can't be agreed on
  488, and the session stays as it was.
- UPDATE (RFC 3311): the same without an ACK; an offer before the INVITE's was answered gets 500.
- BYE, OPTIONS, PRACK (RFC 3262).
- INFO: keys as application/dtmf-relay or application/dtmf; without a body it is a sign of life; an
  Info-Package is refused with 469, since none is agreed on (RFC 6086).
- NOTIFY: 200, whatever it says; the call hears of it, for its transfer (RFC 3515).
- REFER: 603 (RFC 3515 section 2.4.2); SUBSCRIBE, PUBLISH: 489 (RFC 6665 section 4.2.1, RFC 3903);
  all others 405.
A re-INVITE or UPDATE that asserts another identity renames the caller (RFC 3325, RFC 5876).
"""

from __future__ import annotations

import re
from types import MappingProxyType

from sipmail.errors import ProtocolError
from sipmail.sip.actions import InfoDigit, Renamed
from sipmail.sip.body import media_type
from sipmail.sip.call import Call, Phase
from sipmail.sip.capabilities import ACCEPT, ALLOW, SUPPORTED
from sipmail.sip.context import Context
from sipmail.sip.headers import Headers
from sipmail.sip.message import Request, response_to
from sipmail.sip.refusal import check_required, refusal
from sipmail.sip.server_transaction import InviteServerTransaction, ServerTransaction
from sipmail.sip.session import SDP, description

_SIGNAL = re.compile(r"[ \t]*Signal[ \t]*=[ \t]*([^ \t\r\n]+)", re.IGNORECASE | re.MULTILINE)
_DIGITS = "0123456789*#ABCD"
_BY_NUMBER = {str(number): digit for number, digit in enumerate(_DIGITS)}

REFUSED = {"REFER": 603, "SUBSCRIBE": 489, "PUBLISH": 489}


def identity(headers: Headers) -> tuple[str, ...]:
    """Who the caller is, as far as the network says so."""
    return headers.values("P-Asserted-Identity") or headers.values("Remote-Party-ID")


class InDialog:
    """Answers the requests of one call's peer."""

    def __init__(self, context: Context, call: Call, invite: Request) -> None:
        self.call = call
        self._context = context
        self._identity = identity(invite.headers)

    def receive(self, transaction: ServerTransaction, now: float) -> None:
        """Answers a request that came in the dialog; ACK and CANCEL are not for here."""
        request = transaction.request
        try:
            self.call.dialog.check_order(request)
            check_required(request)
            if isinstance(transaction, InviteServerTransaction):
                self._reinvite(transaction, now)
            elif (handler := self._HANDLERS.get(request.method)) is not None:
                handler(self, transaction, now)
            else:
                raise ProtocolError(REFUSED.get(request.method, 405), "Method not allowed")
        except ProtocolError as error:
            tag = self.call.dialog.local_tag
            transaction.respond(refusal(self._context, request, error, tag), now)

    def _reinvite(self, transaction: InviteServerTransaction, now: float) -> None:
        call, request = self.call, transaction.request
        self._check_phase()
        if call.phase is Phase.RINGING:
            raise ProtocolError(500, "The INVITE before has no answer yet")
        if call.refresh.inviting or call.session.pending:
            raise ProtocolError(491, "Another INVITE is under way")
        offer = description(request)
        timer = call.timer.negotiate(request)
        target = call.dialog.target_of(request)
        local = call.session.local
        assert local is not None  # the call was answered
        session = call.session
        body = session.offer(local) if offer is None else session.answer(offer, local)
        call.dialog.remote_target = target
        call.refresh.note_allowed(request.headers)
        call.accept(transaction, body, timer, now)
        if offer is not None:
            call.tell_media()
        self._rename(request)

    def _update(self, transaction: ServerTransaction, now: float) -> None:
        call, request = self.call, transaction.request
        self._check_phase()
        offer = description(request)
        if offer is not None and call.phase is Phase.RINGING:
            raise ProtocolError(500, "The offer before has no answer yet")
        timer = call.timer.negotiate(request)
        target = call.dialog.target_of(request)
        headers: tuple[tuple[str, str], ...] = (call.contact, ALLOW, SUPPORTED, *timer)
        body = b""
        if offer is not None:
            local = call.session.local
            assert local is not None  # the call was answered
            body = call.session.answer(offer, local)
            headers = (*headers, ("Content-Type", SDP))
        call.dialog.remote_target = target
        tag = call.dialog.local_tag
        transaction.respond(
            response_to(
                request,
                200,
                headers=(*headers, ("Server", self._context.user_agent)),
                body=body,
                to_tag=tag,
            ),
            now,
        )
        call.refresh.note_allowed(request.headers)
        if call.phase is not Phase.RINGING:
            call.timer.start(now)
        call.tell_media()
        self._rename(request)

    def _info(self, transaction: ServerTransaction, now: float) -> None:
        request = transaction.request
        self._check_phase()
        digit = None
        if "Info-Package" in request.headers:
            raise ProtocolError(469, "No Info-Package is agreed on")
        if request.body:
            digit = _digit(request)
        transaction.respond(self.call.ok(request), now)
        if digit is not None:
            self._context.tell(InfoDigit(self.call.key, digit))

    def _options(self, transaction: ServerTransaction, now: float) -> None:
        headers = (self.call.contact, ALLOW, ACCEPT, SUPPORTED)
        transaction.respond(self.call.ok(transaction.request, headers), now)

    def _prack(self, transaction: ServerTransaction, now: float) -> None:
        self.call.ringing.acknowledge(transaction.request)
        transaction.respond(self.call.ok(transaction.request), now)

    def _notify(self, transaction: ServerTransaction, now: float) -> None:
        transaction.respond(self.call.ok(transaction.request), now)
        self.call.notified(transaction.request, now)

    def _bye(self, transaction: ServerTransaction, now: float) -> None:
        self.call.hung_up(transaction, now)

    # Of the class: bound methods in every call would be a circle that only the collector undoes.
    _HANDLERS = MappingProxyType(
        {
            "BYE": _bye,
            "UPDATE": _update,
            "INFO": _info,
            "OPTIONS": _options,
            "PRACK": _prack,
            "NOTIFY": _notify,
        }
    )

    def _check_phase(self) -> None:
        if self.call.phase in (Phase.ENDING, Phase.OVER):
            raise ProtocolError(481, "The call is ending")

    def _rename(self, request: Request) -> None:
        named = identity(request.headers)
        if named and named != self._identity:
            self._identity = named
            self._context.tell(Renamed(self.call.key, request))


def _digit(request: Request) -> str | None:
    """The key in the body of an INFO, None where it is none of ours (a hook flash, say).

    Raises ProtocolError(415) for other bodies.
    """
    name, _ = media_type(request.headers.get("Content-Type") or "")
    text = request.body.decode("latin-1")
    if name == "application/dtmf-relay":
        found = _SIGNAL.search(text)
        signal = found[1] if found else ""
    elif name == "application/dtmf":
        found = _SIGNAL.search(text)
        signal = found[1] if found else text.strip()
    else:
        raise ProtocolError(415, f"Unsupported content type {name}")
    signal = signal.upper()
    if signal in _BY_NUMBER:
        return _BY_NUMBER[signal]
    return signal if len(signal) == 1 and signal in _DIGITS else None
