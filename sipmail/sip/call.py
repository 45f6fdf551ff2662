"""A call: an INVITE that we are asked to answer, and the dialog that follows (RFC 3261 13.3, 15).

    RINGING --answer--> ANSWERED --ACK--> ESTABLISHED --hang_up--> ENDING --BYE answered--> OVER
       | reject, CANCEL, BYE,     | BYE of the peer                                       ^
       | no answer in time        |                                                       |
       +--------------------------+-------------------------------------------------------+

Rules:
- The INVITE gets exactly one final response; what comes too late for it (an answer after CANCEL,
  a CANCEL after the answer) changes nothing (9.2).
- An INVITE that expires before is ended with 487 (13.3.1 step 1, see `ringing`).
- The 2xx is repeated until the ACK; without one the call ends with a BYE (13.3.1.4). Our BYE
  waits for the ACK (15); the peer's may come at any time, before the answer too (15.1.2).
- `Ended` is told once: when the peer has ended the call, when our BYE is answered (or can't be),
  or when the call is given up for reasons of the protocol, in which case the BYE goes on alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from sipmail.errors import ProtocolError
from sipmail.sip.acceptance import Acceptance
from sipmail.sip.actions import (
    Cancelled,
    Ended,
    Established,
    HungUp,
    MediaChanged,
    Replaced,
    TransferFailed,
    Transferred,
)
from sipmail.sip.capabilities import ALLOW, SUPPORTED
from sipmail.sip.context import Context
from sipmail.sip.crypto import Encryption
from sipmail.sip.dialog import Dialog
from sipmail.sip.dialog_request import DialogRequest, Finished
from sipmail.sip.digest import DigestClient
from sipmail.sip.message import Request, Response, response_to
from sipmail.sip.negotiation import NotAcceptable, check_offer
from sipmail.sip.reason import completed_elsewhere, reasons
from sipmail.sip.refresh import SessionRefresh
from sipmail.sip.refusal import refusal
from sipmail.sip.ringing import Ringing
from sipmail.sip.server_transaction import InviteServerTransaction, ServerTransaction
from sipmail.sip.session import SDP, LocalMedia, Media, Session, description
from sipmail.sip.session_timer import SessionTimer
from sipmail.sip.transactions import TransactionLayer
from sipmail.sip.transfer import Transfer

Pairs = tuple[tuple[str, str], ...]


class Phase(Enum):
    """Where a call stands."""

    RINGING = "ringing"
    ANSWERED = "answered"
    ESTABLISHED = "established"
    ENDING = "ending"
    OVER = "over"


class Call:
    """One call. `gone` is called once, when nothing of it is left but its transactions.

    `encryption` is that of its media, `contact` is our Contact, `credentials` makes what answers a
    challenge of one of our requests.
    Raises ProtocolError, with the status to answer, for an INVITE that can't be taken.
    """

    def __init__(
        self,
        context: Context,
        layer: TransactionLayer,
        invite: InviteServerTransaction,
        dialog: Dialog,
        *,
        trunk: str,
        encryption: Encryption,
        contact: str,
        credentials: Callable[[], DigestClient | None],
        gone: Callable[[Call], None],
        now: float,
    ) -> None:
        request = invite.request
        self.key = f"{dialog.call_id};{dialog.local_tag}"
        self.trunk = trunk
        self.phase = Phase.RINGING
        self.dialog = dialog
        self.replaced: Call | None = None
        """The call that this one takes the place of once it is answered (RFC 3891)."""
        self._context = context
        self._layer = layer
        self.invite = invite
        self._credentials = credentials
        self._gone = gone
        self._told = False
        self._cause = "hung up"
        self._bye: DialogRequest | None = None
        self._hang_up_headers: Pairs | None = None
        self._server = ("Server", context.user_agent)
        self._contact = ("Contact", contact)
        self._record_route = tuple(
            ("Record-Route", line) for line in request.headers.all("Record-Route")
        )
        self._acceptances: dict[int, Acceptance] = {}
        self.session = Session(_number(dialog.local_tag), dialog.source.host)
        self.media: Media | None = None
        self._encryption = encryption
        self._offer = description(request)
        if self._offer is not None:
            check_offer(self._offer, encryption)
        self.timer = SessionTimer(context, self._refresh_session, self._expired)
        self._timer_headers = self.timer.negotiate(request)
        self.refresh = SessionRefresh(
            self.timer, self.session, self._ask, self.give_up, self.tell_media, context.jitter
        )
        self.refresh.note_allowed(request.headers)
        self._transfer: Transfer | None = None
        self.ringing = Ringing(
            context,
            invite,
            dialog.local_tag,
            (self._contact, *self._record_route, self._server),
            self._out_of_patience,
            self._not_acknowledged,
            now,
        )

    # --- what the application asks --------------------------------------------------------------

    def ring(self, now: float) -> None:
        """Says 180, and again every minute."""
        if self.phase is Phase.RINGING:
            self.ringing.ring(now, offered=self._offer is not None)

    def answer(self, local: LocalMedia, now: float) -> None:
        """Says 200 with an answer to the offer, or an offer where there was none."""
        if self.phase is not Phase.RINGING:
            return
        local = replace(local, encryption=self._encryption)
        try:
            if self._offer is not None:
                body = self.session.answer(self._offer, local)
            else:
                body = self.session.offer(local)
        except ProtocolError as error:
            self.refuse(error, now)
            return
        self.ringing.stop()
        self.phase = Phase.ANSWERED
        self.accept(self.invite, body, self._timer_headers, now)
        self.tell_media()
        if self.replaced is not None:
            self.replaced.make_way(now)

    def reject(
        self, status: int, now: float, reason: str | None = None, headers: Pairs = ()
    ) -> None:
        """Refuses the call; once it is answered, hangs up."""
        if self.phase is not Phase.RINGING:
            self.hang_up(now)
            return
        self.ringing.stop()
        response = response_to(
            self.invite.request,
            status,
            reason,
            headers=(*headers, self._server),
            to_tag=self.dialog.local_tag,
        )
        self.invite.respond(response, now)
        self._over(f"refused with {status}")

    def hang_up(self, now: float, reason_header: str | None = None) -> None:
        """Ends the call: refuses it while it rings, else says BYE as soon as that is allowed."""
        headers = () if reason_header is None else (("Reason", reason_header),)
        if self.phase is Phase.RINGING:
            self.reject(480, now, headers=headers)
        elif self.phase is Phase.ANSWERED:
            self._hang_up_headers = headers
        elif self.phase is Phase.ESTABLISHED:
            self._say_bye(headers, now)

    def transfer(self, to: str, now: float) -> None:
        """Asks the peer to call the URI `to` instead; one transfer at a time."""
        if self.phase is not Phase.ESTABLISHED:
            self._transfer_failed(None, "the call is not up")
        elif self._transfer is None or not self._transfer.under_way:
            self._drop_transfer()
            self._transfer = Transfer(
                self._context,
                to,
                f"<{self.dialog.local_uri}>",
                self._ask,
                lambda _: self._context.tell(Transferred(self.key)),
                self._transfer_failed,
                self.give_up,
                now,
            )

    # --- what the peer does ---------------------------------------------------------------------

    def refuse(self, error: ProtocolError, now: float) -> None:
        """Refuses the INVITE for what `error` says."""
        self.ringing.stop()
        response = refusal(self._context, self.invite.request, error, self.dialog.local_tag)
        self.invite.respond(response, now)
        self._over(f"refused with {error.status}: {error.text}")

    def cancel(self, request: Request, now: float) -> None:
        """Takes a CANCEL, which too late changes nothing."""
        if self.phase is Phase.RINGING:
            self._terminate(completed_elsewhere(request.headers), now)
            self._over("cancelled")

    def hung_up(self, transaction: ServerTransaction, now: float) -> None:
        """Takes the peer's BYE."""
        request = transaction.request
        transaction.respond(self.ok(request), now)
        if self.phase is Phase.RINGING:
            self.ringing.stop()
            self.invite.respond(
                response_to(self.invite.request, 487, to_tag=self.dialog.local_tag), now
            )
        why = next((f"{one.text or one}" for one in reasons(request.headers)), "")
        if self._told or self._bye is not None:
            self._over("hung up by the peer" if self._bye is None else self._cause)
        elif self._transfer is None:
            self._left(why, transferred=False)
        elif self.phase is not Phase.ENDING:
            self.phase = Phase.ENDING
            self._stop_session()
            self._transfer.left(request, lambda done: self._left(why, transferred=done), now)

    def acknowledge(self, ack: Request, now: float) -> None:
        """Takes the ACK to a 2xx; a repeated one changes nothing."""
        acceptance = self._acceptances.pop(ack.cseq.number, None)
        if acceptance is None or not acceptance.acknowledge():
            return
        if self.session.pending and not self.refresh.inviting:
            try:
                self._take_answer(ack)
            except ProtocolError as error:
                self.phase = Phase.ESTABLISHED
                self.give_up(f"unusable answer in the ACK: {error.text}", now)
                return
        if self.phase is Phase.ANSWERED:
            self.phase = Phase.ESTABLISHED
            self._context.tell(Established(self.key))
            if self._hang_up_headers is not None:
                self._say_bye(self._hang_up_headers, now)

    def notified(self, notify: Request, now: float) -> None:
        """Takes a NOTIFY, which is answered already."""
        if self._transfer is not None:
            self._transfer.notified(notify, now)

    # --- for the requests within the dialog -----------------------------------------------------

    def accept(
        self, transaction: InviteServerTransaction, body: bytes, timer: Pairs, now: float
    ) -> None:
        """Answers the INVITE or a re-INVITE with 200 and sees to its ACK."""
        first = transaction is self.invite
        response = response_to(
            transaction.request,
            200,
            headers=(
                self._contact,
                *(self._record_route if first else ()),
                ALLOW,
                SUPPORTED,
                *timer,
                self._server,
                ("Content-Type", SDP),
            ),
            body=body,
            to_tag=self.dialog.local_tag,
        )
        acceptance = Acceptance(self._context, transaction, response, self._unacknowledged, now)
        self._acceptances[acceptance.number] = acceptance
        self.timer.start(now)

    def ok(self, request: Request, headers: Pairs = ()) -> Response:
        """A 200 to a request in the dialog."""
        return response_to(
            request, 200, headers=(*headers, self._server), to_tag=self.dialog.local_tag
        )

    @property
    def invite_under_way(self) -> bool:
        """Whether an INVITE of the peer still waits for its ACK."""
        return bool(self._acceptances)

    @property
    def contact(self) -> tuple[str, str]:
        """Our Contact header."""
        return self._contact

    def tell_media(self) -> None:
        """Tells the application about media, if there is news."""
        media = self.session.media
        if media is not None and media != self.media and not self._told:
            self.media = media
            self._context.tell(MediaChanged(self.key, media))

    def make_way(self, now: float) -> None:
        """Ends the call, since another one has taken its place."""
        if self.phase in (Phase.ANSWERED, Phase.ESTABLISHED):
            self._context.tell(Replaced(self.key))
            self.give_up("replaced by another call", now)

    def give_up(self, cause: str, now: float) -> None:
        """Ends the call for a reason that the application has no part in."""
        if self.phase is Phase.RINGING:
            self.reject(480, now)
        elif self.phase in (Phase.ANSWERED, Phase.ESTABLISHED):
            self._tell_ended(cause)
            self._say_bye((), now)

    # --- inside ---------------------------------------------------------------------------------

    def _out_of_patience(self, now: float) -> None:
        self._terminate(False, now)
        self._over("not answered in time")

    def _terminate(self, elsewhere: bool, now: float) -> None:
        self.ringing.stop()
        response = response_to(
            self.invite.request, 487, headers=(self._server,), to_tag=self.dialog.local_tag
        )
        self.invite.respond(response, now)
        self._context.tell(Cancelled(self.key, elsewhere))

    def _not_acknowledged(self, now: float) -> None:
        self.reject(504, now)

    def _take_answer(self, ack: Request) -> None:
        answer = description(ack)
        if answer is None:
            raise NotAcceptable(304, "No answer")
        self.session.accept(answer)
        self.tell_media()

    def _unacknowledged(self, now: float) -> None:
        if self._hang_up_headers is not None:
            self._say_bye(self._hang_up_headers, now)
        else:
            self.give_up("no ACK came", now)

    def _expired(self, now: float) -> None:
        self.give_up("the session expired", now)

    def _refresh_session(self, now: float) -> None:
        if self.phase is Phase.ESTABLISHED:
            self.refresh.start(now, invite_under_way=self.invite_under_way)

    def _ask(
        self, method: str, headers: Pairs, body: bytes, finished: Finished, now: float
    ) -> DialogRequest:
        """Sends a request of ours in the dialog."""
        if method != "BYE":
            headers = (self._contact, ALLOW, SUPPORTED, *headers)
        request = DialogRequest(
            self._context,
            self._layer,
            self.dialog,
            self._credentials(),
            method,
            (*headers, ("User-Agent", self._context.user_agent)),
            body,
            finished,
        )
        request.send(now)
        return request

    def _transfer_failed(self, status: int | None, reason: str) -> None:
        if not self._told:
            self._context.tell(TransferFailed(self.key, status, reason))

    def _drop_transfer(self) -> None:
        if self._transfer is not None:
            self._transfer.drop()
            self._transfer = None

    def _say_bye(self, headers: Pairs, now: float) -> None:
        self.phase = Phase.ENDING
        self._stop()
        self._bye = self._ask("BYE", headers, b"", self._bye_finished, now)

    def _bye_finished(self, response: Response | None, now: float) -> None:
        self._over(self._cause if response is not None else "hung up, without an answer")

    def _left(self, why: str, *, transferred: bool) -> None:
        """The peer has ended the call."""
        if transferred:
            self._context.tell(Transferred(self.key))
        self._context.tell(HungUp(self.key, why))
        self._over("hung up by the peer")

    def _stop(self) -> None:
        self._stop_session()
        self._drop_transfer()

    def _stop_session(self) -> None:
        self.timer.stop()
        self.refresh.drop()
        for acceptance in self._acceptances.values():
            acceptance.stop()
        self._acceptances.clear()

    def _over(self, cause: str) -> None:
        if self.phase is Phase.OVER:
            return
        self.phase = Phase.OVER
        self._stop()
        self._tell_ended(cause)
        self._gone(self)

    def _tell_ended(self, cause: str) -> None:
        if not self._told:
            self._told = True
            self._context.tell(Ended(self.key, cause))


def _number(token: str) -> int:
    """A number for `o=`, from a token."""
    return int.from_bytes(token.encode()[-7:], "big")
