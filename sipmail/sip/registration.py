"""The registration of one trunk, from the first REGISTER to the last (RFC 3261 section 10).

    IDLE -> RESOLVING -> REGISTERING -> REGISTERED -> RESOLVING (refresh, or the connection broke)
                ^            | failed
                +- WAITING <-+                any -> UNREGISTERING -> IDLE

Rules:
- One Call-ID and a growing CSeq for all (10.2.4), no REGISTER while another one is unanswered
  (10.2). The name is looked up before every refresh, so that new addresses, ours too, count.
- 401, 407: answered as often as makes sense (22). 423: again with Min-Expires (10.2.8). 3xx: to the
  Contacts that it names, until one fits (see `redirection`). No answer, a broken connection or a
  5xx: the next hop of the list (RFC 3263 section 4.3), and after some minutes the better one is
  tried again with the next refresh. Otherwise, or where no hop is left: `backoff`, or Retry-After.
  A registrar that didn't answer but then sends something is tried at once.
- What the registrar sees us as (received, rport: RFC 3581) becomes our Contact, over TCP and TLS
  where a NAT is between or nothing of ours listens; a Contact that is
  no longer ours is taken back in the same REGISTER.
- Renewed before the time that the registrar granted is over. Between, a double CRLF holds the NAT
  open (RFC 5626 section 3.5.1), at 80 to 100 % of its interval (4.4.1).
- Given up with Expires 0 for our own Contacts only, and without waiting long for the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from sipmail.sip.actions import Hop, Registered, RegistrationFailed, Resolve, Unregistered, Way
from sipmail.sip.alarms import Alarm
from sipmail.sip.backoff import backoff
from sipmail.sip.client_transaction import ClientTransaction, Failure
from sipmail.sip.context import Context
from sipmail.sip.digest import DigestClient
from sipmail.sip.message import Response
from sipmail.sip.redirection import Redirection
from sipmail.sip.register import (
    Binding,
    granted,
    learned,
    register,
    retry_after,
    seconds,
)
from sipmail.sip.status import REASONS
from sipmail.sip.transactions import TransactionLayer
from sipmail.sip.trunk import Trunk
from sipmail.sip.uri import SipUri

KEEPALIVE = b"\r\n\r\n"

_CHALLENGES = 5
_UNREGISTER_T1 = 16
_SETTLED_SECONDS = 10.0
_REST_SECONDS = 300.0


class RegistrationPhase(Enum):
    """Where a registration stands."""

    IDLE = "idle"
    RESOLVING = "resolving"
    REGISTERING = "registering"
    REGISTERED = "registered"
    WAITING = "waiting"
    UNREGISTERING = "unregistering"


@dataclass(frozen=True)
class RegistrationState:
    """A registration as a status page shows it; times are of the endpoint's clock, in seconds.

    `expires_at` is when the registrar forgets us, None where it doesn't know us; `status` and
    `reason` are of the last failure; `retry_at` is when it is tried again.
    """

    phase: RegistrationPhase
    registrar: str
    contact: str | None
    hop: Hop | None
    expires_at: float | None
    status: int | None
    reason: str
    retry_at: float | None


class Registration:
    """One trunk's registration. `trunk.registrar` must be a SIP URI.

    `over` is called when it was given up, whether the registrar confirmed that or not.
    """

    def __init__(
        self,
        context: Context,
        layer: TransactionLayer,
        trunk: Trunk,
        contact_user: str,
        over: Callable[[float], None],
    ) -> None:
        if trunk.registrar is None:
            raise ValueError("a trunk without a registrar is not registered")
        self.trunk = trunk
        self.phase = RegistrationPhase.IDLE
        self.hop: Hop | None = None
        self.address: Hop | None = None
        """Ours, as the registrar sees it: host and port of the Contact."""
        self._context = context
        self._layer = layer
        self._over = over
        self._binding = Binding.of(trunk, contact_user, context.tokens(), context.tokens())
        self._digest = credentials(trunk, context)
        self._number = 0
        self._expires = trunk.expires
        self._redirection = Redirection(self._binding.registrar, trunk.outbound_proxy)
        self._challenges = 0
        self._answered: set[int] = set()
        self._moved = False
        self._home: frozenset[str] = frozenset()
        self._hops: dict[Hop, Hop] = {}
        """Those of the last look-up, best first, each with our end of the way there."""
        self._target = self._looked_up = ""
        """What is to be looked up, and whose hops those are."""
        self._untried: list[Hop] = []
        self._failed: dict[Hop, float] = {}
        self._local: Hop | None = None
        self._bound: tuple[str, ...] = ()
        self._asked: tuple[str, ...] = ()
        self._removing = False
        self._registered_at: float | None = None
        self._expires_at: float | None = None
        self._failures = 0
        self._status: int | None = None
        self._reason = ""
        self._alarm: Alarm | None = None
        self._keepalive: Alarm | None = None
        self._leaving = False
        self._deadline: Alarm | None = None
        self._transaction: ClientTransaction | None = None

    # --- what the endpoint asks and tells -------------------------------------------------------

    @property
    def hosts(self) -> frozenset[str]:
        """The addresses that the registrar answers to, by what is known so far."""
        hosts = self._home | {hop.host for hop in self._hops}
        return hosts if self.hop is None else hosts | {self.hop.host}

    @property
    def state(self) -> RegistrationState:
        """For status pages."""
        return RegistrationState(
            self.phase,
            self._binding.registrar,
            self._bound[0] if self._bound else None,
            self.hop,
            self._expires_at,
            self._status,
            self._reason,
            self._alarm.when if self._alarm is not None and self._waits else None,
        )

    @property
    def _waits(self) -> bool:
        return self.phase is RegistrationPhase.WAITING

    def start(self, now: float) -> None:
        """Registers, and keeps registered from now on."""
        if self.phase is RegistrationPhase.IDLE:
            self._leaving = False
            self._resolve(now)

    def resolved(self, ways: Sequence[Way], now: float) -> None:
        """The look-up that was asked for has ended; without ways it failed."""
        if self.phase is not RegistrationPhase.RESOLVING:
            return
        self._cancel_alarm()
        if ways:
            self._hops = {way.to: way.local for way in ways}
            self._looked_up = self._target
            if self._redirection.target is None:
                self._home = frozenset(hop.host for hop in self._hops)
        if not self._hops or self._looked_up != self._target:
            self._fail(None, "the name of the registrar does not resolve", now)
            return
        # The best first, back to it too once it has rested; those that failed lately come last.
        self._failed = {
            hop: when for hop, when in self._failed.items() if now - when < _REST_SECONDS
        }
        self._untried = sorted(self._hops, key=lambda hop: self._failed.get(hop, -_REST_SECONDS))
        self._try_next(now)

    def unregister(self, now: float) -> None:
        """Gives the registration up; `over` is called when that is done."""
        if self._leaving:
            return
        self._leaving = True
        self._cancel_alarm()
        self._stop_keepalive()
        if self._transaction is None and not self._bound:
            self._finish(now)
            return
        patience = _UNREGISTER_T1 * self._context.timers.t1
        self._deadline = self._context.at(now + patience, self._finish)
        if self._transaction is None:
            self._register(now)
        self.phase = RegistrationPhase.UNREGISTERING

    def transport_failed(self, hop: Hop, now: float) -> None:
        """The way to the registrar broke while nothing was asked of it."""
        if self.phase is not RegistrationPhase.REGISTERED or hop != self.hop:
            return
        self._cancel_alarm()
        self._stop_keepalive()
        since = now - (self._registered_at or 0.0)
        if since >= _SETTLED_SECONDS:
            self._resolve(now)
        else:
            pause = _SETTLED_SECONDS * (0.5 + 0.5 * self._context.jitter())
            self._alarm = self._context.at(now + pause, self._resolve)

    def heard(self, now: float) -> None:
        """The registrar has sent something, or its network is back: if it didn't answer before, it
        may now."""
        if self._waits and self._status is None:
            self._cancel_alarm()
            self._resolve(now)

    def replace_trunk(self, trunk: Trunk, now: float) -> None:
        """Takes changes that the registrar has no part in: keepalive, accept_from."""
        self.trunk = trunk
        if self._keepalive is not None or self.phase is RegistrationPhase.REGISTERED:
            self._stop_keepalive()
            self._start_keepalive(now)

    # --- one REGISTER after the other -----------------------------------------------------------

    def _resolve(self, now: float) -> None:
        self.phase = RegistrationPhase.RESOLVING
        self._target = (
            self._redirection.target or self.trunk.outbound_proxy or self._binding.registrar
        )
        self._context.tell(Resolve(self.trunk.name, self._target))
        self._alarm = self._context.at(now + self._context.timers.transaction, self._unresolved)

    def _unresolved(self, now: float) -> None:
        self.resolved((), now)

    def _try_next(self, now: float) -> None:
        self.hop = self._untried.pop(0)
        self._challenges = 0
        self._answered.clear()
        self._moved = False
        self.phase = RegistrationPhase.REGISTERING
        self._register(now)

    def _register(self, now: float) -> None:
        hop, address = self.hop, self.address
        assert hop is not None  # there are hops before anything is sent
        local = self._hops[hop]
        if address is None or local != self._local:
            address = self.address = local
        self._local = local
        contact = self._binding.contact(address)
        self._number += 1
        if self._leaving:
            wanted = dict.fromkeys(self._bound, 0.0)
        else:
            wanted = {contact: self._expires}
            wanted |= {one: 0.0 for one in self._bound if one != contact}
        self._asked = tuple(wanted)
        self._removing = self._leaving
        request = register(
            self._binding,
            wanted,
            number=self._number,
            uri=self._redirection.target,
            authorize=self._digest,
            user_agent=self._context.user_agent,
        )
        self._transaction = self._layer.send(
            request, hop, local, self._responded, self._unanswered, now
        )

    def _responded(self, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            return
        transaction, self._transaction = self._transaction, None
        assert transaction is not None  # it has just responded
        if self._leaving and not self._removing:
            # This was still to register us, and now is to be taken back.
            if status < 300:
                self._bound = self._asked[:1]
            if self._bound:
                self._register(now)
            else:
                self._finish(now)
        elif status in (401, 407) and self._answers(status, response, transaction):
            self._register(now)
        elif self._leaving:
            self._finish(now)
        elif status < 300:
            self._succeed(response, now)
        elif status == 423 and self._takes_longer(response):
            self._register(now)
        elif status < 400 and self._redirection.follow(response):
            self._resolve(now)
        elif (status == 408 or 500 <= status < 600) and self._untried:
            self._rest(now)
            self._try_next(now)
        else:
            reason = response.reason or REASONS.get(status, "")
            self._fail(status, reason, now, retry_after(response))

    def _unanswered(self, failure: Failure, now: float) -> None:
        self._transaction = None
        if self._leaving:
            self._finish(now)
        elif self._untried:
            self._rest(now)
            self._try_next(now)
        else:
            timeout = failure is Failure.TIMEOUT
            self._fail(None, "no answer" if timeout else "the registrar can't be reached", now)

    def _rest(self, now: float) -> None:
        """The hop failed: others come first for a while."""
        if self.hop is not None:
            self._failed[self.hop] = now

    def _answers(self, status: int, response: Response, transaction: ClientTransaction) -> bool:
        """Whether a challenge can be answered."""
        if self._digest is None or self._challenges == _CHALLENGES:
            return False
        self._challenges += 1
        name = "Proxy-Authorization" if status == 407 else "Authorization"
        # A nonce from before says nothing about the password: the registrar may be another one.
        answered = name in transaction.request.headers and status in self._answered
        self._answered.add(status)
        return self._digest.challenged(status, response.headers, answered=answered)

    def _takes_longer(self, response: Response) -> bool:
        """Takes a 423; whether it names a longer time."""
        least = seconds(response.headers.get("Min-Expires"))
        if least is None or least <= self._expires or self._challenges == _CHALLENGES:
            return False
        self._challenges += 1
        self._expires = least
        return True

    def _succeed(self, response: Response, now: float) -> None:
        if self._digest is not None:
            self._digest.authenticated(response.headers)
        hop, address = self.hop, self.address
        assert hop is not None  # it has answered
        assert address is not None  # it is in the Contact
        self._answered.clear()
        self._bound = self._asked[:1]
        seen = learned(response)
        if hop.transport != "udp" and address.port and seen and seen[0] == address.host:
            seen = None  # no NAT between: where we listen says more than where we connected from
        if seen is not None and seen != (address.host, address.port) and not self._moved:
            self._moved = True
            self.address = Hop(hop.transport, *seen)
            self._register(now)
            return
        expires = granted(response, self._bound[0], self._expires)
        self._redirection.arrived()
        self._failures = self._challenges = 0
        self._status = None
        self._reason = ""
        self._registered_at = now
        self._expires_at = now + expires
        self.phase = RegistrationPhase.REGISTERED
        early = self._context.timers.early_refresh
        if hop != next(iter(self._hops)):
            early += self._context.timers.transaction  # to try the better one first
        early = min(expires / 2, early)
        self._alarm = self._context.at(now + expires - early, self._resolve)
        self._stop_keepalive()
        self._start_keepalive(now)
        self._context.tell(Registered(self.trunk.name, expires))

    def _fail(self, status: int | None, reason: str, now: float, wait: float | None = None) -> None:
        if (status or 0) < 600 and self._redirection.turn():
            self._resolve(now)
            return
        self._redirection.forget()
        self._failures += 1
        self._status = status
        self._reason = reason
        self._stop_keepalive()
        if wait is None:
            wait = backoff(
                self._failures,
                self._context.timers,
                self._context.jitter,
                answered=status is not None,
            )
        self.phase = RegistrationPhase.WAITING
        self._alarm = self._context.at(now + wait, self._resolve)
        self._context.tell(RegistrationFailed(self.trunk.name, status, reason, wait))

    def _finish(self, now: float) -> None:
        if self._transaction is not None:
            self._transaction.drop()
            self._transaction = None
        if self._deadline is not None:
            self._deadline.cancel()
        self.phase = RegistrationPhase.IDLE
        self._bound = ()
        self._expires_at = None
        self._context.tell(Unregistered(self.trunk.name))
        self._over(now)

    # --- alarms ---------------------------------------------------------------------------------

    def _start_keepalive(self, now: float) -> None:
        if self.trunk.keepalive > 0:
            pause = self.trunk.keepalive * (0.8 + 0.2 * self._context.jitter())
            self._keepalive = self._context.at(now + pause, self._keep_alive)

    def _keep_alive(self, now: float) -> None:
        if self.hop is not None:
            self._context.send(KEEPALIVE, self.hop)
        self._start_keepalive(now)

    def _stop_keepalive(self) -> None:
        if self._keepalive is not None:
            self._keepalive.cancel()
            self._keepalive = None

    def _cancel_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def credentials(trunk: Trunk, context: Context) -> DigestClient | None:
    """What answers challenges to the requests of a trunk; None without a password."""
    username = trunk.auth_username or trunk.username
    if not username and trunk.registrar is not None:
        username = SipUri.parse(trunk.registrar).user_text
    if trunk.password is None or not username:
        return None
    return DigestClient(username, trunk.password, tokens=context.tokens, realm=trunk.realm)
