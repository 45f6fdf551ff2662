"""A request of ours within a dialog, until its final response (RFC 3261 sections 12.2.1, 22).

Rules: where a hop doesn't answer or can't be reached, the next one gets the request in a new
transaction (RFC 3263 section 4.3); a challenge is answered with the trunk's credentials; a 2xx to
an INVITE gets its ACK as often as it comes (13.2.2.4). Whoever asked hears of one final response,
or of none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sipmail.errors import ProtocolError
from sipmail.sip.actions import Hop
from sipmail.sip.client_transaction import ClientTransaction, Failure
from sipmail.sip.context import Context
from sipmail.sip.dialog import Dialog
from sipmail.sip.digest import DigestClient
from sipmail.sip.message import Request, Response
from sipmail.sip.transactions import TransactionLayer, with_via
from sipmail.sip.via import MAGIC_COOKIE

Finished = Callable[[Response | None, float], None]

_CHALLENGES = 3


class DialogRequest:
    """One request; `finished` gets its final response, None where there is none."""

    def __init__(
        self,
        context: Context,
        layer: TransactionLayer,
        dialog: Dialog,
        credentials: DigestClient | None,
        method: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        finished: Finished,
    ) -> None:
        self.method = method
        self._context = context
        self._layer = layer
        self._dialog = dialog
        self._credentials = credentials
        self._headers = headers
        self._body = body
        self._finished: Finished | None = finished
        self._authorization: tuple[tuple[str, str], ...] = ()
        self._challenges = 0
        self._hops = list(dialog.hops())
        self._transaction: ClientTransaction | None = None
        self._acknowledgement: Request | None = None

    @property
    def number(self) -> int | None:
        """The CSeq number under which it was sent last."""
        transaction = self._transaction
        return None if transaction is None else transaction.request.cseq.number

    def send(self, now: float) -> None:
        """Sends it to the hop that is next."""
        request = self._dialog.request(
            self.method, (*self._headers, *self._authorization), self._body
        )
        self._transaction = self._layer.send(
            request, self._hops[0], self._dialog.local, self._responded, self._failed, now
        )

    def drop(self) -> None:
        """Nobody waits for the response any more."""
        self._finished = None
        if self._transaction is not None:
            self._transaction.drop()

    def _responded(self, response: Response, now: float) -> None:
        if response.status < 200:
            return
        if self.method == "INVITE" and response.status < 300:
            self._acknowledge(response)
        elif response.status in (401, 407) and self._answers(response):
            self.send(now)
            return
        elif response.status == 503 and len(self._hops) > 1:
            self._failed(Failure.TRANSPORT, now)
            return
        self._finish(response, now)

    def _failed(self, failure: Failure, now: float) -> None:
        del self._hops[0]
        if self._hops:
            self.send(now)
        else:
            self._finish(None, now)

    def _finish(self, response: Response | None, now: float) -> None:
        finished, self._finished = self._finished, None
        if finished is not None:
            finished(response, now)

    def _answers(self, response: Response) -> bool:
        """Whether the challenge can be answered; the next try does."""
        if self._credentials is None or self._challenges == _CHALLENGES:
            return False
        self._challenges += 1
        name = "Proxy-Authorization" if response.status == 407 else "Authorization"
        answered = any(header == name for header, _ in self._authorization)
        if not self._credentials.challenged(response.status, response.headers, answered=answered):
            return False
        self._authorization = self._credentials.authorization(
            self.method, self._dialog.remote_target, body=self._body
        )
        return True

    def _acknowledge(self, response: Response) -> None:
        hop: Hop = self._hops[0]
        if self._acknowledgement is None:
            with contextlib.suppress(ProtocolError):  # the old remote target serves as well
                self._dialog.remote_target = self._dialog.target_of(response)
            assert self._transaction is not None  # it has just responded
            ack = self._dialog.request(
                "ACK", self._authorization, number=self._transaction.request.cseq.number
            )
            branch = f"{MAGIC_COOKIE}{self._context.tokens()}"
            self._acknowledgement = with_via(ack, hop, self._dialog.local, branch)
        self._context.send(self._acknowledgement, hop)
