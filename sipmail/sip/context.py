"""Context: what all machines of one endpoint share, in place of clocks, sockets and chance.

`tokens` gives unguessable texts of letters and digits (tags, branches, Call-IDs, Contact users),
`jitter` numbers from 0 up to 1. Actions are gathered in the order in which they happen, until the
endpoint hands them out.
"""

from __future__ import annotations

from collections.abc import Callable

from sipmail.sip.actions import Action, Hop, Send
from sipmail.sip.alarms import Alarm, Alarms, Callback
from sipmail.sip.message import Request, Response
from sipmail.sip.timers import Timers


class Context:
    """Alarms, timers, tokens, chance and the actions so far."""

    def __init__(
        self,
        tokens: Callable[[], str],
        jitter: Callable[[], float],
        timers: Timers,
        user_agent: str,
    ) -> None:
        self.tokens = tokens
        self.jitter = jitter
        self.timers = timers
        self.user_agent = user_agent
        self.alarms = Alarms()
        self._actions: list[Action] = []

    def tell(self, action: Action) -> None:
        """Adds an action to what the endpoint hands out."""
        self._actions.append(action)

    def send(self, message: Request | Response | bytes, hop: Hop) -> None:
        """Sends a message."""
        self._actions.append(Send(bytes(message), hop))

    def at(self, when: float, callback: Callback) -> Alarm:
        """Calls back once `when` has come."""
        return self.alarms.set(when, callback)

    def take(self) -> list[Action]:
        """The actions since the last time."""
        actions = self._actions
        self._actions = []
        return actions
