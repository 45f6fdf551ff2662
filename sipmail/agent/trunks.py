"""How the trunks are: the log lines about registrations and strangers, and word to the admin.

A stranger's requests are counted and mentioned at most once a minute, with the configuration
line that would accept them; a trunk that stays unregistered is reported once, and when it is back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from sipmail.sip import actions as sip
from sipmail.sip.registration import RegistrationState

log = logging.getLogger(__name__)

_HINT_SECONDS = 60.0
_ALARM_SECONDS = 900.0


@dataclass(slots=True)
class TrunkState:
    """A trunk that registers, as the status page shows it. Times are of the given clock."""

    registered: bool = False
    since: float = 0.0
    last_error: str = ""
    told: bool = False
    where: str = ""


class TrunkWatch:
    """Follows the registrations; `tell(subject, text)` writes to the administrator."""

    def __init__(
        self,
        now: Callable[[], float],
        tell: Callable[[str, str], None],
        registration: Callable[[str], RegistrationState | None] = lambda _: None,
    ) -> None:
        """`registration(trunk)` is how it stands with the registrar."""
        self._registration = registration
        self._now = now
        self._tell = tell
        self.states: dict[str, TrunkState] = {}
        self.strangers = 0
        # By whether it is an INVITE: who probes with OPTIONS must not hide a provider's calls.
        self._last_hint = {True: -_HINT_SECONDS, False: -_HINT_SECONDS}
        self._unmentioned = {True: 0, False: 0}

    def follow(self, names: list[str]) -> None:
        """The trunks that register, by name; others are forgotten."""
        now = self._now()
        self.states = {name: self.states.get(name) or TrunkState(since=now) for name in names}

    def on_action(self, action: sip.Action) -> None:
        """Takes an action of the endpoint; those that are not about trunks are not for here."""
        match action:
            case sip.Registered():
                self._registered(action)
            case sip.RegistrationFailed():
                self._failed(action)
            case sip.Unregistered():
                log.info("trunk %s: unregistered", action.trunk)
            case sip.Ignored():
                self._stranger(action)

    def look(self) -> None:
        """To be called now and then: reports a trunk that stays unregistered."""
        now = self._now()
        for name, state in self.states.items():
            if not state.registered and not state.told and now - state.since >= _ALARM_SECONDS:
                state.told = True
                minutes = int((now - state.since) / 60)
                self._tell(
                    f"trunk {name} is not registered",
                    f"The trunk {name} has not been registered for {minutes} minutes, so no calls "
                    f"reach sipmail through it.\nThe last answer: {state.last_error or 'none'}\n",
                )

    def _registered(self, action: sip.Registered) -> None:
        state = self.states.setdefault(action.trunk, TrunkState())
        where = _where(self._registration(action.trunk))
        if state.registered:
            if where != state.where:
                log.info("trunk %s: registered%s now (before:%s)", action.trunk, where, state.where)
                state.where = where
            else:
                log.debug("trunk %s: registration renewed", action.trunk)
            return
        log.info("trunk %s: registered for %.0f s%s", action.trunk, action.expires, where)
        if state.told:
            self._tell(
                f"trunk {action.trunk} is registered again",
                f"The trunk {action.trunk} is registered again: calls reach sipmail.\n",
            )
        self.states[action.trunk] = TrunkState(registered=True, since=self._now(), where=where)

    def _failed(self, action: sip.RegistrationFailed) -> None:
        state = self.states.setdefault(action.trunk, TrunkState(since=self._now()))
        status = "" if action.status is None else f"{action.status} "
        state.last_error = f"{status}{action.reason}"
        log.warning(
            "trunk %s: not registered: %s; next try in %.0f s",
            action.trunk,
            state.last_error,
            action.retry_in,
        )
        if state.registered:
            state.registered = False
            state.since = self._now()

    def _stranger(self, action: sip.Ignored) -> None:
        self.strangers += 1
        is_call = action.method == "INVITE"
        self._unmentioned[is_call] += 1
        now = self._now()
        if now - self._last_hint[is_call] < _HINT_SECONDS:
            return
        log.warning(
            "no answer to %s from %s:%d (%d such since the last line): %s",
            action.method,
            action.source.host,
            action.source.port,
            self._unmentioned[is_call],
            action.hint,
        )
        self._last_hint[is_call] = now
        self._unmentioned[is_call] = 0


def _where(registration: RegistrationState | None) -> str:
    """With which server, and under which address of ours, for a log line."""
    if registration is None or registration.hop is None:
        return ""
    hop = registration.hop
    host = f"[{hop.host}]" if ":" in hop.host else hop.host
    ours = (registration.contact or "").rpartition("@")[2].partition(";")[0]
    return f" with {host}:{hop.port} over {hop.transport}, which reaches us at {ours}"
