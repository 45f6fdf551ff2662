"""The transaction layer: which transaction a message belongs to (RFC 3261 section 17).

Rules:
- A request belongs to the server transaction with its branch, sent-by and method, an ACK to that
  of its INVITE (17.2.3); without the magic cookie (RFC 2543, or a branch that is nothing but the
  cookie) by Request-URI, From tag, Call-ID, CSeq and topmost Via.
- A CANCEL means the INVITE with its branch and sent-by (9.2).
- A request without a To tag whose From tag, Call-ID and CSeq are those of another transaction has
  come twice, by two ways: merged (8.2.2.2).
- A response belongs to the client transaction with its branch and CSeq method (17.1.3); all
  others are dropped, as are those with several Vias (8.1.3.3).
- Our Via asks for `rport` (RFC 3581 section 3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from sipmail.sip.actions import Hop
from sipmail.sip.client_transaction import (
    ClientTransaction,
    Failed,
    InviteClientTransaction,
    NonInviteClientTransaction,
    Responded,
)
from sipmail.sip.context import Context
from sipmail.sip.grammar import format_host
from sipmail.sip.message import Request, Response
from sipmail.sip.server_transaction import (
    InviteServerTransaction,
    NonInviteServerTransaction,
    ServerTransaction,
)
from sipmail.sip.via import MAGIC_COOKIE

_COOKIE = MAGIC_COOKIE.lower()

ServerKey = tuple[object, ...]
MergeKey = tuple[str, str | None, int, str]

_Kind = TypeVar("_Kind", bound=ServerTransaction)


def _server_key(request: Request, method: str) -> ServerKey:
    via = request.via
    branch = via.branch
    if branch is not None and len(branch) > len(_COOKIE) and branch[:7].lower() == _COOKIE:
        return branch, via.host.lower(), via.port, method
    return (
        request.uri,
        request.from_.tag,
        request.call_id,
        request.cseq.number,
        str(via),
        method,
    )


def _merge_key(request: Request) -> MergeKey:
    return request.call_id, request.from_.tag, request.cseq.number, request.method


class TransactionLayer:
    """All transactions of one endpoint."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._servers: dict[ServerKey, ServerTransaction] = {}
        self._merged: dict[MergeKey, ServerKey] = {}
        self._clients: dict[tuple[str, str], ClientTransaction] = {}

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    # --- requests that come ---------------------------------------------------------------------

    def find(self, request: Request) -> ServerTransaction | None:
        """The transaction that this request repeats."""
        return self._servers.get(_server_key(request, request.method))

    def invite_of(self, request: Request) -> InviteServerTransaction | None:
        """The INVITE that this ACK or CANCEL is about."""
        found = self._servers.get(_server_key(request, "INVITE"))
        return found if isinstance(found, InviteServerTransaction) else None

    def is_merged(self, request: Request) -> bool:
        """Whether this request, new by its branch, came before by another way."""
        return _merge_key(request) in self._merged

    def serve(self, request: Request, source: Hop) -> NonInviteServerTransaction:
        """A new transaction for a request other than INVITE."""
        key = _server_key(request, request.method)
        return self._add(
            key,
            NonInviteServerTransaction(
                self._context, request, source, lambda: self._forget(key, request)
            ),
        )

    def serve_invite(self, request: Request, source: Hop) -> InviteServerTransaction:
        """A new transaction for an INVITE."""
        key = _server_key(request, "INVITE")
        return self._add(
            key,
            InviteServerTransaction(
                self._context, request, source, lambda: self._forget(key, request)
            ),
        )

    def _add(self, key: ServerKey, transaction: _Kind) -> _Kind:
        self._servers[key] = transaction
        if transaction.request.to.tag is None:
            self._merged.setdefault(_merge_key(transaction.request), key)
        return transaction

    def _forget(self, key: ServerKey, request: Request) -> None:
        del self._servers[key]
        if request.to.tag is None:
            merge_key = _merge_key(request)
            if self._merged.get(merge_key) == key:
                del self._merged[merge_key]

    # --- requests of ours -----------------------------------------------------------------------

    def send(
        self,
        request: Request,
        hop: Hop,
        local: Hop,
        responded: Responded,
        failed: Failed,
        now: float,
    ) -> ClientTransaction:
        """Sends a request that has no Via yet, in a transaction of its own.

        `local` is our address as `hop` sees it.
        """
        branch = f"{MAGIC_COOKIE}{self._context.tokens()}"
        request = with_via(request, hop, local, branch)
        key = (branch, request.method)
        kind = InviteClientTransaction if request.method == "INVITE" else NonInviteClientTransaction
        transaction = kind(
            self._context,
            request,
            hop,
            responded,
            failed,
            lambda: self._forget_client(key),
            now,
        )
        self._clients[key] = transaction
        return transaction

    def _forget_client(self, key: tuple[str, str]) -> None:
        del self._clients[key]

    def receive(self, response: Response, now: float) -> bool:
        """Takes a response; False where it belongs to nothing. Raises ProtocolError(400)."""
        transaction = self._clients.get((response.via.branch or "", response.cseq.method))
        if transaction is None or len(response.vias) != 1:
            return False
        transaction.receive(response, now)
        return True

    # --- connections ----------------------------------------------------------------------------

    def transport_failed(self, hop: Hop, now: float) -> None:
        """Nothing can be sent to `hop` any more."""
        for client in [one for one in self._clients.values() if one.hop == hop]:
            client.transport_failed(now)
        if hop.transport != "udp":
            for server in [one for one in self._servers.values() if one.hop == hop]:
                server.transport_failed()


def with_via(request: Request, hop: Hop, local: Hop, branch: str) -> Request:
    """The request with our Via on top."""
    port = f":{local.port}" if local.port else ""
    via = f"SIP/2.0/{hop.transport.upper()} {format_host(local.host)}{port};branch={branch};rport"
    return replace(request, headers=request.headers.prepend("Via", via))
