"""Requests outside a dialog: a user agent server's core (RFC 3261 section 8.2).

They come here only from a trunk's address. In the order of section 8.2: method (405), merged
requests (482), Require (420), then by method:

- INVITE: challenged where the trunk has a password and no registrar (401, section 22.2), refused
  while no calls are taken, then 100 and a `Call`; Replaces (RFC 3891 section 3): 481 where nothing
  fits, 486 for an established dialog with `early-only`, 400 for several.
- OPTIONS: what we can do (11.2), or 503 while no calls are taken, so that a dispatcher looks
  elsewhere.
- NOTIFY: 200, since PBXs tell of waiting messages without being asked.
- BYE, INFO, PRACK, UPDATE: 481; REFER: 603; SUBSCRIBE, PUBLISH: 489; others: 405.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sipmail.errors import ProtocolError
from sipmail.sip.actions import Hop, Incoming
from sipmail.sip.call import Call, Phase
from sipmail.sip.capabilities import ACCEPT, ACCEPT_ENCODING, ALLOW, SUPPORTED
from sipmail.sip.context import Context
from sipmail.sip.crypto import Encryption
from sipmail.sip.dialog import Dialog
from sipmail.sip.digest import parse_parameters
from sipmail.sip.digest_server import DigestServer, Verdict
from sipmail.sip.in_dialog import REFUSED
from sipmail.sip.line import Line
from sipmail.sip.message import Request, response_to
from sipmail.sip.parameters import Parameters
from sipmail.sip.refusal import check_required, refusal
from sipmail.sip.server_transaction import InviteServerTransaction, ServerTransaction
from sipmail.sip.transactions import TransactionLayer
from sipmail.sip.trunk import Trunk

_CALL_ID = re.compile(r"[ \t]*([^ \t;]+)[ \t]*")
_BUSY_RETRY = ("Retry-After", "60")


class Outside:
    """Answers requests outside a dialog.

    `find_call` finds a call by its Call-ID, our tag and the peer's; `adopt` takes a new one into
    the endpoint's keeping, `gone` is told when nothing is left of it.
    """

    def __init__(
        self,
        context: Context,
        layer: TransactionLayer,
        find_call: Callable[[str, str, str], Call | None],
        adopt: Callable[[Call, Request], None],
        gone: Callable[[Call], None],
    ) -> None:
        self.refuse_status: int | None = None
        """The status that new calls get, None while they are welcome."""
        self._context = context
        self._layer = layer
        self._find_call = find_call
        self._adopt = adopt
        self._gone = gone
        self._server = ("Server", context.user_agent)

    def receive(self, request: Request, line: Line, source: Hop, local: Hop, now: float) -> None:
        """Answers a request that begins nothing we know, from an address of the trunk `line`."""
        merged = self._layer.is_merged(request)
        transaction: ServerTransaction
        if request.method == "INVITE":
            transaction = self._layer.serve_invite(request, source)
        else:
            transaction = self._layer.serve(request, source)
        try:
            if merged:
                raise ProtocolError(482, "The same request came by another way")
            check_required(request)
            if isinstance(transaction, InviteServerTransaction):
                self._invite(transaction, line, source, local, now)
            else:
                self._other(transaction, line, source, local, now)
        except ProtocolError as error:
            response = refusal(self._context, request, error, self._context.tokens())
            transaction.respond(response, now)

    def _other(
        self, transaction: ServerTransaction, line: Line, source: Hop, local: Hop, now: float
    ) -> None:
        method = transaction.request.method
        if method == "OPTIONS":
            self._options(transaction, line.contact(local, source, secure=False), now)
        elif method == "NOTIFY":
            self._respond(transaction, 200, (), now)
        elif method in ("BYE", "INFO", "PRACK", "UPDATE"):
            raise ProtocolError(481, "No such call")
        else:
            raise ProtocolError(REFUSED.get(method, 405), "Method not allowed")

    def _options(self, transaction: ServerTransaction, contact: str, now: float) -> None:
        if self.refuse_status is not None:
            self._respond(transaction, 503, (_BUSY_RETRY,), now)
        else:
            headers = (("Contact", contact), ALLOW, ACCEPT, ACCEPT_ENCODING, SUPPORTED)
            self._respond(transaction, 200, headers, now)

    def _respond(
        self,
        transaction: ServerTransaction,
        status: int,
        headers: tuple[tuple[str, str], ...],
        now: float,
    ) -> None:
        response = response_to(
            transaction.request,
            status,
            headers=(*headers, self._server),
            to_tag=self._context.tokens(),
        )
        transaction.respond(response, now)

    # --- INVITE ---------------------------------------------------------------------------------

    def _invite(
        self,
        transaction: InviteServerTransaction,
        line: Line,
        source: Hop,
        local: Hop,
        now: float,
    ) -> None:
        request = transaction.request
        if line.challenger is not None:
            challenge = self._challenge(request, line.challenger, line.trunk, now)
            if challenge:
                self._respond(transaction, 401, challenge, now)
                return
        if self.refuse_status is not None:
            self._respond(transaction, self.refuse_status, (), now)
            return
        replaced = self._replaced(request, line)
        dialog = Dialog(request, self._context.tokens(), source, local)
        call = Call(
            self._context,
            self._layer,
            transaction,
            dialog,
            trunk=line.trunk.name,
            encryption=Encryption.of(line.trunk.srtp, source.transport),
            contact=line.contact(local, source, secure=_is_secure(request)),
            credentials=line.credentials,
            gone=self._gone,
            now=now,
        )
        call.replaced = replaced
        transaction.respond(response_to(request, 100), now)
        self._adopt(call, request)
        place = None if replaced is None else replaced.key
        self._context.tell(Incoming(call.key, request, line.trunk.name, source, place))

    def _challenge(
        self, request: Request, server: DigestServer, trunk: Trunk, now: float
    ) -> tuple[tuple[str, str], ...]:
        """The headers of the 401 that an INVITE gets; none for one that knows the password."""
        stale = False
        for credentials in request.headers.all("Authorization"):
            verdict = server.verify(
                credentials,
                method=request.method,
                username=trunk.auth_username or trunk.username or _username(credentials),
                password=trunk.password or "",
                now=now,
            )
            if verdict is Verdict.ACCEPTED:
                return ()
            stale = stale or verdict is Verdict.STALE
        challenges = server.challenges(now, self._context.tokens(), stale=stale)
        return tuple(("WWW-Authenticate", challenge) for challenge in challenges)

    def _replaced(self, request: Request, line: Line) -> Call | None:
        """The call that the INVITE is to replace; raises ProtocolError where it can't."""
        values = request.headers.all("Replaces")
        if not values:
            return None
        found = _CALL_ID.match(values[0])
        if len(values) > 1 or found is None:
            raise ProtocolError(400, "Malformed Replaces")
        params = Parameters.parse(values[0], found.end())
        ours, theirs = params.get("to-tag"), params.get("from-tag")
        if ours is None or theirs is None:
            raise ProtocolError(400, "Replaces without its tags")
        call = self._find_call(found[1], ours, theirs)
        if call is None or call.trunk != line.trunk.name or call.phase is Phase.RINGING:
            raise ProtocolError(481, "No such call to replace")
        if call.phase in (Phase.ENDING, Phase.OVER):
            raise ProtocolError(603, "The call to replace is over")
        if "early-only" in params:
            raise ProtocolError(486, "The call to replace is answered")
        return call


def _username(credentials: str) -> str:
    """Who the credentials are of, where the trunk names nobody."""
    return parse_parameters(credentials)[1].get("username", "")


def _is_secure(request: Request) -> bool:
    """Whether our Contact must be a sips URI (section 12.1.1)."""
    route = request.headers.values("Record-Route")
    first = route[0] if route else str(request.contact or "")
    return request.uri[:5].lower() == "sips:" or "<sips:" in first.lower()
